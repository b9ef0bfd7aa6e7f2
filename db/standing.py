"""What events say about runs now: which no longer count, how far the others are verified, how settings were chosen."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Standing:
    """Which runs no longer count, how far the others are verified, and how their settings were chosen."""

    withdrawn: Mapping[str, str]
    """run_id → the kind of the event that withdrew the run, one of WITHDRAWN."""
    rungs: Mapping[str, str]
    """run_id → the highest rung of LADDER that the run reached. A run that is missing here is on the first."""
    asked: Mapping[str, list[dict[str, str]]]
    """run_id → `config_source` of each later request for the run with its settings chosen in another way."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Standing":
        """Derive the standing of runs from their events, given oldest first."""
        withdrawn, rungs, asked = dict[str, str](), dict[str, str](), defaultdict[str, list[dict[str, str]]](list)
        for event in events:
            if event.kind in WITHDRAWN:
                withdrawn[event.run_id] = event.kind
            elif event.kind == REINSTATED and withdrawn.get(event.run_id) != REPEATED:
                withdrawn.pop(event.run_id, None)
            elif event.kind == "verified":
                rungs[event.run_id] = max(rungs.get(event.run_id, LADDER[0]), event.data["rung"], key=LADDER.index)
            elif event.kind == "asked":
                asked[event.run_id].append(event.data["config_source"])
        return cls(withdrawn, rungs, dict(asked))

    def counted(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs that were not withdrawn."""
        return [run for run in runs if run.run_id not in self.withdrawn]

    def sources(self, run: Run) -> list[dict[str, str]]:
        """Return every way in which a run's settings were chosen. Tuning can choose what the defaults are."""
        return [run.config_source, *self.asked.get(run.run_id, ())]
