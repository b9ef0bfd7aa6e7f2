"""Names at the right edge of a chart, one for each line, moved apart where they would overlap."""

from collections.abc import Sequence

import numpy as np

from leaderboard_app.views.leaderboard.points import Point
from leaderboard_app.widgets.drawing import AROUND, GREY, LEADS, Spec, chosen, colour, layer, of_families

LINE = 13
"""Pixels from one name to the next."""
MOST = 40
"""Names that a chart has at most."""
LOWEST = 300
"""Pixels of a chart's plot, at least."""
TEXT: Spec = {
    "align": "left", "baseline": "middle", "dx": 4, "fontSize": 11, "limit": 130,
    "fontWeight": {"expr": f"{LEADS} ? 'bold' : 'normal'"},
}  # fmt: skip


def placed(shown: Sequence[Point], field: str, y: Spec) -> tuple[list[Point], float]:
    """Return the end of each line with the place of its name, and the height of a chart in which names keep apart.

    If there are more lines than names have room, those that lead and the best keep theirs.
    """
    ends: dict[str, Point] = {}
    for each in sorted(shown, key=lambda each: (each[field], each["score"])):
        ends[each["line"]] = each
    named = sorted(ends.values(), key=lambda each: (not each["leads"], -each["score"]))[:MOST]
    (low, high), inside = y["scale"]["domain"], max(LOWEST, LINE * len(named))
    places = spread([each["score"] for each in named], LINE * (high - low) / inside, low, high)
    return [each | {"place": place} for each, place in zip(named, places, strict=True)], inside + AROUND


def names(labels: Sequence[Point], shown: Sequence[str], x: Spec, y: Spec) -> list[Spec]:
    """Draw the names at the right edge, each with a thin line from its mark.

    Args:
        labels: the ends of lines, as `placed` returns them.
        shown: the families that the chart shows.
    """
    edge = {"value": "width"}
    thin = {"x": x, "x2": edge, "y": y, "y2": {"field": "place"}, "color": GREY, "opacity": chosen(0.9, 0.35, LEADS)}
    names = {"x": edge, "y": y | {"field": "place"}, "text": {"field": "entry"}, "color": colour(shown)}
    return [
        of_families(layer(labels, "rule", thin, strokeWidth=0.7)),
        of_families(layer(labels, "text", names, **TEXT)),
    ]


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
