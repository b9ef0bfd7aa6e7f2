"""Metrics recomputed from predictions, without the code that trained. N samples, T time, C classes.

`bench.bundle.predictions` describes the format of predictions.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray

from bench.bundle.errors import BundleError
from bench.bundle.predictions import Array
from datamodules._base import BatchLoader, InOrder, Samples, SequenceDataModule
from datamodules._spec import Label, TaskSpec, TokenPerStep, Value, ValuePerStep
from models.shared.lightning_module import answered, scored

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
    """Return what the metric compares predictions with: (N,), (N, width), (N, T) or (N, T, width).

    Where the metric skips a position, there is IGNORED or NaN.
    """
    return np.concatenate([scored(task.spec, batch.y).numpy() for batch in in_order(task, samples)])


def score(spec: TaskSpec, predictions: Array, y: Array) -> Scored:
    """Compute the metric of predictions.

    Raises:
        BundleError: the predictions do not have the type, shape or range of the task's answers.
    """
    answers = _answers(spec, y)
    match spec.output:
        case Value() | ValuePerStep():
            _check(predictions, answers.values.shape, "f", None)
            errors_MW = predictions.astype(np.float64) - answers.values
            parts_M = (np.abs(errors_MW) if spec.metric == "mae" else errors_MW**2).mean(1)
        case Label(classes) | TokenPerStep(classes):
            _check(predictions, answers.values.shape, "iu", classes)
            if spec.metric == "macro-f1":
                return _macro_f1(answers, predictions, classes)
            parts_M = (predictions == answers.values).astype(np.float64)
    return _mean_of_ratios(answers.by_sample(parts_M)[:, None], answers.by_sample(np.ones_like(parts_M))[:, None])


@dataclass(frozen=True)
class _Answers:
    """The answers that the metric looks at, sample after sample."""

    values: Array
    """(M,) or (M, width)"""
    sample_M: NDArray[np.int64]
    """The sample that each belongs to."""
    samples: int

    def by_sample(self, parts_M: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up the parts of each sample's answers, (N,)."""
        return np.asarray(np.bincount(self.sample_M, parts_M, self.samples), np.float64)


def _answers(spec: TaskSpec, y: Array) -> _Answers:
    there = answered(spec, torch.from_numpy(y)).numpy()
    return _Answers(y[there], np.nonzero(there)[0], len(y))


def _macro_f1(answers: _Answers, predictions: Array, classes: int) -> Scored:
    """Average the F1 of all classes that are ever asked for or said. F1 = 2 × hits / (times said + times asked for)."""
    hits_NC, shares_NC = np.zeros((2, answers.samples, classes))
    for number in range(classes):
        said_M, asked_M = predictions == number, answers.values == number
        hits_NC[:, number] = answers.by_sample(2.0 * (said_M & asked_M))
        shares_NC[:, number] = answers.by_sample(said_M + 1.0 * asked_M)
    seen_C = shares_NC.any(0)
    return _mean_of_ratios(hits_NC[:, seen_C], shares_NC[:, seen_C])


def _mean_of_ratios(parts_NC: NDArray[np.float64], counts_NC: NDArray[np.float64]) -> Scored:
    """Return the mean over C of Σ parts / Σ counts, and its standard error over samples, to first order."""
    ratio_C = parts_NC.sum(0) / counts_NC.sum(0)
    residuals_N = ((parts_NC - ratio_C * counts_NC) / counts_NC.mean(0)).mean(1)
    return Scored(float(ratio_C.mean()), float(residuals_N.std(ddof=1) / sqrt(len(parts_NC))))


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
    answers = _answers(spec, y).values
    if not spec.higher_is_better:
        gap, error = _rms(ours - theirs), _rms(ours - answers)
        legal = 0.05 * error + ROUNDING[precision] * _rms(ours)
        if not gap <= legal:  # also for NaN
            raise BundleError(
                f"predictions are {gap:.3g} (root mean square) from what the weights say; {legal:.2g} is legal"
            )
        return f"{gap:.2g} apart (root mean square)"
    different, wrong = int((ours != theirs).sum()), int((ours != answers).sum())
    if different > MOST_OF_ERRORS * wrong + FEW:
        raise BundleError(f"{different:,} of {len(ours):,} predictions are not what the weights say")
    return f"{len(ours) - different:,} of {len(ours):,} predictions agree"


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
