"""The board: which architecture at a budget, how sure that is, and whether a row can be believed."""

from collections.abc import Sequence

import streamlit as st

from bench.catalogue import model_facts
from bench.errors import RequestError
from bench.ranking import Board, InTier, InTime, SuiteRow
from bench.suites import SUITES, Suite, find_suite
from db.store import Store
from leaderboard_app.board import by_task, charts, controls, exports, table, words
from leaderboard_app.board.filters import matching
from leaderboard_app.data import load_board, load_contest, load_tiers, open_store, snapshot
from leaderboard_app.links import entry_id, follow, link, page_url
from leaderboard_app.text import plain

EMPTY = """
**No runs yet.** Train the first architecture on real data, then reload this page:

```
python -m bench run --model fru
```

Ranks need five seeds on every task of a suite. This fills a board, an evening on a laptop:

```
python -m bench suite --suite quick-v1 --models fru,lstm,gru --seeds 5 --budget 10k
```
"""
COLUMNS = (
    "rank", "architecture", "score", "95% interval", "parameters", "core", "state", "samples/s", "tasks", "seeds",
    "failures", "verification",
)  # fmt: skip
MOST_COMPARED = 4


def render(store: Store) -> None:
    st.title("Which sequence model remembers?", anchor=False)
    if not snapshot(store).runs:
        st.info(EMPTY)
        return
    tiers = load_tiers(store)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = controls.suite_or_tasks(list(SUITES), next(iter(tiers), controls.BY_TASK))
        if chosen != controls.BY_TASK:
            suite = find_suite(chosen)
            try:
                contest, where = _contest(store, suite, tiers.get(chosen, [*suite.tiers]))
                board = load_contest(store, chosen, contest)
            except RequestError as error:
                st.error(plain(error))
                return
    if chosen == controls.BY_TASK:
        by_task.show(snapshot(store).runs, snapshot(store).standing.withdrawn)
    elif not board.rows:
        _empty(suite, contest)
    else:
        _board(store, suite, contest, board, where)
    _newest(store)


def _contest(store: Store, suite: Suite, tiers: Sequence[str]) -> tuple[InTier | InTime, str]:
    """Who competes, as the reader chose, and in words."""
    if controls.order() == controls.PARAMETERS:
        tier = controls.tier(suite.tiers, tiers[0])
        return InTier(tier), f"at {tier} parameters"
    timed = [row for row in _all_tiers(store, suite) if row.train_seconds is not None]
    if not timed:
        raise RequestError("No entry has been trained on every task yet, on one kind of hardware: no times to compare.")
    machine = controls.machine(sorted({row.hardware[0] for row in timed}))
    seconds = controls.limit([row.train_seconds or 0 for row in timed if row.hardware[0] == machine])
    return InTime(machine, seconds), f"within {words.duration(seconds)} of training on {plain(machine)}"


def _all_tiers(store: Store, suite: Suite) -> list[SuiteRow]:
    return [row for tier in suite.tiers for row in load_board(store, suite.name, tier).rows]


def _board(store: Store, suite: Suite, contest: InTier | InTime, board: Board, where: str) -> None:
    facts = model_facts()
    st.markdown(words.headline(board, where))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        query = controls.search()
        rows = tuple(matching(board.rows, controls.filters(board.rows, facts, query), facts))
        extra = controls.columns(list(suite.tasks))
        against, title = _against(store, suite, contest, rows)
        exports.menu(rows, list(suite.tasks), against, f"{suite.name} {title}")
        if len(rows) < len(board.rows):
            st.markdown(f"**{len(rows)} of {len(board.rows)}** entries; ranks are among all of them")
    if not rows:
        st.info("No entry is like that. Filters, Clear shows all of them again.")
        return
    always = [*COLUMNS[:2], "tier", "train time", *COLUMNS[2:]] if isinstance(contest, InTime) else COLUMNS
    ticked = table.show(table.frame(rows, facts), list(dict.fromkeys([*always, *extra])), key="table")
    _lead_on(suite, [rows[place] for place in ticked])
    st.caption(words.explained(suite, contest, board))
    _pictures(against(), title, charts.intervals(rows))


def _against(store: Store, suite: Suite, contest: InTier | InTime, rows: charts.Rows) -> tuple[charts.Drawing, str]:
    """How to draw score against what is equal, and its title. Parameters are shown of all tiers."""
    if isinstance(contest, InTime):
        return lambda: charts.score_against(rows, charts.TIME), "Score against training time"
    tier, shown = contest.tier, {row.model for row in rows}
    everything = tuple(row for row in _all_tiers(store, suite) if row.model in shown)
    return lambda: charts.score_against(everything, charts.PARAMETERS, tier), "Score against parameters"


def _lead_on(suite: Suite, ticked: Sequence[SuiteRow]) -> None:
    """Where the ticked rows lead."""
    if not ticked:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for model in dict.fromkeys(row.model for row in ticked):
            link(model, "architecture", name=model)
        if 2 <= len(ticked) <= MOST_COMPARED:
            entries = [entry_id(row) for row in ticked]
            link(f"Compare these {len(ticked)}", "compare", suite=suite.name, entries=entries)
        elif len(ticked) > MOST_COMPARED:
            st.caption(f"Up to {MOST_COMPARED} entries can be compared.")


def _pictures(against: charts.Spec | None, title: str, intervals: charts.Spec | None) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(title, anchor=False)
        _pick(against, "against", f"{title}; the table above has the numbers")
        st.caption("Dashed: the best score for as little. Click a mark for its architecture.")
    with right:
        st.subheader("How sure the order is", anchor=False)
        _pick(intervals, "intervals", "Scores with their intervals; the table above has the numbers")


def _pick(chart: charts.Spec | None, key: str, alt: str) -> None:
    """Draw a chart in which a click on a mark leads to its architecture."""
    if chart is None:
        st.info("It is drawn once an entry has a result on every task.")
        return
    event = st.vega_lite_chart(spec=chart, width="stretch", key=key, on_select="rerun", alt=alt)
    picked = event["selection"].get("picked")
    if picked:
        follow("architecture", name=picked[0]["model"])


def _empty(suite: Suite, contest: InTier | InTime) -> None:
    st.info(f"No runs of {suite.name} here yet: {suite.summary}. Its tasks: {', '.join(suite.tasks)}.")
    if isinstance(contest, InTier):
        st.code(f"python -m bench suite --suite {suite.name} --models fru,lstm,gru --seeds 5 --budget {contest.tier}")


def _newest(store: Store) -> None:
    """The newest run, where no board has it."""
    run = snapshot(store).runs[-1]
    if run.budget is None or not any(suite.includes(run) for suite in SUITES.values()):
        result = run.status if run.metric_value is None else f"{run.metric_name} {run.metric_value:.4f}"
        st.caption(
            f"Newest run: **{plain(run.model)}** on {plain(run.task)}, seed {run.seed}: {plain(result)}. It belongs to "
            f"no suite and tier, so that it is not ranked. [Open it]({page_url('run', id=run.run_id)}), or see "
            f"[its task]({page_url('leaderboard', suite=controls.BY_TASK, task=run.task)})."
        )


render(open_store())
