"""Which files an input names, and folder names that never collide."""

from pathlib import Path

import pytest
from explain_toys import write

from cfx.errors import BadImage, MissingPath
from cfx.evaluation.image_files import find_images, folder_names


def test_input_names_a_file_a_folder_or_nothing(tmp_path: Path) -> None:
    picture = write(tmp_path / "in" / "a.png", 8, 8)
    write(tmp_path / "in" / ".hidden" / "b.png", 8, 8)
    assert find_images(picture) == [picture] and find_images(tmp_path / "in") == [picture]
    with pytest.raises(MissingPath, match="check the path"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadImage, match="holds no image"):
        find_images(tmp_path / "empty")


def test_folder_names_never_collide(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "A.jpg", "b/c.png", "d.png")]
    assert folder_names(paths, tmp_path) == ["a_png", "A_jpg", "b__c", "d"]


def test_names_that_look_alike_get_folders_of_their_own(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a/b.png", "a__b.png", "c.png", "c.jpg", "c_png.png")]
    names = folder_names(paths, tmp_path)
    assert len({name.casefold() for name in names}) == 5 and names == folder_names(paths, tmp_path)
    assert folder_names(paths[2:3], tmp_path) == ["c"]


def test_files_of_an_archive_are_found_by_their_letters(tmp_path: Path) -> None:
    for name in ("IM0001", "1.2.840.113619.2", "report.pdf", "README"):
        content = b"%PDF" if name in ("report.pdf", "README") else b"\0" * 128 + b"DICM"
        (tmp_path / name).write_bytes(content)
    found = find_images(tmp_path)
    assert [path.name for path in found] == ["1.2.840.113619.2", "IM0001"]
    assert folder_names(found, tmp_path) == ["1.2.840.113619.2", "IM0001"]


def test_results_inside_the_input_are_not_taken_for_images(tmp_path: Path) -> None:
    picture = write(tmp_path / "a.png", 8, 8)
    write(tmp_path / "explained" / "a" / "progression.png", 8, 8)
    assert find_images(tmp_path, without=tmp_path / "explained") == [picture]
