"""What a result is worth, between anchors that no other entry moves."""

import math
from collections.abc import Sequence
from statistics import fmean

from db.schema import Run

LEARNED = 0.5
"""The least utility of a run that has learned its task. A mean of learned and unlearned seeds describes no run, so the
share of seeds that learned stands beside each score."""


def utility(value: float | None, *, chance: float, solved: float) -> float:
    """Return where a test metric lies between the task's trivial predictor (0) and the value that counts as solved (1).

    Accuracies lie on a linear scale, errors on a logarithmic one. The result is clipped to [0, 1]. No value, or one
    that is not finite, has utility 0.

    Args:
        chance: the metric of the trivial predictor.
        solved: the metric that counts as solved.
    """
    if value is None or not math.isfinite(value):
        return 0.0
    if solved > chance:
        fraction = (value - chance) / (solved - chance)
    elif value <= solved:
        fraction = 1.0
    else:
        fraction = math.log(chance / value) / math.log(chance / solved)
    return min(1.0, max(0.0, fraction))


def score(run: Run) -> float:
    """Return 100 × utility. A run that did not finish scores 0."""
    if run.status != "finished":
        return 0.0
    return 100 * utility(run.metric_value, chance=run.chance, solved=run.solved)


def learned_share(scores: Sequence[float]) -> float:
    """Return the share of scores, from 0 to 100, whose runs have learned the task (see LEARNED)."""
    return fmean(score >= 100 * LEARNED for score in scores)
