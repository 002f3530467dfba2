"""The detectors' networks: torchvision's detectors on backbones that suit small radiographs, all weights from scratch.

    image (B, 1, H, W) in [-1, 1] and true boxes -> losses by name, while training
    image -> boxes, labels and scores of each picture, in eval mode

`LightDetector` and `DilatedDetector` are one-level FCOS (Tian et al., ICCV 2019: no anchors) on backbones that share no
layers, as the two segmenters do: one detects for the loss, the other for the evaluation. torchvision's own light ones
look at strides of 16 and more, at which a tube of 64 px is nowhere. `ResNetDetector` is Faster R-CNN for a GPU.

torchvision's detectors resize to 800 and fetch weights unless told otherwise: here pictures stay as they are. Labels
are places in `CLASSES`; inside torchvision they count from 1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead

from cfx.anatomy.networks import DilatedBlock, SkipNetwork, standardise
from cfx.errors import BadValue
from cfx.metrics.boxes import CLASSES

FLOOR = 0.01
"""Least score of a box that is listed: low, so that the score of a healthy recess is known where it is small."""

PLACES = 32
OVERLAP = 0.5
MOST = 40
START_THRESHOLD = 0.3


class DetectionNetwork(nn.Module):
    """A torchvision detector behind the interface above.

    Attributes:
        threshold: buffer (C,), the score from which on a box of each class counts; set after training.

    Args:
        model: the torchvision detector, for `len(CLASSES) + 1` classes, without a resize of its own.
        channels: of the picture that it wants; 3 repeats the grey one.

    """

    threshold: Tensor

    def __init__(self, model: nn.Module, channels: int = 1) -> None:
        super().__init__()
        self.model, self.channels = model, channels
        self.register_buffer("threshold", torch.full((len(CLASSES),), START_THRESHOLD))

    def forward(
        self, image: Tensor, boxes: Sequence[Tensor] | None = None, labels: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses (scalars) while training, else for each picture `boxes` (N, 4) in pixels, `labels`, `scores` (N,)."""
        seen = list(standardise(image).expand(-1, self.channels, -1, -1))
        if self.training:
            assert boxes is not None and labels is not None, "training needs boxes and labels"
            targets = [{"boxes": box, "labels": label + 1} for box, label in zip(boxes, labels, strict=True)]
            losses: dict[str, Tensor] = self.model(seen, targets)
            return losses
        found: list[dict[str, Tensor]] = self.model(seen)
        return [_without_background(each) for each in found]


def _without_background(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Boxes of classes alone, their labels from 0 (class 0 inside torchvision is the background)."""
    real = found["labels"] > 0
    return {name: value[real] - int(name == "labels") for name, value in found.items()}


def stride_of(size: int) -> int:
    """Pixels between two places that answer, so that there are `PLACES` of them along each side.

    Always even: torchvision rounds half of it, which leaves nothing of a stride of 1.

    Raises:
        BadValue: the side of the pictures is no multiple of 64.
    """
    if size < 2 * PLACES or size % (2 * PLACES):
        problem, remedy = "does not suit this detector", f"give a multiple of {2 * PLACES} such as 64 or 128"
        raise BadValue("data.size", size, problem, remedy)
    return size // PLACES


def _fcos(backbone: nn.Module, size: int, channels: int, convs: int) -> FCOS:
    """FCOS with one level: every place within 1.5 strides of a box's centre answers for the box."""
    return FCOS(
        backbone,
        num_classes=len(CLASSES) + 1,
        min_size=size,
        max_size=size,
        image_mean=[0.0],
        image_std=[1.0],
        anchor_generator=AnchorGenerator(sizes=((stride_of(size),),), aspect_ratios=((1.0,),)),
        head=FCOSHead(channels, 1, len(CLASSES) + 1, num_convs=convs),
        score_thresh=FLOOR,
        nms_thresh=OVERLAP,
        detections_per_img=MOST,
    )


class LightDetector(DetectionNetwork):
    """FCOS on a small U-Net; trains in minutes on one core at 64 px.

    Args:
        size: side of the pictures in pixels, a multiple of 64.
        width: channels at the finest level.
        channels: of the head, a multiple of 32.
        convs: convolutions of the head.

    """

    def __init__(self, size: int = 64, width: int = 16, channels: int = 64, convs: int = 1) -> None:
        body = UNetBody(width, stride_of(size), channels)
        super().__init__(_fcos(body, size, channels, convs))


class DilatedDetector(DetectionNetwork):
    """FCOS on a dilated residual backbone.

    Args:
        size: side of the pictures in pixels, a multiple of 64.
        width: channels where it answers; twice as many at half of that resolution.
        channels: of the head, a multiple of 32.
        convs: convolutions of the head.

    """

    def __init__(self, size: int = 64, width: int = 24, channels: int = 64, convs: int = 1) -> None:
        body = DilatedBody(width, stride_of(size), channels)
        super().__init__(_fcos(body, size, channels, convs))


class ResNetDetector(DetectionNetwork):
    """Faster R-CNN with a ResNet-50 and a feature pyramid (Ren et al., 2015; Lin et al., 2017), for a GPU.

    Anchors are shares of the picture's side, from a tube's width to a pacemaker with its leads.

    Args:
        size: side of the pictures in pixels.

    """

    SIDES = (0.06, 0.12, 0.2, 0.35, 0.6)
    RATIOS = (0.5, 1.0, 2.0, 5.0)

    def __init__(self, size: int = 256) -> None:
        sizes = tuple((max(4, round(share * size)),) for share in self.SIDES)
        model = fasterrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=len(CLASSES) + 1,
            min_size=size,
            max_size=size,
            image_mean=[0.0, 0.0, 0.0],
            image_std=[1.0, 1.0, 1.0],
            rpn_anchor_generator=AnchorGenerator(sizes, (self.RATIOS,) * len(sizes)),
            box_score_thresh=FLOOR,
            box_nms_thresh=OVERLAP,
            box_detections_per_img=MOST,
        )
        super().__init__(model, channels=3)


class UNetBody(SkipNetwork):
    """(B, 1, H, W) -> one map (B, channels, H / stride, W / stride) that has seen the whole picture."""

    LEVELS = 3

    def __init__(self, width: int, stride: int, channels: int) -> None:
        super().__init__(stride**2, [width * min(2**level, 4) for level in range(self.LEVELS + 1)], channels)
        self.stride, self.out_channels = stride, channels

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        """The map under the name that torchvision's detectors give a single level."""
        return OrderedDict([("0", self.pass_through(F.pixel_unshuffle(image, self.stride)))])


class DilatedBody(nn.Module):
    """(B, 1, H, W) -> one map (B, channels, H / stride, W / stride), by dilations at half that resolution."""

    def __init__(self, width: int, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.out_channels = stride, channels
        wide = 2 * width
        self.fine = nn.Sequential(
            nn.Conv2d(1, width, 2 * stride + 1, stride, stride, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(inplace=True),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(width, wide, 3, 2, 1, bias=False), nn.GroupNorm(8, wide), nn.SiLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(DilatedBlock(wide, dilation) for dilation in (1, 2, 4, 6)))
        self.merge = nn.Sequential(
            nn.Conv2d(wide + width, channels, 3, padding=1, bias=False), nn.GroupNorm(8, channels), nn.SiLU()
        )

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        """The map under the name that torchvision's detectors give a single level."""
        fine = self.fine(image)
        wide = self.blocks(self.coarse(fine))
        wide = F.interpolate(wide, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return OrderedDict([("0", self.merge(torch.cat([wide, fine], 1)))])
