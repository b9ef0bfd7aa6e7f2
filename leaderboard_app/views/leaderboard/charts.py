"""The board's charts of scores: against what they cost, and with how certain their order is.

Families have a colour and a shape. Each entry's line ends in its name.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from bench.catalog.families import FAMILIES
from bench.catalog.tiers import tier_size
from bench.ranking.contest import WRAPPERS
from bench.ranking.rows import SuiteRow
from leaderboard_app.views.leaderboard.axes import PARAMETERS, STATE, TIME, YEAR, Axis, cost_axis, score_axis
from leaderboard_app.views.leaderboard.end_labels import names, placed
from leaderboard_app.views.leaderboard.points import Point, best_of_tiers, families, front, points
from leaderboard_app.views.leaderboard.shown import Shown
from leaderboard_app.views.leaderboard.table import Naming, shown_name
from leaderboard_app.widgets.drawing import (
    AROUND,
    BAND,
    FAINT,
    GREY,
    LEADS,
    Spec,
    chart,
    chosen,
    colour,
    layer,
    marks,
    number,
    of_families,
)

Rows = tuple[SuiteRow, ...]
Seeds = tuple[tuple[float, ...], ...]
Drawing = Callable[[], Spec | None]

FLOOR = FAMILIES[-1]


def against_cost(shown: Shown) -> tuple[Drawing, str]:
    """Return how to draw the first chart, score against parameters or against training time, and its title.

    Against parameters it has every tier of the architectures that are shown.
    """
    if shown.timed:
        return lambda: score_against(
            shown.rows, TIME, None, shown.name, apart=shown.apart
        ), "Score against training time"
    return (
        lambda: score_against(shown.in_all_tiers, PARAMETERS, shown.tier, shown.name, apart=shown.apart),
        "Score against parameters",
    )


def against_state(shown: Shown) -> Spec | None:
    """Draw the score against the bytes that a sequence carries, in every tier."""
    return score_against(shown.in_all_tiers, STATE, shown.tier, shown.name, apart=shown.apart)


def against_year(shown: Shown) -> Spec | None:
    """Draw the score of the entries that are shown, of several tiers the largest, against the year of their papers."""
    largest = max((row.budget for row in shown.rows), key=tier_size, default=None)
    rows = tuple(row for row in shown.rows if row.budget == largest)
    return score_against(rows, YEAR, None, shown.name, apart=shown.apart)


@lru_cache(maxsize=32)
def score_against(
    rows: Rows, axis: Axis, tier: str | None = None, name: Naming = shown_name, *, apart: bool = False
) -> Spec | None:
    """Draw a line for each entry through its tiers, with its interval as a band, and the Pareto front as steps.

    An entry of one tier is a point with its interval as a bar. The best entry of each tier is drawn stronger than the
    others. Floors have no idea whose year could count, so they are not drawn against years.

    Args:
        tier: the tier whose points are large; None: all are.
        name: how an entry is called.
        apart: whether each wrapper is a contest of its own, with a front and a dash of its own.

    Returns:
        The Vega-Lite spec; None if no entry has both a score and a value on the axis.
    """
    shown = [each for each in points(rows, name) if each[axis.field] is not None]
    shown = [each for each in shown if axis.is_cost or each["family"] != FLOOR]
    if not shown:
        return None
    wrappers = sorted({each["wrapper"] for each in shown})
    contests = [[each for each in shown if each["wrapper"] == own] for own in wrappers] if apart else [shown]
    leading = {each["line"] for own in contests for each in best_of_tiers(own)}
    for each in shown:
        each |= {"leads": each["line"] in leading, "large": tier in (None, each["tier"])}
    x, y = cost_axis(axis, shown), score_axis(shown)
    labels, height = placed(shown, axis.field, y)
    return chart(
        [
            *([_steps(front(own, axis.field), x, y) for own in contests] if axis.is_cost else []),
            *_lines(shown, x, y, apart=apart),
            *names(labels, families(shown), x, y),
            marks(shown, families(shown), {"x": x, "y": y, "size": _SIZE, "opacity": chosen(1, 0.75, LEADS)}),
        ],
        height,
    )


@lru_cache(maxsize=32)
def intervals(rows: Rows, name: Naming = shown_name, seeds: Seeds = ()) -> Spec | None:
    """Draw the entries in their order, each with its score, its 95% interval and its seeds. None if none has a score.

    Args:
        seeds: of each row, the scores of its seeds: means over the suite's tasks.
    """
    shown = points(rows, name)
    if not shown:
        return None
    y = {
        "field": "entry", "type": "nominal", "title": None, "sort": [each["entry"] for each in shown],
        "axis": {"labelLimit": 150, "labelOverlap": False},
    }  # fmt: skip
    title, axis = "score, 95% interval; a stroke is a seed", {"axis": {"tickCount": 10}, "scale": {"zero": False}}
    opacity = {"condition": {"test": "datum.ranked", "value": 1}, "value": FAINT}
    dots = [{"entry": name(row), "seed": each} for row, own in zip(rows, seeds, strict=False) for each in own]
    x = {field: number(field, title, **axis) for field in ("low", "seed", "score")}
    bars = {"x": x["low"], "x2": {"field": "high"}, "y": y, "color": colour(families(shown)), "opacity": opacity}
    tooltip = [{"field": "entry"}, {"field": "seed", "format": ".1f", "title": "one seed"}]
    return chart(
        [
            of_families(layer(shown, "rule", bars, strokeWidth=2)),
            layer(dots, "tick", {"x": x["seed"], "y": y, "color": GREY, "tooltip": tooltip}, thickness=1.5, size=9),
            marks(shown, families(shown), {"x": x["score"], "y": y, "opacity": opacity, "size": {"value": 80}}),
        ],
        22 * len(shown) + AROUND,
    )


def _steps(best: Sequence[Point], x: Spec, y: Spec) -> Spec:
    """Draw a front, extended to the end of the axis."""
    end = [best[-1] | {x["field"]: x["scale"]["domain"][1]}] if best else []
    look = {"interpolate": "step-after", "strokeWidth": 1.5, "strokeDash": [4, 3]}
    return layer([*best, *end], "line", {"x": x, "y": y, "color": GREY}, **look)


def _lines(shown: Sequence[Point], x: Spec, y: Spec, *, apart: bool) -> list[Spec]:
    """Draw each entry's line and interval: bands of those that lead or are pointed at, bars of single points."""
    count = Counter(each["line"] for each in shown)
    joined, single = ([each for each in shown if (count[each["line"]] > 1) == many] for many in (True, False))
    both = {"x": x, "color": colour(families(shown))}
    interval = both | {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    line, looks = {"detail": {"field": "line"}}, {"opacity": chosen(1, FAINT, LEADS), "size": chosen(2.5, 1.2, LEADS)}
    scale = {"domain": list(WRAPPERS), "range": [[1, 0], [6, 3]]}
    dash = {"strokeDash": {"field": "wrapper", "scale": scale, "legend": None}} if apart else {}
    drawn = [
        layer(joined, "area", interval | line | {"opacity": chosen(BAND, 0, LEADS)}),
        layer(joined, "line", both | line | {"y": y} | looks | dash),
    ] * bool(joined)
    drawn += [layer(single, "rule", interval | {"opacity": chosen(0.8, FAINT, LEADS)}, strokeWidth=2)] * bool(single)
    return [of_families(each) for each in drawn]


_SIZE: Spec = {"condition": {"test": "datum.large", "value": 90}, "value": 30}
