"""Hydra's and OmegaConf's complaints as one line that names the argument, its value and the way out."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from cfx.arguments import key_of
from cfx.errors import BadValue, UnknownChoice, UserError, nearest

_ENVIRONMENT = re.compile(r"Environment variable '([^']*)' not found")
PLUGINS = ("joblib", "submitit_local", "submitit_slurm", "optuna")  # what the extra `sweep` brings


def dotted_keys(node: Any, prefix: str = "") -> list[str]:
    """Return every dotted key of a configuration, without resolving anything."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
        return []
    keys: list[str] = []
    for key in node:
        dotted = f"{prefix}{key!s}"
        child = node._get_node(key)
        keys.append(dotted)
        if isinstance(child, DictConfig | ListConfig):
            keys += dotted_keys(child, f"{dotted}.")
    return keys


def _hint(wrong: str, choices: Sequence[str]) -> str:
    """Return the nearest key: of the same parent first, else anywhere by the last part of its name."""
    parent, _, leaf = wrong.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in choices if key.rpartition(".")[0] == parent}
    near = nearest(leaf, siblings)
    if near is not None:
        return f"did you mean {siblings[near]!r}"
    near = nearest(wrong, choices)
    if near is None:
        leaves = {key.rpartition(".")[2]: key for key in reversed(choices)}
        found = nearest(leaf, leaves)
        near = leaves[found] if found is not None else None
    return f"did you mean {near!r}" if near else "--help lists the keys"


def _value_of(key: str, arguments: Iterable[str]) -> str | None:
    for argument in arguments:
        if key_of(argument) == key:
            return argument.partition("=")[2]
    return None


def _missing_choice(error: MissingConfigException) -> UserError:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    if not group:
        return UnknownChoice("", choice, "there is no such configuration", "look at the spelling of the file")
    near, listed = nearest(choice, options), ", ".join(options)
    if group in ("hydra/launcher", "hydra/sweeper") and choice in PLUGINS:
        problem = "its package is not installed"
        return UnknownChoice(group, choice, problem, "pip install 'cfx[sweep]'")
    if near is not None:
        remedy = f"did you mean {near!r}, of {listed}"
    else:
        remedy = f"choose of {listed}" if listed else "see the folders of conf/"
    return UnknownChoice(group, choice, "there is no such choice", remedy)


def _composition(error: BaseException, arguments: Sequence[str], keys: Callable[[], list[str]]) -> UserError:
    text = str(error)
    deleted = re.search(r"Could not delete (?:from config\. )?'([^']*)'", text)
    if deleted:
        key = deleted[1].partition("=")[0]
        return UnknownChoice("", f"~{key}", "there is no such key", _hint(key, keys()))
    wrong = re.search(r"Could not override '([^']*)'", text)
    if wrong:
        key = wrong[1].partition("@")[0]
        value = _value_of(wrong[1], arguments)
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            return BadValue(key, value, str(cause).splitlines()[0], "give a value of that type")
        known = keys()
        if key.replace(".", "/") in known:
            return BadValue(key, value, "no choice of this group is made yet", f"write +{key}={value}")
        return UnknownChoice(key, value, "there is no such key", _hint(key.replace("/", "."), known))
    there = re.search(r"item is already at '([^']*)'", text)
    if there:
        return BadValue(
            f"+{there[1]}", _value_of(there[1], arguments), "this key is there already", "drop the +"
        )
    several = re.search(r"Ambiguous value for argument '([^=]*)=([^']*)'", text)
    if several:
        remedy = f"write {several[1]}=[{several[2]}] for a list, or add -m to run each"
        return BadValue(several[1], several[2], "several values", remedy)
    return BadValue(
        "", text.splitlines()[0], "the configuration can not be put together", "--help lists the keys"
    )


def _omegaconf(error: OmegaConfBaseException, arguments: Sequence[str]) -> UserError:
    key = error.full_key or ""
    unset = _ENVIRONMENT.search(str(error))
    if unset:
        name = unset[1]
        return BadValue(
            key,
            f"${{oc.env:{name}}}",
            f"the environment variable {name} is not set",
            f"set {name} or give {key or 'the key'}=... itself",
        )
    if isinstance(error, InterpolationToMissingValueError):
        other = re.search(
            r"MissingMandatoryValue while resolving interpolation: Missing mandatory value: (\S+)", str(error)
        )
        name = other[1].rstrip(".") if other else key
        return BadValue(name, "???", f"{key or name} needs it and it has no value", f"give {name}=...")
    if isinstance(error, MissingMandatoryValue):
        return BadValue(key, "???", "this has no value yet and is needed", f"give {key}=...")
    first = str(error).splitlines()[0]
    value = _value_of(key, arguments)
    if isinstance(error, InterpolationKeyError | InterpolationResolutionError):
        return BadValue(key, value or "${...}", first, f"correct it, or give {key}=... itself")
    return BadValue(key, value, first, "correct the value")


def explain_error(
    error: BaseException, arguments: Sequence[str], keys: Callable[[], list[str]], composed: bool
) -> UserError | None:
    """Return the user's mistake behind an error, None where it is a defect of the program.

    Args:
        error: what was raised.
        arguments: what was typed, for the value of the argument that is named.
        keys: gives all dotted keys and groups of the configuration; called only where it is needed.
        composed: whether the configuration had been put together and the verb was running: a missing attribute
            is then a defect and keeps its traceback.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, OverrideParseException):
        typed = error.override
        problem = "is not of the form key=value" if "=" not in typed else error.message.splitlines()[0]
        return BadValue("", typed, problem, "write key=value, and quote special characters: key='\"a,b\"'")
    if isinstance(error, ConfigCompositionException):
        return _composition(error, arguments, keys)
    if isinstance(error, OmegaConfBaseException):
        if composed and isinstance(error, ConfigKeyError | ConfigAttributeError):
            return _deleted(error, arguments)
        return _omegaconf(error, arguments)
    if isinstance(error, HydraException | ValueError) and not composed:
        return BadValue("", " ".join(arguments), str(error).splitlines()[0], "see --help and --hydra-help")
    return None


def _deleted(error: OmegaConfBaseException, arguments: Sequence[str]) -> UserError | None:
    """Return the mistake of deleting a key that is needed; any other missing attribute is a defect."""
    wanted = error.full_key or ""
    for argument in arguments:
        key = key_of(argument)
        if key and argument.startswith("~") and f"{wanted}.".startswith(f"{key.replace('/', '.')}."):
            return BadValue("", argument, f"{wanted} is needed", "do not delete it; give it another value")
    return None
