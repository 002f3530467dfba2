"""The mark fits into every picture."""

import numpy as np
import pytest

from cfx.evaluation.marking import marked


@pytest.mark.parametrize("width", [48, 64, 96, 100, 128, 140, 160, 200, 256, 512])
def test_no_letter_is_cut_off(width: int) -> None:
    pixels = np.asarray(marked(np.zeros((width, width))))
    letters = pixels > 60
    assert letters.any()
    columns = np.flatnonzero(letters.any(axis=0))
    assert columns[0] >= 1 and columns[-1] <= width - 2
