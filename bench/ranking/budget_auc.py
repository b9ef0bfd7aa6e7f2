"""Accuracy and parameters in one number."""

import math
from collections.abc import Sequence
from itertools import pairwise

SMALLEST, LARGEST = 1e4, 1e7


def budget_auc(points: Sequence[tuple[float, float]]) -> float:
    """Return the mean over ln p in [10⁴, 10⁷] of the best score reached with at most p parameters.

    Where nothing is as small as p, the score is 0. The mean needs no exchange rate between the two axes and depends on
    no other architecture.

    Args:
        points: (parameters, score) of one architecture.
    """
    inside = sorted((max(params, SMALLEST), score) for params, score in points if params < LARGEST)
    area, best = 0.0, 0.0
    for (params, score), (following, _) in pairwise([*inside, (LARGEST, 0.0)]):
        best = max(best, score)
        area += best * math.log(following / params)
    return area / math.log(LARGEST / SMALLEST)
