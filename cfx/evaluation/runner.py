"""Draws counterfactuals for a whole split, by the method and by the controls, and measures them all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cfx.evaluation.bench import Bench
from cfx.evaluation.controls import Control, NearestReal, Nothing, PixelDescent
from cfx.evaluation.detecting import Detecting, Finder, detector_section, reading_repeat_errors
from cfx.evaluation.drift import others_of
from cfx.evaluation.given import Given, measure_given
from cfx.evaluation.judging import Judge, repeat_error
from cfx.evaluation.kept import Keeper, Kept, keep_real
from cfx.evaluation.oracle import CLIP, Oracle
from cfx.evaluation.oracle_pictures import answered, find_answers
from cfx.evaluation.rows import (
    COLUMNS,
    READ_AS,
    Drawn,
    Part,
    PictureSet,
    Task,
    ctr_direction,
    haze_direction,
    is_extreme,
    recess_direction,
)
from cfx.evaluation.settings import Settings
from cfx.evaluation.summary import Collected, summarise
from cfx.explainers.base import Explainer
from cfx.metrics.boxes import BoxSet
from cfx.metrics.validity import DOWN, MIDDLE, UP, extreme_target

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]
CONTROLS = ("nothing", "nearest_real", "pixel_descent", "oracle")
POOL = 2000


def evaluate(
    explainer: Explainer | Given,
    blackbox: Any,
    table: pd.DataFrame,
    dataset: PictureSet,
    *,
    judge: Judge,
    task: Task,
    transfer: Any = None,
    transfer_threshold: float = 0.5,
    finder: Finder | None = None,
    boxes: Sequence[BoxSet | None] | None = None,
    finder_trained_on: str | None = None,
    oracle: Oracle | None = None,
    settings: Settings | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
    features_name: str | None = None,
    latent: Array | None = None,
    familiar: Callable[[Tensor], Tensor] | None = None,
    controls: Sequence[str] = CONTROLS,
    write_part: Callable[[int, pd.DataFrame], object] | None = None,
    finished: Mapping[int, pd.DataFrame] | None = None,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
    **about: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Evaluate a method on pictures that no trained part has seen.

    Args:
        explainer: the method, or the counterfactuals that one has drawn before.
        blackbox: the frozen classifier that it explains: (B, 1, H, W) -> posterior (B,), with `logit` and `prior`.
        table: one row a picture: image_id, patient_id, and as far as known view, sex, age, split, device_path.
        dataset: the pictures in the same order, with `findings` where they have more labels than one.
        judge: evaluation segmenter, (B, 1, H, W) -> soft masks (B, 3, h, w).
        task: the finding, what is measured of it, and which way that moves.
        transfer: independent classifier of the same finding, or None; with `names` and `posteriors` of more outputs
            than that, drift is told by it.
        transfer_threshold: its threshold from validation patients.
        finder: evaluation detector; None: no recess score, and devices only where masks tell of them.
        boxes: true boxes of each picture, None for one that nobody looked at, for the detector's own figures; or None.
        finder_trained_on: name of the data that the detector was trained on, for the file.
        oracle: of a phantom, or None.
        settings: sizes; the grid of targets.
        features: network for the kernel distance, (B, 1, H, W) -> (B, d); None: realism is null.
        features_name: what it is, for the file.
        latent: (N,) 1/0, the finding before label noise (phantom), for `auroc_latent`.
        familiar: (B, 1, H, W) -> (B,) bool, whether pictures are like the training data; None: not asked.
        controls: which of `CONTROLS` to draw.
        write_part: called with the number and the rows of each finished part.
        finished: parts of an interrupted evaluation of the same explainer, not drawn again.
        progress: called with what is drawn, how many are done, how many there are.
        device: where the networks are.
        **about: data, method, split, run: copied to the metrics.

    Returns:
        the rows of the method in the order of `COLUMNS`, and the metrics of `metrics.json`, without a NaN.

    Raises:
        ValueError: table and data set differ in length, or the grid does not run from 0 to 1.
    """
    settings = settings or Settings()
    _check(table, dataset, settings)
    bench = Bench(
        blackbox, judge, table.reset_index(drop=True), dataset, _label_of(dataset, task), settings,
        torch.device(device), transfer=transfer, threshold=transfer_threshold, familiar=familiar,
        detecting=None if finder is None else Detecting(finder, settings.batch_size),
        read_by=READ_AS.get(task.measurement),
    )  # fmt: skip
    run = Evaluation(bench, task, oracle, features, progress or (lambda what, done, count: None))
    bench.survey()
    repeated = run.reading_noise(finder)
    run.find_oracles()
    rows = run.method(explainer, write_part, dict(finished or {}))
    drawn = run.controls(controls)
    collected = run.collect(rows, drawn, features_name, latent)
    own = None if finder is None else detector_section(bench.found, boxes, finder_trained_on)
    collected = replace(collected, repeat_errors=repeated, detector=own)
    about.setdefault("method", explainer.name)
    return rows, summarise(collected, task=task.name, **about)


