"""The one verdict on what a submitter sent, whatever is wrong with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.bundle.errors import BundleError
from bench.bundle.read import LARGEST_BUNDLE, Bundle, Claim, read_bundle
from bench.common.errors import RequestError
from bench.common.protocol import PROTOCOL
from bench.runs.request import Execution, RunRequest
from bench.submissions.claim_checks import Host, confirm, verify
from bench.submissions.claimed_request import claimed_request
from bench.submissions.retrain import Listener, Reproduction, reproduce
from bench.submissions.verdict import RunVerdict, Verdict


class JudgedRun(NamedTuple):
    """A run of an accepted bundle: what is claimed, the run that follows from it, and what was found."""

    claim: Claim
    request: RunRequest
    verdict: RunVerdict


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a submitter sent, and the verdict on it."""

    data: bytes
    verdict: Verdict
    bundle: Bundle | None = None
    """None if its structure is refused."""
    requests: Sequence[RunRequest] = ()
    """The claimed runs; empty unless the verdict is accepted."""
    reproductions: Sequence[Reproduction] = ()

    def runs(self) -> Iterator[JudgedRun]:
        """The runs of an accepted bundle."""
        assert self.bundle is not None
        for parts in zip(self.bundle.claims, self.requests, self.verdict.runs, strict=True):
            yield JudgedRun(*parts)


def read_file(path: Path) -> bytes:
    """Read a file, at most one byte more than a bundle may have, which shows that the file is too large.

    Raises:
        RequestError: the file can't be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_BUNDLE + 1)
    except OSError as error:
        raise RequestError(f"{path} can't be read: {error.strerror}. Give the path of a bundle.") from error


def judge(data: bytes, host: Host, *, fresh: int, listener: Listener) -> Judged:
    """Find out whether a bundle is true.

    Args:
        data: the bytes that were sent, which may be anything.
        fresh: how many new seeds of each configuration to train if everything else is true; 0 for none.
        listener: called with each run that is trained again, as it begins.

    Raises:
        DataError: the data of a task are missing here.
        RequestError: a run is of another protocol than today's, a configuration has too few seeds to be trained again,
            or training was interrupted.
    """
    try:
        bundle = read_bundle(data)
    except BundleError as error:
        return Judged(data=data, verdict=Verdict(problem=str(error)))
    _require_protocol(bundle)
    verdict, requests, again = verify(bundle, data, host), list[RunRequest](), list[Reproduction]()
    if verdict.accepted:
        requests = [claimed_request(claim) for claim in bundle.claims]
    if verdict.accepted and fresh:
        execution = Execution(accelerator=host.accelerator, data_dir=host.data_dir, resume=True)
        again = reproduce(bundle.claims, requests, host.store, execution, fresh=fresh, listener=listener)
        confirm(verdict, again)
    return Judged(data=data, verdict=verdict, bundle=bundle, requests=requests, reproductions=again)


def _require_protocol(bundle: Bundle) -> None:
    """Refuse to judge runs that today's code would train or evaluate in another way than theirs did."""
    for claim in bundle.claims:
        theirs = claim.record.protocol
        if theirs != PROTOCOL:
            raise RequestError(
                f"the bundle can't be judged here, which is no rejection: {claim.record.label} is of protocol "
                f"{theirs}, and this version trains and evaluates by protocol {PROTOCOL}. A version of that time can."
            )
