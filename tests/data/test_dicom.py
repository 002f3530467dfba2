"""DICOM pixels as a viewer shows them first: every transfer syntax, windows, tables, polarity, padding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfx.data.dicom import is_dicom, read_dicom
from cfx.data.reading import read_image
from cfx.errors import BadImage

Write = Callable[..., Path]
pydicom = pytest.importorskip("pydicom")


def ramp(top: int = 4095, height: int = 24, width: int = 40, dtype: Any = np.uint16) -> Any:
    """Rows that rise from 0 to `top`, a little noise on them."""
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, top, width)[None, :] + rng.integers(0, max(top // 50, 1), (height, 1))
    return np.clip(smooth, 0, top).astype(dtype)


@pytest.mark.parametrize("syntax", ["plain", "rle", "lossless", "j2k", "jpegls"])
def test_lossless_files_of_twelve_bits_are_exact(tmp_path: Path, write_dicom: Write, syntax: str) -> None:
    if syntax == "jpegls":
        pytest.importorskip("jpeg_ls")
    pixels = ramp()
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax, BitsStored=12, HighBit=11)
    low, high = int(pixels.min()), int(pixels.max())
    assert np.allclose(read_image(path), (pixels - low) / (high - low), atol=1e-6)


def test_baseline_jpeg_is_near_and_keeps_its_range(tmp_path: Path, write_dicom: Write) -> None:
    pixels = ramp(200, 64, 64, np.uint8)
    path = write_dicom(tmp_path / "a.dcm", pixels, "baseline", LossyImageCompression="01")
    assert np.abs(read_image(path) - pixels / 255).max() < 0.03


def test_eight_bits_without_a_window_read_as_the_same_png_does(tmp_path: Path, write_dicom: Write) -> None:
    pixels = ramp(180, dtype=np.uint8) + np.uint8(20)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(write_dicom(tmp_path / "a.dcm", pixels)), read_image(tmp_path / "a.png"))


def test_monochrome1_is_the_negative(tmp_path: Path, write_dicom: Write) -> None:
    pixels = ramp()
    two = read_image(write_dicom(tmp_path / "two.dcm", pixels))
    one = read_image(write_dicom(tmp_path / "one.dcm", pixels, PhotometricInterpretation="MONOCHROME1"))
    assert np.allclose(one, 1 - two, atol=1e-6) and two[:, 0].mean() < 0.1


def test_a_linear_window_sets_black_and_white_by_itself(tmp_path: Path, write_dicom: Write) -> None:
    pixels = np.array([[0, 1000, 1500, 2000, 3000]], dtype=np.uint16).repeat(4, axis=0)
    # PS3.3 C.11.2.1.2: black at or below c - 0.5 - (w - 1) / 2, white above c - 0.5 + (w - 1) / 2.
    path = write_dicom(tmp_path / "a.dcm", pixels, WindowCenter=[1500.5, 9], WindowWidth=[1001, 9])
    assert np.allclose(read_image(path)[0], [0, 0, 0.5, 1, 1], atol=1e-3)
    # A picture that does not reach the window's ends is not stretched to them.
    path = write_dicom(tmp_path / "b.dcm", pixels[:, 1:4], WindowCenter=1500.5, WindowWidth=2001)
    assert np.allclose(read_image(path)[0], [0.25, 0.5, 0.75], atol=1e-3)


def test_exact_and_sigmoid_windows(tmp_path: Path, write_dicom: Write) -> None:
    pixels = np.array([[0, 1000, 1500, 2000, 3000]], dtype=np.uint16).repeat(4, axis=0)
    window = {"WindowCenter": 1500, "WindowWidth": 1000}
    exact = read_image(write_dicom(tmp_path / "a.dcm", pixels, VOILUTFunction="LINEAR_EXACT", **window))
    assert np.allclose(exact[0], [0, 0, 0.5, 1, 1], atol=1e-4)
    sigmoid = read_image(write_dicom(tmp_path / "b.dcm", pixels, VOILUTFunction="SIGMOID", **window))
    assert np.allclose(sigmoid[0], 1 / (1 + np.exp(-4 * (pixels[0].astype(float) - 1500) / 1000)), atol=1e-4)


def test_the_rescaling_comes_before_the_window(tmp_path: Path, write_dicom: Write) -> None:
    pixels = np.array([[100, 600, 1100]], dtype=np.uint16).repeat(3, axis=0)
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        RescaleSlope=2,
        RescaleIntercept=-200,
        WindowCenter=1000.5,
        WindowWidth=2001,
    )
    assert np.allclose(read_image(path)[0], [0, 0.5, 1], atol=1e-3)


@pytest.mark.parametrize("window", [{"WindowWidth": 0}, {"WindowCenter": 60000}])
def test_a_window_that_makes_no_sense_is_passed_over(
    tmp_path: Path, write_dicom: Write, window: dict[str, int]
) -> None:
    pixels = ramp()
    path = write_dicom(tmp_path / "a.dcm", pixels, **{"WindowCenter": 2000, "WindowWidth": 100, **window})
    assert np.allclose(read_image(path), (pixels - pixels.min()) / np.ptp(pixels), atol=1e-6)


def test_a_table_comes_before_a_window(tmp_path: Path, write_dicom: Write) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor = [4, 10, 16]  # four entries, the first for the value 10
    table.add_new("LUTData", "US", [0, 100, 300, 400])
    pixels = np.array([[0, 10, 11, 12, 13, 99]], dtype=np.uint16).repeat(3, axis=0)
    path = write_dicom(tmp_path / "a.dcm", pixels, VOILUTSequence=[table], WindowCenter=5, WindowWidth=2)
    assert np.allclose(read_image(path)[0], [0, 0, 0.25, 0.75, 1, 1], atol=1e-6)


def test_padding_is_black_and_sets_no_range(tmp_path: Path, write_dicom: Write) -> None:
    pixels = ramp(1000) + np.uint16(500)
    pixels[:5] = 0
    for kind, film in (("MONOCHROME2", 0.0), ("MONOCHROME1", 1.0)):
        path = write_dicom(
            tmp_path / f"{kind}.dcm", pixels, PixelPaddingValue=0, PhotometricInterpretation=kind
        )
        read = read_image(path)
        assert (read[:5] == 0).all() and read[5:, 0].mean() == pytest.approx(film, abs=0.05)
        assert read[5:].min() == 0 and read[5:].max() == 1


def test_signed_values_are_read(tmp_path: Path, write_dicom: Write) -> None:
    pixels = (ramp(2000).astype(np.int32) - 1000).astype(np.int16)
    read = read_image(write_dicom(tmp_path / "a.dcm", pixels))
    assert np.allclose(read, (pixels.astype(float) - pixels.min()) / np.ptp(pixels), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "give a single grey radiograph"),
        ({"NumberOfFrames": 2, "Rows": 12}, "give a single grey radiograph"),
        ({"Rows": 30000, "Columns": 30000}, "more than 100,000,000"),
        ({"Rows": 48}, "not a readable DICOM picture"),
    ],
)
def test_what_is_no_single_grey_picture_is_refused(
    tmp_path: Path, write_dicom: Write, change: dict[str, Any], line: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp(), **change)
    with pytest.raises(BadImage, match=line) as caught:
        read_image(path, "input")
    assert "\n" not in str(caught.value)


def test_a_flat_picture_and_one_without_pixels_are_refused(tmp_path: Path, write_dicom: Write) -> None:
    with pytest.raises(BadImage, match="same value in every pixel"):
        read_image(write_dicom(tmp_path / "a.dcm", np.full((8, 8), 7, dtype=np.uint16)))
    whole = pydicom.dcmread(write_dicom(tmp_path / "b.dcm", ramp()))
    del whole.PixelData
    whole.save_as(tmp_path / "b.dcm")
    with pytest.raises(BadImage, match="holds no pixels"):
        read_image(tmp_path / "b.dcm")


def test_a_cut_file_and_a_text_are_refused(tmp_path: Path, write_dicom: Write) -> None:
    for syntax in ("plain", "j2k"):
        path = write_dicom(tmp_path / "a.dcm", ramp(4095, 200, 200), syntax)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BadImage, match="not a readable DICOM picture"):
            read_image(path)
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(BadImage, match=r"text\.dcm") as caught:
        read_image(tmp_path / "text.dcm")
    assert "force" not in str(caught.value)  # pydicom's advice is not ours


def test_a_file_without_an_end_is_known_by_its_letters_and_content_reads_as_a_file_does(
    tmp_path: Path, write_dicom: Write
) -> None:
    path = write_dicom(tmp_path / "IM0001", ramp())
    assert is_dicom(path)
    with path.open("rb") as stream:
        assert np.array_equal(read_dicom(stream, name="upload"), read_image(path))
