"""Recording verified bundles. Nothing that is recorded is ever changed or removed."""

from dataclasses import dataclass
from typing import Any

from bench.common.errors import RequestError
from bench.common.whole_files import write_whole
from bench.submissions.judge import Judged, JudgedRun
from bench.submissions.rows import row_of
from bench.submissions.scoring import is_close
from bench.submissions.verdict import RunVerdict
from db.record import Record
from db.schema import LADDER, CurvePoint, Event, Run
from db.store import Store, Submission, new_event


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What became of each run of a bundle, by run_id."""

    added: list[str]
    corrected: list[str]
    known: list[str]
    """Recorded before, with this result."""


class ConflictError(RequestError):
    """A run has a result already."""

    exit_code = 1


def take_in(judged: Judged, store: Store, *, correction: str | None) -> Intake:
    """Record the runs of an accepted bundle, all or none, and keep the bundle as it came.

    A run has one result, and the first stays: a result that is already here is not added again.

    Args:
        judged: an accepted bundle.
        correction: why results from an earlier bundle were wrong. This bundle's results replace them; the old rows and
            this reason stay.

    Raises:
        ConflictError: a run has another result here, and `correction` is None or the result was made here.
    """
    intake, submissions = Intake(added=[], corrected=[], known=[]), []
    identity = str(judged.verdict.identity)
    for run in judged.runs():
        here = store.result(run.request.run_id)
        if here is None:
            intake.added.append(run.request.run_id)
            submissions.append(_submission(run, identity, store))
        elif _is_known(run, here, store, correcting=correction is not None):
            intake.known.append(here.run_id)
        else:
            intake.corrected.append(here.run_id)
            submissions.append(_correction(run, identity, store, here, correction))
    if submissions:
        write_whole(store.artifacts / "bundles" / f"{identity}.zip", judged.data)
    store.record_together(submissions)
    _raise_rungs(judged, store)
    return intake


def _raise_rungs(judged: Judged, store: Store) -> None:
    """Record that runs are verified further which were here before, from the same bundle or by training again."""
    for run in judged.runs():
        here = store.result(run.request.run_id)
        if here and run.claim.identity in _identities(here, store):
            _raise_rung(here, _verified(run.verdict), store)
    for reproduction in judged.reproductions:
        for ours in reproduction.runs if reproduction.inside else ():
            data = {"rung": LADDER[-1], "bundle": judged.verdict.identity}
            _raise_rung(ours, new_event("verified", "trained by this host to reproduce a bundle", data), store)


def _raise_rung(run: Run, event: Event, store: Store) -> None:
    before = store.standing().rungs.get(run.run_id, LADDER[0])
    if LADDER.index(event.data["rung"]) > LADDER.index(before):
        store.add_event(run, event.kind, event.reason, event.data)


def _is_known(run: JudgedRun, here: Run, store: Store, *, correcting: bool) -> bool:
    """Whether a recorded result is the claimed one: from the same bundle, or equal except for the machine."""
    if run.claim.identity in _identities(here, store):
        return True
    return not correcting and here.status == run.claim.record.status and _has_equal_metric(run, here)


def _identities(run: Run, store: Store) -> set[str]:
    """The identities of the submissions that brought a run."""
    return {event.data.get("run", "") for event in store.events(run.run_id) if event.kind == "imported"}


def _has_equal_metric(run: JudgedRun, here: Run) -> bool:
    if here.metric_value is None:
        return True
    return is_close(run.request.spec, here.metric_value, run.claim.record.metrics["test"].value)


def _submission(run: JudgedRun, bundle: str, store: Store, **changes: Any) -> Submission:
    imported = new_event("imported", "from a bundle", {"bundle": bundle, "run": run.claim.identity})
    events = [imported] + [_verified(run.verdict)] * (run.verdict.rung != LADDER[0])
    row = row_of(run.claim, run.request, attempt=store.attempts(run.request.run_id) + 1)
    curves = [CurvePoint(**point._asdict()) for point in run.claim.curves]
    return Submission(record=Record(row, curves, events), **changes)


def _verified(found: RunVerdict) -> Event:
    data = {"rung": found.rung, "run": found.identity, "recomputed": found.recomputed, "fresh": found.fresh}
    return new_event("verified", f"{found.rung} by this host", data)


def _correction(run: JudgedRun, bundle: str, store: Store, here: Run, reason: str | None) -> Submission:
    came_by_bundle = bool(_identities(here, store))
    if reason is None or not came_by_bundle:
        way_out = "If that one was wrong, --correction 'why' puts this one in its place." if came_by_bundle else (
            "It was made here, so this one can't take its place."
        )  # fmt: skip
        record = run.claim.record
        ours, theirs = _shown(here.status, here.metric_value), _shown(record.status, run.verdict.claimed)
        raise ConflictError(
            f"run {here.run_id} ({record.label}) has a result here, {ours}, and {theirs} in the bundle. "
            f"A run has one result. {way_out}"
        )
    superseded = new_event("superseded", reason, {"by": here.run_id, "bundle": bundle})
    submission = _submission(run, bundle, store, corrected=here, correction=superseded)
    submission.record.run.corrects = here.attempt
    return submission


def _shown(status: str, value: float | None) -> str:
    return status if value is None else f"{value:.4g}"
