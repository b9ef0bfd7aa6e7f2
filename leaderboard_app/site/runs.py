"""The pages of runs: the newest, those of each architecture, and each run with all that its record holds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bench.catalog.names import display_name
from bench.common.text import NONE
from db.schema import CurvePoint, Event, Run
from db.standing import withdrawals
from db.store import Store
from leaderboard_app.data import snapshot
from leaderboard_app.site import addresses, vega
from leaderboard_app.site.body import (
    Body,
    Code,
    Details,
    Drawing,
    Facts,
    Grid,
    Heading,
    Numbers,
    Pair,
    Rows,
    Section,
    Text,
)  # fmt: skip
from leaderboard_app.site.pages import File
from leaderboard_app.site.tables import Head, Row, Table
from leaderboard_app.views.run import command, header, history, provenance, settings
from leaderboard_app.widgets import curves, run_list
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.tables import link
from leaderboard_app.widgets.text import plain

CURVES = "run/curves-{}.json"


def files(store: Store) -> Iterator[File]:
    seen = snapshot(store)
    yield from _lists(seen.runs, seen.standing.withdrawn)
    yield from _curve_charts({"loss", *(run.metric_name for run in seen.runs)})
    events: defaultdict[str, list[Event]] = defaultdict(list)
    for event in store.events():
        events[event.run_id].append(event)
    for model in sorted({run.model for run in seen.runs}):
        for run in store.runs(model=model):
            yield from _run(store, run, events[run.run_id])


def _lists(runs: Sequence[Run], withdrawn: Mapping[str, str]) -> Iterator[File]:
    groups: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.model].append(run)
    body = Body(addresses.LISTS["run"])
    body.add(Heading("Of one architecture"))
    body.add(
        Text(
            " · ".join(
                f"{link(display_name(model), 'run', model=model)} {len(groups[model])}" for model in sorted(groups)
            )
        )
    )
    body.add(Heading(f"The newest of {count_text(len(runs))}"))
    body.add(_table(runs[: -run_list.NEWEST - 1 : -1], withdrawn))
    yield from body.files("Runs", "run")
    for model, own in groups.items():
        body = Body(addresses.path_of(page_url("run", model=model)))
        body.add(_table(own[::-1], withdrawn))
        yield from body.files(f"Runs of {display_name(model)}", "run")


def _table(runs: Sequence[Run], withdrawn: Mapping[str, str]) -> Grid:
    rows = [Row(run_list.line(run, withdrawn.get(run.run_id)).cells, group=run.task) for run in runs]
    return Grid(Table("Runs, newest first", [Head(column) for column in run_list.COLUMNS], rows))


def _curve_charts(kinds: set[str]) -> Iterator[File]:
    """Yield a chart for each kind of curve. A run's page gives it the run's points."""
    for kind in sorted(kinds):
        example = pd.DataFrame({"split": ["train"], "step": [1], "epoch": [1], "value": [1.0]})
        spec = curves.by_split(example, kind).to_dict()
        del spec["datasets"]
        yield vega.chart(CURVES.format(addresses.stem(kind)), spec | {"data": {"name": "points"}})


def _run(store: Store, run: Run, events: Sequence[Event]) -> Iterator[File]:
    body = Body(addresses.path_of(page_url("run", id=run.run_id)))
    body.add(*(Text(header.withdrawn(event), "note") for event in withdrawals(run, events)))
    if run.status != "finished":
        body.add(Text(header.ending(run, store.attempts(run.run_id)), "note"))
    body.add(Text(" · ".join(header.about(run))), Numbers(header.numbers(run)))
    body.add(Heading("Learning curves"), *_curves(run, store.curves(run)))
    body.add(Heading("Run it again"), *_command(run))
    body.add(Heading("Settings"), *_settings(run))
    body.add(Heading("Verification"), Text(history.standing(run.run_id, events)))
    body.add(*([Rows([history.row(event) for event in events], "Events")] if events else []))
    body.add(Heading("Provenance"))
    for heading, rows in provenance.sections(run).items():
        if rows:
            body.add(Details(heading, [Facts(rows, heading)], opened=heading == "Result"))
    yield from body.files(header.title(run), "run")


def _curves(run: Run, points: Sequence[CurvePoint]) -> Iterator[Section]:
    known = curves.frame(points)
    if known.empty:
        yield Text(header.no_curve(run), "note")
        return
    drawn = []
    for kind in ("loss", run.metric_name):
        own = known[known["kind"] == kind].drop(columns="kind")
        if not own.empty:
            described = f"{kind} over training steps, on train and validation"
            values = [{str(name): value for name, value in row.items()} for row in own.to_dict("records")]
            drawn.append([Drawing(CURVES.format(addresses.stem(kind)), described, values)])
    yield Pair(drawn)
    yield Details("The curves as a table", [Rows(_evaluations(points), "Learning curves")])


def _evaluations(points: Sequence[CurvePoint]) -> list[dict[str, str]]:
    """Return a row for each evaluation. `curves.as_table` says the same, with a pivot of pandas that takes longer than
    all else on the page."""
    names = sorted({point.name for point in points})
    found: defaultdict[tuple[int, int], dict[str, float | None]] = defaultdict(dict)
    for point in points:
        found[point.epoch, point.step][point.name] = point.value
    return [
        {"epoch": str(epoch), "step": count_text(step)} | {plain(name): _value(values.get(name)) for name in names}
        for (epoch, step), values in sorted(found.items())
    ]


def _value(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"


def _command(run: Run) -> Iterator[Section]:
    if command.is_plain(run.command):
        yield Code("\n".join([*command.checkout(run), run.command]))
        yield Text(command.AGAIN, "hint")
    else:
        yield Text(command.FOREIGN, "note")
        yield Code(run.command)


def _settings(run: Run) -> Iterator[Section]:
    rows = settings.settings_of(run)
    chosen = [row for row in rows if row["from"] != settings.SOURCES["default"]]
    if chosen:
        yield Rows(chosen, "Settings that are not defaults")
    else:
        yield Text("Every setting has its default value.", "hint")
    yield Details(f"All {len(rows)} settings", [Rows(rows, "All settings")])
