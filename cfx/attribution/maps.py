"""Saliency of a frozen black box by captum: what each pixel has to do with the log odds of the finding.

All methods differentiate or ask the box's log odds, since a posterior near 0 or 1 is flat. captum is an extra
(`pip install "cfx[saliency]"`) and is imported on use only.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.attribution.layers import LEAST, feature_layer
from cfx.errors import MissingPath, UnknownChoice, nearest
from cfx.metrics.deletion import BLUR, blurred, mean_grey

if TYPE_CHECKING:
    from cfx.classifiers.blackbox import BlackBox

METHODS: Final = ("gradient", "integrated_gradients", "smoothgrad", "grad_cam", "occlusion")
RANGE: Final = 2.0  # of grey values in [-1, 1]


@dataclass(frozen=True)
class Settings:
    """How the methods are run.

    Attributes:
        steps: of integrated gradients, from the blurred picture to the picture.
        blur: of that picture, as a share of the side (see `cfx.metrics.deletion.blurred`).
        samples: noisy copies of SmoothGrad.
        spread: standard deviation of its noise as a share of the range of grey values (Smilkov et al., 2017: .1 to .2).
        window: side of the square that occlusion covers by the picture's mean grey, as a share of the picture's.
        stride: by which the square moves, as a share of the side.
        least: see `cfx.attribution.layers.feature_layer`.
        seed: of the noise.

    """

    steps: int = 32
    blur: float = BLUR
    samples: int = 32
    spread: float = 0.1
    window: float = 1 / 8
    stride: float = 1 / 16
    least: int = LEAST
    seed: int = 0


def _captum() -> Any:
    """Return the module of captum's methods."""
    try:
        return importlib.import_module("captum.attr")
    except ImportError as error:
        raise MissingPath(
            "saliency", "captum", "the package is not installed", "pip install 'cfx[saliency]'"
        ) from error


def available(box: BlackBox, image: Tensor, settings: Settings | None = None) -> tuple[str, ...]:
    """Return the methods that this black box allows: all, without Grad-CAM where no convolutional layer can be seen."""
    layer = feature_layer(box, image, (settings or Settings()).least)
    return tuple(name for name in METHODS if name != "grad_cam" or layer is not None)


def attribution(method: str, box: BlackBox, image: Tensor, settings: Settings | None = None) -> Tensor:
    """Return the signed attribution of the log odds of the finding to the pixels of each picture.

    - `gradient`: the derivative in each pixel (Simonyan et al., 2014);
    - `integrated_gradients`: derivative along the way from the blurred picture, times the difference (Sundararajan et
      al., 2017): the pixels add up to the difference in log odds of the two;
    - `smoothgrad`: mean derivative of noisy copies (Smilkov et al., 2017);
    - `grad_cam`: activations of one layer, weighted by their mean derivatives, enlarged (Selvaraju et al., 2017), not
      yet cut at 0;
    - `occlusion`: by how much the log odds fall when a square over the pixel is covered, the mean over all such squares
      (Zeiler and Fergus, 2014).

    Args:
        method: one of `METHODS`.
        box: the black box, differentiable in the picture.
        image: float (B, 1, H, W) in [-1, 1].
        settings: see there.

    Returns:
        float32 (B, 1, H, W) without a gradient; positive: towards the finding (of `gradient` and `smoothgrad`: brighter
        is towards the finding).

    Raises:
        UnknownChoice: another method, or Grad-CAM of a black box in which no convolutional layer can be seen.
        MissingPath: captum is not installed.

    """
    settings, image = settings or Settings(), image.detach()
    if method == "gradient":
        found = _captum().Saliency(box.logit).attribute(image.clone().requires_grad_(), abs=False)
    elif method == "integrated_gradients":
        found = _integrated(box, image, settings)
    elif method == "smoothgrad":
        found = _smoothgrad(box, image, settings)
    elif method == "grad_cam":
        found = _grad_cam(box, image, settings)
    elif method == "occlusion":
        found = _occlusion(box, image, settings)
    else:
        near = nearest(method, METHODS)
        remedy = f"did you mean {near!r}" if near else f"use one of {', '.join(METHODS)}"
        raise UnknownChoice("saliency", method, "is no method", remedy)
    result: Tensor = found.detach().float()
    return result


def _integrated(box: BlackBox, image: Tensor, settings: Settings) -> Tensor:
    """Integrated gradients from the blurred picture."""
    found: Tensor = (
        _captum()
        .IntegratedGradients(box.logit)
        .attribute(
            image.clone().requires_grad_(),
            baselines=blurred(image, settings.blur),
            n_steps=settings.steps,
            internal_batch_size=max(len(image), 256),
        )
    )
    return found


def _smoothgrad(box: BlackBox, image: Tensor, settings: Settings) -> Tensor:
    """Mean derivative of noisy copies; the noise of captum comes from the global generator, which is given back."""
    captum = _captum()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        found: Tensor = captum.NoiseTunnel(captum.Saliency(box.logit)).attribute(
            image.clone().requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=settings.samples,
            nt_samples_batch_size=min(8, settings.samples),
            stdevs=settings.spread * RANGE,
            abs=False,
        )
    return found


def _grad_cam(box: BlackBox, image: Tensor, settings: Settings) -> Tensor:
    """Grad-CAM of the deepest layer that still shows where, at the picture's size."""
    layer = feature_layer(box, image, settings.least)
    if layer is None:
        problem = (
            "no convolutional layer can be seen in this black box (exported programs do not show theirs)"
        )
        raise UnknownChoice("saliency", "grad_cam", problem, "leave grad_cam out")
    # The picture takes a gradient so that the layer's output is no leaf: a leaf refuses the in-place ReLU behind it.
    small = _captum().LayerGradCam(box.logit, layer.module).attribute(image.clone().requires_grad_())
    return F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False)


def _occlusion(box: BlackBox, image: Tensor, settings: Settings) -> Tensor:
    """Fall of the log odds under a square of the picture's mean grey."""
    side = min(image.shape[-2:])
    window, stride = max(1, round(settings.window * side)), max(1, round(settings.stride * side))
    with torch.no_grad():
        found: Tensor = (
            _captum()
            .Occlusion(box.logit)
            .attribute(
                image,
                sliding_window_shapes=(1, window, window),
                strides=(1, stride, stride),
                baselines=mean_grey(image),
                perturbations_per_eval=max(1, 256 // len(image)),
            )
        )
    return found


def importance(method: str, signed: Tensor, called: Tensor) -> Tensor:
    """Return how much each pixel matters, without a sign: what curves and overlaps are made of.

    Args:
        method: one of `METHODS`.
        signed: float (B, 1, H, W) of `attribution`.
        called: bool (B,), whether the black box calls the finding.

    Returns:
        float (B, 1, H, W) >= 0: the magnitude; of Grad-CAM, by its definition, only what speaks for the call.

    """
    if method != "grad_cam":
        return signed.abs()
    towards = torch.where(called, 1.0, -1.0).to(signed).view(-1, 1, 1, 1)
    return (signed * towards).relu()
