"""Names at the right edge of a chart, one for each line, moved apart where they would overlap."""

from collections.abc import Sequence

import numpy as np

LINE = 13
"""Pixels from one name to the next."""
MOST = 40
"""Names that a chart has at most."""


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions in the order of the wanted ones, at least `gap` apart, and as near to them as squares can be.

    With z_i = y_i − i·gap in ascending order, that is the nearest ascending z: pool adjacent violators.

    Args:
        low, high: the ends within which positions stay if there is room for all.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    ascending = _nearest_ascending(np.asarray(wanted, dtype=float)[order] - steps)
    room = max(low, high - gap * (len(wanted) - 1))
    found = np.empty(len(wanted))
    found[order] = np.clip(ascending, low, room) + steps
    return found.tolist()


def _nearest_ascending(values: np.ndarray) -> np.ndarray:
    """Return the ascending sequence with the least sum of squared distances to `values`."""
    pools: list[tuple[float, int]] = []  # mean and count
    for value in values.tolist():
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            other, many = pools.pop()
            mean, count = (mean * count + other * many) / (count + many), count + many
        pools.append((mean, count))
    return np.repeat([mean for mean, _ in pools], [count for _, count in pools])
