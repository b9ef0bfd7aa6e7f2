"""The findings about a bundle, and the verdict that follows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from bench.bundle.schema import Record
from bench.common.text import one_line
from db.schema import LADDER


@dataclass(frozen=True)
class Finding:
    """One line of a verdict."""

    check: str
    passed: bool | None
    """None for a remark, which decides nothing."""
    detail: str


Check = tuple[str, Callable[[], str]]
"""A check's name and its function, which returns what it found, or raises if that is wrong."""


def run_checks(checks: Iterable[Check], mistakes: tuple[type[Exception], ...]) -> list[Finding]:
    """Run the checks in order, up to the first that fails: those after it would rely on something false.

    Args:
        mistakes: the exceptions that mean a failed check. Others propagate.
    """
    findings = []
    for name, look in checks:
        try:
            findings.append(Finding(name, True, look()))
        except mistakes as error:
            kind = "" if hasattr(error, "exit_code") else f"{type(error).__name__}: "
            return [*findings, Finding(name, False, one_line(f"{kind}{error}", longest=400))]
    return findings


@dataclass
class RunVerdict:
    record: Record
    identity: str
    findings: list[Finding] = field(default_factory=list)
    recomputed: float | None = None
    """The metric on the test split: of the weights or, if they were not scored, of the predictions."""
    fresh: float | None = None
    """The metric on a test split that the host drew from its secret seed."""
    rung: str = LADDER[0]

    @property
    def claimed(self) -> float | None:
        return self.record.metrics["test"].value if self.record.finished else None

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.passed is False]

    def document(self) -> dict[str, Any]:
        shown = ("run_id", "model", "wrapper", "task", "budget", "seed", "status")
        return {name: getattr(self.record, name) for name in shown} | {
            "claimed": self.claimed,
            "recomputed": self.recomputed,
            "fresh": self.fresh,
            "rung": self.rung,
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass
class Verdict:
    """The verdict on a whole bundle. One false run makes the bundle false."""

    identity: str | None = None
    problem: str | None = None
    """Why its structure is refused; None if it is not."""
    runs: list[RunVerdict] = field(default_factory=list)
    reproductions: list[Finding] = field(default_factory=list)
    """A line for each cell that was trained again."""

    @property
    def accepted(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        return list(self._reasons())

    def _reasons(self) -> Iterator[str]:
        if self.problem is not None:
            yield f"structure: {self.problem}"
        for run in self.runs:
            yield from (f"{run.record.label}: {each.check}: {each.detail}" for each in run.failures)
        yield from (f"{each.check}: {each.detail}" for each in self.reproductions if each.passed is False)

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON.

        `claimed` and `recomputed` are means over the finished runs if all runs are of one task, and null otherwise.
        """
        return {
            "verdict": "accepted" if self.accepted else "rejected",
            "reasons": self.reasons,
            "claimed": self._mean("claimed"),
            "recomputed": self._mean("recomputed"),
            "bundle": self.identity,
            "runs": [run.document() for run in self.runs],
            "reproductions": [asdict(each) for each in self.reproductions],
        }

    def _mean(self, name: str) -> float | None:
        values = [getattr(run, name) for run in self.runs if run.record.finished]
        if len({run.record.task for run in self.runs}) != 1 or not values or None in values:
            return None
        return fmean(values)
