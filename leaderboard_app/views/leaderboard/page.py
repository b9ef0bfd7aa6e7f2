"""The board: which architecture is best at a budget, how certain that is, and how far each entry is verified."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import streamlit as st

from bench.catalog.names import display_name
from bench.catalog.suites import SUITES, Suite, find_suite
from bench.common.errors import RequestError
from bench.common.text import metric_text
from bench.ranking.cells import EntryKey
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board import wrappers_apart
from bench.reports.board_formats import entry_name
from bench.reports.listings import model_facts
from bench.reports.mixer_share import entry_mixer_shares
from db.schema import Run
from db.store import Store
from leaderboard_app.data import Snapshot, load_board, load_tiers, open_store, snapshot
from leaderboard_app.views.leaderboard import by_task, charts, controls, exports, sentences, table
from leaderboard_app.views.leaderboard.filters import matching, ordered
from leaderboard_app.views.leaderboard.table import Naming, shown_name
from leaderboard_app.widgets.links import follow, page_url
from leaderboard_app.widgets.text import plain

EMPTY = """
**No runs yet.** Train the first architecture on real data, then reload this page:

```
python -m bench run --model fru
```

A rank needs five seeds on every task of a suite. This fills a board, and takes an evening on a laptop:

```
python -m bench suite --suite quick-v2 --models fru,lstm,gru --seeds 5 --budget 10k
```
"""


def render(store: Store) -> None:
    st.title("Which sequence model remembers?", anchor=False)
    with st.spinner("Reading the results…"):
        seen, tiers = snapshot(store), load_tiers(store)
    if not seen.runs:
        st.info(EMPTY)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = controls.suite_or_tasks(list(SUITES), next(iter(tiers), controls.BY_TASK))
        contests = () if chosen == controls.BY_TASK else _contests(store, find_suite(chosen), tiers.get(chosen))
    if chosen == controls.BY_TASK:
        by_task.show(seen.runs, seen.standing)
    else:
        _suite(store, find_suite(chosen), contests)
    _newest(seen)


Contests = tuple[InTier, ...] | tuple[InTime, ...]
"""What is shown: one contest, or one for each wrapper."""


def _contests(store: Store, suite: Suite, tiers: Sequence[str] | None) -> Contests:
    """Return the contests that the reader chose. None of them if they are by training time and no entry has a time."""
    block = controls.block(suite)
    wrappers = wrappers_apart(suite, None if block == controls.ALL else block)
    if controls.order() == controls.PARAMETERS:
        tier = controls.tier(suite, (tiers or suite.tiers)[0])
        return tuple(InTier(tier, each) for each in wrappers)
    rows = _all_tiers(store, suite, wrappers)
    timed = [(row.hardware[0], row.train_seconds) for row in rows if row.train_seconds is not None]
    if not timed:
        return ()
    machine = controls.machine(sorted({hardware for hardware, _ in timed}))
    limit = controls.limit([seconds for hardware, seconds in timed if hardware == machine])
    return tuple(InTime(machine, limit, each) for each in wrappers)


def _suite(store: Store, suite: Suite, contests: Contests) -> None:
    if suite.superseded:
        st.warning(f"**{suite.name} is superseded:** {plain(suite.superseded)}", icon=":material/history:")
    if not contests:
        st.info("No training times to compare: no entry has been trained on every task on one kind of hardware yet.")
        return
    try:
        with st.spinner("Ranking…"):
            boards = {contest: load_board(store, suite.name, contest) for contest in contests}
    except RequestError as error:
        st.error(plain(error), icon=":material/error:")
        return
    boards = {contest: board for contest, board in boards.items() if board.rows}
    if boards:
        _boards(store, suite, boards)
    else:
        _empty(suite, contests[0])


def _all_tiers(store: Store, suite: Suite, wrappers: Iterable[str | None]) -> list[SuiteRow]:
    """Return the rows of every tier, or none if the suite can't be ranked; its board then shows the error."""
    with suppress(RequestError):
        return [
            row
            for wrapper in wrappers
            for tier in suite.tiers
            for row in load_board(store, suite.name, InTier(tier, wrapper)).rows
        ]
    return []


