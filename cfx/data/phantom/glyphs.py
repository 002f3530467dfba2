"""Letters of the text markers: 3 x 5 dots each, as on a film at low resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GLYPHS: dict[str, tuple[str, ...]] = {
    "A": (".#.", "#.#", "###", "#.#", "#.#"),
    "B": ("##.", "#.#", "##.", "#.#", "##."),
    "E": ("###", "#..", "##.", "#..", "###"),
    "H": ("#.#", "#.#", "###", "#.#", "#.#"),
    "L": ("#..", "#..", "#..", "#..", "###"),
    "O": ("###", "#.#", "#.#", "#.#", "###"),
    "P": ("###", "#.#", "###", "#..", "#.."),
    "R": ("##.", "#.#", "##.", "#.#", "#.#"),
    "T": ("###", ".#.", ".#.", ".#.", ".#."),
    " ": ("...", "...", "...", "...", "..."),
}


def bitmap(text: str) -> NDArray[np.float32]:
    """0/1 picture (5, 4 n - 1) of a text of n letters; KeyError for a letter that no marker uses."""
    rows = [".".join(_GLYPHS[letter][row] for letter in text) for row in range(5)]
    return np.array([[float(dot == "#") for dot in row] for row in rows], dtype=np.float32)
