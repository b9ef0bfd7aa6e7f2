"""What events say about runs now: which count, how far verified, how their settings were chosen, what a step takes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from db.schema import LADDER, Event, Run

REPEATED = "repeated"
WITHDRAWN = ("retracted", "superseded", REPEATED)
REINSTATED = "reinstated"
"""Takes back what withdrew a run, unless the run was repeated."""


def withdrawals(run: Run, events: Iterable[Event]) -> list[Event]:
    """Return the events that withdrew a run and were not taken back, oldest first.

    Events about a result that the run corrects are left out: they no longer apply.
    """
    found: list[Event] = []
    for event in events:
        if event.run_row == run.id and event.kind in WITHDRAWN:
            found.append(event)
        elif event.run_row == run.id and event.kind == REINSTATED:
            found = [each for each in found if each.kind == REPEATED]
    return found


class StepTime(NamedTuple):
    """What a train step takes with nothing beside it."""

    seconds: float
    hardware: str


@dataclass(frozen=True)
class Standing:
    """Which runs no longer count, how far the others are verified, how settings were chosen, what a step takes."""

    withdrawn: Mapping[str, str] = field(default_factory=dict)
    """run_id → the kind of the event that withdrew the run, one of WITHDRAWN."""
    rungs: Mapping[str, str] = field(default_factory=dict)
    """run_id → the highest rung of LADDER that the run reached. A run that is missing here is on the first."""
    asked: Mapping[str, list[dict[str, str]]] = field(default_factory=dict)
    """run_id → `config_source` of each later request for the run with its settings chosen in another way."""
    step_times: Mapping[str, StepTime] = field(default_factory=dict)
    """run_id → the time of a train step, where it was measured alone."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Standing":
        """Derive the standing of runs from their events, given oldest first."""
        withdrawn, rungs, asked = dict[str, str](), dict[str, str](), defaultdict[str, list[dict[str, str]]](list)
        step_times: dict[str, StepTime] = {}
        for event in events:
            if event.kind in WITHDRAWN:
                withdrawn[event.run_id] = event.kind
            elif event.kind == REINSTATED and withdrawn.get(event.run_id) != REPEATED:
                withdrawn.pop(event.run_id, None)
            elif event.kind == "verified":
                rungs[event.run_id] = max(rungs.get(event.run_id, LADDER[0]), event.data["rung"], key=LADDER.index)
            elif event.kind == "asked":
                asked[event.run_id].append(event.data["config_source"])
            elif event.kind == "timed":
                step_times[event.run_id] = StepTime(event.data["seconds"], event.data["hardware"])
        return cls(withdrawn, rungs, dict(asked), step_times)

    def counted(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs that were not withdrawn."""
        return [run for run in runs if run.run_id not in self.withdrawn]

    def sources(self, run: Run) -> list[dict[str, str]]:
        """Return every way in which a run's settings were chosen. Tuning can choose what the defaults are."""
        return [run.config_source, *self.asked.get(run.run_id, ())]
