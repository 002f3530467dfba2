"""A run's folder: the only place that reads or writes one.

    <run>/config.yaml plan.json environment.json metrics.csv weights.safetensors finished
          checkpoints/          Lightning's, for resuming only
          parts/<name>/         config.yaml and weights.safetensors of each network that the run needs, and
                                calibration.json, what validation patients told of it
          evaluation/           counterfactuals.parquet metrics.json examples/ report.html

The folder can be moved: nothing in it names a place outside. Every file is written beside its final name and
renamed, so that a reader never sees half a file and an interrupted job leaves the old one.
"""

import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfx.errors import BadValue, CheckpointMismatch, MissingPath, WrongLayout, nearest
from cfx.files import append_rows, read_json, write_atomic, write_json, write_text
from cfx.naming import fingerprint, folder_name, slug

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from filelock import BaseFileLock

_PRETRAINED = "pretrained/"
_SHIPPED = Path(__file__).resolve().parent / "pretrained"


def resolve(value: str | os.PathLike[str], argument: str = "run") -> Path:
    """Return the folder that `run=...` names; `pretrained/X` is cfx/pretrained/X of the installed package.

    A folder of that name where the user stands comes first.

    Raises:
        MissingPath: there is no such folder; the nearest shipped one or sibling is named.
    """
    given = os.fspath(value)
    path = Path(given)
    if path.is_dir():
        return path
    if given.startswith(_PRETRAINED):
        name = given.removeprefix(_PRETRAINED).rstrip("/")
        if name and (_SHIPPED / name).is_dir():
            return _SHIPPED / name
        names = (
            sorted(entry.name for entry in _SHIPPED.iterdir() if entry.is_dir()) if _SHIPPED.is_dir() else []
        )
        near = nearest(name, names)
        remedy = f"did you mean {_PRETRAINED}{near}" if near else f"shipped are: {', '.join(names) or 'none'}"
        raise MissingPath(argument, given, "no such weights ship with the package", remedy)
    if path.exists():
        raise MissingPath(argument, given, "is a file", "give the run's folder")
    siblings = sorted(e.name for e in path.parent.iterdir() if e.is_dir()) if path.parent.is_dir() else []
    near = nearest(path.name, siblings)
    remedy = f"did you mean {path.parent / near}" if near else "give a folder that cfx.train has written"
    raise MissingPath(argument, given, "there is no such folder", remedy)


