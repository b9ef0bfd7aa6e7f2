"""The colours of a map: readable, and rising with the value."""

import numpy as np
import pytest

from leaderboard_app.widgets.heat_map import RAMP, Cell, ink, shade
from tests.leaderboard_app.views.test_leaderboard_parts import linear

VALUES = np.linspace(0, 100, 41).tolist()
TO_LUMINANCE = [0.2126, 0.7152, 0.0722]


def test_more_is_brighter() -> None:
    brightness = [linear(shade(value)) @ TO_LUMINANCE for value in VALUES]
    assert brightness == sorted(brightness)
    assert (shade(0), shade(100)) == (RAMP[0], RAMP[-1])
    assert (shade(-1), shade(101)) == (RAMP[0], RAMP[-1])
    assert shade(50) not in RAMP


@pytest.mark.parametrize("value", VALUES)
def test_the_number_stands_out_from_the_colour(value: float) -> None:
    """By WCAG 2.1, 1.4.3."""
    back, front = (linear(colour) @ TO_LUMINANCE for colour in (shade(value), ink(shade(value))))
    low, high = sorted((back, front))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_cell_without_a_value_has_no_colour() -> None:
    assert (Cell(None, "", "no result").style, Cell(None, "", "no result").text) == ("", "–")
    assert Cell(49.6, "", "").text == "50"
