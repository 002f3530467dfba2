"""Tables of an evaluation: the method beside its controls, one table as text for the terminal and as HTML.

A number that could not be made is a dash, never a zero. Which figure counts as good is told by EVALUATION's
rule: a method is judged among those with reach >= 0.9, so the table never prints a ranking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from cfx.evaluation.reading_words import label_of
from cfx.metrics.recess import SIDES
from cfx.reporting.example_readings import measurement_of
from cfx.reporting.glossary import glossary_html
from cfx.reporting.run_files import interval_at, number_at

DASH = "–"
DIRECTIONS = ("up", "down")


def fixed(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number with a fixed count of digits, or a dash for None."""
    if value is None:
        return DASH
    value = round(value, digits) + 0.0  # no zero with a minus before it
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """A whole number with thousands apart, or a dash."""
    return DASH if value is None else f"{value:,.0f}"


def interval(bounds: tuple[float, float] | None, digits: int = 3, signed: bool = False) -> str:
    """'[low, high]' or nothing where there is no interval."""
    if bounds is None:
        return ""
    low, high = (fixed(bound, digits, signed) for bound in bounds)
    return f"[{low}, {high}]"


@dataclass(frozen=True)
class Table:
    """A table: a title, the columns' names and rows of ready text, the first column naming the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def text(self) -> str:
        """The table with aligned columns, the first to the left, the others to the right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]

        def row(cells: Sequence[str]) -> str:
            first = cells[0].ljust(widths[0])
            return "  ".join(
                [first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
            ).rstrip()

        ruler = "  ".join("-" * width for width in widths)
        note = [self.note] if self.note else []
        return "\n".join([self.title, row(self.header), ruler, *(row(cells) for cells in self.rows), *note])

    def html(self) -> str:
        """The table as an HTML fragment that scrolls sideways on a narrow screen, with its words explained below."""
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{escape(cells[0])}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
            + "</tr>"
            for cells in self.rows
        )
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        words = glossary_html([*self.header, *(cell for row in self.rows for cell in row[:2])])
        return (
            f"<h3>{escape(self.title)}</h3>"
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>{note}{words}"
        )


# Column of the controls table: heading, key of the metrics, digits.
_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("reach up", "validity.up.reach", 2),
    ("reach down", "validity.down.reach", 2),
    ("target MAE", "validity.target_mae", 3),
    ("gap closed up", "clinical.{m}.up.gap_closed", 2),
    ("gap closed down", "clinical.{m}.down.gap_closed", 2),
    ("CTR to oracle", "oracle.ctr_mae", 3),
    ("L1 ratio", "oracle.l1_ratio", 2),
    ("ghost", "oracle.ghost", 2),
    ("KID", "realism.kid", 4),
    ("devices kept", "identity.fop", 2),
    ("transfer", "transfer.share", 2),
)


def _cell(metrics: Mapping[str, Any], key: str, digits: int) -> str:
    """A metric's text; 'transfer.share' also finds a bare number stored at 'transfer'."""
    value = number_at(metrics, key)
    if value is None and key.startswith("transfer."):
        value = transfer_share(metrics)
    return fixed(value, digits)


def transfer_share(metrics: Mapping[str, Any]) -> float | None:
    """The transfer figure, whether stored bare, by direction or as a mapping with the share in it.

    By direction the worse of the two is given, as every bar holds for the worse one.
    """
    node = metrics.get("transfer")
    if not isinstance(node, Mapping):
        return number_at(metrics, "transfer")
    for key in ("share", "value", "of_oracle", "of_gap", "rate"):
        if (found := number_at(node, key)) is not None:
            return found
    sides = [node[side] for side in DIRECTIONS if side in node]
    values = [transfer_share({"transfer": side}) for side in sides]
    known = [value for value in values if value is not None]
    return min(known) if known else None


def controls_table(metrics: Mapping[str, Any]) -> Table:
    """The method and its controls, row by row, in the figures that only together mean something.

    Args:
        metrics: ``metrics.json`` (EVALUATION section 8), controls under ``controls.<name>`` with the same
            keys.

    Returns:
        the table; columns in which nobody has a number are left out.

    """
    controls = metrics.get("controls")
    named: list[tuple[str, Mapping[str, Any]]] = [(str(metrics.get("method") or "method"), metrics)]
    if isinstance(controls, Mapping):
        named += [
            (str(name).replace("_", " "), node)
            for name, node in controls.items()
            if isinstance(node, Mapping)
        ]
    name = measurement_of(metrics)
    keys = [(heading, key.format(m=name), digits) for heading, key, digits in _COLUMNS]
    cells = {heading: [_cell(node, key, digits) for _, node in named] for heading, key, digits in keys}
    kept = [heading for heading, _, _ in keys if any(cell != DASH for cell in cells[heading])]
    rows = tuple((who, *(cells[heading][i] for heading in kept)) for i, (who, _) in enumerate(named))
    return Table(
        "Method and controls",
        ("", *kept),
        rows,
        "Judge a method among those with reach of at least 0.9 only; each control fails somewhere by design.",
    )


