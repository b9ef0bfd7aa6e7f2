"""The page's controls. Every widget is bound to a query parameter, so that the address reproduces the view."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from bench.catalog.suites import SUITES, Suite
from bench.catalog.tiers import tier_size
from bench.ranking.contest import WRAPPERS
from bench.ranking.rows import SuiteRow
from bench.reports.listings import ModelFacts
from db.schema import LADDER
from leaderboard_app.views.leaderboard.capability_map import FAMILY
from leaderboard_app.views.leaderboard.capability_map import ORDERS as ORDERS_OF_MAP
from leaderboard_app.views.leaderboard.filters import CAUSAL, NOT_CAUSAL, ORDERS, RANK, Filters, described
from leaderboard_app.views.leaderboard.sentences import duration
from leaderboard_app.views.leaderboard.table import CHOSEN, Naming
from leaderboard_app.widgets.address import forget, one_of
from leaderboard_app.widgets.links import entry_id, link
from leaderboard_app.widgets.text import plain

BY_TASK = "by-task"
PARAMETERS, TIME = "parameters", "training time"
LIMITS = (60, 120, 300, 600, 1_800, 3_600, 7_200, 18_000, 36_000, 86_400, 172_800, 432_000, 864_000, 2_592_000)
MOST_COMPARED = 4
OF_ALL_TIERS = ("BudgetAUC", "best BudgetAUC")
"""The column and the order that have values only in a suite with several tiers."""
ALL = "all"
ALL_TIERS = "all tiers"
BLOCKS = {"residual": "same block for all", "plain": "as in the RNN papers", ALL: "both"}
"""What the address says of the entries' wrapper → the choice in words."""
AS_PUBLISHED = "all, as published"
UNFILTERED: Mapping[str, Any] = {"q": "", "family": [], "causal": None, "verification": [], "hardware": []}
"""Values of the filter widgets when they hide no row. The years are set in `_clear`."""


def suite_or_tasks(default: str) -> str:
    """Let the reader choose a suite. Superseded ones are in a menu of their own, each with its reason."""
    old = [suite for suite in SUITES.values() if suite.superseded]
    given = st.query_params.get("suite")
    now = given if given in (*SUITES, BY_TASK) else default
    legal = [name for name, suite in SUITES.items() if not suite.superseded or name == now]
    chosen: str = one_of(
        st.segmented_control, "Suite", [*legal, BY_TASK], "suite", what="suite", default=default, required=True,
        help="A suite lists tasks and how every model is trained on them. by-task shows every run, task by task.",
    )  # fmt: skip
    with st.popover("Superseded", icon=":material/history:"):
        for suite in old:
            st.button(suite.name, on_click=_choose, args=[suite.name], type="tertiary")
            st.caption(plain(suite.superseded))
    return chosen


def _choose(suite: str) -> None:
    st.query_params["suite"] = suite


def order() -> str:
    chosen = one_of(
        st.segmented_control, "At equal", [PARAMETERS, TIME], "equal", what="contest", default=PARAMETERS, said=False,
        required=True, help="What the compared entries have in common: parameter tier or training time.",
    )  # fmt: skip
    forget(*(("machine", "within") if chosen == PARAMETERS else ("tier",)))
    return chosen


def block(suite: Suite) -> str:
    """Let the reader choose the entries' wrapper, a key of BLOCKS.

    It is in the address as `?block=` unless it is the suite's first choice, so that another suite begins with its own.
    """
    published = suite.protocol == 1
    words = BLOCKS | {ALL: AS_PUBLISHED} if published else BLOCKS
    return one_of(
        st.segmented_control, "Block", list(words), "block", what="block", default=ALL if published else WRAPPERS[0],
        said=False, format_func=words.__getitem__, required=True,
        help="The network that each architecture is put in: the residual block that all share, or plain layers, as in "
        "the papers on recurrent networks. Each block is a contest of its own, with ranks of its own. "
        "Under “all, as published”, entries in different blocks are ranked against one another.",
    )  # fmt: skip


def tier(suite: Suite, default: str) -> str:
    """Let the reader choose a tier, or ALL_TIERS where the suite has several."""
    legal = sorted(suite.tiers, key=tier_size)
    legal += [ALL_TIERS] * (len(legal) > 1)
    return one_of(st.segmented_control, "Parameters", legal, "tier", what="tier", default=default, required=True)


