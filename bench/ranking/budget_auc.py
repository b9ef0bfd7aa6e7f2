"""Accuracy and parameters in one number."""

import math
from collections.abc import Sequence
from itertools import pairwise


def budget_auc(points: Sequence[tuple[float, float]], smallest: float, largest: float) -> float:
    """Return the mean over ln p in [smallest, largest] of the best score reached with at most p parameters.

    Where nothing is as small as p, the score is 0. The mean needs no exchange rate between the two axes and depends on
    no other architecture.

    Args:
        points: (parameters, score) of one architecture.
        smallest, largest: numbers of parameters. A suite's are its smallest tier and ten times its largest.
    """
    inside = sorted((max(params, smallest), score) for params, score in points if params < largest)
    area, best = 0.0, 0.0
    for (params, score), (following, _) in pairwise([*inside, (largest, 0.0)]):
        best = max(best, score)
        area += best * math.log(following / params)
    return area / math.log(largest / smallest)