def direction_table(metrics: Mapping[str, Any]) -> Table:
    """What was asked and what happened, upwards and downwards: validity, then the clinical measurement.

    Args:
        metrics: ``metrics.json``.

    Returns:
        a table with one column a direction, intervals beside the numbers.

    """
    name = measurement_of(metrics)
    label = label_of(name)
    lines: list[tuple[str, str, str, int]] = [
        ("images", "validity.{d}.n_images", "", 0),
        ("patients", "validity.{d}.n_patients", "", 0),
        ("of them with the label", "validity.{d}.n_label", "", 0),
        ("target reached", "validity.{d}.reach", "validity.{d}.ci95:reach", 3),
        ("posterior moved by > 0.8", "validity.{d}.cv_0.8", "", 3),
        ("  of at most", "validity.{d}.cv_ceiling", "", 3),
        (f"{label} before", f"clinical.{name}.{{d}}.before", f"clinical.{name}.{{d}}.ci95:before", 3),
        (f"{label} after", f"clinical.{name}.{{d}}.after", f"clinical.{name}.{{d}}.ci95:after", 3),
        (
            "shift, net of redrawing",
            f"clinical.{name}.{{d}}.shift_net",
            f"clinical.{name}.{{d}}.ci95:shift_net",
            3,
        ),
        ("gap closed", f"clinical.{name}.{{d}}.gap_closed", f"clinical.{name}.{{d}}.ci95:gap_closed", 2),
        (
            "moved the right way",
            f"clinical.{name}.{{d}}.moved_right",
            f"clinical.{name}.{{d}}.ci95:moved_right",
            3,
        ),
        *(
            (
                f"  on the patient's {half}",
                f"clinical.{name}.{half}.{{d}}.moved_right",
                f"clinical.{name}.{half}.{{d}}.ci95:moved_right",
                3,
            )
            for half in SIDES  # of the recess score alone
        ),
        ("moved beyond noise", f"clinical.{name}.{{d}}.moved_beyond_noise", "", 3),
        ("thorax width changed by", f"clinical.{name}.{{d}}.thorax_change", "", 3),
        ("not measurable", f"clinical.{name}.{{d}}.not_measurable", "", 3),
    ]
    rows = []
    for heading, key, where, digits in lines:
        cells = []
        for side in DIRECTIONS:
            value = number_at(metrics, key.format(d=side))
            bounds = None
            if where:
                path, figure = where.split(":")
                bounds = interval_at(metrics, path.format(d=side), figure)
            text = count(value) if digits == 0 else fixed(value, digits, signed="shift" in heading)
            cells.append(f"{text} {interval(bounds, digits)}".strip() if value is not None else DASH)
        if any(cell != DASH for cell in cells):
            rows.append((heading, *cells))
    return Table("By direction", ("", "asked for 1.0 (up)", "asked for 0.0 (down)"), tuple(rows))


def parts_table(metrics: Mapping[str, Any]) -> Table:
    """How good the parts of the run are: the black box that is explained and the segmenter that measures."""
    lines = (
        ("black box AUROC", "blackbox.auroc", 3),
        ("black box AUROC against the latent call", "blackbox.auroc_latent", 3),
        ("black box AUPRC", "blackbox.auprc", 3),
        ("black box calibration error (ECE)", "blackbox.ece", 3),
        ("black box prior", "blackbox.prior", 2),
        ("segmenter Dice, heart", "anatomy.dice_heart", 3),
        ("segmenter Dice, left lung", "anatomy.dice_left_lung", 3),
        ("segmenter Dice, right lung", "anatomy.dice_right_lung", 3),
        ("segmenter CTR error (MAE)", "anatomy.ctr_mae", 4),
        ("segmenter: not measurable", "anatomy.not_measurable", 3),
        ("detector AP50", "detector.ap50", 3),
    )
    rows = tuple((heading, fixed(number_at(metrics, key), digits)) for heading, key, digits in lines)
    return Table("The parts", ("", "value"), tuple(row for row in rows if row[1] != DASH))
