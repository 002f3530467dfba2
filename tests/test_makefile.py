"""The Makefile finds an interpreter by running it, installs once, and says in one line when there is none."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOOLS = ("sh", "make", "touch", "mkdir", "cat", "chmod", "awk", "rm")

# Stands for an interpreter: `-c` answers whether it is in range and has ensurepip, `-m venv` whether it can make one.
FAKE = """#!/bin/sh
case "$1" in
  -c) exit {in_range} ;;
  -m) [ {makes_venv} = 0 ] || exit 1
      mkdir -p "$4/bin"
      printf '#!/bin/sh\\n[ "$1" = --version ] && echo "{name}" || echo "$*" >> "$CALLS"\\n' > "$4/bin/python"
      chmod +x "$4/bin/python" ;;
esac
"""


class Place:
    """A copy of the Makefile with fake interpreters, which are the only ones on PATH."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder / "a clone"
        self.bin = folder / "bin"
        self.calls_file = folder / "calls"
        self.folder.mkdir()
        self.bin.mkdir()
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(repository / name, self.folder / name)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)

    def python(
        self, name: str, *, in_range: bool = True, makes_venv: bool = True, folder: Path | None = None
    ) -> Path:
        file = (folder or self.bin) / name
        file.write_text(FAKE.format(in_range=int(not in_range), makes_venv=int(not makes_venv), name=name))
        file.chmod(0o755)
        return file

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "CALLS": str(self.calls_file), "HOME": str(self.folder)}
        command = [str(self.bin / "make"), "--no-print-directory", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def place(tmp_path: Path, repository: Path) -> Place:
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    return Place(tmp_path, repository)


def test_the_first_that_runs_is_in_range_and_makes_a_venv_is_taken(place: Place) -> None:
    shim = place.bin / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    place.python("python3.12", makes_venv=False)
    place.python("python3.11")
    place.python("python3", in_range=False)
    done = place.make("install")
    assert done.returncode == 0, done.stderr
    assert ".venv is made with python3.11" in done.stdout


def test_python3_is_the_last_resort(place: Place) -> None:
    place.python("python3.12", in_range=False)
    place.python("python3")
    assert ".venv is made with python3\n" in place.make("install").stdout


def test_the_one_that_is_named_comes_first(place: Place, tmp_path: Path) -> None:
    place.python("python3.13")
    folder = tmp_path / "my own"
    folder.mkdir()
    own = place.python("mine", folder=folder)
    assert ".venv is made with mine" in place.make("install", f"PYTHON={own}").stdout


def test_a_named_one_that_does_not_do_gives_way(place: Place) -> None:
    place.python("python3.12")
    assert ".venv is made with python3.12" in place.make("install", "PYTHON=/no/such/python").stdout


def test_without_any_it_ends_with_one_line_and_the_remedy(place: Place) -> None:
    place.python("python3", in_range=False)
    done = place.make("demo")
    assert done.returncode != 0 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "3.11" in done.stderr and "make PYTHON=" in done.stderr
    assert place.calls() == []


def test_the_demo_installs_and_runs_and_installs_once(place: Place) -> None:
    place.python("python3.12")
    assert place.make("demo").returncode == 0
    install, run = place.calls()
    assert install.endswith("install -q -c constraints.txt -e .")
    assert run == "-m cfx.train task=cardiomegaly"
    assert place.make("demo", "ARGS=seed=1").returncode == 0
    assert place.calls()[2:] == ["-m cfx.train task=cardiomegaly seed=1"]


def test_the_tests_install_the_checkers_and_serve_the_demo_too(place: Place) -> None:
    place.python("python3.12")
    assert place.make("test").returncode == 0
    install, run = place.calls()
    assert install.endswith("-c constraints.txt -e .[dev]")
    assert run == "-m pytest -m not slow"
    assert place.make("demo").returncode == 0
    assert place.calls()[2:] == ["-m cfx.train task=cardiomegaly"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_what_is_installed_follows_the_files_that_say_so(place: Place, name: str) -> None:
    place.python("python3.12")
    place.make("install")
    assert place.make("install").returncode == 0 and len(place.calls()) == 1
    later = (place.folder / ".venv" / ".cfx").stat().st_mtime + 10
    os.utime(place.folder / name, (later, later))
    place.make("install")
    assert len(place.calls()) == 2


def test_a_failed_installation_is_tried_again(place: Place) -> None:
    place.python("python3.12")
    place.make("install")
    (place.folder / ".venv" / ".cfx").unlink()
    python = place.folder / ".venv" / "bin" / "python"
    works = python.read_text()
    python.write_text("#!/bin/sh\nexit 1\n")
    assert place.make("install").returncode != 0
    python.write_text(works)
    assert place.make("install").returncode == 0
    assert len(place.calls()) == 2


def test_help_lists_the_targets(place: Place) -> None:
    listed = place.make().stdout
    for target in ("demo", "test", "test-slow", "lint", "criteria", "experiments", "clean"):
        assert f"make {target} " in listed


def test_pins_are_exact_and_portable(repository: Path) -> None:
    lines = [
        line
        for line in (repository / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(lines) > 100 and lines == sorted(lines, key=lambda line: line.partition("==")[0])
    for line in lines:
        name, _, version = line.partition("==")
        assert name and version and "+" not in version and "/" not in line and "@" not in line
        assert not name.startswith(("nvidia", "cuda", "triton"))


def test_every_dependency_of_every_extra_is_pinned_within_its_bounds(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = {name: version for name, _, version in (line.partition("==") for line in lines) if version}
    wanted = [
        *project["dependencies"],
        *(entry for extra in project["optional-dependencies"].values() for entry in extra),
    ]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != "cfx":
            assert name in pins, name
            assert requirement.specifier.contains(pins[name], prereleases=True), requirement