def _boards(store: Store, suite: Suite, boards: Mapping[InTier | InTime, Board]) -> None:
    """Draw the controls, then each contest with a headline and a table, then the charts of all."""
    facts, every = model_facts(), [row for board in boards.values() for row in board.rows]
    wide = _all_tiers(store, suite, [contest.wrapper for contest in boards])
    first, *others = boards
    name = entry_name if first.wrapper and not others else shown_name
    st.markdown(sentences.headline(boards[first], sentences.contest(first)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        query = controls.search()
        found = matching(every, controls.filters(wide, facts, query), facts)
        order = controls.sorting(suite)
        own, extra = controls.columns(suite)
        controls.compare(every, suite.name, name)
        rows = tuple(row for board in boards.values() for row in ordered([r for r in board.rows if r in found], order))
        against, title = _against(boards.keys(), rows, wide, name)
        exports.menu(rows, suite, list(boards), against, title)
    if len(rows) < len(every):
        st.caption(f"**{len(rows)} of {len(every)}** entries are shown; ranks are among all entries.")
    if not rows:
        st.info("No entry matches. **Clear**, under **Filters**, shows all entries again.")
        return
    mixers = partial(_mixers, store, suite, tuple(row.key for row in every))
    for contest, board in boards.items():
        if contest in others:
            st.markdown(sentences.headline(board, sentences.contest(contest)))
        shown = [row for row in rows if row in board.rows]
        if shown:
            tasks = own or _only_shown(board, list(suite.tasks))
            table.show(shown, tasks, extra, mixers, name, timed=isinstance(contest, InTime))
        st.caption(sentences.explained(suite, contest, board))
    _pictures(against(), title, charts.intervals(rows, name))


def _mixers(store: Store, suite: Suite, entries: tuple[EntryKey, ...]) -> dict[EntryKey, float]:
    seen = snapshot(store)
    return seen.once(
        ("mixers", suite.name, entries), lambda: entry_mixer_shares(seen.runs, seen.standing, suite, entries)
    )


def _only_shown(board: Board, tasks: Sequence[str]) -> list[str]:
    """Return the tasks that have scores if no entry is complete, since nothing else can be shown yet."""
    if any(row.score is not None for row in board.rows):
        return []
    begun = {each.task for row in board.rows for each in row.tasks if each.score is not None}
    return [task for task in tasks if task in begun]


def _against(
    contests: Collection[InTier | InTime], rows: charts.Rows, wide: Iterable[SuiteRow], name: Naming
) -> tuple[charts.Drawing, str]:
    """Return how to draw score against parameters or against training time, and the chart's title.

    Args:
        contests: those that are shown.
        rows: the rows that are shown.
        wide: those of all tiers.
        name: how an entry is called.
    """
    first, apart = next(iter(contests)), len(contests) > 1
    if isinstance(first, InTime):
        return lambda: charts.score_against(rows, charts.TIME, None, name, apart=apart), "Score against training time"
    shown = {row.model for row in rows}
    every, tier = tuple(row for row in wide if row.model in shown), first.tier
    title = "Score against parameters"
    return lambda: charts.score_against(every, charts.PARAMETERS, tier, name, apart=apart), title


def _pictures(against: charts.Spec | None, title: str, intervals: charts.Spec | None) -> None:
    if against is None and intervals is None:
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(title, anchor=False)
        _pick(against, "against", f"{title}; the table above has the numbers")
        st.caption("Dashed: the best score at this cost or less. Click a mark to open its architecture.")
    with right:
        st.subheader("How certain the order is", anchor=False)
        _pick(intervals, "intervals", "Scores with their intervals; the table above has the numbers")


def _pick(chart: charts.Spec | None, key: str, alt: str) -> None:
    """Draw a chart in which a click on a mark opens its architecture."""
    if chart is None:
        st.info("This chart is drawn once an entry has a result on every task.")
        return
    event = st.vega_lite_chart(spec=chart, width="stretch", key=key, on_select="rerun", alt=alt)
    picked = event["selection"].get("picked")
    if picked:
        follow("architecture", name=picked[0]["model"])


def _empty(suite: Suite, contest: InTier | InTime) -> None:
    st.info(f"No runs of {suite.name} here yet. The suite: {suite.summary}. Its tasks: {', '.join(suite.tasks)}.")
    if isinstance(contest, InTier) and not suite.superseded:
        command = f"python -m bench suite --suite {suite.name} --models fru,lstm,gru --seeds 5 --budget {contest.tier}"
        command += " --wrapper plain" * (contest.wrapper == "plain")
        st.code(command, language="shell", wrap_lines=True)


def _newest(seen: Snapshot) -> None:
    """Show the newest run if no board has it."""
    run = next((run for run in reversed(seen.runs) if run.is_comparable), None)
    if run is None or run.run_id in seen.standing.withdrawn or _is_ranked(run):
        return
    value = metric_text(run.metric_name, run.metric_value)
    result = run.status if run.metric_value is None else f"{run.metric_name} {value}"
    st.caption(
        f"Newest run: **{plain(display_name(run.model))}** on {plain(run.task)}, seed {run.seed}: {plain(result)}. "
        "It has no tier, or was not trained as a suite prescribes, so no board ranks it. "
        f"[Open it]({page_url('run', id=run.run_id)}), or see "
        f"[its task]({page_url('leaderboard', suite=controls.BY_TASK, task=run.task)})."
    )


def _is_ranked(run: Run) -> bool:
    return run.budget is not None and any(suite.includes(run) for suite in SUITES.values())


render(open_store())
