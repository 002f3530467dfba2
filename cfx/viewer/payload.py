"""What the page is sent of a progression, all at once, and what may be downloaded of it."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from cfx.evaluation.explained import MARK, Reading, cut_padding
from cfx.evaluation.marking import marked, png_info, unmarked
from cfx.files import jsonable
from cfx.reporting.explained_figure import explained_png, floor_of
from cfx.reporting.plain_words import plain_verdict
from cfx.reporting.progression_widget import change_scale, change_uri, jpeg_uri, measure_json
from cfx.viewer.outlines import Overlay
from cfx.viewer.progression import Shown

MARK_SHARE = 0.034
"""Height of the mark's letters on what the page shows, which is often half of its size on the screen."""

README = f"""Every picture whose name begins with "step" is a {MARK}: a model drew it to show what moves a classifier.
None is a radiograph, and none shows what will become of the patient. For research; not a medical device.

progression.png   the original, the pictures for some of the values asked for, and what changed
original.png      the picture as it was given, at the size it was looked at
step_c040.png     the picture for which the classifier was asked to say 0.40, and so on
numbers.json      posterior, everything that was measured, and the verdict for each of them
"""


def _measured(reading: Reading, read_by: str | None) -> dict[str, Any]:
    """The numbers that stand beside a picture; what the task is read by only where it is read by something."""
    found = {} if read_by is None else {"measured": reading.measured(read_by)}
    return {"posterior": reading.posterior, **found, "transfer": reading.transfer}


def _overlay(overlay: Overlay, read_by: str | None) -> dict[str, Any]:
    """The outlines; the lines of the CTR only where the task is read by it."""
    found = overlay.numbers()
    return found if read_by == "ctr" else {**found, "lines": {}}


def _told(shown: Shown, index: int) -> str:
    """The verdict on a step in plain words, with the notes where it is the step that they are about."""
    explained = shown.explained
    said = [
        plain_verdict(
            shown.reasons[index], explained.steps[index].reading.transfer is not None, explained.read_by
        )
    ]
    if index == explained.end:
        said += [f"Note: {note}." for note in explained.notes]
    return " ".join([*said, *explained.unchecked])


def progression_json(shown: Shown) -> dict[str, Any]:
    """The progression as the widget takes it (see `progression.js`): numbers, pictures as data URIs, outlines.

    Drawn pictures carry the mark in their pixels; what changed is sent apart, in grey values of the picture that the
    black box saw.
    """
    explained, read_by = shown.explained, shown.explained.read_by
    height, width = explained.height, explained.width
    original = cut_padding(explained.original, height, width)
    small = [cut_padding(step.picture, height, width) for step in explained.steps]
    scale = change_scale(original, [small[0], small[-1]])
    first: dict[str, Any] = {
        **_measured(explained.before, read_by),
        "picture": jpeg_uri(unmarked(shown.pictures[0]), 92),
        **_overlay(shown.overlays[0], read_by),
    }
    steps = []
    for index, step in enumerate(explained.steps):
        reasons = shown.reasons[index]
        seen = shown.seen[index + 1]
        steps.append(
            {
                "target": step.target,
                "limit": step.limit,
                **_measured(step.reading, read_by),
                "seen": seen,
                "picture": jpeg_uri(marked(shown.pictures[index + 1], share=MARK_SHARE), 92, note=True),
                "change": change_uri(original, small[index], scale),
                "verdict": {
                    "ok": not reasons,
                    "text": _told(shown, index),
                },
                **_overlay(shown.overlays[index + 1], read_by),
            }
        )
    result: dict[str, Any] = jsonable(
        {
            "name": explained.name,
            "height": height,
            "width": width,
            "finding": explained.about.get("finding"),
            "measure": measure_json(read_by, floor_of(explained)),
            "changeScale": scale,
            "original": first,
            "redrawn": _measured(explained.redrawn, read_by),
            "steps": steps,
            "end": explained.end,
            "seconds": explained.seconds,
        }
    )
    return result


def archive(shown: Shown) -> bytes:
    """A zip of the strip, each picture as a PNG with its mark, and the numbers."""
    explained = shown.explained
    numbers = jsonable(explained.numbers())
    for index, step in enumerate(numbers["steps"]):
        checked = step["transfer"] is not None
        step["verdict"] = plain_verdict(shown.reasons[index], checked, explained.read_by)
        step["posterior_of_picture_shown"] = shown.seen[index + 1]
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("README.txt", README)
        packed.writestr("progression.png", explained_png(explained))
        packed.writestr("numbers.json", json.dumps(numbers, indent=2, allow_nan=False) + "\n")
        packed.writestr("original.png", _png(unmarked(shown.pictures[0]), note=False))
        for step, picture in zip(explained.steps, shown.pictures[1:], strict=True):
            packed.writestr(f"step_c{round(100 * step.target):03d}.png", _png(marked(picture), note=True))
    return buffer.getvalue()


def _png(picture: Any, note: bool) -> bytes:
    """A picture as a PNG; `note` says inside the file that it is synthetic."""
    buffer = BytesIO()
    picture.save(buffer, format="PNG", pnginfo=png_info() if note else None)
    return buffer.getvalue()


def archive_name(shown: Shown) -> str:
    """What the download is called: the picture's name in plain letters."""
    stem = "".join(letter if letter.isalnum() else "_" for letter in Path(shown.explained.name).stem)
    return f"{stem.encode('ascii', 'ignore').decode()[:60].strip('_') or 'picture'}_counterfactuals.zip"