class Evaluation:
    """The `evaluation` folder of a run, or the folder that `output=` names.

    Attributes:
        path: the folder; made when the first file is written.
        examples: folder of the pictures that a report may draw.
        report: the one-file page.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.examples = path / "examples"
        self.report = path / "report.html"

    @property
    def done(self) -> bool:
        """Whether an evaluation was finished here: metrics.json is written last."""
        return (self.path / "metrics.json").is_file()

    def refuse_overwrite(self) -> None:
        """Raise where an evaluation is here already: nothing overwrites one."""
        if self.done:
            raise BadValue(
                "output", str(self.path), "holds an evaluation already", "give another output=FOLDER"
            )

    def write_part(self, index: int, table: "pd.DataFrame") -> Path:
        """Write the rows of one batch or rank; returns the part's file."""
        path = self.path / "parts" / f"{index:06d}.parquet"
        write_atomic(path, lambda beside: table.to_parquet(beside, index=False))
        return path

    def parts(self) -> list[Path]:
        """Return the files of the parts written so far, in order."""
        return sorted((self.path / "parts").glob("*.parquet"))

    def merge_parts(self) -> "pd.DataFrame":
        """Merge all parts into counterfactuals.parquet, remove them and return the table.

        Raises:
            WrongLayout: there are no parts.
        """
        import pandas as pd

        files = self.parts()
        if not files:
            raise WrongLayout("run", str(self.path), "has no parts to merge", "evaluate again")
        table = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        self.write_counterfactuals(table)
        shutil.rmtree(self.path / "parts")
        return table

    def write_counterfactuals(self, table: "pd.DataFrame") -> None:
        """Write the table of one row an (image, target)."""
        write_atomic(
            self.path / "counterfactuals.parquet", lambda beside: table.to_parquet(beside, index=False)
        )

    def counterfactuals(self) -> "pd.DataFrame":
        """Read the table of one row an (image, target).

        Raises:
            MissingPath: the run has not been evaluated.
        """
        import pandas as pd

        path = self.path / "counterfactuals.parquet"
        if not path.is_file():
            remedy = "finish training, or run python -m cfx.evaluate run=..."
            raise MissingPath("run", str(self.path), "has no counterfactuals.parquet", remedy)
        return pd.read_parquet(path)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json, last of all; NaN becomes null."""
        write_json(self.path / "metrics.json", metrics)

    def metrics(self) -> dict[str, Any]:
        """Read metrics.json."""
        found = read_json(self.path / "metrics.json")
        if not isinstance(found, dict):
            raise WrongLayout("run", str(self.path), "metrics.json is not a table of keys", "evaluate again")
        return found


class Run:
    """One run's folder, or one part in it (a part has the same config.yaml and weights.safetensors).

    Making the object touches nothing on disk; `create` makes the folder, `open` demands one that is complete.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        """Return the class and the folder."""
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> "Run":
        """Make the folder where it is missing.

        Raises:
            BadValue: it can not be made (a file in the way, no permission).
        """
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"can not be made ({error.strerror})"
            raise BadValue("runs", os.fspath(path), problem, "give a folder that you may write in") from None
        return cls(path)

    @classmethod
    def open(cls, value: str | os.PathLike[str], argument: str = "run") -> "Run":
        """Open what `run=...` names, `pretrained/X` included.

        Raises:
            MissingPath: there is no such folder.
            WrongLayout: it is not a run.
        """
        run = cls(resolve(value, argument))
        if not run.config_file.is_file():
            problem, remedy = (
                "has no config.yaml, so it is not a run",
                "give a folder that cfx.train has written",
            )
            raise WrongLayout(argument, os.fspath(value), problem, remedy)
        return run

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def shipped(self) -> bool:
        """Whether it lies in the installed package, where nothing of a user's is written."""
        return self.path.resolve().is_relative_to(_SHIPPED)

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def weights_file(self) -> Path:
        """The state dict of `cfg.model.network`."""
        return self.path / "weights.safetensors"

    @property
    def metrics_file(self) -> Path:
        """Training's metrics.csv; add to it with `append_metrics` only."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """Lightning's checkpoints, for resuming only."""
        return self.path / "checkpoints"

    @property
    def evaluation(self) -> Evaluation:
        """The run's own evaluation."""
        return Evaluation(self.path / "evaluation")

    def write_config(self, config: Mapping[Any, Any]) -> None:
        """Write the configuration resolved, so that it does not depend on this machine's variables."""
        from omegaconf import DictConfig, OmegaConf

        tree = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
        plain = OmegaConf.to_container(tree, resolve=True)
        write_text(self.config_file, OmegaConf.to_yaml(OmegaConf.create(plain)))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration as plain dicts, read anew at each access.

        Raises:
            MissingPath, WrongLayout: config.yaml is not there, or is not a table of keys.
        """
        import yaml
        from omegaconf import DictConfig, OmegaConf

        try:
            found = OmegaConf.load(self.config_file)
        except FileNotFoundError:
            raise MissingPath("run", str(self.path), "has no config.yaml", "give a run's folder") from None
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            raise WrongLayout(
                "run", str(self.path), "its config.yaml is not YAML", "restore the file"
            ) from None
        if not isinstance(found, DictConfig):
            problem = "its config.yaml is not a table of keys"
            raise WrongLayout("run", str(self.path), problem, "restore the file")
        plain = OmegaConf.to_container(found, resolve=True)
        assert isinstance(plain, dict)  # a DictConfig always is one
        return {str(key): value for key, value in plain.items()}

    def write_plan(self, plan: Any) -> None:
        """Write plan.json, which other DDP ranks read."""
        write_json(self.path / "plan.json", plan)

    def plan(self) -> Any:
        """Read plan.json."""
        return read_json(self.path / "plan.json")

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write environment.json (see `cfx.environment.describe`)."""
        write_json(self.path / "environment.json", environment)

    def environment(self) -> dict[str, Any]:
        """Read environment.json; empty where there is none."""
        path = self.path / "environment.json"
        return dict(read_json(path)) if path.is_file() else {}

    def write_calibration(self, found: Mapping[str, Any]) -> None:
        """Write calibration.json: scale, shift and prior of a black box, or the threshold of a classifier."""
        write_json(self.path / "calibration.json", found)

    def calibration(self) -> dict[str, Any]:
        """Read calibration.json; empty where there is none."""
        path = self.path / "calibration.json"
        return dict(read_json(path)) if path.is_file() else {}

    def append_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows to metrics.csv; a resumed run keeps its earlier ones."""
        append_rows(self.metrics_file, rows)

    def last_checkpoint(self) -> Path | None:
        """Return the newest of Lightning's checkpoints, None where there is none."""
        found = [file for file in self.checkpoints.glob("*.ckpt") if file.is_file()]
        return max(found, key=lambda file: (file.stat().st_mtime_ns, file.name)) if found else None

    def write_weights(
        self, state: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write a state dict as safetensors, on the CPU and without shared memory.

        Args:
            state: tensors by name.
            metadata: short texts kept in the file's header, such as the finding.
        """
        from safetensors.torch import save_file

        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
        write_atomic(self.weights_file, lambda beside: save_file(tensors, beside, dict(metadata or {})))

    def load_weights(self) -> "dict[str, torch.Tensor]":
        """Read the state dict.

        Raises:
            MissingPath: training did not get that far.
            CheckpointMismatch: the file is broken.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not self.weights_file.is_file():
            problem, remedy = "has no weights.safetensors", "finish its training first"
            raise MissingPath("run", str(self.path), problem, remedy)
        try:
            return load_file(self.weights_file)
        except (SafetensorError, OSError, ValueError) as error:
            problem = f"its weights can not be read ({error})"
            raise CheckpointMismatch("run", str(self.path), problem, "copy or train it again") from None

    def load_into(self, network: "torch.nn.Module", argument: str = "run") -> None:
        """Load the weights into a freshly built network; every key and shape must fit.

        Raises:
            CheckpointMismatch: they belong to another network; the first key that differs is named.
        """
        state, wanted = self.load_weights(), network.state_dict()
        wrong = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
        wrong += [key for key in state if key not in wanted]
        if wrong:
            problem = f"its weights are of another network ({len(wrong)} keys differ, first {wrong[0]})"
            raise CheckpointMismatch(
                argument, str(self.path), problem, "give the run that this network is of"
            )
        network.load_state_dict(state)

    def part(self, name: str) -> "Run":
        """Return the part of that name (`blackbox`, `segmenter`, ...), which may not be there yet."""
        return Run(self.path / "parts" / name)

    def part_names(self) -> list[str]:
        """Return the names of the parts that are here with their weights."""
        return sorted(file.parent.name for file in (self.path / "parts").glob("*/weights.safetensors"))

    def copy_part(self, name: str, source: "Run") -> "Run":
        """Copy config, weights, environment and calibration of another run into this one, and return the part."""
        part = self.part(name)
        for file in ("config.yaml", "environment.json", "weights.safetensors", "calibration.json"):
            if (source.path / file).is_file():
                origin = source.path / file
                write_atomic(part.path / file, functools.partial(shutil.copyfile, origin))
        return part

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / "finished").is_file()

    def mark_finished(self) -> None:
        """Say that everything of the run is written."""
        write_text(self.path / "finished", "")

    def lock(self, timeout: float = -1) -> "BaseFileLock":
        """Return the lock of the folder, for a `with` block: a second job waits, then finds the work done.

        Args:
            timeout: seconds to wait, for ever where negative.
        """
        from filelock import FileLock

        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.parent / f".{self.path.name}.lock", timeout=timeout)


def jobs_of(place: Path) -> list[Run]:
    """Return the runs that a multirun's jobs have written down, in order; of a run's own folder the run itself."""
    jobs = sorted(place.glob("*/run.json"), key=lambda file: int(file.parent.name))
    return [Run(Path(read_json(job)["run"])) for job in jobs] or [Run(place)]


__all__ = ["Evaluation", "Run", "append_rows", "fingerprint", "folder_name", "jobs_of", "resolve", "slug"]
