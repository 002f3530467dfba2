"""What the columns and rows of the report's tables say, a sentence each, for who has not read how they are computed."""

from collections.abc import Iterable, Sequence
from html import escape

LOW, HIGH = 0.2, 0.8
"""Where a picture is called clearly, as `cfx.metrics.validity` has it, which reporting can not import without torch."""

_REACH = f"share of pictures whose posterior got to {HIGH} or more (up), to {LOW} or less (down)"
_GAP = (
    "shift of the measurement over the difference between the patients that the classifier calls positive and "
    "negative; 1 = as far as they differ, more is caricature"
)
_L1 = "grey value distance to the oracle over that of the original to it; 0 = the oracle itself, 1 = did nothing"
_TRANSFER = "how often the call of an independent classifier flips as well"
_FOP = "share of devices (lines, pacemakers) that are still there as they were"
WORDS = {
    "reach": _REACH,
    "reach up": _REACH,
    "reach down": _REACH,
    "target reached": _REACH,
    "target MAE": "mean distance between the posterior asked for and the one reached",
    "posterior moved by > 0.8": "share of pictures; 'of at most' is the share that could, from where they began",
    "shift, net of redrawing": "against the method's own picture at the original's posterior, not the original",
    "gap closed": _GAP,
    "gap closed up": _GAP,
    "gap closed down": _GAP,
    "gap_closed": _GAP,
    "moved beyond noise": "share of patients whose shift is larger than the measurement's own scatter",
    "CTR to oracle": "mean distance of the cardiothoracic ratio from the oracle's",
    "ctr_mae": "mean distance of the cardiothoracic ratio from the oracle's",
    "L1 ratio": _L1,
    "l1_ratio": _L1,
    "ghost": "how strongly the old heart border still stands where the oracle has none; 1 = as in the oracle",
    "KID": "distance (kernel) between drawn pictures and real ones of the group asked for; near 0 = not told apart",
    "devices kept": _FOP,
    "fop": _FOP,
    "transfer": _TRANSFER,
    "transfer flip": _TRANSFER,
    "oracle": "the same patient rendered again with the finding alone changed; only synthetic pictures have one",
    "nothing": "the original handed back",
    "nearest real": "the most similar picture of another patient whom the classifier calls as asked",
    "pixel descent": "grey values changed without a model of pictures, until the classifier says what is asked",
}
"""By the name of a column or row."""


def explained(names: Iterable[str]) -> Sequence[tuple[str, str]]:
    """The names that have an explanation, each sentence once, names that share it joined."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(each.strip() for each in names):
        if name in WORDS:
            found.setdefault(WORDS[name], []).append(name)
    return [(", ".join(shared), text) for text, shared in found.items()]


def glossary_html(names: Iterable[str]) -> str:
    """A list to unfold under a table; nothing where no name needs one."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in explained(names))
    return (
        f"<details class='words'><summary>What these words mean</summary><dl>{items}</dl></details>"
        if items
        else ""
    )
