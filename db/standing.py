"""What events say of runs today: which no longer count, how far the others are verified, and what they are runs of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from db.schema import LADDER, Event, Run

WITHDRAWN = ("retracted", "superseded")
REINSTATED = "reinstated"


def withdrawals(run: Run, events: Iterable[Event]) -> list[Event]:
    """What withdrew a run and was not taken back, oldest first; what was said of a result that it corrects is past."""
    found: list[Event] = []
    for event in events:
        if event.run_row == run.id and event.kind in WITHDRAWN:
            found.append(event)
        elif event.run_row == run.id and event.kind == REINSTATED:
            found.clear()
    return found


@dataclass(frozen=True)
class Standing:
    withdrawn: Mapping[str, str]
    """run_id → "retracted" or "superseded"."""
    rungs: Mapping[str, str]
    """run_id → the highest rung of LADDER that it reached, where it is above the first."""
    asked: Mapping[str, list[dict[str, str]]]
    """run_id → where its settings came from when it was asked for again, each time that they came from elsewhere."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Standing":
        withdrawn, rungs, asked = dict[str, str](), dict[str, str](), defaultdict[str, list[dict[str, str]]](list)
        for event in events:
            if event.kind in WITHDRAWN:
                withdrawn[event.run_id] = event.kind
            elif event.kind == REINSTATED:
                withdrawn.pop(event.run_id, None)
            elif event.kind == "verified":
                rungs[event.run_id] = max(rungs.get(event.run_id, LADDER[0]), event.data["rung"], key=LADDER.index)
            elif event.kind == "asked":
                asked[event.run_id].append(event.data["config_source"])
        return cls(withdrawn, rungs, dict(asked))

    def counted(self, runs: Iterable[Run]) -> list[Run]:
        """Those that were not withdrawn."""
        return [run for run in runs if run.run_id not in self.withdrawn]

    def sources(self, run: Run) -> list[dict[str, str]]:
        """Every answer to where a run's settings came from: tuning can choose what the defaults are."""
        return [run.config_source, *self.asked.get(run.run_id, ())]
