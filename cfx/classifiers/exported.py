"""Anyone's classifier from one file: a TorchScript archive or a program saved by torch.export.

Both carry their own code, so the network's class is not needed. Such a file is a program: load only what you
trust.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cfx.classifiers.blackbox import BlackBox
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, WrongLayout


def load_exported(path: str | Path) -> nn.Module:
    """Return the network of a TorchScript or torch.export file, on the CPU.

    Raises:
        MissingPath: there is no such file. WrongLayout: it is neither of the two.

    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingPath(
            "blackbox.path", str(path), "there is no such file", "give a TorchScript or torch.export file"
        )
    problem: Exception | None = None
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = [Path(name).name for name in archive.namelist()]
        script = "constants.pkl" in names and "archive_format" not in names
        try:
            if script:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # TorchScript is deprecated; files of it are not
                    loaded: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                        str(file), map_location="cpu"
                    )
                    return loaded.eval()
            return torch.export.load(file).module()
        except (RuntimeError, ValueError, KeyError, OSError, AssertionError) as error:
            problem = error
    raise WrongLayout(
        "blackbox.path",
        str(path),
        f"is no TorchScript or torch.export file{f' ({problem})' if problem else ''}",
        "save it with torch.jit.save or torch.export.save; for weights of a cfx run use blackbox=checkpoint",
    )


def from_exported(
    path: str | Path,
    *,
    finding: str,
    index: int = 0,
    output: str = "logit",
    scale: float | Sequence[float] = 1.0,
    shift: float | Sequence[float] = 0.0,
    size: int | None = None,
    channels: int = 1,
    prior: float | None = None,
) -> BlackBox:
    """Return the frozen black box of an exported file; arguments as in `BlackBox`.

    Nobody knows the prior of somebody else's posterior; `BlackBox.recalibrate` brings it to a stated one.

    It is tried once on two pictures, and on the gradient that explaining needs.

    Raises:
        MissingPath, WrongLayout: see `load_exported`.
        BadValue: there is no output of that index, or probabilities are not within [0, 1].
        CheckpointMismatch: the network refuses the pictures or gives no gradient in them.

    """
    box = BlackBox(
        load_exported(path),
        finding=finding,
        index=index,
        output=output,
        scale=scale,
        shift=shift,
        size=size,
        channels=channels,
        prior=prior,
    )
    check(box, str(path), size or 64)
    return box


def check(box: BlackBox, path: str, side: int) -> None:
    """Try a black box on two pictures of `side` px and raise a named error where it can not be explained."""
    remedy = (
        "set blackbox.size, channels, index and output as the network wants them, batch dimension dynamic"
    )
    image = torch.zeros(2, 1, side, side, requires_grad=True)
    try:
        outputs = box.network(box.prepare(image))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise CheckpointMismatch("blackbox.path", path, f"refuses pictures ({reason})", remedy) from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim > 2 or outputs.shape[0] != 2:
        shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise CheckpointMismatch("blackbox.path", path, f"gives {shape} for two pictures, not (2, K)", remedy)
    count = outputs.shape[1] if outputs.ndim == 2 else 1
    if box.index >= count:
        raise BadValue(
            "blackbox.index", box.index, f"the network has {count} outputs", "count the outputs from 0"
        )
    if box.output == "probability" and not bool(((outputs >= 0) & (outputs <= 1)).all()):
        raise BadValue("blackbox.output", box.output, "outputs are not within [0, 1]", "use logit")
    try:
        (gradient,) = torch.autograd.grad(box.logit(image).sum(), image)
    except RuntimeError as error:
        problem = "gives no gradient in the picture"
        raise CheckpointMismatch("blackbox.path", path, problem, "export it without no_grad") from error
    if not bool(torch.isfinite(gradient).all()):
        raise CheckpointMismatch("blackbox.path", path, "gives a gradient that is not finite", remedy)
