"""The table of pairs: what is read from it, and every mistake in it as one line."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfx.data.pairs import check_shapes, read_bytes, read_pairs, snapped
from cfx.errors import BadImage, UserError, WrongLayout


def picture(path: Path, width: int = 20, height: int = 24, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), grey, dtype=np.uint8)).save(path)
    return path


def row(image: str, target: object, patient: str = "p1", **more: object) -> dict[str, object]:
    return {
        "image": image,
        "counterfactual": f"cf/{image}-{target}.png",
        "target": target,
        "patient_id": patient,
    } | more


def folder(place: Path, rows: list[dict[str, Any]], draw: bool = True) -> Path:
    """A folder of pairs with whatever rows are given, and the pictures that they name."""
    place.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for each in rows for name in each))
    with (place / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    for each in rows if draw else []:
        for column in ("image", "counterfactual"):
            if each.get(column):
                picture(place / str(each[column]))
    return place


GOOD = [
    row("a.png", 1.0, "p1", label="0", view="PA", sex="female", age="63"),
    row("b.png", "0.5", "007", label="-1", view="", sex="", age="058Y"),
    row("a.png", 0.25, "p1", label="0", view="PA", sex="female", age="63"),
]


def test_images_and_counterfactuals_are_parted_in_the_tables_order(tmp_path: Path) -> None:
    found = read_pairs(folder(tmp_path / "own pairs, [v2]", GOOD))
    assert found.images["image_id"].tolist() == ["a.png", "b.png"]
    assert found.images["patient_id"].tolist() == ["p1", "007"]  # a text, leading zeros kept
    assert found.images["label"].tolist()[0] == 0.0 and np.isnan(found.images["label"].iloc[1])
    assert found.images["sex"].tolist() == ["F", ""] and found.images["age"].tolist() == [63.0, 58.0]
    assert found.rows["image"].tolist() == [0, 1, 0]
    assert found.rows["target"].tolist() == [1.0, 0.5, 0.25]
    dataset = found.dataset("Edema", 16)
    assert dataset.batch([0, 1])["image"].shape == (2, 1, 16, 16)
    assert dataset.findings == ["Edema"] and dataset.table["patient_id"].tolist() == ["p1", "007"]


def test_studies_are_texts_and_not_known_without_their_column(tmp_path: Path) -> None:
    assert set(read_pairs(folder(tmp_path / "none", GOOD)).images["study_id"]) == {""}
    rows = [row("a.png", 1, study_id="007"), row("b.png", 1), row("a.png", 0, study_id="007")]
    assert read_pairs(folder(tmp_path / "some", rows)).images["study_id"].tolist() == ["007", ""]
    with pytest.raises(WrongLayout, match="more than one study_id"):
        read_pairs(folder(tmp_path / "two", [*rows, row("b.png", 0, study_id="8")]))


def test_only_rows_of_the_evaluated_split_are_read(tmp_path: Path) -> None:
    rows = [row("a.png", 1, split="test"), row("b.png", 1, split="train"), row("c.png", 0, split="Testing")]
    found = read_pairs(folder(tmp_path, rows))
    assert found.images["image_id"].tolist() == ["a.png", "c.png"] and found.left_out == 1
    assert read_pairs(tmp_path, "train").images["image_id"].tolist() == ["b.png"]


MISTAKES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a column is missing": (
        [{"image": "a.png", "counterfactual": "b.png", "target": 1}],
        "no column 'patient_id'",
    ),
    "a column is mistyped": (
        [{"image": "a.png", "counterfactuals": "b.png", "target": 1, "patient_id": 1}],
        "no column 'counterfactual'; is 'counterfactuals' meant",
    ),
    "no rows": ([], "can not be read as a table|no column|has no rows"),
    "target is no number": ([row("a.png", 1), row("a.png", "high")], "row 2, target='high': is no posterior"),
    "target out of range": ([row("a.png", 1.5)], "row 1, target='1.5'.*between 0 and 1"),
    "target in percent": ([row("a.png", 80)], "row 1, target='80'"),
    "target is missing": ([row("a.png", "")], "row 1, target='': is empty"),
    "target is nan": ([row("a.png", "nan")], "row 1, target='nan': is no posterior"),
    "no patient": ([row("a.png", 1, "")], "row 1, patient_id='': is empty"),
    "no picture": ([row("", 1)], "row 1, image='': is empty"),
    "label is a word": ([row("a.png", 1, label="yes")], "row 1, label='yes': is no label; give 1, 0"),
    "view is unknown": ([row("a.png", 1, view="oblique")], "row 1, view='oblique'.*PA, AP"),
    "sex is unknown": ([row("a.png", 1, sex="x")], "row 1, sex='x'"),
    "age is a word": ([row("a.png", 1, age="old")], "row 1, age='old'"),
    "split is unknown": ([row("a.png", 1, split="holdout")], "row 1, split='holdout'.*train, valid or test"),
    "no row of the split": ([row("a.png", 1, split="train")], "no row of the split test"),
    "asked twice": ([row("a.png", 1), row("a.png", "1.0")], "row 2 asks a.png for 1 a second time"),
    "two patients": ([row("a.png", 1), row("a.png", 0, "p2")], "a.png has more than one patient_id"),
    "two labels": ([row("a.png", 1, label=1), row("a.png", 0, label=0)], "a.png has more than one label"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_table_is_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    rows, words = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        read_pairs(folder(tmp_path, rows))
    said = str(caught.value)
    assert re.search(words, said) and said.startswith("pairs") and "\n" not in said


def test_a_folder_or_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for place, words in (
        (tmp_path / "nowhere", "no such folder"),
        (picture(tmp_path / "one.png"), "is a file"),
    ):
        with pytest.raises(UserError, match=words):
            read_pairs(place)
    with pytest.raises(UserError, match=r"holds no pairs\.csv"):
        read_pairs(tmp_path)
    undrawn = folder(tmp_path / "undrawn", [row("a.png", 1), row("b.png", 1)], draw=False)
    with pytest.raises(UserError, match=r"column image names this file.*2 of 2 are missing"):
        read_pairs(undrawn)
    picture(undrawn / "a.png")
    picture(undrawn / "b.png")
    with pytest.raises(UserError, match=r"column counterfactual .*2 of 2"):
        read_pairs(undrawn)


def test_what_is_no_table_and_what_is_no_picture_are_told(tmp_path: Path) -> None:
    place = folder(tmp_path, [row("a.png", 1)])
    (place / "a.png").write_text("not a picture")
    with pytest.raises(BadImage, match=r"^pairs=.*not an image"):
        read_pairs(place).dataset("Edema", 16)
    (place / "pairs.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(UserError, match=r"^pairs="):
        read_pairs(place)


def test_cropped_or_stretched_counterfactuals_are_refused_and_smaller_ones_are_not(tmp_path: Path) -> None:
    image = str(picture(tmp_path / "a.png", 200, 240))
    check_shapes(image, str(picture(tmp_path / "small.png", 100, 120)))
    with pytest.raises(BadImage, match=r"is 120 x 120 pixels, its image 200 x 240"):
        check_shapes(image, str(picture(tmp_path / "square.png", 120, 120)))


def test_targets_are_put_on_the_grid_where_only_rounding_parts_them() -> None:
    grid = (0.0, 0.3, 1.0)
    found = snapped(np.array([0.1 + 0.2, 0.2999, 1.0]), grid)
    assert found.tolist() == [0.3, 0.2999, 1.0]


def test_pictures_take_the_one_way_to_a_tensor(tmp_path: Path) -> None:
    assert read_bytes(str(picture(tmp_path / "a.png", 16, 16, grey=200)), 16).tolist() == [[200] * 16] * 16
