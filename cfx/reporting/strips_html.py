"""Progressions as HTML: pictures side by side that scroll sideways on a phone, filtered by true and false calls.

The numbers of each picture stand on its cell too, and what changed beside them: `progression.js` makes a knob of them.
"""

import json
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from cfx.evaluation.explained import INTERPRET
from cfx.evaluation.marking import marked, unmarked
from cfx.evaluation.reading_words import signed_shift, written
from cfx.reporting.progression_widget import change_scale, change_uri, jpeg_uri, measure_json
from cfx.reporting.progressions import CALLS, Strip, difference_map, strip_of
from cfx.reporting.run_files import Example, GreyImage

SMALLEST = 208
"""Pixels that a picture is enlarged to before the mark is written, or its letters could not be read."""


def _enlarged(picture: GreyImage) -> GreyImage:
    """The picture at `SMALLEST` pixels or more, bicubic; one that is large enough is left alone."""
    height, width = picture.shape
    factor = SMALLEST / width
    if factor <= 1.0:
        return picture
    large = Image.fromarray(picture).resize((SMALLEST, round(height * factor)), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large, dtype=np.float32), 0.0, 1.0)


def _cell(
    heading: str,
    source: str,
    posterior: float,
    target: float | None,
    measured: float | None,
    strip: Strip,
    change: str = "",
) -> str:
    """A picture with its heading, the bar of the posterior and the numbers under it; `change` is for the knob."""
    tick = "" if target is None else f'<i style="left:{100 * target:.1f}%"></i>'
    said = written(strip.read_by, measured)
    alt = ", ".join(part for part in (f"{heading}: posterior {posterior:.2f}", said) if part)
    facts = {"posterior": f"{posterior:.4f}"}
    if strip.read_by is not None:
        facts["measured"] = "" if measured is None else f"{measured:.4f}"
    if target is not None:
        facts |= {"target": f"{target:g}", "change": change}
    data = "".join(f' data-{name}="{value}"' for name, value in facts.items())
    return (
        f'<div class="cell"{data}><b>{escape(heading)}</b><img src="{source}" alt="{escape(alt)}" loading="lazy">'
        f'<div class="bar"><span style="width:{100 * posterior:.1f}%"></span>{tick}</div>'
        f"<small>posterior {posterior:.2f}</small>"
        + (
            f"<small>{escape(said)}{'' if target is None else _shift(measured, strip)}</small>"
            if said
            else ""
        )
        + "</div>"
    )


def _shift(measured: float | None, strip: Strip) -> str:
    """' (+0.11)', dimmed under the floor; nothing where one of the two was not measured."""
    before = strip.measured_before
    if measured is None or before is None:
        return ""
    dim = ' class="dim"' if abs(measured - before) < strip.floor else ""
    return f" <span{dim}>({signed_shift(measured, before)})</span>"


def strip_html(example: Example, most: int = 6) -> str:
    """One example as a figure with inlined pictures.

    Args:
        example: the progression.
        most: targets shown; the first and the last are always among them.
    """
    strip = strip_of(example, most)
    cells = [
        _cell(
            "original",
            jpeg_uri(unmarked(_enlarged(strip.original))),
            strip.p_before,
            None,
            strip.measured_before,
            strip,
        )
    ]
    scale = change_scale(strip.original, [strip.steps[0], strip.steps[-1]])
    for target, step, posterior, measured in zip(
        strip.targets, strip.steps, strip.posterior, strip.measured, strict=True
    ):
        source = jpeg_uri(marked(_enlarged(step)))
        change = change_uri(strip.original, step, scale)
        cells.append(_cell(f"asked for {target:g}", source, posterior, target, measured, strip, change))
    cells.append(_difference(strip, scale))
    call = CALLS.get(example.call or "", "call unknown")
    facts = [call, f"{example.rank} of its group", example.note]
    verdict = ""
    if example.verdict and example.verdict != INTERPRET:
        verdict = f'<p class="refused">{escape(example.verdict)}</p>'
    known = measure_json(strip.read_by, strip.floor)
    # JSON in an attribute: the knob takes the same object from the viewer.
    measure = "" if known is None else f' data-measure="{escape(json.dumps(known))}"'
    return (
        f'<figure class="strip" data-call="{escape(example.call or "none")}" data-scale="{scale:.4f}"{measure}>'
        f"<figcaption><b>{escape(strip.title[0])}</b> "
        f"{escape(example.patient_id)} · {escape(' · '.join(fact for fact in facts if fact))}</figcaption>{verdict}"
        f'<div class="cells">{"".join(cells)}</div></figure>'
    )


def _difference(strip: Strip, scale: float) -> str:
    """The last cell: where the picture at the end of the strip became brighter or darker, full colour at `scale`."""
    changed, original = _enlarged(strip.steps[strip.end]), _enlarged(strip.original)
    colours = np.clip(difference_map(original, changed, scale), 0.0, 1.0)
    source = jpeg_uri(Image.fromarray(np.rint(colours * 255).astype(np.uint8)))
    return (
        f'<div class="cell"><b>what changed</b><img src="{source}" alt="difference map" loading="lazy">'
        f'<small><span class="darker">darker</span> · <span class="brighter">brighter</span></small>'
        f"<small>at {strip.targets[strip.end]:g}, up to ±{scale:.2f}</small></div>"
    )


def strips_html(examples: Sequence[Example], budget: int) -> str:
    """All examples, up first, with a filter by call that needs no script.

    Args:
        examples: the progressions of the run.
        budget: bytes that the fragment may take; what does not fit is left out and said so.
    """
    ranks = {"best": 0, "median": 1, "worst": 2}
    sides = {"up": 0, "down": 1}
    # Where the budget cuts, the medians of both directions must be in.
    urgent = sorted(examples, key=lambda e: (e.rank != "median", sides.get(e.group, 2), ranks.get(e.rank, 3)))
    drawn: dict[int, str] = {}
    spent = 0
    for example in urgent:
        fragment = strip_html(example)
        if spent + len(fragment) > budget:
            break
        spent += len(fragment)
        drawn[id(example)] = fragment
    shown = [example for example in examples if id(example) in drawn]
    shown.sort(key=lambda e: (sides.get(e.group, 2), e.call or "", ranks.get(e.rank, 3)))
    calls = [call for call in CALLS if any(example.call == call for example in shown)]
    radios, labels = [], []
    for value, text in [("all", "all"), *((call, CALLS[call] + "s") for call in calls)]:
        checked = " checked" if value == "all" else ""
        radios.append(f'<input type="radio" name="call" id="call-{value}"{checked}>')
        labels.append(f'<label for="call-{value}">{escape(text)}</label>')
    choice = f'{"".join(radios)}<div class="filter">{"".join(labels)}</div>' if len(calls) > 1 else ""
    left_out = len(examples) - len(shown)
    note = (
        f'<p class="note">{left_out} more progressions are in the folder examples/.</p>' if left_out else ""
    )
    return f'<div class="strips">{choice}{"".join(drawn[id(example)] for example in shown)}</div>{note}'
