"""From path lengths to an 8-bit film: scatter, display window, grain, and the round trip through JPEG.

Every patient has their own random fields, drawn from (seed, patient number) alone, so that the same patient
drawn at another severity has the same lung texture and the same noise.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cfx.data.phantom.geometry import Values, plane

QUALITY = 97
"""JPEG quality of the files."""

COARSE, FINE = 22, 44
"""Side of the two grids of lung texture."""

_STREAM = 0x5EED
"""Keeps the fields' stream apart from the stream of the parameters."""


@dataclass(frozen=True)
class Fields:
    """Random fields of a batch: coarse (B, 1, 22, 22) and fine (B, 1, 44, 44) texture, grain (B, S, S); normals."""

    coarse: Tensor
    fine: Tensor
    grain: Tensor


def fields(seed: int, patients: NDArray[np.int64], size: int) -> Fields:
    """Random fields of the patients for pictures of `size` pixels."""
    count = len(patients)
    coarse = np.empty((count, 1, COARSE, COARSE), dtype=np.float32)
    fine = np.empty((count, 1, FINE, FINE), dtype=np.float32)
    grain = np.empty((count, size, size), dtype=np.float32)
    for row, patient in enumerate(patients):
        key = np.array([(seed + _STREAM) % 2**64, int(patient) + 2**40], dtype=np.uint64)
        stream = np.random.Generator(np.random.Philox(key=key))
        stream.standard_normal(out=coarse[row], dtype=np.float32)
        stream.standard_normal(out=fine[row], dtype=np.float32)
        stream.standard_normal(out=grain[row], dtype=np.float32)
    return Fields(torch.from_numpy(coarse), torch.from_numpy(fine), torch.from_numpy(grain))


def texture(own: Fields, size: int) -> Tensor:
    """Fine structure of the lungs, (B, size, size), about -1 to 1, the same at any size up to interpolation."""
    large = torch.nn.functional.interpolate(own.coarse, (size, size), mode="bilinear", align_corners=False)
    small = torch.nn.functional.interpolate(own.fine, (size, size), mode="bilinear", align_corners=False)
    return (0.55 * large + 0.75 * small).squeeze(1)


def expose(values: Values, path: Tensor, own: Fields) -> Tensor:
    """Grey values (B, S, S) in [0, 1] of a film, from path lengths (B, 2 S, 2 S): white is dense.

    Transmission exp(-path) plus a share of scatter is averaged over 2 x 2 sub-pixels, turned back into density, shown
    through a window with a gamma, and grain is added: more of it where fewer quanta arrive.
    """
    scatter = plane(values["scatter"])
    light = torch.exp(path.neg())
    light = torch.nn.functional.avg_pool2d(light.unsqueeze(1), 2).squeeze(1)
    quanta = light * (1.0 - 0.12 * scatter) + scatter * 0.055
    grey = (-torch.log(quanta) - plane(values["window_low"])) / plane(values["window_span"])
    grey = grey.clamp_(0.0, 1.0).pow_(plane(values["gamma"]))
    amount = plane(values["noise"]) * (0.30 / quanta.sqrt()).clamp_(0.6, 1.5)
    return (grey + own.grain * amount).clamp_(0.0, 1.0)


def encode(grey: NDArray[np.uint8]) -> bytes:
    """JPEG file of a picture (H, W), byte for byte the same every time."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


def to_bytes(grey: Tensor) -> NDArray[np.uint8]:
    """(B, H, W) in [0, 1] to 8 bit."""
    return grey.mul(255.0).round().clamp(0, 255).to(torch.uint8).numpy()


def through_file(grey: Tensor) -> Tensor:
    """What is read back from the JPEG files of pictures (B, H, W) in [0, 1]: float32 (B, 1, H, W) in [-1, 1]."""
    decoded = [np.asarray(Image.open(io.BytesIO(encode(picture)))) for picture in to_bytes(grey)]
    pixels = torch.from_numpy(np.stack(decoded)).unsqueeze(1)
    return pixels.to(torch.float32) / 255.0 * 2.0 - 1.0
