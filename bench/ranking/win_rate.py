"""How often one entry scores higher than another."""

from collections.abc import Sequence

import numpy as np


def win_rate(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the probability that a seed of the first scores higher than a seed of the second; a tie counts half.

    That is the statistic of Mann and Whitney (1947), U / nm; "probability of improvement" in Agarwal et al. 2021.

    Raises:
        ValueError: one of them has no seed.
    """
    if not first or not second:
        raise ValueError("a win rate needs a score of each entry, got none of one of them")
    gaps = np.subtract.outer(np.asarray(first, dtype=float), np.asarray(second, dtype=float))
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())
