"""Paths reach the configuration as they were typed."""

import os
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cfx.arguments import key_of, quote_argument, quote_arguments, split_own

ODD_PATHS = [
    "/data/my x-rays",
    "a=b",
    "a,b",
    "[x]",
    "{x: 1}",
    "2024",
    "1e3",
    "true",
    "it's",
    'say "hi"',
    "both ' and \"",
    "back\\slash",
    "ends in back\\",
    "quote after \\' back",
    "(round)",
    "a:b",
    "a~b",
    "#x",
    "ünï cöde",
    "x@y",
    "-dash",
    "a%b&c;d|e",
    "  spaces around  ",
]


def _value(argument: str) -> object:
    return OverridesParser.create().parse_override(argument).value()


KEYS = ["data.root", "output", "run", "blackbox.path", "+anatomy.masks.root"]


@pytest.mark.parametrize(
    ("key", "path"),
    [(key, path) for key in KEYS for path in ODD_PATHS if (key, path) != ("run", "[x]")],  # a list of runs
)
def test_a_path_means_what_was_typed(key: str, path: str) -> None:
    value = _value(quote_argument(f"{key}={path}"))
    assert value == path and isinstance(value, str)


def test_home_is_expanded_at_the_start_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/some body")
    assert _value(quote_argument("data.root=~/x")) == "/home/some body/x"
    assert _value(quote_argument("data.root=a/~/x")) == "a/~/x"


def test_null_stays_null_and_empty_stays_empty() -> None:
    assert _value(quote_argument("output=null")) is None
    assert _value(quote_argument("output=")) == ""


def test_other_keys_and_flags_pass_untouched() -> None:
    typed = [
        "-m",
        "task=a,b",
        "seed=0,1",
        "name=2024",
        "hydra.run.dir=x y",
        "~data.root",
        "data=[a,b]",
        "--help",
    ]
    assert quote_arguments(typed) == typed


def test_hydras_own_quotes_are_kept_unless_such_a_file_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _value(quote_argument("data.root='my data'")) == "my data"
    os.mkdir("'my data'")
    assert _value(quote_argument("data.root='my data'")) == "'my data'"


def test_a_list_of_runs_stays_a_list() -> None:
    assert _value(quote_argument("run=[runs/a,runs/b c=1]")) == ["runs/a", "runs/b c=1"]
    assert _value(quote_argument("run=['a,b',c]")) == ["a,b", "c"]


def test_a_folder_named_like_a_list_is_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("[a,b]")
    assert _value(quote_argument("run=[a,b]")) == "[a,b]"


def test_commas_of_a_path_are_no_sweep() -> None:
    override = OverridesParser.create().parse_override(quote_argument("data.root=a,b"))
    assert not override.is_sweep_override()


@pytest.mark.parametrize(
    ("argument", "key"),
    [
        ("a.b=c", "a.b"),
        ("+a=c", "a"),
        ("++a=c=d", "a"),
        ("~a", "a"),
        ("~a=1", "a"),
        ("-m", None),
        ("word", None),
    ],
)
def test_key_of(argument: str, key: str | None) -> None:
    assert key_of(argument) == key


def test_a_verbs_own_arguments_are_parted_from_the_runs() -> None:
    typed = [
        "run=x",
        "data=chexpert",
        "data.root=/a,b",
        "-m",
        "output=y",
        "hydra.verbose=true",
        "~loss",
        "run.x=1",
    ]
    mine, others = split_own(typed, ["run", "output"])
    assert mine == ["run=x", "-m", "output=y", "hydra.verbose=true", "run.x=1"]
    assert others == ["data=chexpert", "data.root=/a,b", "~loss"]
