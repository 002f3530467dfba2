"""From a configuration node to an object: the only place that calls hydra.utils.instantiate.

Every `_target_` of the node, however deep, is checked before anything is made: a configuration file that came
with somebody's run can name classes of a few packages and nothing else.
"""

import functools
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cfx.errors import UnknownChoice, UserError, nearest

ALLOWED = ("cfx", "torch", "torchvision", "torchmetrics", "pytorch_lightning", "albumentations")
# These fetch or run code or read pickles; no configuration has a use for them.
REFUSED = (
    "torch.hub",
    "torch.jit",
    "torch.multiprocessing",
    "torch.package",
    "torch.serialization",
    "torch.utils.cpp_extension",
    "torch.distributed",
)
_HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}


def _under(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _refuse(place: str, target: object, problem: str) -> UserError:
    return UnknownChoice(f"{place}._target_", target, problem, f"name a class of {', '.join(ALLOWED)}")


def locate(target: str, place: str = "node") -> Any:
    """Return the class or function that a dotted name stands for, if configurations may use it.

    Args:
        target: dotted name, such as `torch.nn.Conv2d`.
        place: where it stands in the configuration, for the message.

    Raises:
        UnknownChoice: the name, or the place where its object is really defined, is outside `ALLOWED` (so
            `torch.os.system` is refused), or there is no such object.
    """
    if not _under(target, ALLOWED) or _under(target, REFUSED):
        raise _refuse(place, target, "is not of a package that configurations may use")
    parts = target.split(".")
    found: Any = importlib.import_module(parts[0])
    for depth, part in enumerate(parts[1:], start=2):
        try:
            found = getattr(found, part)
        except AttributeError:
            module = ".".join(parts[:depth])
            try:
                found = importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name is None or not _under(module, (error.name,)):
                    raise
                near = nearest(part, dir(found))
                hint = f"did you mean {near!r}" if near else "check the spelling"
                raise UnknownChoice(
                    f"{place}._target_", target, f"there is no {part!r} in it", hint
                ) from None
    home = getattr(found, "__module__", None) or ""
    if inspect.ismodule(found) or not callable(found):
        raise _refuse(place, target, "is not a class or function")
    if not _under(home, ALLOWED) or _under(home, REFUSED):
        raise _refuse(place, target, "is defined outside the packages that configurations may use")
    return found


def _check_keys(place: str, target: Any, node: Mapping[str, Any]) -> None:
    """Refuse a key that the constructor does not take, naming the nearest one that it does."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in node:
        if key in _HYDRA_KEYS or key in parameters:
            continue
        near = nearest(key, parameters)
        hint = f"did you mean {near!r}" if near else f"its keys are {', '.join(parameters)}"
        raise UnknownChoice(f"{place}.{key}", node[key], f"{target.__qualname__} has no {key!r}", hint)


def takes(node: Mapping[str, Any], place: str = "node") -> frozenset[str]:
    """Return the names that the constructor of a node's `_target_` takes; none where the node has no target."""
    if "_target_" not in node:
        return frozenset()
    return frozenset(inspect.signature(locate(str(node["_target_"]), place)).parameters)


def check_targets(node: Any, place: str = "node") -> None:
    """Walk a resolved node and refuse any `_target_` or constructor key that may not or can not be used.

    Args:
        node: plain dicts, lists and scalars.
        place: dotted place of the node in the configuration.

    Raises:
        UnknownChoice: naming the place, the value and the nearest that exists.
    """
    if isinstance(node, Mapping):
        if "_target_" in node:
            target = node["_target_"]
            if not isinstance(target, str):
                raise _refuse(place, target, "is not a dotted name")
            _check_keys(place, locate(target, place), node)
        for key, value in node.items():
            check_targets(value, f"{place}.{key}")
    elif isinstance(node, list | tuple):
        for position, value in enumerate(node):
            check_targets(value, f"{place}[{position}]")


def build(
    node: DictConfig | Mapping[str, Any],
    /,
    *args: Any,
    place: str = "",
    drop: tuple[str, ...] = (),
    **kwargs: Any,
) -> Any:
    """Make the object that a node with `_target_` describes, and everything nested in it.

    Live objects are given as `args` and `kwargs`; they replace keys of the node and are passed as they are,
    never copied or merged into the configuration. Lists and mappings reach constructors as plain Python ones.

    Args:
        node: the node; interpolations are resolved against its own tree.
        place: dotted place in the configuration for messages; found from the node where it is empty.
        drop: keys of the node that are not the constructor's (such as `name`, `fit`, `part`).

    Returns:
        The object; a `functools.partial` where the node says `_partial_: true`.

    Raises:
        UnknownChoice: a target or key that may not be used. A UserError raised while building is passed on.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if isinstance(node, DictConfig):
        place = place or str(node._get_full_key(None))
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    else:
        plain = dict(node)
    place = place or "node"
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise UnknownChoice(place, plain, "does not say what to build", "give it a _target_")
    settings = {str(key): value for key, value in plain.items() if key not in drop and key not in kwargs}
    check_targets(settings, place)
    wants_partial = bool(settings.pop("_partial_", False))
    settings.setdefault("_convert_", "all")
    try:
        made = instantiate(settings, _partial_=True)
    except InstantiationException as error:
        raise _cause(error) from None
    return functools.partial(made, *args, **kwargs) if wants_partial else made(*args, **kwargs)


def _cause(error: BaseException) -> BaseException:
    """Return what really went wrong under Hydra's wrapping: the user's mistake, or the first error raised."""
    current: BaseException = error
    while True:
        if isinstance(current, UserError):
            return current
        below = current.__cause__ or current.__context__
        if below is None:
            return current
        current = below
