"""The events of a run after it was recorded."""

from collections.abc import Sequence

import streamlit as st

from db.schema import LADDER, Event
from db.standing import Standing
from leaderboard_app.widgets.tables import table
from leaderboard_app.widgets.text import plain

MEANING = {
    "self-reported": "nobody but its submitter has checked it",
    "rescored": "the host evaluated its weights again",
    "reproduced": "the host trained it again, with a result that agrees",
}


def show(run_id: str, events: Sequence[Event]) -> None:
    st.markdown(standing(run_id, events))
    if events:
        table([row(event) for event in events], alt="Events")
    else:
        st.caption("This run has no events since it was recorded.")


def standing(run_id: str, events: Sequence[Event]) -> str:
    """Say how far a run is verified."""
    rung = Standing.of(events).rungs.get(run_id, LADDER[0])
    return f"**{plain(rung)}**: {MEANING[rung]}."


def row(event: Event) -> dict[str, str]:
    details = ", ".join(f"{name} {value}" for name, value in event.data.items() if isinstance(value, str | int | float))
    return {
        "when": f"{event.at:%Y-%m-%d %H:%M}",
        "what": plain(event.kind),
        "reason": plain(event.reason),
        "details": plain(details),
    }
