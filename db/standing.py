"""What events say of runs today: which no longer count, and how far the others are verified."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from db.schema import LADDER, Event

WITHDRAWN = ("retracted", "superseded")


@dataclass(frozen=True)
class Standing:
    withdrawn: frozenset[str]
    """The run_id of each that is retracted or superseded."""
    rungs: Mapping[str, str]
    """run_id → the highest rung of LADDER that it reached, where it is above the first."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Standing":
        withdrawn, rungs = set[str](), dict[str, str]()
        for event in events:
            if event.kind in WITHDRAWN:
                withdrawn.add(event.run_id)
            elif event.kind == "verified":
                rungs[event.run_id] = max(rungs.get(event.run_id, LADDER[0]), event.data["rung"], key=LADDER.index)
        return cls(frozenset(withdrawn), rungs)
