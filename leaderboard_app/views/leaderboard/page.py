"""The board: which architecture is best at a budget, how certain that is, and how far each entry is verified."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import streamlit as st

from bench.catalog.names import display_name
from bench.catalog.suites import SUITES, Suite, find_suite
from bench.catalog.tiers import tier_size
from bench.common.errors import RequestError
from bench.common.text import metric_text
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board import wrappers_apart
from bench.reports.listings import model_facts
from db.schema import Run
from db.store import Store
from leaderboard_app.data import Snapshot, first_suite, load_all_tiers, load_board, load_tiers, open_store, snapshot
from leaderboard_app.views.leaderboard import by_task, computed, controls, exports, pictures, sentences, table
from leaderboard_app.views.leaderboard.capability_map import capability_map
from leaderboard_app.views.leaderboard.contests import by_block
from leaderboard_app.views.leaderboard.filters import matching, ordered
from leaderboard_app.views.leaderboard.shown import Shown, name_of
from leaderboard_app.widgets import heat_map
from leaderboard_app.widgets.links import page_url
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
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        chosen = controls.suite_or_tasks(first_suite(tiers) or controls.BY_TASK)
        contests = () if chosen == controls.BY_TASK else _contests(store, find_suite(chosen), tiers.get(chosen))
    if chosen == controls.BY_TASK:
        by_task.show(seen.runs, seen.standing)
    else:
        _suite(store, find_suite(chosen), contests, list(tiers))
    _newest(seen)


Contests = tuple[InTier, ...] | tuple[InTime, ...]
"""What is shown: a contest for each wrapper and tier that the reader chose."""


def _contests(store: Store, suite: Suite, tiers: Sequence[str] | None) -> Contests:
    """Return the contests that the reader chose. None of them if they are by training time and no entry has a time."""
    block = controls.block(suite)
    wrappers = wrappers_apart(suite, None if block == controls.ALL else block)
    if controls.order() == controls.PARAMETERS:
        tier = controls.tier(suite, (tiers or suite.tiers)[0])
        chosen = sorted(suite.tiers, key=tier_size) if tier == controls.ALL_TIERS else [tier]
        return tuple(InTier(tier, wrapper) for wrapper in wrappers for tier in chosen)
    rows = _all_tiers(store, suite, wrappers)
    timed = [(row.hardware[0], row.train_seconds) for row in rows if row.train_seconds is not None]
    if not timed:
        return ()
    machine = controls.machine(sorted({hardware for hardware, _ in timed}))
    limit = controls.limit([seconds for hardware, seconds in timed if hardware == machine])
    return tuple(InTime(machine, limit, each) for each in wrappers)


def _suite(store: Store, suite: Suite, contests: Contests, with_runs: Sequence[str]) -> None:
    if suite.superseded:
        st.warning(sentences.superseded(suite, with_runs), icon=":material/history:")
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


def _all_tiers(store: Store, suite: Suite, wrappers: Iterable[str | None]) -> tuple[SuiteRow, ...]:
    """Return the rows of every tier, or none if the suite can't be ranked; its board then shows the error."""
    with suppress(RequestError):
        return load_all_tiers(store, suite, wrappers)
    return ()


def _boards(store: Store, suite: Suite, boards: Mapping[InTier | InTime, Board]) -> None:
    """Draw what the first contest says and the controls; then the score against its cost, the map, and the tables."""
    facts, every = model_facts(), [row for board in boards.values() for row in board.rows]
    wide = _all_tiers(store, suite, dict.fromkeys(contest.wrapper for contest in boards))
    blocks = by_block(boards)
    st.markdown(sentences.claim(blocks[0]))
    with st.container(horizontal=True, vertical_alignment="bottom", key="tools"):
        query = controls.search()
        found = {row.key for row in matching(every, controls.filters(wide, facts, query), facts)}
        order = controls.sorting(suite)
        own, extra = controls.columns(suite)
        name = name_of(list(boards))
        controls.compare(every, suite.name, name)
        tables = [tuple(ordered([row for row in block.rows if row.key in found], order)) for block in blocks]
        rows = tuple(row for each in tables for row in each)
        shown = Shown(suite, tuple(boards), rows, wide, name)
        exports.menu(shown)
    if len(rows) < len(every):
        st.caption(f"**{len(rows)} of {len(every)}** entries are shown; ranks are among all entries.")
    if not rows:
        st.info("No entry matches. **Clear**, under **Filters**, shows all entries again.")
        return
    with st.container(key="first-view"):
        above, below = st.container(key="pictures"), st.container(key="tables")
    with below:  # first, since it is on screen before the charts' library has been loaded
        cells = partial(computed.cells, store, suite, tuple(row.key for row in every))
        for block, own_rows in zip(blocks, tables, strict=True):
            if block is not blocks[0]:
                st.markdown(sentences.claim(block))
            if own_rows:
                tasks = own or _only_shown(block.rows, list(suite.tasks))
                table.show(own_rows, tasks, [*extra, *shown.told_apart], cells, name)
            st.caption(sentences.explained(suite, block))
    with above:
        cost = st.container()
        st.subheader("Who can do what", anchor=False)
        heat_map.show(capability_map(rows, list(suite.tasks), shown.full_name, controls.map_order()))
    with cost:
        pictures.against_cost(shown)
    pictures.more(store, shown)


def _only_shown(rows: Sequence[SuiteRow], tasks: Sequence[str]) -> list[str]:
    """Return the tasks that have scores if no entry is complete, since nothing else can be shown yet."""
    if any(row.score is not None for row in rows):
        return []
    begun = {each.task for row in rows for each in row.tasks if each.score is not None}
    return [task for task in tasks if task in begun]


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
