"""Training again: does a result hold on seeds whose results nobody has seen?

The submitter's n scores of a cell (one configuration on one task) and the host's k are taken as draws from one normal
distribution of unknown mean and variance. With m and s the mean and the standard deviation of the n,

    (mean of the k − m) / (s √(1/n + 1/k))

then has Student's t distribution with n − 1 degrees of freedom, so the mean of the k lies with probability 1 − α in the
prediction interval

    m ± t(n − 1, 1 − α/2) · s √(1/n + 1/k).

Where s is below half a point of score, half a point is used: seeds that are all alike don't show how little machines
differ. With C cells, α = 0.01 / C, so that an honest bundle falls outside once in a hundred times. Scores are the
board's: linear in accuracies, logarithmic in errors, 0 for a run that failed.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean, stdev

from scipy.special import stdtrit

from bench.bundle.read import Claim
from bench.common.errors import RequestError
from bench.common.exit_codes import EXIT_INTERRUPTED
from bench.common.text import counted
from bench.ranking.utility import score, utility
from bench.runs.request import Execution, RunRequest
from bench.training.run import run
from db.schema import OPEN, Run
from db.store import Store

ALPHA = 0.01
LEAST_SPREAD = 0.5  # points of score
LEAST_SEEDS = 3

Listener = Callable[[RunRequest], None]


@dataclass(frozen=True, kw_only=True)
class SubmittedCell:
    """One configuration on one task, as it was submitted."""

    requests: Sequence[RunRequest]
    """One for each of the submitter's seeds."""
    scores: Sequence[float]
    """The score of each, as the submitter claims it."""

    @property
    def run_ids(self) -> set[str]:
        return {request.run_id for request in self.requests}

    @property
    def label(self) -> str:
        return f"{self.requests[0].model.name} on {self.requests[0].spec.name}"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    cell: SubmittedCell
    runs: Sequence[Run]
    """The host's runs on fresh seeds."""
    low: float
    high: float

    @property
    def mean(self) -> float:
        return fmean(map(score, self.runs))

    @property
    def inside(self) -> bool:
        return self.low <= self.mean <= self.high


class StoppedError(RequestError):
    """Training again was interrupted."""

    exit_code = EXIT_INTERRUPTED


def submitted_cells(claims: Sequence[Claim], requests: Sequence[RunRequest]) -> list[SubmittedCell]:
    """Group the runs of a bundle into cells.

    Args:
        requests: the claimed runs, in the order of the claims.

    Raises:
        RequestError: a cell has fewer than LEAST_SEEDS seeds.
    """
    groups: defaultdict[str, list[tuple[RunRequest, float]]] = defaultdict(list)
    for claim, request in zip(claims, requests, strict=True):
        groups[replace(request, seed=0).run_id].append((request, _claimed_score(claim, request)))
    found = []
    for group in groups.values():
        own, scores = zip(*group, strict=True)
        found.append(SubmittedCell(requests=own, scores=scores))
        if len(scores) < LEAST_SEEDS:
            raise RequestError(
                f"{found[-1].label} has {counted(len(scores), 'seed')} in this bundle. --reproduce compares with their "
                f"spread and needs at least {LEAST_SEEDS}."
            )
    return found


def _claimed_score(claim: Claim, request: RunRequest) -> float:
    if not claim.record.finished:
        return 0.0
    spec = request.spec
    return 100 * utility(claim.record.metrics["test"].value, chance=spec.chance, solved=spec.solved)


def prediction_interval(scores: Sequence[float], fresh: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval in which the mean of `fresh` further scores lies with probability 1 − alpha."""
    count = len(scores)
    half = float(stdtrit(count - 1, 1 - alpha / 2)) * max(stdev(scores), LEAST_SPREAD) * sqrt(1 / count + 1 / fresh)
    return fmean(scores) - half, fmean(scores) + half


def reproduce(
    claims: Sequence[Claim], requests: Sequence[RunRequest], store: Store, execution: Execution,
    *, fresh: int, listener: Listener,
) -> list[Reproduction]:  # fmt: skip
    """Train every cell of a bundle on fresh seeds. The runs are recorded here like any others, and not repeated.

    Args:
        requests: the claimed runs, in the order of the claims.
        fresh: how many seeds of each cell.
        listener: called with each run, as it begins.

    Raises:
        RequestError: a cell has too few seeds.
        StoppedError: a run was interrupted.
    """
    found, reproductions = submitted_cells(claims, requests), []
    sent_in = {event.run_id for event in store.events() if event.kind == "imported"}
    for cell in found:
        runs = [_train(request, store, execution, listener) for request in fresh_requests(cell, fresh, sent_in)]
        low, high = prediction_interval(cell.scores, fresh, ALPHA / len(found))
        reproductions.append(Reproduction(cell=cell, runs=runs, low=low, high=high))
    return reproductions


def _train(request: RunRequest, store: Store, execution: Execution, listener: Listener) -> Run:
    listener(request)
    recorded = run(request, store, execution)
    if recorded.status == OPEN:
        raise StoppedError("interrupted; what is recorded stays, and the same command goes on.")
    return recorded


def fresh_requests(cell: SubmittedCell, count: int, sent_in: set[str]) -> list[RunRequest]:
    """Return a cell's runs on the first seeds after the submitter's for which nobody has sent a result.

    Args:
        sent_in: run_ids of results that came by a bundle.
    """
    after = max(request.seed for request in cell.requests) + 1
    requests = (replace(cell.requests[0], seed=seed) for seed in range(after, after + count + len(sent_in)))
    return [request for request in requests if request.run_id not in sent_in][:count]
