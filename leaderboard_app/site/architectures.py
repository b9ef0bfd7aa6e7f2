"""The pages of architectures: a list of all, and each with its card, scores, cost, tuned settings and probes."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bench.catalog.names import display_name, numerically
from bench.catalog.registry import FoundModel, find_model, model_names
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.ranking.by_task import leaderboard
from bench.runs.presets import saved
from db.schema import Event, Run
from db.store import Store
from leaderboard_app.data import comparable, snapshot
from leaderboard_app.site import addresses
from leaderboard_app.site.body import Body, Code, Details, Facts, Heading, Rows, Text, definition, grid
from leaderboard_app.site.pages import File
from leaderboard_app.views.architecture import card, commands, cost, names, probes, scores, tuned
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.tables import link
from leaderboard_app.widgets.text import plain
from leaderboard_app.widgets.trained_for import trained

NOT_HERE = (
    "This architecture is not in this copy of the code: its results came from its author's own file. "
    "The stored results are below."
)


def files(store: Store) -> Iterator[File]:
    seen = snapshot(store)
    runs, events = comparable(seen.runs), store.events()
    counts = Counter(run.model for run in runs)
    known = sorted(names.known(runs), key=lambda name: (counts[name] == 0, name))
    body = Body(addresses.LISTS["architecture"])
    body.add(
        Text(f"{len(known)} architectures, {len(counts)} of them with results.", "hint"),
        Rows([names.row(name, counts[name]) for name in known], "Every architecture"),
    )
    yield from body.files("Architectures", "architecture")
    for name in known:
        yield from _architecture(store, name, events)


def _architecture(store: Store, name: str, events: Sequence[Event]) -> Iterator[File]:
    body = Body(addresses.path_of(page_url("architecture", name=name)))
    runs = comparable(snapshot(store).standing.counted(store.runs(model=name)))
    found = _card(body, name)
    if runs:
        _results(body, store, name, runs)
    else:
        body.add(Text("**No results yet.** The commands at the end of this page produce some."))
    body.add(Heading("Tuned settings"))
    rows = tuned.rows(saved(found) if found else [], runs)
    body.add(Rows(rows, "Tuned settings") if rows else Text(tuned.NONE_YET, "hint"))
    _probes(body, events, runs)
    if found:
        body.add(Heading("Run it"), Code(commands.COMMANDS.format(name=found.name)))
    yield from body.files(display_name(name), "architecture")


def _card(body: Body, name: str) -> FoundModel | None:
    """Add what the architecture's file says, and return the architecture if there is such a file."""
    if name not in model_names():
        body.add(Text(NOT_HERE, "note"))
        return None
    try:
        found = find_model(name)
    except RequestError as error:
        body.add(Text(f"{plain(error)}. Its stored results are below.", "note"))
        return None
    text = card.docstring(found)
    body.add(definition(text), Facts(card.facts_of(found, text), "Facts of the architecture"))
    code = Code(found.path.read_text(encoding="utf-8"))
    body.add(
        Details(
            plain(f"The code: {found.path.relative_to(ROOT)}"), [code, Text(f"SHA-256 {found.source_hash}", "hint")]
        )
    )
    return found


def _results(body: Body, store: Store, name: str, runs: Sequence[Run]) -> None:
    body.add(Heading("Scores"))
    entries = [scores.suite_row(suite, row) for suite, row in scores.entries(store, name, runs)]
    if entries:
        body.add(Rows(entries, "Score and rank in each suite and tier"), Text(scores.NOTE, "hint"))
    else:
        body.add(Text(scores.UNRANKED))
    rows = leaderboard(runs)
    if rows:
        lines = [scores.task_line(*each) for each in trained(rows)]
        body.add(Heading("Task by task", 3), grid(scores.COLUMNS, lines, "Results task by task"))
    body.add(Text(link("All of its runs", "run", model=name)))
    costs = cost.rows(runs)
    if costs:
        body.add(Heading("Size and speed"), Rows(costs, "Cost by tier and hardware"), Text(cost.NOTE, "hint"))


def _probes(body: Body, events: Sequence[Event], runs: Sequence[Run]) -> None:
    """Add the newest measurement of each kind on each task."""
    by_id = {run.run_id: run for run in runs}
    for kind, (heading, _) in probes.KINDS.items():
        measured = probes.newest(events, kind, by_id)
        if measured:
            body.add(Heading(heading))
        for place, on in enumerate(sorted(measured, key=numerically)):
            sections = [Text(probes.source(on, measured[on]), "hint"), *body.drawn(probes.parts(kind, measured[on]))]
            body.add(*(sections if place == 0 else [Details(plain(on), sections)]))
