"""The board: which architecture is best at a budget, how certain that is, and how far each entry is verified."""

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from bench.catalog.suites import SUITES, Suite, find_suite
from bench.common.errors import RequestError
from bench.common.text import metric_text
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow
from bench.reports.listings import model_facts
from db.schema import Run
from db.store import Store
from leaderboard_app.data import Snapshot, load_board, load_contest, load_tiers, open_store, snapshot
from leaderboard_app.views.leaderboard import by_task, charts, controls, exports, sentences, table
from leaderboard_app.views.leaderboard.filters import matching, ordered
from leaderboard_app.widgets.links import follow, page_url
from leaderboard_app.widgets.text import plain

EMPTY = """
**No runs yet.** Train the first architecture on real data, then reload this page:

```
python -m bench run --model fru
```

A rank needs five seeds on every task of a suite. This fills a board, and takes an evening on a laptop:

```
python -m bench suite --suite quick-v1 --models fru,lstm,gru --seeds 5 --budget 10k
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
        contest = None if chosen == controls.BY_TASK else _contest(store, find_suite(chosen), tiers.get(chosen))
    if chosen == controls.BY_TASK:
        by_task.show(seen.runs, seen.standing)
    else:
        _suite(store, find_suite(chosen), contest)
    _newest(seen)


def _contest(store: Store, suite: Suite, tiers: Sequence[str] | None) -> InTier | InTime | None:
    """Return the contest that the reader chose. None if it is by training time and no entry has a time."""
    if controls.order() == controls.PARAMETERS:
        return InTier(controls.tier(suite.tiers, (tiers or suite.tiers)[0]))
    timed = [(row.hardware[0], row.train_seconds) for row in _all_tiers(store, suite) if row.train_seconds is not None]
    if not timed:
        return None
    machine = controls.machine(sorted({hardware for hardware, _ in timed}))
    return InTime(machine, controls.limit([seconds for hardware, seconds in timed if hardware == machine]))


def _suite(store: Store, suite: Suite, contest: InTier | InTime | None) -> None:
    if contest is None:
        st.info("No training times to compare: no entry has been trained on every task on one kind of hardware yet.")
        return
    try:
        with st.spinner("Ranking…"):
            board = load_contest(store, suite.name, contest)
    except RequestError as error:
        st.error(plain(error), icon=":material/error:")
        return
    if board.rows:
        _board(store, suite, contest, board)
    else:
        _empty(suite, contest)


def _all_tiers(store: Store, suite: Suite) -> list[SuiteRow]:
    """Return the rows of every tier, or none if the suite can't be ranked; its board then shows the error."""
    with suppress(RequestError):
        return [row for tier in suite.tiers for row in load_board(store, suite.name, tier).rows]
    return []


def _board(store: Store, suite: Suite, contest: InTier | InTime, board: Board) -> None:
    facts, tasks = model_facts(), list(suite.tasks)
    st.markdown(sentences.headline(board, sentences.contest(contest)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        query = controls.search()
        found = matching(board.rows, controls.filters(_all_tiers(store, suite), facts, query), facts)
        rows = tuple(ordered(found, controls.sorting(suite)))
        own, extra = controls.columns(suite)
        controls.compare(board.rows, suite.name)
        against, title = _against(store, suite, contest, rows)
        exports.menu(rows, suite, contest, against, title)
    if len(rows) < len(board.rows):
        st.caption(f"**{len(rows)} of {len(board.rows)}** entries are shown; ranks are among all entries.")
    if not rows:
        st.info("No entry matches. **Clear**, under **Filters**, shows all entries again.")
        return
    table.show(rows, own or _only_shown(board, tasks), extra, timed=isinstance(contest, InTime))
    st.caption(sentences.explained(suite, contest, board))
    _pictures(against(), title, charts.intervals(rows))


def _only_shown(board: Board, tasks: Sequence[str]) -> list[str]:
    """Return the tasks that have scores if no entry is complete, since nothing else can be shown yet."""
    if any(row.score is not None for row in board.rows):
        return []
    begun = {each.task for row in board.rows for each in row.tasks if each.score is not None}
    return [task for task in tasks if task in begun]


def _against(store: Store, suite: Suite, contest: InTier | InTime, rows: charts.Rows) -> tuple[charts.Drawing, str]:
    """Return how to draw score against parameters (of all tiers) or against training time, and the chart's title."""
    if isinstance(contest, InTime):
        return lambda: charts.score_against(rows, charts.TIME), "Score against training time"
    tier, shown = contest.tier, {row.model for row in rows}
    everything = tuple(row for row in _all_tiers(store, suite) if row.model in shown)
    return lambda: charts.score_against(everything, charts.PARAMETERS, tier), "Score against parameters"


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
    if isinstance(contest, InTier):
        command = f"python -m bench suite --suite {suite.name} --models fru,lstm,gru --seeds 5 --budget {contest.tier}"
        st.code(command, language="shell", wrap_lines=True)


def _newest(seen: Snapshot) -> None:
    """Show the newest run if no board has it."""
    run = next((run for run in reversed(seen.runs) if run.is_comparable), None)
    if run is None or run.run_id in seen.standing.withdrawn or _is_ranked(run):
        return
    value = metric_text(run.metric_name, run.metric_value)
    result = run.status if run.metric_value is None else f"{run.metric_name} {value}"
    st.caption(
        f"Newest run: **{plain(run.model)}** on {plain(run.task)}, seed {run.seed}: {plain(result)}. It has no "
        "tier, or was not trained as a suite prescribes, so no board ranks it. "
        f"[Open it]({page_url('run', id=run.run_id)}), or see "
        f"[its task]({page_url('leaderboard', suite=controls.BY_TASK, task=run.task)})."
    )


def _is_ranked(run: Run) -> bool:
    return run.budget is not None and any(suite.includes(run) for suite in SUITES.values())


render(open_store())
