"""A user's mistake is one line with argument, value, problem and remedy."""

import pickle

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from cfx import errors
from cfx.errors import BadImage, BadValue, MissingPath, UserError, nearest


def test_the_line_names_argument_value_problem_and_remedy() -> None:
    error = MissingPath(
        "data.root", "/a b", "there is no such folder", "give the folder that holds train.csv"
    )
    assert str(error) == "data.root='/a b': there is no such folder; give the folder that holds train.csv"


def test_the_line_is_one_line_and_not_endless() -> None:
    error = BadValue("data.size", "x" * 1000 + "\nnext", "is\nnot a number", "give a number")
    assert "\n" not in str(error) and len(str(error)) < 400


def test_values_are_spelled_as_on_the_command_line() -> None:
    assert str(BadValue("a", 3, "p", "r")) == "a=3: p; r"
    assert str(BadValue("a", None, "p", "r")) == "a=null: p; r"
    assert str(BadValue("", "xx", "p")) == "'xx': p"


@pytest.mark.parametrize(
    "name",
    [
        "MissingPath",
        "WrongLayout",
        "UnknownChoice",
        "BadImage",
        "TooFewPositives",
        "EmptySplit",
        "CheckpointMismatch",
        "BadValue",
    ],
)
def test_every_kind_is_a_user_error_and_survives_pickling(name: str) -> None:
    error = getattr(errors, name)("key", "value", "problem", "remedy")
    assert isinstance(error, UserError)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)


class _Broken(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        raise BadImage("data.root", f"{index}.jpg", "is not an image", "remove it, or set data.on_error=skip")


def test_an_error_in_a_loaders_worker_process_is_still_one_line() -> None:
    with pytest.raises(BadImage) as caught:
        next(iter(DataLoader(_Broken(), num_workers=1)))
    line = str(caught.value)
    assert line == "data.root='0.jpg': is not an image; remove it, or set data.on_error=skip"


@pytest.mark.parametrize(
    ("value", "found"),
    [("edama", "edema"), ("Cardiomegly", "cardiomegaly"), ("zzz", None), ("", None)],
)
def test_nearest(value: str, found: str | None) -> None:
    assert nearest(value, ["cardiomegaly", "edema", "pleural_effusion"]) == found


def test_nearest_gives_a_choice_as_it_is_written() -> None:
    assert nearest("pleural effusion", ["Edema", "Pleural Effusion"]) == "Pleural Effusion"
