"""What every verb is wrapped in: paths as typed, and every mistake of the user in one line with exit code 2.

    @verb("train")
    def main(cfg: DictConfig) -> None: ...

    if __name__ == "__main__":
        main()

Only the standard library, hydra and omegaconf are imported here and at the top of a verb, so that `--help`
answers at once.
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from cfx.arguments import key_of, quote_arguments, split_own, top_of
from cfx.confdir import conf_dir
from cfx.errors import BadValue, UnknownChoice, UserError
from cfx.help_text import FLAGS, help_text
from cfx.messages import dotted_keys, explain_error

Body = Callable[[DictConfig], Any]
TRAIN = "train"  # the verb whose configuration is put together from groups
USER_ERROR = 2
INTERRUPTED = 130
MOST_JOBS = 12
"""Jobs of a multirun that are composed beforehand, a second each; of more, those that bring a new value."""
_DEFECT = "_cfx_defect"  # marks what a running verb raised, across the processes of a parallel launcher too


class _Stop(BaseException):
    """Carries a user's mistake out of a job: Hydra adds its own lines to any Exception that leaves one."""

    def __init__(self, line: str) -> None:
        super().__init__(line)


def plain(config: DictConfig, complete: bool = False) -> dict[str, Any]:
    """Return a configuration resolved, as plain dicts.

    Args:
        config: as it was composed.
        complete: refuse one in which something that has to be given is missing.

    Raises:
        MissingMandatoryValue: see there.
    """
    found = OmegaConf.to_container(config, resolve=True, throw_on_missing=complete)
    assert isinstance(found, dict)  # a DictConfig always is one
    return {str(key): value for key, value in found.items()}


def compose(config_name: str, overrides: Sequence[str], directory: str | None = None) -> DictConfig:
    """Return the configuration of another verb, such as a run's own with `train`, with paths as typed.

    Args:
        config_name: file in conf/ without its suffix.
        overrides: arguments as they are typed on the command line.
        directory: another configuration folder than the installed one.

    Raises:
        UserError: an override that does not fit, named with the nearest key or choice.
    """
    quoted = quote_arguments(overrides)
    try:
        with _fresh_hydra(directory):
            return hydra.compose(config_name, overrides=quoted)
    except Exception as error:
        known = explain_error(error, overrides, lambda: _known_keys(config_name, overrides, directory), False)
        if known is None:
            raise
        raise known from None


@contextlib.contextmanager
def _fresh_hydra(directory: str | None = None) -> Iterator[None]:
    """Initialise Hydra on our own folder and give back what was initialised before, a verb's own included."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        with hydra.initialize_config_dir(directory or conf_dir(), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def _groups(directory: str) -> list[str]:
    root = Path(directory)
    return sorted(str(folder.relative_to(root)) for folder in root.rglob("*") if folder.is_dir())


def _known_keys(config_name: str, overrides: Sequence[str], directory: str | None) -> list[str]:
    """Return all dotted keys of a configuration and its groups, as far as it can be composed."""
    place = directory or conf_dir()
    groups = _groups(place) if config_name == TRAIN else []
    choices = [
        o for o in quote_arguments(overrides) if o.partition("=")[0].lstrip("+") in groups and "," not in o
    ]
    for attempt in (choices, []):
        with contextlib.suppress(Exception), _fresh_hydra(place):
            return [*dotted_keys(hydra.compose(config_name, overrides=attempt)), *groups]
    return groups


def _refuse_keys_of_training(config_name: str, arguments: Sequence[str], directory: str | None) -> None:
    """Refuse what only `cfx.train` takes, before Hydra proposes to add it to a verb that would pass over it.

    Raises:
        UnknownChoice: naming the first such argument.
    """
    keys = [(argument, key_of(argument)) for argument in arguments]
    tops = {argument: top_of(key) for argument, key in keys if key is not None}
    foreign = set(tops.values()) - {"hydra", *own_keys(config_name, directory)} if tops else set()
    if not foreign:
        return
    training = {top_of(group) for group in _groups(directory or conf_dir())} - {"hydra"}
    training |= set(own_keys(TRAIN, directory))
    for argument, top in tops.items():
        if top in foreign & training:
            name, _, value = ("", "", argument) if argument.startswith("~") else argument.partition("=")
            problem = f"is no key of cfx.{config_name}, it is set when a run is trained"
            raise UnknownChoice(name, value, problem, "leave it out: --help lists the keys")


def own_keys(config_name: str, directory: str | None = None) -> list[str]:
    """Return the top-level keys of a verb's own configuration, with its groups."""
    with _fresh_hydra(directory):
        return [str(key) for key in hydra.compose(config_name)]