def machine(legal: Sequence[str]) -> str:
    return one_of(st.selectbox, "Trained on", legal, "machine", what="machine", default=legal[0], width=300)


def limit(seconds: Sequence[float]) -> int:
    """Let the reader choose a time limit that at least one entry meets. At first about half of the entries meet it."""
    longest = next((each for each in LIMITS if each >= max(seconds)), LIMITS[-1])
    legal = {duration(each): each for each in LIMITS if min(seconds) <= each <= longest} or {duration(longest): longest}
    middle = sorted(seconds)[len(seconds) // 2]
    default = next((text for text, each in legal.items() if each >= middle), duration(longest))
    return legal[one_of(st.selectbox, "Within", list(legal), "within", what="time", default=default, width=120)]


def search() -> str:
    return st.text_input(
        "Search", key="q", type="search", placeholder="Search: name, family, paper", bind="query-params", live=True,
        label_visibility="collapsed", width=250,
    )  # fmt: skip


def filters(rows: Sequence[SuiteRow], facts: Mapping[str, ModelFacts], query: str) -> Filters:
    """Draw the filters, and return what the reader chose.

    Args:
        rows: all of the suite's rows, so that the choices do not change with the tier.
    """
    families = sorted({described(facts.get(row.model))[0] for row in rows})
    machines = sorted({name for row in rows for name in row.hardware})
    with st.popover("Filters", icon=":material/filter_list:"):
        asked = Filters(
            search=query or "",
            families=tuple(st.multiselect("Family", families, key="family", bind="query-params")),
            causal=st.segmented_control("Causal", [CAUSAL, NOT_CAUSAL], key="causal", bind="query-params"),
            years=_years(sorted({each.paper.year for each in facts.values()})),
            verification=tuple(st.multiselect("Verification", LADDER, key="verification", bind="query-params")),
            hardware=tuple(st.multiselect("Trained only on", machines, key="hardware", bind="query-params")),
        )
        st.button("Clear", on_click=_clear, args=[facts], icon=":material/filter_list_off:")
    return asked


def _years(years: Sequence[int]) -> tuple[int, int] | None:
    """Return the chosen years, or None for all years, so that models without a year are shown as well."""
    whole = years[0], years[-1]
    chosen = st.select_slider("Paper from – to", years, value=whole, key="years", bind="query-params")
    return None if chosen == whole else chosen


def _clear(facts: Mapping[str, ModelFacts]) -> None:
    years = [each.paper.year for each in facts.values()]
    st.session_state.update(UNFILTERED, years=(min(years), max(years)))


def columns(suite: Suite) -> tuple[list[str], list[str]]:
    """Return the tasks and the CHOSEN whose columns the reader switched on."""
    with st.popover("Columns", icon=":material/view_column:"):
        own = st.toggle("Each task's score", key="tasks", bind="query-params")
        more = st.multiselect("More", possible(CHOSEN, suite), key="columns", bind="query-params")
        return [*suite.tasks] if own else [], more


def sorting(suite: Suite) -> str:
    return one_of(
        st.selectbox, "Order", [RANK, *possible(ORDERS, suite), *suite.tasks], "order", what="order", default=RANK,
        said=False, label_visibility="collapsed", width=190, icon=":material/sort:",
    )  # fmt: skip


def map_order() -> str:
    chosen: str = one_of(
        st.segmented_control, "Sort by", list(ORDERS_OF_MAP), "map", what="sorting", default=FAMILY,
        said=False, required=True, help="  \n".join(f"**{order}**: {what}" for order, what in ORDERS_OF_MAP.items()),
    )  # fmt: skip
    return chosen


def possible(names: Iterable[str], suite: Suite) -> list[str]:
    """Return those of the columns or orders that have values in the suite."""
    return [name for name in names if name not in OF_ALL_TIERS or len(suite.tiers) > 1]


def compare(rows: Sequence[SuiteRow], suite: str, name: Naming) -> None:
    """Let the reader choose entries, and link to their comparison."""
    names = {entry_id(row): name(row) for row in rows}
    with st.popover("Compare", icon=":material/compare_arrows:"):
        entries = st.multiselect(
            f"Two to {MOST_COMPARED} entries", list(names), format_func=names.__getitem__, max_selections=MOST_COMPARED
        )
        if len(entries) > 1:
            link("Set them side by side", "compare", suite=suite, entries=entries)
