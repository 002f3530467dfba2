"""Set the default explainer against its rivals on one black box and the same test patients, and freeze the tables.

    python -m experiments.rivals rivals runs/cardiomegaly-phantom-explainer-0123abcd runs/cardiomegaly-phantom-xgem-...

The first run is the one that the others are held against. Writes into the study's folder `paired.csv` (differences by
patient) and `metrics.json`: the figures of every method, and in `margin` the least favourable end of the 95 % interval
by which the first is ahead of any rival whose reach is at least 0.9, positive where it is ahead of all of them; null
where no rival got that far.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfx.files import write_json
from cfx.metrics.validity import DOWN, UP
from cfx.reporting.methods import method_rows, methods_table, read_entries
from cfx.reporting.paired import Difference, compare, paired_table, read_tables, write_paired
from cfx.runs import Run
from experiments.interval_figure import draw_study
from experiments.several_runs import answer

ROOT = Path(__file__).resolve().parent


def margins(found: Sequence[Difference], judged: set[str]) -> dict[str, float | None]:
    """Return by figure how far the first run is ahead of every judged rival, by the worse end and direction.

    None where a judged rival lacks the figure in a direction: what was not measured is no lead.

    Args:
        found: its differences from the others.
        judged: names of the rivals that count.
    """
    margin: dict[str, float | None] = {}
    for name in dict.fromkeys(each.figure for each in found):
        mine = [each for each in found if each.figure == name]
        sides = {each.group for each in mine}
        ends = {
            (each.other, each.group): each.low if each.better > 0 else -each.high
            for each in mine
            if each.low is not None and each.high is not None
        }
        wanted = [(other, side) for other in judged for side in sides]
        complete = bool(wanted) and all(each in ends for each in wanted)
        margin[name] = min(ends[each] for each in wanted) if complete else None
    return margin


def work(arguments: list[str]) -> None:
    """Compare the runs that the arguments name, and freeze."""
    study, entries = ROOT / arguments[0], read_entries(arguments[1:])
    found = compare(entries, read_tables(entries))
    print(methods_table(entries).text())
    print(paired_table(found, entries[0].method).text())
    rows = method_rows(entries)
    environment = Run.open(arguments[1]).environment()
    result: dict[str, Any] = {
        "environment": {key: environment[key] for key in ("commit", "device", "seed")},
        "first": entries[0].method,
        "n_images": entries[0].metrics["n_images"],
        "n_patients": entries[0].metrics["n_patients"],
        "methods": {
            row.name: {"judged": row.judged, **{name: vars(figure) for name, figure in row.figures.items()}}
            for row in rows
        },
        "beside": {
            row.name: beside(entry.metrics)
            for row, entry in zip([row for row in rows if row.kind == "method"], entries, strict=True)
        },
        "margin": margins(
            found.differences, {row.name for row in rows[1:] if row.judged and row.kind == "method"}
        ),
    }
    write_json(study / "metrics.json", result)
    write_paired(study, found.differences)
    draw_study(study)


def beside(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a study says of a method beside the table, by direction; None where it was not measured."""
    return {
        group: {
            "p_after": metrics["validity"][group]["p_after"],
            "flip": metrics["transfer"][group]["flip"],
            **{
                name: metrics["clinical"]["ctr"][group][name]
                for name in ("shift_net", "moved_right", "thorax_change")
            },
            **{
                name: (metrics["identity"]["reidentification"][group] or {}).get(name)
                for name in ("same_patient", "same_patient_ceiling", "same_patient_chance")
            },
        }
        for group in (UP, DOWN)
    }


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__, fewest=3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
