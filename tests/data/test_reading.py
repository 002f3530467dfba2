"""Every kind of file to one kind of array."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cfx.data.reading import (
    load_tensor,
    read_content,
    read_image,
    read_mask,
    to_bytes,
    to_square,
    to_tensor,
)
from cfx.errors import BadImage, MissingPath

Draw = Callable[..., Any]


def test_eight_bit_png_is_exact(tmp_path: Path, picture: Draw) -> None:
    pixels = picture(0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.float32
    assert np.array_equal(np.rint(read * 255).astype(np.uint8), pixels)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_file_of_sixteen_bits_is_read_by_the_depth_that_its_values_use(tmp_path: Path, bits: int) -> None:
    full = 2**bits - 1
    pixels = np.linspace(0, full, 12 * 9).reshape(12, 9).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert np.allclose(read, pixels / full, atol=1e-6) and read.max() == 1.0


def test_beyond_sixteen_bits_values_are_cut(tmp_path: Path) -> None:
    pixels = np.array([[0, 32767, 65535], [70000, 0, 0]], dtype=np.int32)
    Image.fromarray(pixels, mode="I").save(tmp_path / "a.tiff")
    assert np.allclose(read_image(tmp_path / "a.tiff"), [[0, 32767 / 65535, 1], [1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "CMYK"])
def test_other_modes_become_grey(tmp_path: Path, picture: Draw, mode: str) -> None:
    converted = Image.fromarray(picture(1)).convert(mode)
    name = "a.jpg" if mode == "CMYK" else "a.png"
    converted.save(tmp_path / name)
    read = read_image(tmp_path / name)
    assert read.shape == (40, 32)
    if mode in ("RGB", "RGBA", "LA", "P"):
        assert np.abs(read - picture(1) / 255).max() <= 1.5 / 255
    assert 0 <= read.min() <= read.max() <= 1


def test_exif_rotation_is_applied(tmp_path: Path, picture: Draw) -> None:
    turned = Image.fromarray(picture(2))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert read_image(tmp_path / "a.jpg").shape == (32, 40)


def test_truncated_jpeg_is_refused_by_name(tmp_path: Path, picture: Draw) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(picture(3, 200, 200)).save(whole, quality=95)
    content = whole.read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadImage, match=r"cut\.jpg") as caught:
        read_image(cut, "data")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [30, 60, 200])
def test_truncated_png_is_refused(tmp_path: Path, picture: Draw, cut: int) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(picture(3, 200, 200)).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(BadImage):
        read_image(tmp_path / "cut.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_content_in_memory_reads_as_the_file_does(tmp_path: Path, picture: Draw, name: str) -> None:
    Image.fromarray(picture(5)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert np.array_equal(read_content(content, "anything"), read_image(tmp_path / name))


def test_content_in_memory_is_png_jpeg_or_dicom(tmp_path: Path, picture: Draw) -> None:
    Image.fromarray(picture(5)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").shape == (40, 32)
    with pytest.raises(BadImage, match=r"a\.tif.*not an image"):
        read_content((tmp_path / "a.tif").read_bytes(), "a.tif")
    with pytest.raises(BadImage, match=r"b\.dcm.*not a readable DICOM"):
        read_content(b"\0" * 128 + b"DICM" + b"\0" * 20, "b.dcm")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("text.png", "empty.jpg"):
        with pytest.raises(BadImage, match="not an image"):
            read_image(tmp_path / name)
    with pytest.raises(MissingPath, match=r"gone\.png"):
        read_image(tmp_path / "gone.png")


def test_dicom_without_pydicom_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    (tmp_path / "no_ending").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    for name in ("a.dcm", "no_ending"):
        with pytest.raises(BadImage, match=r"pip install 'cfx\[dicom\]'"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(("height", "width"), [(50, 30), (30, 50), (31, 31), (7, 200), (1, 1), (3000, 2500)])
@pytest.mark.parametrize("size", [16, 64])
def test_any_aspect_becomes_a_square(height: int, width: int, size: int) -> None:
    image = np.full((height, width), 0.5, dtype=np.float32)
    square = to_square(image, size)
    assert square.shape == (size, size)
    # area averaging keeps the total: the grey share of the square is the picture's share of it
    if max(height, width) >= size:
        expected = 0.5 * min(height, width) / max(height, width)
        assert square.mean() == pytest.approx(expected, abs=1e-3)


def test_padding_is_centred_and_keeps_ratios() -> None:
    image = np.zeros((200, 100), dtype=np.float32)
    image[:, 20:80] = 1.0
    square = to_square(image, 50)
    # a quarter of the size: the bar from 50 + 20 to 50 + 80 now reaches from 17.5 to 32.5
    assert np.allclose(square[25, 16:34], [0, 0.5, *[1] * 14, 0.5, 0], atol=1e-6)
    assert square[25].sum() == pytest.approx(60 / 4)


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0.0, 1.0], dtype=np.float32), (256, 128))
    assert np.allclose(to_square(stripes, 64), 0.5, atol=1e-6)


def test_tensor_range() -> None:
    tensor = to_tensor(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert torch.equal(tensor, torch.tensor([[[-1.0, 0.0, 1.0]]]))


def test_one_file_reads_as_in_a_batch(tmp_path: Path, picture: Draw) -> None:
    Image.fromarray(picture(4)).save(tmp_path / "a.png")
    tensor = load_tensor(tmp_path / "a.png", 24)
    by_hand = to_tensor(to_bytes(to_square(read_image(tmp_path / "a.png"), 24)).astype(np.float32) / 255)
    assert tensor.shape == (1, 24, 24)
    assert torch.allclose(tensor, by_hand, atol=1e-6)


def test_mask_values_are_checked(tmp_path: Path, bits: Any) -> None:
    Image.fromarray(bits).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), bits)
    Image.fromarray(((bits > 0) * 255).astype(np.uint8)).save(tmp_path / "binary.png")
    with pytest.raises(BadImage, match="value 255"):
        read_mask(tmp_path / "binary.png")
    Image.fromarray(bits).convert("RGB").save(tmp_path / "colour.png")
    with pytest.raises(BadImage, match="mode RGB"):
        read_mask(tmp_path / "colour.png")
    with pytest.raises(MissingPath):
        read_mask(tmp_path / "gone.png")


@pytest.mark.real
def test_real_dicom_is_read_bone_white(real_data: Path) -> None:
    pytest.importorskip("pydicom")
    for name in (
        "nema_RG1_chest_pa_mono1_j2k.dcm",
        "nih_udacity_test1.dcm",
        "siim_nih_jpeg_baseline_mono2.dcm",
    ):
        image = read_image(real_data / "dicom" / name)
        assert image.ndim == 2
        assert 0 <= image.min() < image.max() <= 1
        height, width = image.shape
        spine = image[height // 3 : height // 2, width * 2 // 5 : width * 3 // 5].mean()
        lung = image[height // 3 : height // 2, width // 6 : width // 3].mean()
        assert spine > lung  # black bones would mean that MONOCHROME1 was not inverted
