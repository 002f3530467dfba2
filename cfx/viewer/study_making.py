"""Draws a reader study: pairs told apart by what is drawn on them alone, and the progressions behind them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfx.data.reading import Float, read_image
from cfx.errors import BadValue
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explained import INTERPRET
from cfx.evaluation.marking import marked
from cfx.reporting.study_design import Design, sample_size
from cfx.reporting.study_files import PAIR, STRANGER, Item, Study, write_study
from cfx.viewer.payload import MARK_SHARE, progression_json
from cfx.viewer.progression import Shown, show

TARGETS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Steps of the knob of an open pair."""
NEUTRAL_MARK = "reader study: may be synthetic"
"""On both pictures of a blind pair: none goes unmarked, and the mark tells nothing."""
_SHAPE = 24  # side of the thumbnails by which the most similar stranger is found


@dataclass(frozen=True)
class Candidate:
    """An image that may be shown.

    Attributes:
        image_id, patient_id: what it is called in its data set.
        group: `up` (the posterior is low, the finding is asked for) or `down`.
        path: the file.

    """

    image_id: str
    patient_id: str
    group: str
    path: Path


def choose(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    """Draws images at random, half of each direction, one a patient.

    Raises:
        BadValue: there are too few patients.

    """
    rng = np.random.default_rng(seed)
    chosen: list[Candidate] = []
    for group, wanted in (("up", count - count // 2), ("down", count // 2)):
        of_group = [candidate for candidate in candidates if candidate.group == group]
        known = {candidate.patient_id for candidate in chosen}
        taken: list[Candidate] = []
        for place in rng.permutation(len(of_group)):
            candidate = of_group[int(place)]
            if candidate.patient_id not in known and len(taken) < wanted:
                known.add(candidate.patient_id)
                taken.append(candidate)
        if len(taken) < wanted:
            problem = f"the run has {len(taken)} test patients to ask {group}wards"
            raise BadValue("design.images", count, problem, f"give design.images={2 * len(taken)} or fewer")
        chosen += taken
    return chosen


def make_study(
    path: Path, arms: Mapping[str, Tools], candidates: Sequence[Candidate], design: Design
) -> Study:
    """Makes a study of one or several runs on the same images.

    Args:
        path: its folder.
        arms: the parts of each run, by its name; all explain one finding.
        candidates: test images of the first run.
        design: of the study.

    Raises:
        BadValue: the runs differ in their finding, or there are too few images.

    """
    findings = {tools.blackbox.finding for tools in arms.values()}
    if len(findings) != 1:
        raise BadValue("run", ", ".join(sorted(findings)), "are different findings", "compare runs of one")
    chosen = choose(candidates, design.images, design.seed)
    needs = [need.line() for need in sample_size(design, len(arms))]
    fill = partial(_fill, arms=arms, chosen=chosen, candidates=candidates, design=design)
    return write_study(path, design, findings.pop(), list(arms), needs, fill)


def _fill(
    folder: Path,
    arms: Mapping[str, Tools],
    chosen: Sequence[Candidate],
    candidates: Sequence[Candidate],
    design: Design,
) -> list[dict[str, Any]]:
    """Writes all pictures into the folder; returns the key."""
    names = _Names(design.seed)
    entries = []
    for candidate in chosen:
        image = read_image(candidate.path)
        for arm, tools in arms.items():
            shown = show(image, candidate.image_id, tools, TARGETS)
            entries.append(_pair(folder, names, candidate, arm, shown))
    rng = np.random.default_rng([design.seed, 1])
    tools = next(iter(arms.values()))
    places = rng.permutation(len(chosen))[: design.strangers]
    for place in places:
        candidate = chosen[int(place)]
        other = _most_similar(candidate, candidates, rng)
        entries.append(_strangers(folder, names, candidate, other, tools))
    # Their order in the key is that of the images; a reader's is their own.
    return entries


class _Names:
    """Names of pairs and pictures that tell nothing, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 2])

    def __call__(self, letter: str) -> str:
        return f"{letter}{self._rng.integers(16**10):010x}"


def _pair(folder: Path, names: _Names, candidate: Candidate, arm: str, shown: Shown) -> dict[str, Any]:
    """An original and its counterfactual at the far end of the knob."""
    explained = shown.explained
    end = explained.steps[explained.end]
    item = Item(
        item=names("k"),
        kind=PAIR,
        arm=arm,
        image_id=candidate.image_id,
        patient_id=candidate.patient_id,
        group="up" if explained.end else "down",
        original=_save(folder, names, shown.pictures[0]),
        other=_save(folder, names, shown.pictures[explained.end + 1]),
        posterior=(explained.before.posterior, end.reading.posterior),
        ctr=(explained.before.ctr, end.reading.ctr),
        verdict=INTERPRET if not explained.reasons else "; ".join(explained.reasons),
    )
    (folder / "progressions" / f"{item.item}.json").write_text(
        json.dumps(_open_pair(shown)), encoding="utf-8"
    )
    return asdict(item)


def _open_pair(shown: Shown) -> dict[str, Any]:
    """The progression without anything that was measured: readers stay blind to the automatic CTR."""
    told = progression_json(shown)
    keys = ("picture", "posterior", "target", "change")
    return {
        "finding": told["finding"],
        "original": {key: told["original"][key] for key in keys[:2]},
        "steps": [{key: step[key] for key in keys} for step in told["steps"]],
        "start": told["end"],
    }


def _strangers(
    folder: Path, names: _Names, candidate: Candidate, other: Candidate, tools: Tools
) -> dict[str, Any]:
    """An original beside the most similar picture of another patient, whose answer is the opposite one."""
    both = [show(read_image(each.path), each.image_id, tools, (0.0, 1.0)) for each in (candidate, other)]
    readings = [shown.explained.before for shown in both]
    return asdict(
        Item(
            item=names("k"),
            kind=STRANGER,
            arm="",
            image_id=candidate.image_id,
            patient_id=candidate.patient_id,
            group=candidate.group,
            original=_save(folder, names, both[0].pictures[0]),
            other=_save(folder, names, both[1].pictures[0]),
            posterior=(readings[0].posterior, readings[1].posterior),
            ctr=(readings[0].ctr, readings[1].ctr),
        )
    )


def _save(folder: Path, names: _Names, picture: Float) -> str:
    """Writes a picture with the neutral mark, without a note inside the file; returns its name."""
    name = names("p")
    marked(picture, NEUTRAL_MARK, MARK_SHARE).save(folder / "pictures" / f"{name}.png", format="PNG")
    return name


def _thumbnail(path: Path) -> Float:
    """A small picture at mean 0 and deviation 1, to compare chests by their structure."""
    small = Image.fromarray(read_image(path)).resize((_SHAPE, _SHAPE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), 0.02), dtype=np.float32)


def _most_similar(
    candidate: Candidate, candidates: Sequence[Candidate], rng: np.random.Generator, most: int = 200
) -> Candidate:
    """The other patient of the opposite group whose picture is most like this one, among at most `most` of them.

    Raises:
        BadValue: there is none.

    """
    others = [c for c in candidates if c.patient_id != candidate.patient_id and c.group != candidate.group]
    if not others:
        problem = "the run has no patient of the other direction"
        raise BadValue("design.strangers", candidate.image_id, problem, "give design.strangers=0")
    some = [others[int(place)] for place in rng.permutation(len(others))[:most]]
    own = _thumbnail(candidate.path)
    apart = [float(np.mean((_thumbnail(each.path) - own) ** 2)) for each in some]
    return some[int(np.argmin(apart))]
