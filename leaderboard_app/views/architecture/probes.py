"""The probes' measurements of an architecture's trained networks. `bench.probe` says what each stores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import streamlit as st

from bench.catalog.names import numerically
from bench.catalog.registry import FoundModel
from bench.probe.events import DEPENDENCY_LENGTH, GRADIENT_FLOW, LENGTH_EXTRAPOLATION, TRAINING_LENGTH
from db.schema import Event, Run
from leaderboard_app.views.architecture import gradient_flow, solved_lengths, training_length
from leaderboard_app.widgets.parts import Part
from leaderboard_app.widgets.parts import show as show_parts
from leaderboard_app.widgets.tables import link
from leaderboard_app.widgets.text import plain

Data = Mapping[str, Any]
KINDS: dict[str, tuple[str, Callable[[Data], Iterator[Part]]]] = {
    GRADIENT_FLOW: ("How gradients flow", gradient_flow.parts),
    DEPENDENCY_LENGTH: ("The longest dependency it learns", solved_lengths.dependency),
    LENGTH_EXTRAPOLATION: ("Longer sequences than it was trained on", solved_lengths.extrapolation),
    TRAINING_LENGTH: ("The training that it needs", training_length.parts),
}


def show(events: Sequence[Event], runs: Sequence[Run], found_model: FoundModel | None) -> None:
    """Draw the newest measurement of each kind on a task, which the reader chooses if there are several."""
    by_id = {run.run_id: run for run in runs}
    found = {kind: newest(events, kind, by_id) for kind in KINDS}
    for kind, measured in found.items():
        if measured:
            st.subheader(KINDS[kind][0], anchor=False)
            _show_one(kind, measured, by_id)
    if not any(found.values()):
        st.caption("No probe has measured its gradient flow or its memory yet.")
        if found_model:  # other names are foreign text, and get no command
            command = f"python -m bench probe --model {found_model.name} --task copy-100"
            st.code(command, language="shell", wrap_lines=True)


def newest(events: Sequence[Event], kind: str, runs: Mapping[str, Run]) -> dict[str, Event]:
    """Return what was measured on → the last event of this kind among these runs."""
    return {
        _measured_on(event.data, runs[event.run_id]): event
        for event in events
        if event.kind == "probe" and event.data.get("probe") == kind and event.run_id in runs
    }


def _measured_on(data: Data, run: Run) -> str:
    words = (data.get("task") or data.get("family"), run.budget or "no tier", data.get("training"))
    return " · ".join(str(word) for word in words if word)


def _show_one(kind: str, measured: Mapping[str, Event], runs: Mapping[str, Run]) -> None:
    names = sorted(measured, key=numerically)
    chosen = names[0] if len(names) == 1 else st.selectbox("Measured on", names, key=kind, bind="query-params")
    event = measured[chosen]
    st.caption(source(chosen, event))
    found = parts(kind, event)
    if found:
        show_parts(found)
    else:
        st.warning("This is stored in another form than this copy of the code can draw:", icon=":material/data_object:")
        st.json(event.data, expanded=False)


def source(measured_on: str, event: Event) -> str:
    """Say on what, of which run and when it was measured."""
    return f"{plain(measured_on)}, {link('run ' + event.run_id[:8], 'run', id=event.run_id)}, {event.at:%Y-%m-%d}"


def parts(kind: str, event: Event) -> list[Part]:
    """Return what a measurement says; nothing if it is stored in another form than this copy of the code can draw."""
    try:
        return list(KINDS[kind][1](event.data))
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
