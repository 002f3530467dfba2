"""What a reader study found: ratings, real or synthetic, the same patient, heart size by readers, agreement.

First showings alone count, but for a reader's agreement with themselves. Means and contrasts come from mixed models
with crossed random readers and images; what is counted a reader at a time gets a t interval over readers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cfx.metrics.agreement import (
    area_under_curve,
    bland_altman,
    icc_agreement,
    icc_oneway,
    weighted_kappa,
)
from cfx.reporting.study_design import QUESTIONS
from cfx.reporting.study_files import PAIR, STRANGER, Study
from cfx.reporting.study_models import Effect, Fit, crossed_model
from cfx.reporting.study_tables import ORIGINAL, OTHER, ratings, readings

MIDDLE = 3.0
ASKED = {"up": "asked for the finding", "down": "asked to take it away"}


def analyse(study: Study) -> dict[str, Any]:
    """All results of a study as one tree of numbers; NaN where something could not be made."""
    scores, lines = ratings(study), readings(study)
    first = scores[~scores["repeat"].astype(bool)]
    first_lines = lines[~lines["repeat"].astype(bool)]
    return {
        "schema": 1,
        "finding": study.finding,
        "sample_size": study.needs,
        "readers": _readers(study),
        "ratings": {name: _rating(first, name) for name in QUESTIONS},
        "arms": {name: contrast for name in QUESTIONS if (contrast := _arms(first, name))},
        "real": _real(first),
        "same_patient": _same(first),
        "ctr": {
            "shift": {group: _shift(first_lines, group) for group in ASKED},
            "limits": _limits(first_lines),
        },
        "agreement": _agreement(scores, lines),
    }


def _readers(study: Study) -> list[dict[str, Any]]:
    """How far each reader came, and how long a step took."""
    found = []
    for reader in study.readers():
        records = study.answers(reader)
        order = study.order(reader)
        steps = sum(2 if study.items[showing.item].kind == PAIR else 1 for showing in order)
        seconds = [float(record["seconds"]) for record in records if record.get("seconds") is not None]
        found.append(
            {
                "reader": reader,
                "answered": len(records),
                "of": steps,
                "seconds_a_step": float(np.median(seconds)) if seconds else float("nan"),
            }
        )
    return found


def _told(effect: Effect | None, fit: Fit, shift: float = 0.0) -> dict[str, Any]:
    """A fixed effect with what it rests on; `shift` is added back to a score that was centred."""
    effect = effect or Effect(*[float("nan")] * 4)
    return {
        "estimate": effect.estimate + shift,
        "ci95": [effect.low + shift, effect.high + shift],
        "p": effect.p,
        "n": fit.n,
        "variance": fit.variance,
        "note": fit.note,
    }


def _rating(first: pd.DataFrame, question: str) -> dict[str, Any]:
    """Mean of one question for each run, against the middle of the scale."""
    rows = first[first["question"] == question]
    found = {}
    for arm, some in rows.groupby("arm"):
        fit = crossed_model(some.assign(centred=some["score"].astype(float) - MIDDLE), "centred ~ 1")
        counts = some["score"].value_counts()
        found[str(arm)] = {
            **_told(fit.effects.get("Intercept"), fit, MIDDLE),
            "n_images": int(some["image"].nunique()),
            "n_readers": int(some["reader"].nunique()),
            "counts": [int(counts.get(point, 0)) for point in range(1, 6)],
        }
    return found


def _arms(first: pd.DataFrame, question: str) -> dict[str, Any]:
    """Each run against the first one in the alphabet, for studies of several."""
    rows = first[first["question"] == question].assign(score=lambda table: table["score"].astype(float))
    arms = sorted(rows["arm"].unique())
    if len(arms) < 2:
        return {}
    # Another name than the runs', which may hold whatever Python's formulas take for signs.
    coded = rows.assign(run=rows["arm"].map({arm: number for number, arm in enumerate(arms)}))
    fit = crossed_model(coded, "score ~ C(run)")
    return {
        f"{arm} against {arms[0]}": _told(fit.effects.get(f"C(run)[T.{number}]"), fit)
        for number, arm in enumerate(arms)
        if number
    }


def _over_readers(values: Mapping[str, float]) -> dict[str, Any]:
    """Mean over readers with a t interval; each reader's own value beside it."""
    known = np.array([value for value in values.values() if np.isfinite(value)])
    mean = float(known.mean()) if len(known) else float("nan")
    reach = float("nan")
    if len(known) > 1:
        reach = float(stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return {
        "estimate": mean,
        "ci95": [mean - reach, mean + reach],
        "n_readers": len(known),
        "by_reader": dict(values),
    }


def _areas(rows: pd.DataFrame, positive: "pd.Series[bool]") -> dict[str, float]:
    """Each reader's AUC of the scores of positive rows against all others."""
    return {
        str(reader): area_under_curve(
            some["score"][positive[some.index]].to_numpy(), some["score"][~positive[some.index]].to_numpy()
        )
        for reader, some in rows.groupby("reader")
    }


def _real(first: pd.DataFrame) -> dict[str, Any]:
    """How well readers tell drawn pictures from real ones: 0.5 = they cannot."""
    rows = first[first["question"] == "real"]
    drawn = (rows["kind"] == PAIR) & (rows["about"] == OTHER)
    areas = _areas(rows, drawn)
    means = {"drawn": rows["score"][drawn].mean(), "real": rows["score"][~drawn].mean()}
    return {"auc": _over_readers(areas), **{name: float(value) for name, value in means.items()}}


def _same(first: pd.DataFrame) -> dict[str, Any]:
    """How surely a pair is one patient, of drawn pairs and of strangers; the AUC between them is the control."""
    rows = first[first["question"] == "same_patient"]
    found: dict[str, Any] = {}
    for kind in (PAIR, STRANGER):
        some = rows[rows["kind"] == kind]
        fit = crossed_model(some.assign(score=some["score"].astype(float)), "score ~ 1")
        found[kind] = _told(fit.effects.get("Intercept"), fit)
    areas = _areas(rows, rows["kind"] == PAIR)
    return {**found, "auc": _over_readers(areas)}


def _shift(first_lines: pd.DataFrame, group: str) -> dict[str, Any]:
    """By how much the readers' CTR of the drawn picture differs from that of the original, beside the automatic one."""
    rows = first_lines[(first_lines["kind"] == PAIR) & (first_lines["group"] == group)]
    keys = ["reader", "item", "image", "arm"]
    wide = rows.pivot_table(index=keys, columns="role", values=["ctr", "ctr_automatic"], dropna=False)
    if wide.empty:
        return {**_told(None, Fit({}, {}, 0, "no answers")), "automatic": float("nan")}
    wide = wide.reindex(columns=pd.MultiIndex.from_product([["ctr", "ctr_automatic"], [ORIGINAL, OTHER]]))
    shift = (wide[("ctr", OTHER)] - wide[("ctr", ORIGINAL)]).rename("shift").reset_index()
    fit = crossed_model(shift, "shift ~ 1")
    automatic = wide[("ctr_automatic", OTHER)] - wide[("ctr_automatic", ORIGINAL)]
    # An image counts once, however many have read it.
    by_item = automatic.groupby(level="item").first()
    return {**_told(fit.effects.get("Intercept"), fit), "automatic": float(by_item.mean())}


def _limits(first_lines: pd.DataFrame) -> dict[str, Any]:
    """Readers against the automatic CTR: bias and limits of agreement from the variance components (Bland & Altman)."""
    rows = first_lines.dropna(subset=["ctr", "ctr_automatic"])
    rows = rows.assign(apart=rows["ctr"] - rows["ctr_automatic"])
    fit = crossed_model(rows, "apart ~ 1")
    told = _told(fit.effects.get("Intercept"), fit)
    spread = float(np.sqrt(sum(fit.variance.values()))) if fit.variance else float("nan")
    by_reader = {
        str(reader): vars(bland_altman(some["ctr"].to_numpy(), some["ctr_automatic"].to_numpy()))
        for reader, some in rows.groupby("reader")
    }
    return {
        **told,
        "sd": spread,
        "limits": [told["estimate"] - 1.96 * spread, told["estimate"] + 1.96 * spread],
        "untold": int(first_lines["ctr"].isna().sum()),
        "by_reader": by_reader,
    }


def _twice(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """First and second value of what a reader has seen twice, columns False and True."""
    wide = table.pivot_table(index=keys, columns="repeat", values=value, aggfunc="first")
    return wide.reindex(columns=[False, True]).dropna()


def _agreement(scores: pd.DataFrame, lines: pd.DataFrame) -> dict[str, Any]:
    """Of readers with themselves (weighted kappa; ICC of the CTR) and, of the CTR, with each other."""
    found: dict[str, Any] = {}
    for name in (*QUESTIONS, "same_patient", "real"):
        pairs = _twice(
            scores[scores["question"] == name].assign(score=lambda table: table["score"].astype(float)),
            ["reader", "item", "about"],
            "score",
        )
        one, two = pairs[False].to_numpy(), pairs[True].to_numpy()
        found[name] = {
            "kappa": weighted_kappa(one, two, 5),
            "same": float((one == two).mean()) if len(one) else float("nan"),
            "n": len(one),
        }
    pairs = _twice(lines, ["reader", "item", "role"], "ctr")
    within = vars(icc_oneway(pairs.to_numpy())) if len(pairs) else {"value": float("nan"), "n": 0}
    first = lines[~lines["repeat"].astype(bool)]
    table = first.pivot_table(index=["item", "role"], columns="reader", values="ctr", aggfunc="first")
    found["ctr"] = {
        "icc_within": within,
        "repeat_sd": float(np.sqrt(((pairs[False] - pairs[True]) ** 2).mean() / 2))
        if len(pairs)
        else float("nan"),
        "icc_between": icc_agreement(table.to_numpy()) if table.shape[1] > 1 else float("nan"),
    }
    return found