def devices_per_job(trainer: Any) -> int:
    """Return how many devices one job of this trainer configuration would use.

    `auto`, -1 and lists mean what they mean to Lightning; counting GPUs is the only case that imports torch.
    """
    if not isinstance(trainer, DictConfig):
        return 1
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    accelerator = str(trainer.get("accelerator", "auto"))
    if OmegaConf.is_list(devices):
        count = len(devices)
    elif str(devices) in ("auto", "-1", "None"):
        count = 1
        if accelerator not in ("cpu", "mps"):
            import torch

            count = max(1, torch.cuda.device_count())
    elif isinstance(devices, str) and "," in devices:
        count = len([part for part in devices.split(",") if part.strip()])
    elif str(devices).isdigit():
        count = int(devices)
    else:
        raise BadValue("trainer.devices", devices, "is no number of devices", "give a number, a list or auto")
    return count * int(nodes or 1)


def _refuse_parallel_multirun(cfg: DictConfig) -> None:
    """Refuse a multirun whose jobs use several devices each: the launcher and DDP would start the same work twice."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return
    count = devices_per_job(cfg.get("trainer"))
    if count > 1:
        remedy = "give trainer.devices=1, or start the jobs one by one without -m"
        raise BadValue("trainer.devices", count, "a multirun can not use several devices a job", remedy)


def _parse_flags(arguments: Sequence[str]) -> None:
    """Let a mistyped flag end in one line instead of argparse's usage text."""
    parser = get_args_parser()

    def refuse(message: str) -> None:
        raise BadValue(
            "", " ".join(arguments), message, "--hydra-help lists the flags; arguments are key=value"
        )

    parser.error = refuse  # type: ignore[assignment,method-assign]
    parser.parse_args(list(arguments))


