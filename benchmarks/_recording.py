"""Train trials whose learning curves are kept: what recording benchmarks share."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from bench.runs.request import RunRequest
    from datamodules._spec import TaskSpec

MOST_STEPS = 100  # between evaluations: these short trials are evaluated as often as the longer ones of a suite
DIGITS = 5  # of a recorded metric


def train(request: "RunRequest", seed: int) -> dict[str, Any]:
    """Train a request as a trial with that seed. Return its seed, status, steps, core time and curve of validation.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    from bench.runs.request import Execution, TrialRequest
    from bench.tuning.trial import Progress, run_trial

    curve: list[tuple[int, float]] = []

    def tell(progress: Progress) -> bool:
        if progress.value is not None:
            curve.append((progress.step, float(f"{progress.value:.{DIGITS}g}")))
        return False

    began = time.process_time()
    with TemporaryDirectory(prefix="bench-trial-") as folder, patch("bench.training.attempt.MOST_STEPS", MOST_STEPS):
        trial = TrialRequest(**vars(request) | {"seed": seed})
        outcome = run_trial(trial, Execution(accelerator="cpu"), Path(folder) / "trial", tell)
    if outcome.ending.status == "interrupted":
        raise KeyboardInterrupt
    return {"seed": seed, "status": outcome.ending.status, "steps": outcome.steps,
            "core_seconds": round(time.process_time() - began, 1), "curve": curve}  # fmt: skip


def best_value(spec: "TaskSpec", curve: Iterable[Sequence[float]]) -> float:
    """Return the best value of a curve of steps and values."""
    return (max if spec.higher_is_better else min)(value for _, value in curve)


def points(spec: "TaskSpec", curve: Sequence[Sequence[float]], *, finished: bool) -> float:
    """Return the score of a trial's best evaluation, 0 to 100; 0 where the trial did not finish."""
    from bench.ranking.utility import utility

    best = best_value(spec, curve) if finished and curve else None
    return 100 * utility(best, chance=spec.chance, solved=spec.solved)


def each_done(act: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int) -> Iterator[tuple[int, Any]]:
    """Make calls, `workers` at a time, each in a process. Yield the number of each that has ended, and its result."""
    if workers == 1:
        yield from ((number, act(*call)) for number, call in enumerate(calls))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        under_way = {pool.submit(act, *call): number for number, call in enumerate(calls)}
        try:
            yield from ((under_way[call], call.result()) for call in as_completed(under_way))
        finally:
            pool.shutdown(cancel_futures=True)
