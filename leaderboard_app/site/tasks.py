"""The pages of tasks: a list of all, and each with its definition, every architecture's results, and its facts."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from bench.catalog.suites import SUITES
from bench.common.text import counted
from bench.ranking.by_task import leaderboard
from bench.reports.task_card import task_card
from db.schema import Run
from db.store import Store
from leaderboard_app.data import comparable, snapshot
from leaderboard_app.site import addresses
from leaderboard_app.site.body import Body, Code, Details, Facts, Heading, Rows, Text, definition, grid
from leaderboard_app.site.pages import File
from leaderboard_app.views.task import card, lengths, names, results
from leaderboard_app.widgets import configurations
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.row_labels import labels
from leaderboard_app.widgets.text import plain


def files(store: Store) -> Iterator[File]:
    runs = comparable(snapshot(store).runs)
    counts = Counter(run.task for run in runs)
    known = sorted(names.known(runs), key=lambda name: counts[name] == 0)
    body = Body(addresses.LISTS["task"])
    body.add(
        Text(f"{counted(len(known), 'task')}, {len(counts)} of them with results.", "hint"),
        Rows([names.row(name, counts[name]) for name in known], "Every task"),
    )
    yield from body.files("Tasks", "task")
    for name in known:
        yield from _task(store, name)


def _task(store: Store, name: str) -> Iterator[File]:
    body = Body(addresses.path_of(page_url("task", name=name)))
    runs = _counted(store, [name])
    about = task_card(name) if name in names.registered() else None
    if about:
        body.add(Text(plain(about["summary"]), "hint"), definition(about["definition"]))
        if about["example"]:
            body.add(Details("A worked example, which the tests run", [Code(about["example"])]))
    body.add(Heading("Results"))
    if runs:
        _results(body, runs)
        if about:
            _lengths(body, _counted(store, about["variants"]), about["variants"], runs)
    else:
        body.add(Text("**No runs of this task yet.** The first one:"))
        body.add(Code(f"python -m bench run --model fru --task {name}"))
    facts = card.facts_of(about) if about else card.stored_facts(runs)
    facts.pop(card.HERE, None)
    body.add(Heading("Facts"), Facts(facts, "Facts of the task"))
    hashes, alike = card.hashes(runs)
    if hashes:
        body.add(Details("SHA-256 of the splits that the runs here used", [Code("\n".join(hashes))]))
    if not alike:
        body.add(Text(card.DIFFERENT, "note"))
    if about and about["shortcuts"]:
        caption = "What predictors without a memory of order reach"
        body.add(
            Heading("Without a memory of order"), Text(card.SHORTCUTS), Rows(card.shortcut_rows(about), caption)
        )  # fmt: skip
    yield from body.files(name, "task", models=_models(runs))


def _counted(store: Store, tasks: Sequence[str]) -> list[Run]:
    standing = snapshot(store).standing
    return comparable(standing.counted(run for task in tasks for run in store.runs(task=task)))


def _results(body: Body, runs: Sequence[Run]) -> None:
    """Add the results for each training: that of each suite, and what no suite includes."""
    groups: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        own = [suite.name for suite in SUITES.values() if suite.includes(run)]
        for name in own or ["any other training"]:
            groups[name].append(run)
    for name, group in groups.items():
        rows = leaderboard(group)
        body.add(Heading(f"Trained as in {name}" if name in SUITES else "With other training", 3))
        if not rows:
            body.add(Text("Every run here was interrupted, and has no result until it is resumed."))
            continue
        anchors = results.anchors(group)
        frame = results.seeds(rows[: results.MOST_ROWS], labels(rows), {run.run_id: run for run in group})
        if not frame.empty:
            described = f"{anchors.metric} of every seed on the test split, for {counted(len(rows), 'configuration')}"
            body.add(body.chart(results.dots(frame, anchors), described))
        body.add(grid(*configurations.table(rows), f"Configurations, trained as in {name}"))


def _lengths(body: Body, family: Sequence[Run], variants: dict[str, int], runs: Sequence[Run]) -> None:
    """Add the metric against the length of the sequences."""
    found, anchors = lengths.points(family, variants), results.anchors(runs)
    if len({point.length for point in found}) > 1:
        described = lengths.described(anchors)
        body.add(
            Heading("Against the length of the sequences", 3), body.chart(lengths.chart(found, anchors), described)
        )
        rows = [lengths.row(point, anchors.metric) for point in found]
        body.add(Details("Against the length, as a table", [Rows(rows, described)]))


def _models(runs: Sequence[Run]) -> dict[str, str]:
    """Return architecture → the path of its page, which a click on a mark opens."""
    return {name: addresses.path_of(page_url("architecture", name=name)) for name in {run.model for run in runs}}
