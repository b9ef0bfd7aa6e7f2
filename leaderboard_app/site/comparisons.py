"""The page that compares entries. The reader chooses them, so the browser puts the page together from a file an entry.

Every number and sentence in these files comes from the app's parts; the browser computes none.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt

from bench.catalog.names import display_name
from bench.catalog.suites import Suite, find_suite
from bench.common.text import short_word
from bench.ranking.cells import EntryKey
from bench.ranking.difference import Difference, Differences, differences
from db.store import Store
from leaderboard_app.data import load_rows, load_tiers, snapshot
from leaderboard_app.site import addresses, vega
from leaderboard_app.site.pages import File, Page
from leaderboard_app.views.compare import diff, gaps, overlay, summary
from leaderboard_app.views.compare.entries import MOST, Contestants, contestants
from leaderboard_app.widgets.curves import DASHES, HEIGHT, step_axis, value_axis
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.marks import COLOURS, LABEL, SHAPES

PAGE = "compare.html"
ENTRY, BASE = "\ue000", "\ue001"
"""Stand for the names of two entries in a sentence: names are shortened to what tells the chosen entries apart."""
DIGITS = 3
LOOKS = [
    {"colour": colour, "shape": shape, "dash": dash}
    for colour, shape, dash in zip(COLOURS, SHAPES, DASHES[:MOST], strict=False)
]
"""How the chosen entries look, in order."""


def files(store: Store) -> Iterator[File]:
    suites = {}
    metrics: set[str] = set()
    for name in load_tiers(store):
        suite, seen = find_suite(name), snapshot(store)
        try:
            field = contestants(seen.runs, seen.standing, suite)
        except ValueError:  # its boards say why
            continue
        index = _index(store, suite, field)
        suites[name] = {"tasks": field.tasks, "entries": index}
        metrics |= {run.metric_name for runs in field.runs.values() for run in runs}
        for place, entry in enumerate(field.table.entries):
            yield _json(index[place]["file"], _entry(store, field, entry, place))
    yield vega.chart("compare/gaps.json", _gap_chart())
    for metric in sorted(metrics):
        yield vega.chart(f"compare/curves-{addresses.stem(metric)}.json", _curve_chart(metric))
    values = {"suites": suites, "looks": LOOKS, "settings_note": diff.NOTE}
    yield Page(path=PAGE, template="compare.html", title="Compare", section="compare", values=values).file()


def _json(path: str, value: Any) -> File:
    return File(path, json.dumps(value, separators=(",", ":"), allow_nan=False).encode())


def _index(store: Store, suite: Suite, field: Contestants) -> list[dict[str, Any]]:
    """Return what the page must know of every entry before one is chosen."""
    rows = {tier: load_rows(store, suite.name, tier) for tier in {entry.tier for entry in field.table.entries}}
    return [
        {
            "id": words,
            "file": f"compare/{addresses.stem(suite.name)}/{addresses.stem(words)}.json",
            "names": [display_name(entry.model), entry.wrapper, entry.tier, entry.tuning, entry.settings],
            "page": addresses.path_of(page_url("architecture", name=entry.model)),
            "summary": summary.cells(summary.on_board(entry, rows[entry.tier])),
        }
        for words, entry in zip(field.by_words, field.table.entries, strict=True)
    ]


def _entry(store: Store, field: Contestants, entry: EntryKey, index: int) -> dict[str, Any]:
    """Return an entry's scores, the differences of all others from it, and its runs on each task."""
    mean_T = field.table.mean[index]
    return {
        "scores": {task: gaps.known(score) for task, score in zip(field.tasks, mean_T, strict=True)},
        "overall": gaps.known(mean_T.mean()),
        "others": {
            words: _gaps(differences(field.table, field.tasks, other, index), len(field.tasks))
            for words, other in field.by_words.items()
            if other != index
        },
        "tasks": {task: _runs(store, field, entry, task) for task in field.tasks if (entry, task) in field.runs},
    }


def _gaps(found: Differences, tasks: int) -> dict[str, Any]:
    every = {"": found.overall, **found.by_task}
    return {
        "said": gaps.sentence(ENTRY, BASE, found, tasks),
        "by_task": {task: _gap(gap) for task, gap in every.items() if gap is not None},
    }


def _gap(gap: Difference) -> list[Any]:
    """Return the difference, its interval, and both as text."""
    numbers = [None if value is None else round(value, DIGITS) for value in (gap.score, gap.low, gap.high)]
    return [*numbers, gaps.gap_cell(gap)]


def _runs(store: Store, field: Contestants, entry: EntryKey, task: str) -> dict[str, Any]:
    runs = field.runs[entry, task]
    metric = runs[0].metric_name
    frame = overlay.points(store, {ENTRY: runs})
    row: Mapping[str, str] = overlay.row(ENTRY, runs, frame, metric)
    return {
        "metric": metric,
        "chart": f"compare/curves-{addresses.stem(metric)}.json",
        "curves": frame[["seed", "step", "value"]].to_numpy().tolist(),
        "row": {name: text for name, text in row.items() if name != "entry"},
        "settings": [[name, short_word(each.value), each.own, each.tuned] for name, each in diff.flat(runs[0]).items()],
    }


def _gap_chart() -> dict[str, Any]:
    """Draw points that bring their look with them: task, order, place, entry, gap, low, high, colour, shape."""
    base = alt.Chart(alt.NamedData("points")).encode(
        y=alt.Y("task:N", sort=alt.EncodingSortField("order"), title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("place:O"),
        color=alt.Color("colour:N", scale=None),
    )
    title, axis = "points of score above the first entry", alt.Axis(tickCount=8)
    x = alt.X("gap:Q", title=title, axis=axis)
    zero = alt.Chart(alt.InlineData([{"gap": 0}])).mark_rule(color=LABEL, strokeDash=[5, 4]).encode(x=x)
    whiskers = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title, axis=axis), x2="high:Q")
    marks = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x, shape=alt.Shape("shape:N", scale=None), tooltip=["entry:N", "task:N", "interval:N"]
    )
    return alt.layer(zero, whiskers, marks).properties(height=alt.Step(18)).to_dict()


def _curve_chart(metric: str) -> dict[str, Any]:
    """Draw points that bring their look with them: entry, seed, step, value, colour, dash."""
    base = alt.Chart(alt.NamedData("points")).encode(
        x=step_axis(), color=alt.Color("colour:N", scale=None), strokeDash=alt.StrokeDash("dash:N", scale=None)
    )
    seeds = base.mark_line(strokeWidth=1, opacity=0.35).encode(y=value_axis(metric), detail=["seed:N", "entry:N"])
    tooltip = ["entry:N", "step:Q", alt.Tooltip("mean(value):Q", format=".4g", title=metric)]
    means = base.mark_line(strokeWidth=2.5).encode(
        y=value_axis(metric).aggregate("mean"), detail="entry:N", tooltip=tooltip
    )
    return alt.layer(seeds, means).properties(height=HEIGHT).to_dict()
