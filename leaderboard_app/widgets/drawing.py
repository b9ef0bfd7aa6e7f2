"""What charts have in common: colours and shapes of families, their legend, what is pointed at.

Charts are written as Vega-Lite. Altair would check every part against its schema, which takes most of a second.
"""

from collections.abc import Sequence
from typing import Any

from leaderboard_app.widgets.marks import LABEL, family_mark

Spec = dict[str, Any]
"""Vega-Lite, or a part of it."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
FAMILY, POINTED_AT, PICKED = "family", "over", "picked"
"""Names of what a reader chooses: a family in the legend, an entry by pointing at it, an architecture by a click."""
BAND, FAINT = 0.16, 0.45
"""Opacities of an interval, and of what is not in front."""
AROUND = 170
"""Pixels of a chart's height that its legend and its axis take, at most."""
LEADS = "datum.leads"
LEGEND: Spec = {
    "title": None, "orient": "top", "columns": {"expr": "width > 560 ? 4 : 2"}, "symbolSize": 80, "symbolOpacity": 1,
    "labelLimit": {"expr": "width > 560 ? 240 : 130"},
}  # fmt: skip
TOOLTIP: list[Spec] = [
    {"field": "entry"}, {"field": "family"}, {"field": "tier"}, {"field": "score", "format": ".1f"},
    {"field": "low", "format": ".1f", "title": "from"}, {"field": "high", "format": ".1f", "title": "to"},
    {"field": "params", "format": ",.0f", "title": "parameters"},
    {"field": "state_bytes", "format": ",.0f", "title": "bytes of state"},
    {"field": "train_seconds", "format": ",.0f", "title": "train seconds"},
    {"field": "seeds"}, {"field": "failures"}, {"field": "verification"},
]  # fmt: skip


def chart(layers: Sequence[Spec], height: float) -> Spec:
    """Return a chart of layers, which holds the points that several of them draw only once."""
    tables: list[Any] = []
    for each in layers:
        if each["data"]["values"] not in tables:
            tables.append(each["data"]["values"])
    names = [{"name": f"points-{tables.index(each['data']['values'])}"} for each in layers]
    drawn = [each | {"data": name} for each, name in zip(layers, names, strict=True)]
    datasets = {f"points-{place}": values for place, values in enumerate(tables)}
    return {"$schema": SCHEMA, "datasets": datasets, "layer": drawn, "height": height}


def layer(values: Sequence[Any], mark: str, encoding: Spec, **properties: Any) -> Spec:
    """Return a layer of one kind of mark."""
    return {"data": {"values": list(values)}, "mark": {"type": mark, **properties}, "encoding": encoding}


def of_families(drawn: Spec) -> Spec:
    """Return a layer that shows only the family that the reader chose in the legend."""
    return drawn | {"transform": [{"filter": {"param": FAMILY}}]}


def number(field: str, title: str, **more: Any) -> Spec:
    """Return the encoding of a quantity."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def colour(families: Sequence[str]) -> Spec:
    scale = {"domain": list(families), "range": [family_mark(family).colour for family in families]}
    return {"field": "family", "type": "nominal", "scale": scale, "legend": LEGEND}


def shape(families: Sequence[str]) -> Spec:
    scale = {"domain": list(families), "range": [family_mark(family).shape for family in families]}
    return {"field": "family", "type": "nominal", "scale": scale, "legend": LEGEND}


def chosen(value: float, otherwise: float, test: str) -> Spec:
    """Return a value for what passes a test, is pointed at, or is of the family that the reader chose."""
    tests = [{"param": FAMILY, "empty": False}, {"param": POINTED_AT, "empty": False}, test]
    return {"condition": {"test": {"or": tests}, "value": value}, "value": otherwise}


def marks(values: Sequence[Any], families: Sequence[str], encoding: Spec) -> Spec:
    """Return the layer of marks that can be pointed at and clicked, and whose legend filters the chart by family."""
    looks = {"color": colour(families), "shape": shape(families), "tooltip": TOOLTIP}
    drawn = layer(values, "point", encoding | looks, filled=True, cursor="pointer")
    pointed = {"type": "point", "fields": ["line"], "on": "pointerover", "clear": "pointerout"}
    return of_families(drawn) | {
        "params": [
            {"name": FAMILY, "select": {"type": "point", "fields": ["family"], "toggle": "true"}, "bind": "legend"},
            {"name": POINTED_AT, "select": pointed},
            {"name": PICKED, "select": {"type": "point", "fields": ["model"]}},
        ]
    }


def picture(spec: Spec, title: str) -> Spec:
    """Return a chart for a paper: on white, of a fixed size, with a title."""
    return spec | {"title": title, "width": 640, "background": "white", "config": {"font": "Helvetica"}}


GREY: Spec = {"value": LABEL}
