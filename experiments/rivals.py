"""Set the default explainer against its rivals on one black box and the same test patients, and freeze the tables.

    python experiments/rivals.py rivals runs/cardiomegaly-phantom-explainer-0123abcd runs/cardiomegaly-phantom-xgem-...

The first run is the one that the others are held against. Writes into the study's folder `paired.csv` (differences by
patient) and `metrics.json`: the figures of every method, and in `margin` the least favourable end of the 95 % interval
by which the first is ahead of any rival whose reach is at least 0.9, positive where it is ahead of all of them; null
where no rival got that far.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfx.files import write_json
from cfx.reporting.methods import method_rows, methods_table, read_entries
from cfx.reporting.paired import Difference, compare, paired_table, read_tables, write_paired
from cfx.runs import Run

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


def main(arguments: list[str]) -> int:
    """Compare and freeze; exit code 2 where the arguments do not name a study and at least two runs."""
    if len(arguments) < 3:
        print(__doc__, file=sys.stderr)
        return 2
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
        "margin": margins(
            found.differences, {row.name for row in rows[1:] if row.judged and row.kind == "method"}
        ),
    }
    study.mkdir(exist_ok=True)
    write_json(study / "metrics.json", result)
    write_paired(study, found.differences)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
