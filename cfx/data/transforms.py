"""Augmentation by albumentations: geometry acts on picture, masks and devices together, grey values on the
picture.

The heart has a side, so nothing is mirrored unless it is asked for. Importing albumentations asks its server
for the newest version unless the variable below is set before.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations
import cv2

from cfx.errors import BadValue, UnknownChoice, nearest
from cfx.metrics.boxes import BoxSet

cv2.setNumThreads(0)

Bytes = npt.NDArray[np.uint8]

_AFFINE = {"shift": 0.0, "scale": 0.0, "rotate": 0.0, "shear": 0.0}
_DEVICE_THRESHOLD = 64
_LEAST_VISIBLE = 0.4


class Augment:
    """Changes one picture with all that belongs to it, as a function of the seed alone.

    Args:
        steps: albumentations transforms, applied in this order.
        flip: chance of mirroring left and right; the masks of the two lungs then change places, as the
            patient's left lung is drawn where the right one was. A mirrored heart is on the wrong side: for
            findings without a side.

    """

    def __init__(self, steps: Sequence[albumentations.BasicTransform], flip: float = 0.0) -> None:
        self.flip = flip
        # its own generator would make a picture depend on those before it, so each call seeds it anew
        self.compose = albumentations.Compose(list(steps), seed=0)
        # a box of which less than this is left on the picture is no longer one
        on_picture = albumentations.BboxParams(
            format="pascal_voc", label_fields=["labels"], min_visibility=_LEAST_VISIBLE, clip=True
        )
        self.moves = any(isinstance(step, albumentations.DualTransform) for step in steps)
        self.compose_boxes = albumentations.Compose(
            list(steps), bbox_params=on_picture if self.moves else None, seed=0
        )

    def __call__(
        self, image: Bytes, masks: Bytes | None, devices: Bytes | None, seed: int
    ) -> tuple[Bytes, Bytes | None, Bytes | None]:
        """Return the changed uint8 image (H, W), masks (3, H, W) and devices (H, W), the latter 0 or 1."""
        layers = [] if masks is None else list(masks)
        if devices is not None:
            layers.append(devices * np.uint8(255))
        self.compose.set_random_seed(seed)
        if layers:
            changed = self.compose(image=image, mask=np.stack(layers, axis=-1))
            stacked = np.moveaxis(np.asarray(changed["mask"], dtype=np.uint8), -1, 0)
        else:
            changed = self.compose(image=image)
            stacked = np.zeros((0, *image.shape), dtype=np.uint8)
        image = np.asarray(changed["image"], dtype=np.uint8).reshape(image.shape)
        new_masks = None if masks is None else stacked[: len(masks)]
        new_devices = None if devices is None else (stacked[-1] >= _DEVICE_THRESHOLD).astype(np.uint8)
        if self.flip > 0 and np.random.default_rng([seed, 1]).random() < self.flip:
            image = image[:, ::-1]
            new_masks = None if new_masks is None else new_masks[[0, 2, 1], :, ::-1]
            new_devices = None if new_devices is None else new_devices[:, ::-1]
        return image, new_masks, new_devices

    def with_boxes(self, image: Bytes, boxes: BoxSet, seed: int) -> tuple[Bytes, BoxSet]:
        """Return the changed uint8 image (H, W) and the boxes still on it, each upright about its turned self.

        A turn widens thin boxes: for a detector leave `rotate` and `shear` at 0.
        """
        self.compose_boxes.set_random_seed(seed)
        side = image.shape[-1]
        given = {"bboxes": boxes.box * side, "labels": boxes.label} if self.moves else {}
        changed = {
            "bboxes": boxes.box * side,
            "labels": boxes.label,
            **self.compose_boxes(image=image, **given),
        }
        image = np.asarray(changed["image"], dtype=np.uint8).reshape(image.shape)
        box = np.asarray(changed["bboxes"], dtype=np.float64).reshape(-1, 4) / side
        label = np.asarray(changed["labels"], dtype=np.int64)
        if self.flip > 0 and np.random.default_rng([seed, 1]).random() < self.flip:
            image, box = (
                image[:, ::-1],
                np.stack([1 - box[:, 2], box[:, 1], 1 - box[:, 0], box[:, 3]], axis=1),
            )
        return image, BoxSet(box, label, np.ones(len(box)))


def build_transform(
    affine: Mapping[str, float] | None = None,
    brightness: float = 0.0,
    contrast: float = 0.0,
    gamma: float = 0.0,
    noise: float = 0.0,
    blur: float = 0.0,
    distort: float = 0.0,
    hide: float = 0.0,
    flip: float = 0.0,
    extra: Sequence[albumentations.BasicTransform] = (),
) -> Augment:
    """Make the usual augmentation of a radiograph.

    Args:
        affine: `shift` (share of the width), `scale` (0.05 is 95 to 105 %), `rotate` and `shear` (degrees),
            each the largest change either way; what comes into view is black.
        brightness: largest shift of grey values as a share of their range.
        contrast: largest change of the contrast's factor, 0.1 is 90 to 110 %.
        gamma: largest change of the exponent, as a share.
        noise: largest standard deviation of Gaussian noise, as a share of the grey range.
        blur: largest standard deviation of a Gaussian blur, in pixels.
        distort: largest stretch of the cells of a 4 x 4 grid, as a share: organs change their proportions.
        hide: largest side of a rectangle painted in one grey in half of the pictures, as a share of the width
            (random erasing, Zhong et al., AAAI 2020): a classifier must not hang on one place.
        flip: chance of mirroring, see `Augment`.
        extra: further albumentations transforms, applied last.

    Raises:
        UnknownChoice: no such key in `affine`.
        BadValue: a number that can not be meant.

    """
    wanted = {**_AFFINE, **dict(affine or {})}
    for key in wanted:
        if key not in _AFFINE:
            near = nearest(key, _AFFINE)
            hint = f"did you mean {near!r}" if near else f"choose among {', '.join(_AFFINE)}"
            raise UnknownChoice("data.transform.affine", key, "no such change", hint)
    given = {"brightness": brightness, "contrast": contrast, "gamma": gamma, "noise": noise, "flip": flip}
    given |= {"distort": distort, "hide": hide}
    for name, value in {**given, **{f"affine.{key}": wanted[key] for key in ("shift", "scale")}}.items():
        if not 0 <= value <= 1:
            raise BadValue(f"data.transform.{name}", value, "not in [0, 1]", "give a share")
    if blur < 0 or wanted["rotate"] < 0 or wanted["shear"] < 0:
        raise BadValue(
            "data.transform", min(blur, wanted["rotate"], wanted["shear"]), "below 0", "give 0 or more"
        )
    steps: list[Any] = []
    if any(wanted.values()):
        steps.append(_affine(wanted))
    if distort:
        steps.append(_distortion(distort))
    if brightness or contrast:
        steps.append(
            albumentations.RandomBrightnessContrast(
                brightness_limit=(-brightness, brightness), contrast_limit=(-contrast, contrast), p=1.0
            )
        )
    if gamma:
        steps.append(albumentations.RandomGamma(gamma_limit=(100 * (1 - gamma), 100 * (1 + gamma)), p=1.0))
    if blur:
        steps.append(albumentations.GaussianBlur(blur_limit=0, sigma_limit=(0.0, blur), p=1.0))
    if noise:
        steps.append(albumentations.GaussNoise(std_range=(0.0, noise), p=1.0))
    if hide:
        least = min(0.1, hide)
        steps.append(
            albumentations.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(least, hide),
                hole_width_range=(least, hide),
                fill="random_uniform",
                p=0.5,
            )
        )
    return Augment([*steps, *extra], flip=flip)


def _distortion(limit: float) -> albumentations.GridDistortion:
    """Return stretching of the cells of a grid, soft masks interpolated like the picture."""
    return albumentations.GridDistortion(
        num_steps=4,
        distort_limit=(-limit, limit),
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_LINEAR,
        border_mode=cv2.BORDER_REPLICATE,
        p=1.0,
    )


def _affine(wanted: Mapping[str, float]) -> albumentations.Affine:
    """Return the geometric change, soft masks interpolated like the picture."""
    shift, scale = wanted["shift"], wanted["scale"]
    return albumentations.Affine(
        scale=(1 - scale, 1 + scale),
        translate_percent=(-shift, shift),
        rotate=(-wanted["rotate"], wanted["rotate"]),
        shear=(-wanted["shear"], wanted["shear"]),
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_LINEAR,
        fill=0,
        fill_mask=0,
        p=1.0,
    )