@contextlib.contextmanager
def _arguments_seen(arguments: Sequence[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


def _jobs_of(config_name: str, arguments: Sequence[str], directory: str | None) -> list[DictConfig]:
    """Return the configurations of a multirun's jobs, those that a file's `hydra.sweeper.params` name included.

    What is typed goes before what a file sweeps over, as in Hydra. None of a single run, of a search that picks its
    jobs as it goes, and where Hydra's own flags choose the files. Of many jobs only as many as have every value once.
    """
    flags = get_args_parser().parse_args(list(arguments))
    if not flags.multirun or flags.config_dir or flags.config_path or flags.config_name:
        return []
    parser = OverridesParser.create()
    typed = parser.parse_overrides(flags.overrides)
    if any(each.is_sweep_override() and not each.is_discrete_sweep() for each in typed):
        return []
    # Hydra takes the sweeper from the configuration without what is swept over.
    fixed = [str(each.input_line) for each in typed if not each.is_sweep_override()]
    try:
        with _fresh_hydra(directory):
            sweeper = hydra.compose(config_name, overrides=fixed, return_hydra_config=True).hydra.sweeper
    except ConfigCompositionException as error:
        _refuse_keys_of_swept_choices(config_name, typed, directory, error)
        raise
    if not str(sweeper._target_).endswith(".BasicSweeper"):
        return []
    written = parser.parse_overrides([f"{key}={value}" for key, value in (sweeper.params or {}).items()])
    jobs = [job for batch in BasicSweeper.split_arguments([*written, *typed], None) for job in batch]
    chosen = jobs if len(jobs) <= MOST_JOBS else _every_value_once(jobs)
    return [compose(config_name, job, directory) for job in chosen]


def _refuse_keys_of_swept_choices(
    config_name: str, typed: Sequence[Override], directory: str | None, error: ConfigCompositionException
) -> None:
    """Raise how a key is given that only choices which a multirun sweeps over have; return where that is not so.

    Raises:
        UnknownChoice: every job for itself can be put together, the multirun as Hydra reads it first can not.
    """
    jobs = [job for batch in BasicSweeper.split_arguments(list(typed), None) for job in batch]
    try:
        for job in _every_value_once(jobs):
            compose(config_name, job, directory)
    except ConfigCompositionException:
        return
    wrong = re.search(r"Could not override '([^']*)'", str(error))
    fixed = {each.key_or_group: str(each.input_line) for each in typed if not each.is_sweep_override()}
    if wrong is None or wrong[1] not in fixed:
        return
    swept = " ".join(str(each.input_line) for each in typed if each.is_sweep_override())
    key, _, value = fixed[wrong[1]].partition("=")
    problem = f"Hydra reads a multirun without {swept} first, and only these have the key"
    raise UnknownChoice(key, value, problem, f"write ++{key}={value}")


def _every_value_once(jobs: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Jobs, in order, that bring an override which none before has: a mistyped value is in one of them."""
    seen: set[str] = set()
    chosen = []
    for job in jobs:
        if not seen.issuperset(job):
            seen.update(job)
            chosen.append(job)
    return chosen


@contextlib.contextmanager
def _mistakes(line_of: Callable[[Exception, bool], str | None]) -> Iterator[None]:
    """End the work inside by the line of a user's mistake; a defect is marked as one and goes on its way.

    Args:
        line_of: the line of an error in a composed configuration; None of a defect.
    """
    try:
        yield
    except Exception as error:
        line = line_of(error, True)
        if line is None:
            setattr(error, _DEFECT, True)
            raise
        raise _Stop(line) from None


def run_verb(
    body: Body,
    config_name: str,
    arguments: Sequence[str] | None = None,
    *,
    forward: bool = False,
    directory: str | None = None,
    check: Callable[[DictConfig], None] | None = None,
) -> int:
    """Run one verb on the command line's arguments and return the exit code.

    Args:
        body: the verb; its configuration has every interpolation checked.
        config_name: file in conf/ without its suffix.
        arguments: instead of sys.argv[1:].
        forward: collect the arguments that are not keys of this verb's YAML into `cfg.overrides` (a list, as
            typed) for the run's own configuration, instead of refusing them.
        directory: another configuration folder than the installed one.
        check: sees the configuration of every job of a multirun before the first one starts, and raises what
            would end one of them.

    Returns:
        0 when all went well, 2 after a user's mistake (one line on stderr), 130 after an interruption. Defects
        are raised.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if FLAGS & set(typed):
        about = sys.modules[body.__module__].__doc__ if getattr(body, "__module__", None) else ""
        print(help_text(config_name, about or "", directory or conf_dir()))
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints and exits by itself

    def line_of(error: Exception, composed: bool) -> str | None:
        known = explain_error(error, typed, lambda: _known_keys(config_name, typed, directory), composed)
        return None if known is None else str(known)

    try:
        mine, others = split_own(typed, own_keys(config_name, directory)) if forward else (typed, [])

        @functools.wraps(body)
        def job(cfg: DictConfig) -> Any:
            with _mistakes(line_of):
                _refuse_parallel_multirun(cfg)
                OmegaConf.to_container(cfg, resolve=True)
                if forward:
                    with open_dict(cfg):
                        cfg.overrides = others
                # Lightning starts further DDP processes from sys.argv: they must see what was typed.
                with _arguments_seen(typed):
                    return body(cfg)

        quoted = quote_arguments(mine)
        _parse_flags(quoted)
        if config_name != TRAIN and not forward:
            _refuse_keys_of_training(config_name, mine, directory)
        if check is not None:
            for known in _jobs_of(config_name, quoted, directory):
                with _mistakes(line_of):
                    check(known)
        with _arguments_seen(quoted):
            command = hydra.main(
                version_base="1.3", config_path=directory or conf_dir(), config_name=config_name
            )
            command(job)()
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except _Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return USER_ERROR
    except Exception as error:
        line = None if hasattr(error, _DEFECT) else line_of(error, False)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return USER_ERROR
    return 0


def verb(
    config_name: str, *, forward: bool = False, check: Callable[[DictConfig], None] | None = None
) -> Callable[[Body], Callable[[], None]]:
    """Make a function of a configuration into a command; see `run_verb` for what it is wrapped in."""

    def decorate(body: Body) -> Callable[[], None]:
        @functools.wraps(body)
        def command() -> None:
            code = run_verb(body, config_name, forward=forward, check=check)
            if code:
                sys.exit(code)

        return command

    return decorate


__all__ = ["UserError", "compose", "devices_per_job", "own_keys", "run_verb", "verb"]
