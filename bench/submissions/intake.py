"""Taking verified bundles in. Nothing that is recorded is ever changed or removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bundle.read import LARGEST_BUNDLE, Bundle, Claim, read_bundle
from bench.common.errors import RequestError
from bench.common.whole_files import write_whole
from bench.runs.request import Execution
from bench.submissions.claimed_request import claimed_request
from bench.submissions.retrain import Listener, Reproduction, reproduce
from bench.submissions.rows import row_of
from bench.submissions.scoring import is_close
from bench.submissions.verdict import RunVerdict, Verdict
from bench.submissions.verify import Host, confirm, verify
from db.record import Record
from db.schema import LADDER, CurvePoint, Event, Run
from db.store import Store, Submission, new_event


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a submitter sent, and what was found of it."""

    data: bytes
    bundle: Bundle
    verdict: Verdict
    reproductions: Sequence[Reproduction] = ()


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What became of each run of a bundle, by run_id."""

    added: list[str]
    corrected: list[str]
    known: list[str]
    """Recorded before, with this result."""


def read_file(path: Path) -> bytes:
    """The bytes of a bundle; of one that is too large, no more than show that it is.

    Raises:
        RequestError: there is no such file.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_BUNDLE + 1)
    except OSError as error:
        raise RequestError(f"{path} can't be read: {error.strerror}. Give the path of a bundle.") from error


def judge(data: bytes, host: Host, *, fresh: int, listener: Listener) -> Sent:
    """What is true of a bundle; with `fresh` seeds of each cell trained again, if all else is.

    Raises:
        BundleError: its structure does not allow to speak of that.
        RequestError: a cell has too few seeds to be trained again, or that was interrupted.
    """
    bundle = read_bundle(data)
    verdict, again = verify(bundle, data, host), []
    if fresh and verdict.accepted:
        execution = Execution(accelerator=host.accelerator, data_dir=host.data_dir, resume=True)
        again = reproduce(bundle.claims, host.store, execution, fresh=fresh, listener=listener)
        confirm(verdict, again)
    return Sent(data=data, bundle=bundle, verdict=verdict, reproductions=again)


class ConflictError(RequestError):
    """A run has a result already."""

    exit_code = 1


def take_in(sent: Sent, store: Store, *, correction: str | None) -> Intake:
    """Record the runs of an accepted bundle, all or none, and keep the bundle as it came.

    A run has one result, and the first stays: one that is here already is not added again.

    Args:
        correction: why results that are here already, from an earlier bundle, were wrong. The bundle's come in their
            place; the old rows and this reason stay.

    Raises:
        ConflictError: a run has another result here.
    """
    intake, submissions = Intake(added=[], corrected=[], known=[]), []
    for claim, judged in zip(sent.bundle.claims, sent.verdict.runs, strict=True):
        here = store.result(claim.record.run_id)
        if here is None:
            intake.added.append(claim.record.run_id)
            submissions.append(_submission(claim, judged, sent, store))
        elif _is_known(claim, here, store, correcting=correction is not None):
            intake.known.append(here.run_id)
        else:
            intake.corrected.append(here.run_id)
            submissions.append(_correction(claim, judged, sent, store, here, correction))
    if submissions:
        write_whole(store.artifacts / "bundles" / f"{sent.bundle.identity}.zip", sent.data)
    store.record_together(submissions)
    _raise_rungs(sent, store)
    return intake


def _raise_rungs(sent: Sent, store: Store) -> None:
    """Say of runs that were here before, from the same bundle or by training again, that they are verified further."""
    for claim, judged in zip(sent.bundle.claims, sent.verdict.runs, strict=True):
        here = store.result(claim.record.run_id)
        if here and claim.identity in _identities(here, store):
            _raise_rung(here, _verified(judged), store)
    for reproduction in sent.reproductions:
        for run in reproduction.runs if reproduction.inside else ():
            data = {"rung": LADDER[-1], "bundle": sent.bundle.identity}
            _raise_rung(run, new_event("verified", "trained by this host to reproduce a bundle", data), store)


def _raise_rung(run: Run, event: Event, store: Store) -> None:
    before = store.standing().rungs.get(run.run_id, LADDER[0])
    if LADDER.index(event.data["rung"]) > LADDER.index(before):
        store.add_event(run, event.kind, event.reason, event.data)


def _is_known(claim: Claim, here: Run, store: Store, *, correcting: bool) -> bool:
    """Whether a result that is here is the claimed one: the same bundle's, or equal but for the machine."""
    if claim.identity in _identities(here, store):
        return True
    return not correcting and here.status == claim.record.status and _has_equal_metric(claim, here)


def _identities(run: Run, store: Store) -> set[str]:
    """Of the submissions by which a run came."""
    return {event.data.get("run", "") for event in store.events(run.run_id) if event.kind == "imported"}


def _has_equal_metric(claim: Claim, here: Run) -> bool:
    if here.metric_value is None:
        return True
    return is_close(claimed_request(claim).spec, here.metric_value, claim.record.metrics["test"].value)


def _submission(claim: Claim, judged: RunVerdict, sent: Sent, store: Store, **changes: Any) -> Submission:
    imported = new_event("imported", "from a bundle", {"bundle": sent.bundle.identity, "run": claim.identity})
    events = [imported] + [_verified(judged)] * (judged.rung != LADDER[0])
    run = row_of(claim, claimed_request(claim), attempt=store.attempts(claim.record.run_id) + 1)
    curves = [CurvePoint(**point._asdict()) for point in claim.curves]
    return Submission(record=Record(run, curves, events), **changes)


def _verified(judged: RunVerdict) -> Event:
    data = {"rung": judged.rung, "run": judged.identity, "recomputed": judged.recomputed, "fresh": judged.fresh}
    return new_event("verified", f"{judged.rung} by this host", data)


def _correction(
    claim: Claim, judged: RunVerdict, sent: Sent, store: Store, here: Run, reason: str | None
) -> Submission:
    came_by_bundle = bool(_identities(here, store))
    if reason is None or not came_by_bundle:
        way_out = "If that one was wrong, --correction 'why' puts this one in its place." if came_by_bundle else (
            "It was made here, so this one can't take its place."
        )  # fmt: skip
        ours, theirs = _shown(here.status, here.metric_value), _shown(claim.record.status, judged.claimed)
        raise ConflictError(
            f"run {here.run_id} ({claim.record.label}) has a result here, {ours}, and {theirs} in the bundle. "
            f"A run has one result. {way_out}"
        )
    superseded = new_event("superseded", reason, {"by": here.run_id, "bundle": sent.bundle.identity})
    submission = _submission(claim, judged, sent, store, corrected=here, correction=superseded)
    submission.record.run.corrects = here.attempt
    return submission


def _shown(status: str, value: float | None) -> str:
    return status if value is None else f"{value:.4g}"
