"""The board's pictures: the score against its cost, and one that the reader chooses."""

from collections.abc import Callable, Mapping
from time import sleep

import streamlit as st

from db.store import Store
from leaderboard_app.views.leaderboard import charts, exports, rates, two_entries
from leaderboard_app.views.leaderboard.points import numbers
from leaderboard_app.views.leaderboard.seeds import suite_seeds
from leaderboard_app.views.leaderboard.shown import Shown
from leaderboard_app.widgets.address import one_of
from leaderboard_app.widgets.drawing import PICKED, Spec
from leaderboard_app.widgets.links import follow

HEAD_START = 0.5
"""Seconds in which a browser paints the sentence, the map and the table, before it is sent the first chart."""
TWIN = "the table has the numbers"
NOTE = (
    "Grey steps: the best score at this cost or less. Click families in the legend to show only those, or a mark to "
    "open its architecture."
)


def note(shown: Shown) -> str:
    """Say how to read a chart of scores against their cost."""
    lines = "" if not shown.apart else " Full lines: same block for all; broken lines: as in the RNN papers."
    return f"{NOTE}{lines}"


def against_cost(shown: Shown) -> None:
    drawing, title = charts.against_cost(shown)
    st.subheader(title, anchor=False)
    chart = drawing()
    height = chart["height"] if chart else None
    with st.container(height=height or "content", border=False), st.skeleton(height=height):
        _let_words_appear()
        _pick(chart, "against", f"{title}; {TWIN}")
    st.caption(note(shown))


def _let_words_appear() -> None:
    """Wait, the first time in a session: the browser can paint nothing while it loads the library that draws charts."""
    if "words-appeared" not in st.session_state:
        sleep(HEAD_START)
        st.session_state["words-appeared"] = True


def more(store: Store, shown: Shown) -> None:
    """Let the reader choose a further picture."""
    st.subheader("More pictures", anchor=False)
    chosen = one_of(
        st.segmented_control, "Picture", list(PICTURES), "picture", what="picture", default=CERTAINTY, said=False,
        required=True, label_visibility="collapsed",
    )  # fmt: skip
    PICTURES[chosen](store, shown)


def _certainty(store: Store, shown: Shown) -> None:
    seeds = suite_seeds(store, shown)
    _drawn(shown, CERTAINTY, lambda: charts.intervals(shown.rows, shown.full_name, seeds))


def _state(store: Store, shown: Shown) -> None:
    _drawn(shown, STATE, lambda: charts.against_state(shown))
    st.caption(f"{note(shown)} Architectures that carry no state from step to step are left out.")


def _year(store: Store, shown: Shown) -> None:
    _drawn(shown, YEAR, lambda: charts.against_year(shown))


def _drawn(shown: Shown, title: str, drawing: charts.Drawing) -> None:
    if _pick(drawing(), title, f"{title}; {TWIN}"):
        exports.chart_menu(shown, drawing, title, lambda: numbers(shown.rows, shown.full_name))


def _pick(chart: Spec | None, key: str, alt: str) -> bool:
    """Draw a chart in which a click on a mark opens its architecture, if there is something to draw."""
    if chart is None:
        st.info("This chart is drawn once an entry has a result on every task.")
        return False
    event = st.vega_lite_chart(
        spec=chart, width="stretch", key=key, on_select="rerun", selection_mode=[PICKED], alt=alt
    )  # fmt: skip
    picked = event["selection"].get(PICKED)
    if picked:
        follow("architecture", name=picked[0]["model"])
    return True


CERTAINTY, STATE, YEAR = "How certain the order is", "Score against state", "Score against the paper's year"
PICTURES: Mapping[str, Callable[[Store, Shown], None]] = {
    CERTAINTY: _certainty,
    STATE: _state,
    YEAR: _year,
    rates.TITLE: rates.show,
    two_entries.TITLE: two_entries.show,
}
