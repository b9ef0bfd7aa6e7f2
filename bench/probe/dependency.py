"""Dependency length: the longest variant of a task family that an architecture still solves, in the same training."""

from collections.abc import Sequence
from typing import Any

from bench.catalog.registry import FoundTask
from bench.probe.rungs import reached
from bench.runs.request import RunRequest
from db.schema import Run


def ladder(task: FoundTask) -> list[FoundTask]:
    """Return the variants of a task's family, shortest first."""
    variants = [FoundTask(task.cls, name) for name in task.cls.variants]
    return sorted(variants, key=lambda variant: variant.build().spec.seq_len)


def rung(requests: Sequence[RunRequest], runs: Sequence[Run]) -> dict[str, Any]:
    """Describe one variant and what its runs have reached."""
    spec = requests[0].spec
    return {"task": spec.name, "length": spec.seq_len, **reached(runs)}


def ends(rungs: Sequence[dict[str, Any]]) -> dict[str, int | None]:
    """Say where the search ended: the last rung alone may be unsolved. Lengths are in steps."""
    solved = [each["length"] for each in rungs if each["solved"]]
    unsolved = [each["length"] for each in rungs if not each["solved"]]
    return {"longest_solved": max(solved, default=None), "first_unsolved": min(unsolved, default=None)}
