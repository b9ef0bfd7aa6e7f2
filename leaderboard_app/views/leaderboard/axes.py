"""The axes of the board's charts: scores, and what they are plotted against."""

from collections.abc import Sequence
from math import ceil, exp, log
from typing import NamedTuple

from bench.catalog.tiers import TIERS
from leaderboard_app.views.leaderboard.points import Point
from leaderboard_app.widgets.drawing import Spec, number

LEAST_SPREAD = log(1.02)  # least length of a logarithmic axis, so that equal values do not give it none
MARGIN = 0.06  # of an axis, on both sides


class Axis(NamedTuple):
    """The quantity that the score is plotted against."""

    field: str
    title: str
    is_cost: bool = True
    """Whether less of it is better: then there is a front, and the axis is logarithmic."""


PARAMETERS = Axis("params", "parameters outside token tables")
TIME = Axis("train_seconds", "seconds of training, one seed of every task")
STATE = Axis("state_bytes", "bytes that a sequence carries from step to step")
YEAR = Axis("year", "year of the paper", is_cost=False)


def cost_axis(axis: Axis, shown: Sequence[Point]) -> Spec:
    """Return the horizontal axis. Parameters of several tiers are marked at the tiers."""
    values = [each[axis.field] for each in shown]
    if not axis.is_cost:
        scale = {"domain": [min(values) - 1, max(values) + 1], "nice": False}
        return number(axis.field, axis.title, scale=scale, axis={"format": "d", "tickCount": 8, "grid": False})
    margin = MARGIN * max(log(max(values) / min(values)), LEAST_SPREAD)
    scale = {"type": "log", "nice": False, "domain": [min(values) * exp(-margin), max(values) * exp(margin)]}
    sizes = sorted({TIERS[each["tier"]] for each in shown if each["tier"] in TIERS})
    marked = {"values": sizes} if axis is PARAMETERS and len(sizes) > 1 else {"tickCount": 5, "grid": False}
    return number(axis.field, axis.title, scale=scale, axis={"format": "~s", **marked})


def score_axis(shown: Sequence[Point]) -> Spec:
    """Return the vertical axis: from the last multiple of ten below the lowest score to 100, the maximum."""
    floor = 10 * max(0, ceil(min(each["low"] for each in shown) / 10) - 1)
    return number("score", "score", scale={"domain": [floor, 100]}, axis={"tickCount": 5})
