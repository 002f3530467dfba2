"""A run that needs no training: a classifier that reads brightness, an explainer that brightens, and drawn chests."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import torch
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.evaluation.explain_tools import Tools
from cfx.explainers.base import Counterfactual, Edits, Explainer
from cfx.explainers.gan.edit import apply_edit
from cfx.reporting.study_design import Design
from cfx.viewer.study_making import Candidate

SIZE, GRID = 32, 8
HOST = "http://localhost:8765"


class Brightness(nn.Module):
    """A classifier whose logit rises with the grey value of the picture's middle."""

    def forward(self, image: Tensor) -> Tensor:
        return 6.0 * image[:, :, 12:20, 12:20].mean(dim=(1, 2, 3))[:, None]


class Brighter(Explainer):
    """Adds to the middle of the picture what the posterior asked for needs: a residual on a coarse grid."""

    name = "brighter"

    def __init__(self, blackbox: BlackBox) -> None:
        super().__init__()
        self.blackbox = blackbox
        self.calls = 0

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        self.calls += 1
        steps = targets.shape[1]
        wanted = torch.logit(targets.clamp(0.02, 0.98)) - self.blackbox.logit(image)[:, None]
        residual = torch.zeros(1, steps, 1, GRID, GRID)
        residual[..., 2:6, 2:6] = (wanted / 6.0)[..., None, None, None]
        field = torch.zeros(1, steps, 2, GRID, GRID)
        images = apply_edit(image.expand(steps, -1, -1, -1), field[0], residual[0])
        return Counterfactual(images[None], targets, self.blackbox(images)[None], Edits(field, residual))


def bands(images: Tensor) -> Tensor:
    """Masks of a chest: lungs that always span 0.75 of the width, a heart that is wider in a brighter picture."""
    masks = torch.zeros(len(images), 3, 32, 32)
    masks[:, 1, 8:24, 20:28] = 1.0
    masks[:, 2, 8:24, 4:12] = 1.0
    for mask, image in zip(masks, images, strict=True):
        half = int((6 + 5 * image[0, 12:20, 12:20].mean()).round())
        mask[0, 12:24, 16 - half : 16 + half] = 1.0
    return masks


def toy_tools() -> Tools:
    """What explains: posterior by brightness, CTR by brightness."""
    blackbox = BlackBox(Brightness(), finding="Cardiomegaly")
    return Tools(Brighter(blackbox), blackbox, bands, blackbox, SIZE, run="toy")


def chest(height: int = 96, width: int = 80, grey: float = 0.3, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A textured grey picture (height, width) around one level of grey."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(grey + 0.05 * rng.standard_normal((height, width)), 0, 1)
    return np.rint(255 * pixels).astype(np.uint8)


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """A picture's file content."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def dicom(pixels: npt.NDArray[np.uint8], kind: str = "MONOCHROME2", **header: str) -> bytes:
    """A single-frame DICOM file's content, 16 bits stored, with further keywords of its header."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("x.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID = "Secret^Name", "4711"
    for keyword, value in header.items():
        setattr(made, keyword, value)
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, kind
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = (pixels.astype(np.uint16) * 16).tobytes()
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, made)
    return buffer.getvalue()


SMALL = Design(images=6, strangers=2, repeats=2, readers=3)


def candidates(folder: Path, count: int = 10) -> list[Candidate]:
    """Dark chests to be asked upwards, bright ones downwards, two images of one patient."""
    found = []
    for number in range(count):
        group = "up" if number % 2 == 0 else "down"
        path = folder / f"image{number}.png"
        Image.fromarray(chest(96, 80, 0.3 if group == "up" else 0.7, number)).save(path)
        found.append(Candidate(f"image{number}", f"patient{max(number, 2)}", group, path))
    return found
