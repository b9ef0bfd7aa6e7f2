"""The board's charts of scores: against what they cost, and with how certain their order is.

Families have a colour and a shape. Each entry's line ends in its name.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, exp, log
from typing import NamedTuple

from bench.catalog.families import FAMILIES
from bench.catalog.tiers import TIERS, tier_size
from bench.ranking.contest import WRAPPERS
from bench.ranking.rows import SuiteRow
from leaderboard_app.views.leaderboard.drawing import (
    BAND,
    FAINT,
    GREY,
    Spec,
    chart,
    chosen,
    colour,
    layer,
    marks,
    number,
    of_families,
)
from leaderboard_app.views.leaderboard.end_labels import LINE, MOST, spread
from leaderboard_app.views.leaderboard.points import Point, best_of_tiers, families, front, points
from leaderboard_app.views.leaderboard.shown import Shown
from leaderboard_app.views.leaderboard.table import Naming, shown_name

Rows = tuple[SuiteRow, ...]
Seeds = tuple[tuple[float, ...], ...]
Drawing = Callable[[], Spec | None]

FLOOR = FAMILIES[-1]
LEAST_SPREAD = log(1.02)  # least length of a logarithmic axis, so that equal values do not give it none
MARGIN = 0.06  # of an axis, on both sides
AROUND = 170  # pixels of a chart's height that its legend and its axis take, at most
LOWEST = 300  # pixels
LEADS = "datum.leads"


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
    contests = [
        [each for each in shown if each["wrapper"] == wrapper] for wrapper in {each["wrapper"] for each in shown}
    ]
    contests = contests if apart else [shown]
    leading = {each["line"] for own in contests for each in best_of_tiers(own)}
    for each in shown:
        each |= {"leads": each["line"] in leading, "large": tier in (None, each["tier"])}
    x, y = _cost(axis, shown), _score(shown)
    labels, height = _labels(shown, axis.field, y)
    return chart(
        [
            *([_steps(front(own, axis.field), x, y) for own in contests] if axis.is_cost else []),
            *_lines(shown, x, y, apart=apart),
            *_names(labels, x, y),
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


def _cost(axis: Axis, shown: Sequence[Point]) -> Spec:
    """Return the horizontal axis. Parameters of several tiers are marked at the tiers."""
    values = [each[axis.field] for each in shown]
    if not axis.is_cost:
        scale = {"domain": [min(values) - 1, max(values) + 1], "nice": False}
        return number(axis.field, axis.title, scale=scale, axis={"format": "d", "tickCount": 8, "grid": False})
    margin = MARGIN * max(log(max(values) / min(values)), LEAST_SPREAD)
    scale = {"type": "log", "nice": False, "domain": [min(values) * exp(-margin), max(values) * exp(margin)]}
    sizes = sorted({TIERS[each["tier"]] for each in shown})
    marked = {"values": sizes} if axis is PARAMETERS and len(sizes) > 1 else {"tickCount": 5, "grid": False}
    return number(axis.field, axis.title, scale=scale, axis={"format": "~s", **marked})


def _score(shown: Sequence[Point]) -> Spec:
    """Return the vertical axis: from the last multiple of ten below the lowest score to 100, the maximum."""
    floor = 10 * max(0, ceil(min(each["low"] for each in shown) / 10) - 1)
    return number("score", "score", scale={"domain": [floor, 100]}, axis={"tickCount": 5})


def _labels(shown: Sequence[Point], field: str, y: Spec) -> tuple[list[Point], float]:
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


def _names(labels: Sequence[Point], x: Spec, y: Spec) -> list[Spec]:
    """Draw the names at the right edge, each with a thin line from its mark."""
    edge, text = (
        {"value": "width"},
        {"align": "left", "baseline": "middle", "dx": 4, "fontSize": 11, "limit": 130, "fontWeight": BOLD},
    )
    thin = {"x": x, "x2": edge, "y": y, "y2": {"field": "place"}, "color": GREY, "opacity": chosen(0.9, 0.35, LEADS)}
    names = {"x": edge, "y": y | {"field": "place"}, "text": {"field": "entry"}, "color": colour(families(labels))}
    return [
        of_families(layer(labels, "rule", thin, strokeWidth=0.7)),
        of_families(layer(labels, "text", names, **text)),
    ]


BOLD: Spec = {"expr": "datum.leads ? 'bold' : 'normal'"}
_SIZE: Spec = {"condition": {"test": "datum.large", "value": 90}, "value": 30}
