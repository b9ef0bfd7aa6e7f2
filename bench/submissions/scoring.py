"""Metrics recomputed from predictions, with nothing of the code that trained. N samples, T time.

Predictions are as `bench.bundle.predictions` says.
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
"""How far a metric may move between two machines: an accuracy by so much, an error by so large a part of itself."""
MOST_OF_ERRORS, FEW = 0.25, 2
"""Disagreements that rounding may cause: as many as this part of the errors, and so many more."""
ROUNDING = {"32": 1e-5, "64": 1e-5, "bf16-mixed": 2**-7, "16-mixed": 2**-9}
"""Of a value, relative to the size of values, by the precision of a run."""


@dataclass(frozen=True)
class Scored:
    value: float
    """Of the task's metric."""
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
    """What the metric compares with: (N,), (N, width), or (N, T) with IGNORED where it does not look."""
    return np.concatenate([scored(task.spec, batch.y).numpy() for batch in in_order(task, samples)])


def score(spec: TaskSpec, predictions: Array, y: Array) -> Scored:
    """The metric of predictions.

    Raises:
        BundleError: they are not of the shape or the range that the task asks for.
    """
    sums_N, counts_N = _by_sample(spec, predictions, y)
    value = float(sums_N.sum() / counts_N.sum())
    residuals_N = sums_N - value * counts_N
    return Scored(value, float(residuals_N.std(ddof=1) / counts_N.mean() / sqrt(len(y))))


def _by_sample(spec: TaskSpec, predictions: Array, y: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each sample adds to the metric, and the number of answers that it is the sum of."""
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
    """Whether two values of the metric are what two machines may make of the same network."""
    if spec.higher_is_better:
        return abs(one - other) <= ACCURACY_MARGIN
    return abs(one - other) <= ERROR_MARGIN * max(one, other)


def check_agreement(spec: TaskSpec, precision: str, ours: Array, theirs: Array, y: Array) -> str:
    """How far predictions of one network on two machines agree.

    Two networks that were trained apart make other mistakes, also where they are equally good.

    Raises:
        BundleError: they differ by more than rounding explains.
    """
    if isinstance(spec.output, Value):
        gap, error = _rms(ours - theirs), _rms(ours - y)
        legal = 0.05 * error + ROUNDING[precision] * _rms(ours)
        if not gap <= legal:  # also where it is not a number
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
