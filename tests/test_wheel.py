"""An installed wheel is complete: conf/ and shipped weights are inside and found from any folder."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from cfx.confdir import conf_dir


def test_the_configuration_is_found_in_a_checkout(repository: Path) -> None:
    assert Path(conf_dir()) == repository / "conf" and os.path.isabs(conf_dir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The project's wheel, built from the checkout without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("cfx-*.whl")
    return built


def test_conf_and_weights_are_in_the_wheel_and_tests_are_not(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in (("conf", "cfx/conf"), ("cfx/pretrained", "cfx/pretrained")):
        for file in (repository / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{inside}/{file.relative_to(repository / folder)}" in names
    assert "cfx/py.typed" in names and any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "experiments", "conf/"))]


def test_an_installed_wheel_works_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python3*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    # What cfx depends on comes from the environment that the tests run in, behind the wheel's own files.
    others = [entry for entry in sys.path if entry.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(others))
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(home / "bin" / "python"), *arguments]
        return subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )

    found = python("-c", "from cfx.confdir import conf_dir; print(conf_dir())")
    assert Path(found.stdout.strip()) == site / "cfx" / "conf", found.stderr
    shown = python("-m", "cfx.train", "--cfg", "job", "task=edema")
    assert shown.returncode == 0, shown.stderr
    assert "finding: Edema" in shown.stdout
    refused = python("-m", "cfx.train", "task=edama")
    assert refused.returncode == 2 and "'edema'" in refused.stderr and "Traceback" not in refused.stderr
    assert os.listdir(elsewhere) == []