def _check(table: pd.DataFrame, dataset: PictureSet, settings: Settings) -> None:
    """Refuse a table of another data set, and a grid that does not rise from 0 to 1."""
    if len(table) != len(dataset):
        raise ValueError(f"the table has {len(table)} rows and the data set {len(dataset)} pictures")
    targets = list(settings.targets)
    if targets[0] != 0.0 or targets[-1] != 1.0 or targets != sorted(targets):
        raise ValueError(f"targets must rise from 0 to 1, not {settings.targets}")


def _label_of(dataset: PictureSet, task: Task) -> int:
    """Which of the data set's labels is the finding; the only one where it names none."""
    findings = list(getattr(dataset, "findings", [task.finding]))
    return findings.index(task.finding) if task.finding in findings else 0


class Evaluation:
    """One evaluation under way.

    Args:
        bench: what rows are measured with.
        task: the clinical question.
        oracle: of a phantom, or None.
        features: network of the kernel distance, or None.
        progress: see `evaluate`.
    """

    def __init__(
        self,
        bench: Bench,
        task: Task,
        oracle: Oracle | None,
        features: Callable[[Tensor], Tensor] | None,
        progress: Progress,
    ) -> None:
        self.bench, self.task, self.oracle = bench, task, oracle
        self.settings = bench.settings
        self.progress = progress
        self.keepers: dict[str, Keeper] = {}
        if features is not None:
            self.keepers["features"] = Keeper(features, bench.settings.batch_size)
        self.names: tuple[str, ...] = tuple(getattr(bench.transfer, "names", ()))
        if len(self.names) > 1:
            self.keepers["posteriors"] = Keeper(bench.transfer.posteriors, bench.settings.batch_size)
        self.ends = {"oracle": (CLIP, 1 - CLIP)}

    def subset(self, sizes: Mapping[str, int], *more: str) -> npt.NDArray[np.int64]:
        """Rows of a reproducible subset, in order.

        Args:
            sizes: pictures wanted of each group.
            *more: further groups, of which half the largest of these sizes is taken.
        """
        wanted = dict(sizes) | {group: max(sizes.values()) // 2 for group in more}
        generator = np.random.default_rng(self.settings.seed)
        chosen = []
        for group, count in wanted.items():
            rows = np.flatnonzero((self.bench.base["group"] == group).to_numpy())
            chosen.append(generator.permutation(rows)[:count])
        return np.sort(np.concatenate(chosen)).astype(np.int64)

    def find_oracles(self) -> None:
        """Search the oracles: the extremes of all pictures of both groups, the whole grid of a subset."""
        if self.oracle is None:
            return
        half = self.settings.oracle_grid_images // 2
        on_grid = set(self.subset({UP: half, DOWN: half}).tolist())
        find_answers(self.bench, self.oracle, self.task.finding, on_grid, self.progress)

    def method(
        self,
        explainer: Explainer | Given,
        write_part: Callable[[int, pd.DataFrame], object] | None,
        finished: dict[int, pd.DataFrame],
    ) -> pd.DataFrame:
        """Rows of the method for the whole grid of every picture (of given ones: what there is), part by part."""
        self.ends["method"] = explainer.ends
        step, count = self.settings.part_size, len(self.bench.base)
        back = set(self.subset({UP: self.settings.return_images, DOWN: self.settings.return_images}).tolist())
        tables = []
        for number, start in enumerate(range(0, count, step)):
            self.progress("counterfactuals", start, count)
            part = self.bench.load(np.arange(start, min(start + step, count)))
            ids = self.bench.base["image_id"].iloc[part.rows]
            known = finished.get(number)
            if (
                known is not None
                and set(known["image_id"]) == set(ids)
                and list(known.columns) == list(COLUMNS)
            ):
                tables.append(known)
                self._keep_again(explainer, part)
                continue
            if isinstance(explainer, Given):
                rows, targets, drawn = measure_given(self.bench, explainer, part)
            else:
                targets = np.tile(np.array(self.settings.targets), (len(part.rows), 1))
                drawn = self.draw(explainer, part, targets, np.array([int(row) in back for row in part.rows]))
                rows = self.bench.rows(part, targets, drawn)
            self.keep("method", part, targets, drawn)
            if write_part is not None:
                write_part(number, rows)
            tables.append(rows)
        return pd.concat(tables, ignore_index=True)

    def draw(self, explainer: Explainer, part: Part, targets: Array, back: Array | None = None) -> Drawn:
        """Ask an explainer for the targets (B, T), for c = p(x), and for the way back of some pictures.

        The time counted is that of the targets and of c = p(x), which come from one call.
        """
        asked = torch.as_tensor(targets, dtype=torch.float32, device=self.bench.device)
        with_net = torch.cat([asked, part.posterior.unsqueeze(1)], dim=1)
        start = time.perf_counter()
        images = torch.cat(
            [
                explainer.explain(image, target).images.detach()
                for image, target in zip(
                    torch.split(part.image, self.settings.batch_size),
                    torch.split(with_net, self.settings.batch_size),
                    strict=True,
                )
            ]
        )
        seconds = time.perf_counter() - start
        drawn = Drawn(images[:, :-1], images[:, -1], np.ones(targets.shape, dtype=bool), seconds)
        groups = self.bench.base["group"].to_numpy()[part.rows]
        extreme = is_extreme(groups[:, None], targets)
        if back is None or not (back & extreme.any(axis=1)).any():
            return drawn
        back = back & extreme.any(axis=1)
        chosen = np.flatnonzero(back)
        ends = images[chosen, extreme.argmax(axis=1)[chosen]]
        returned = part.image.clone()
        way = explainer.explain(ends, part.posterior[chosen].unsqueeze(1))
        returned[chosen] = way.images[:, 0].detach().to(returned)
        return replace(drawn, returned=returned, has_return=back)

    def reading_noise(self, finder: Finder | None) -> dict[str, float]:
        """Repeat errors of recess and haze; those of the score and of the haze are floors of verdicts where known."""
        bench = self.bench
        repeated = reading_repeat_errors(
            finder, bench.judge, self.sample(), bench.settings.batch_size,
            angles=bench.measures_recess, haze=bench.measures_haze,
        )  # fmt: skip
        bench.floors |= {name: repeated[name] for name in ("scp", "haze") if np.isfinite(repeated[name])}
        return repeated

    def controls(self, wanted: Sequence[str]) -> dict[str, pd.DataFrame]:
        """Rows of each control that is wanted, in the order of `CONTROLS`; the oracle only where there is one."""
        names = [name for name in CONTROLS if name in wanted and (name != "oracle" or self.oracle)]
        return {name: self.control(name) for name in names}

    def control(self, name: str) -> pd.DataFrame:
        """Rows of one control on its subset (the oracle: wherever it was searched)."""
        self.progress(name, 0, 1)
        if name == "oracle":
            return self._oracle_rows()
        made = self._make(name)
        self.ends[name] = made.ends
        size = self.settings.control_images if made.draws_grid else self.settings.descent_images
        rows = self.subset({UP: size, DOWN: size}, *((MIDDLE,) if made.draws_grid else ()))
        tables = []
        for start in range(0, len(rows), self.settings.part_size):
            part = self.bench.load(rows[start : start + self.settings.part_size])
            if made.draws_grid:
                targets = np.tile(np.array(self.settings.targets), (len(part.rows), 1))
            else:
                groups = self.bench.base["group"].to_numpy()[part.rows]
                targets = np.array([[extreme_target(group)] for group in groups])
            back = np.ones(len(part.rows), dtype=bool) if name != "pixel_descent" else None
            drawn = self.draw(made, part, targets, back)
            tables.append(self.bench.rows(part, targets, drawn))
            self.keep(name, part, targets, drawn)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))

    def _make(self, name: str) -> Control:
        """Build a control; the pool of nearest real pictures is the split itself, thinned to 2,000."""
        blackbox = self.bench.blackbox
        if name == "nothing":
            return Nothing(blackbox)
        if name == "pixel_descent":
            return PixelDescent(blackbox)
        generator = np.random.default_rng(self.settings.seed)
        count = len(self.bench.base)
        rows = np.sort(generator.permutation(count)[:POOL])
        pool = self.bench.load(rows)
        _, numbers = np.unique(self.bench.base["patient_id"].to_numpy().astype(str), return_inverse=True)

        def patient_of(images: Tensor) -> Tensor:
            row = self.bench.rows_of(images)
            return torch.from_numpy(np.where(row < 0, -1, numbers[row]))

        patients = torch.from_numpy(numbers[rows])
        return NearestReal(blackbox, pool.image, pool.posterior, patients, patient_of=patient_of)

    def _oracle_rows(self) -> pd.DataFrame:
        """The oracle as a method; see `answered`."""
        tables = []
        for part, targets, drawn in answered(self.bench):
            tables.append(self.bench.rows(part, targets, drawn))
            self.keep("oracle", part, targets, drawn)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))

    def keep(self, name: str, part: Part, targets: Array, drawn: Drawn) -> None:
        """Keep what networks give of the pictures drawn at the extremes, with their rows."""
        groups = self.bench.base["group"].to_numpy()[part.rows]
        i, j = np.nonzero(is_extreme(groups[:, None], targets) & drawn.made)
        for keeper in self.keepers.values():
            keeper.keep(name, part.rows[i], drawn.images[i, j])

    def _keep_again(self, explainer: Explainer | Given, part: Part) -> None:
        """Draw the extremes of a finished part once more for what no part keeps."""
        groups = self.bench.base["group"].to_numpy()[part.rows]
        chosen = np.flatnonzero(groups != MIDDLE)
        if not self.keepers or not len(chosen):
            return
        some = self.bench.load(part.rows[chosen])
        if isinstance(explainer, Given):
            targets, drawn, _ = explainer.draw(some, lambda target: target in self.settings.targets)
        else:
            targets = np.array([[extreme_target(group)] for group in groups[chosen]])
            drawn = self.draw(explainer, some, targets)
        self.keep("method", some, targets, drawn)

    def kept(self, what: str) -> Kept:
        """What a keeper has kept, by method; nothing where there is no such keeper."""
        return self.keepers[what].found() if what in self.keepers else {}

    def sample(self) -> Tensor:
        """Pictures of all groups on which repeat errors are measured, perhaps none."""
        size = self.settings.repeat_images // 2
        rows = self.subset({UP: size, DOWN: size}, MIDDLE)
        return self.bench.load(rows).image

    def repeat_error(self) -> float:
        """95 % repeat error of the evaluation segmenter on a sample of all groups; NaN without a picture."""
        images = self.sample()
        if not len(images):
            return float("nan")
        return repeat_error(self.bench.judge, images, self.settings.batch_size)

    def collect(
        self,
        rows: pd.DataFrame,
        drawn: Mapping[str, pd.DataFrame],
        features_name: str | None,
        latent: Array | None,
    ) -> Collected:
        """Everything that the metrics are made of: rows of the method, of the drawn controls, and what they need."""
        keep_real(list(self.keepers.values()), self.bench)
        whose = "the phantom's" if self.oracle is not None else "the data's"  # only phantoms have an oracle
        return Collected(
            rows=rows,
            base=self.bench.base,
            controls=drawn,
            features=self.kept("features"),
            features_name=features_name if "features" in self.keepers else None,
            others=others_of(self.names, self.task.finding, self.bench.table, self.kept("posteriors")),
            latent=latent,
            repeat_error=self.repeat_error(),
            threshold=self.bench.threshold,
            prior=getattr(self.bench.blackbox, "prior", None),
            measurement=self.task.measurement,
            direction=ctr_direction(self.task.measurement, self.task.direction),
            recess_direction=recess_direction(self.task.measurement, self.task.direction),
            haze_direction=haze_direction(self.task.measurement, self.task.direction),
            has_oracle=self.oracle is not None,
            devices_by=f"{whose} device masks" if rows["devices_before"].sum() > 0 else None,
            device=str(self.bench.device),
            ends=self.ends,
            settings=self.settings,
        )
