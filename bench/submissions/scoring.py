"""Metrics recomputed from predictions, without the code that trained. N samples, T time.

`bench.bundle.predictions` describes the format of predictions.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from bench.bundle.errors import BundleError
from bench.bundle.predictions import Array
from datamodules._base import BatchLoader, InOrder, Samples, SequenceDataModule
from datamodules._spec import IGNORED, Label, TaskSpec, TokenPerStep, Value
from models.shared.lightning_module import scored

BATCH = 64
ACCURACY_MARGIN, ERROR_MARGIN = 0.005, 0.02
"""How much an accuracy may differ between two machines, and an error relative to its size."""
MOST_OF_ERRORS, FEW = 0.25, 2
"""Disagreements that rounding may cause: MOST_OF_ERRORS times the number of errors, plus FEW."""
ROUNDING = {"32": 1e-5, "64": 1e-5, "bf16-mixed": 2**-7, "16-mixed": 2**-9}
"""Rounding error of a value, relative to the size of values, by a run's precision."""


@dataclass(frozen=True)
class Scored:
    value: float
    """The task's metric."""
    error: float
    """Its standard error over samples."""


class Answers:
    """A task's data on this machine; each split is hashed and read once for all runs of a bundle."""

    def __init__(self, task: SequenceDataModule) -> None:
        self.task, self.spec = task, task.spec
        self._targets: dict[str, Array] = {}

    @cached_property
    def hashes(self) -> dict[str, str]:
        return {split: self.task.split_hash(split) for split in self.task.split_names}

    def of(self, split: str) -> Array:
        if split not in self._targets:
            self._targets[split] = targets(self.task, self.task.split(split))
        return self._targets[split]


def in_order(task: SequenceDataModule, samples: Samples) -> BatchLoader:
    return BatchLoader(samples, BATCH, InOrder(len(samples.y), seed=0, rank=0, world=1), task.decode)


def targets(task: SequenceDataModule, samples: Samples) -> Array:
    """Return what the metric compares predictions with: (N,), (N, width), or (N, T) with IGNORED where it skips."""
    return np.concatenate([scored(task.spec, batch.y).numpy() for batch in in_order(task, samples)])


def score(spec: TaskSpec, predictions: Array, y: Array) -> Scored:
    """Compute the metric of predictions.

    Raises:
        BundleError: the predictions do not have the type, shape or range of the task's answers.
    """
    sums_N, counts_N = _by_sample(spec, predictions, y)
    value = float(sums_N.sum() / counts_N.sum())
    residuals_N = sums_N - value * counts_N
    return Scored(value, float(residuals_N.std(ddof=1) / counts_N.mean() / sqrt(len(y))))


def _by_sample(spec: TaskSpec, predictions: Array, y: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for each sample, the sum over its answers of what the metric averages, and the number of answers."""
    match spec.output:
        case Value():
            _check(predictions, y.shape, "f", None)
            return ((predictions.astype(np.float64) - y) ** 2).mean(1), np.ones(len(y))
        case Label(classes):
            _check(predictions, y.shape, "iu", classes)
            return (predictions == y).astype(np.float64), np.ones(len(y))
        case TokenPerStep(vocabulary):
            looked_at_NT = y != IGNORED
            _check(predictions, (int(looked_at_NT.sum()),), "iu", vocabulary)
            right_NT = np.zeros(y.shape)
            right_NT[looked_at_NT] = predictions == y[looked_at_NT]
            return right_NT.sum(1), looked_at_NT.sum(1).astype(np.float64)


def _check(predictions: Array, shape: tuple[int, ...], kinds: str, limit: int | None) -> None:
    if predictions.shape != shape or predictions.dtype.kind not in kinds:
        raise BundleError(f"predictions are {predictions.dtype} of shape {predictions.shape}, the task has {shape}")
    if limit is not None and not 0 <= predictions.min() <= predictions.max() < limit:
        raise BundleError(f"predictions from {predictions.min()} to {predictions.max()}, the task has {limit} answers")


def is_close(spec: TaskSpec, one: float, other: float) -> bool:
    """Whether two values of the metric are so close that the same network on two machines may have both."""
    if spec.higher_is_better:
        return abs(one - other) <= ACCURACY_MARGIN
    return abs(one - other) <= ERROR_MARGIN * max(one, other)


def check_agreement(spec: TaskSpec, precision: str, ours: Array, theirs: Array, y: Array) -> str:
    """Check that predictions on two machines can be of one network, and say how far they agree.

    Two networks that were trained separately make different mistakes, even where they are equally good.

    Args:
        precision: in which the run trained.
        ours: predictions of the weights on this machine.
        theirs: predictions of the bundle, of the same shape.
        y: what the metric compares with, from `targets`.

    Raises:
        BundleError: they differ by more than rounding explains.
    """
    if isinstance(spec.output, Value):
        gap, error = _rms(ours - theirs), _rms(ours - y)
        legal = 0.05 * error + ROUNDING[precision] * _rms(ours)
        if not gap <= legal:  # also for NaN
            raise BundleError(
                f"predictions are {gap:.3g} (root mean square) from what the weights say; {legal:.2g} is legal"
            )
        return f"{gap:.2g} apart (root mean square)"
    answers = y[y != IGNORED]
    different, wrong = int((ours != theirs).sum()), int((ours != answers).sum())
    if different > MOST_OF_ERRORS * wrong + FEW:
        raise BundleError(f"{different:,} of {len(ours):,} predictions are not what the weights say")
    return f"{len(ours) - different:,} of {len(ours):,} predictions agree"


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
