"""The dozen lines that a run ends with in the terminal."""

from pathlib import Path

from cfx.evaluation.reading_words import label_of
from cfx.reporting.example_readings import measurement_of, measures_nothing, read_by_of
from cfx.reporting.run_files import RunFiles, interval_at
from cfx.reporting.sentences import verdict
from cfx.reporting.tables import DASH, count, fixed, interval, transfer_share

_WIDTH = 11


def _line(name: str, text: str) -> str:
    return f"  {name:<{_WIDTH}} {text}"


def _share(value: float | None) -> str:
    return fixed(value, 3)


def _validity(run: RunFiles) -> list[str]:
    """Reach both ways with the counts, target error over the grid, monotone."""
    sides = ", ".join(
        f"{side} {_share(run.value(f'validity.{side}.reach'))} "
        f"(n={count(run.value(f'validity.{side}.n_images'))})"
        for side in ("up", "down")
    )
    rest = (
        f"target_mae {fixed(run.value('validity.target_mae'))} (worst "
        f"{fixed(run.value('validity.target_mae_worst'))}), monotone {_share(run.value('validity.monotone'))}"
    )
    return [_line("reach", sides), _line("grid", rest)]


def _clinical(run: RunFiles) -> list[str]:
    """A line a direction: the measurement before and after, its net shift and the share of the gap closed."""
    if measures_nothing(run.metrics):
        return [_line("measured", "nothing: the task names no measurement")]
    name = measurement_of(run.metrics)
    lines = (
        [] if read_by_of(run.metrics) else [_line("read by", "what this task is read by was not measured")]
    )
    for side in ("up", "down"):
        key = f"clinical.{name}.{side}"
        if run.value(f"{key}.before") is None:
            lines.append(_line(f"{label_of(name)} {side}", "not measured"))
            continue
        shift = interval(interval_at(run.metrics, f"{key}.ci95", "shift_net"), 3, signed=True)
        gap = interval(interval_at(run.metrics, f"{key}.ci95", "gap_closed"), 2)
        lines.append(
            _line(
                f"{label_of(name)} {side}",
                f"{fixed(run.value(f'{key}.before'))} -> {fixed(run.value(f'{key}.after'))}, net shift "
                f"{fixed(run.value(f'{key}.shift_net'), signed=True)} {shift}".rstrip()
                + f", gap closed {fixed(run.value(f'{key}.gap_closed'), 2)} {gap}".rstrip()
                + f", moved right {_share(run.value(f'{key}.moved_right'))}",
            )
        )
    return lines


def _identity(run: RunFiles) -> str:
    """Devices kept, by whom they were found, and transfer to an independent classifier."""
    by = (run.metrics.get("identity") or {}).get("fop_by")
    kept = f"devices kept {_share(run.value('identity.fop'))}" + (f" (by {by})" if by else "")
    return f"{kept}, transfer {fixed(transfer_share(run.metrics), 2)}"


def _oracle(run: RunFiles) -> str:
    """The distance to the oracle beside doing nothing's; a dash where there is no oracle."""
    if run.value("oracle.ctr_mae") is None:
        return (
            DASH if run.metrics.get("oracle") else f"{DASH} (phantoms only, unless evaluation.oracle=false)"
        )
    return (
        f"CTR off by {fixed(run.value('oracle.ctr_mae'))} (doing nothing "
        f"{fixed(run.value('oracle.ctr_mae_nothing'))}), l1_ratio {fixed(run.value('oracle.l1_ratio'), 2)}, "
        f"ghost {fixed(run.value('oracle.ghost'), 2)}"
    )


def summary_text(run: RunFiles, figure: Path | None = None, report: Path | None = None) -> str:
    """The end of a run in the terminal.

    Args:
        run: the evaluation's files.
        figure: where the figure of the progressions was written, if it was.
        report: where report.html was written, if it was.

    Returns:
        about a dozen lines: verdict, reach, grid, CTR both ways, oracle, devices, parts, warnings, paths.

    """
    metrics = run.metrics
    patients, images = count(run.value("n_patients")), count(run.value("n_images"))
    minutes = run.value("run.minutes")
    took = "" if minutes is None else f", {minutes:.1f} min, {count(run.value('run.peak_mib'))} MiB at most"
    what = f"{metrics.get('task')} on {metrics.get('data')}, {metrics.get('method')}"
    head = f"{what}: {images} images of {patients}"
    parts = (
        f"black box AUROC {fixed(run.value('blackbox.auroc'))}, segmenter Dice "
        f"heart {fixed(run.value('anatomy.dice_heart'))}, left lung {fixed(run.value('anatomy.dice_left_lung'))}, "
        f"right lung {fixed(run.value('anatomy.dice_right_lung'))}"
    )
    warnings = [str(text) for text in metrics.get("warnings") or []]
    lines = [f"{head} patients{took}", f"  {verdict(run).sentence}", *_validity(run), *_clinical(run)]
    lines += [_line("oracle", _oracle(run)), _line("identity", _identity(run)), _line("parts", parts)]
    lines += [_line("warning", text) for text in warnings] or [_line("warnings", "none")]
    if figure is not None:
        lines.append(_line("figure", str(figure)))
    if report is not None:
        lines.append(_line("report", str(report)))
    return "\n".join(lines)
