"""Shortcuts: what predictors without a memory of order reach on a generated task.

Each is fitted on samples that are drawn like those for training, and scored on samples that are drawn like those for
testing. A classifier is logistic regression, a regression is least squares. A task is sound where none beats the stated
`chance` by more than four standard errors, or the score that the task itself states for it in `shortcuts`.

    majority        the commonest answer, or the mean one
    length          how long the sequence is, in sixteen classes
    bag             the sum and the mean over the inputs so far; for real numbers, also over their squares
    hidden-bag      the same, with a hidden layer of 256 random units
    first-16        the first sixteen inputs, in their order
    last-16         the last sixteen inputs, in their order
    least-squares   the whole sequence. It is for information: it remembers everything, so it may be right

Where there is an answer at every step, all but the first two see the newest input, too: that takes no memory. For more
than 256 tokens only the majority is fitted: a few thousand samples would say nothing of thousands of tokens.

Shapes: N samples, M answers, F features, C classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contributing import order_blind
from bench.contributing.order_blind import Asked, View, asked, seen
from bench.ranking.utility import utility
from datamodules._base import Samples
from datamodules._generated import GeneratedTask
from datamodules._spec import Label, TaskSpec, TokenPerStep, Tokens
from models.shared.lightning_module import build_metric

VIEWS: dict[str, View] = {
    "majority": order_blind.nothing,
    "length": order_blind.length,
    "bag": order_blind.bag,
    "hidden-bag": order_blind.hidden_bag,
    "first-16": order_blind.first,
    "last-16": order_blind.last,
    "least-squares": order_blind.whole,
}
FOR_INFORMATION = "least-squares"
FITTED, SCORED = 4_000, 2_000  # samples
MOST_FEATURES = 4_000  # of least squares on the whole sequence
MOST_STEPS = 4_000_000  # of all samples together
FOLDS = 20
MOST_ERRORS = 4
MOST_TOKENS = 256
ROUNDED = 1e-6  # what rounding in single precision leaves of random features
PENALTY = 1e-3
ITERATIONS = 150


@dataclass(frozen=True)
class Shortcut:
    """What a predictor without a memory of order reaches on a task."""

    name: str
    value: float
    """The task's metric."""
    error: float
    """Its standard error over samples."""
    score: float
    """The metric on the board's scale, from 0 to 100."""
    declared: float | None
    """The score that the task states for it."""
    limit: float | None
    """The metric that it may reach; None if it may reach any."""
    higher_is_better: bool

    @property
    def too_good(self) -> bool:
        if self.limit is None:
            return False
        gain = self.value - self.limit if self.higher_is_better else self.limit - self.value
        return gain > MOST_ERRORS * self.error

    def row(self) -> dict[str, Any]:
        names = ("name", "value", "error", "score", "declared", "too_good")
        return {name: getattr(self, name) for name in names}


def shortcuts(task: GeneratedTask) -> Iterator[Shortcut]:
    """Fit and score each predictor that the task's kind allows, in turn."""
    fitted, scored = _drawn(task, "train", FITTED), _drawn(task, "test", SCORED)
    to_fit, to_score = asked(task.spec, fitted, 2 * FITTED), asked(task.spec, scored, 4 * SCORED)
    for name, view in VIEWS.items():
        if not _has_meaning(name, task.spec, fitted, scored):
            continue
        features = seen(view, task, fitted, to_fit), seen(view, task, scored, to_score)
        if name == FOR_INFORMATION or not _has_classes(task.spec):
            said = _least_squares(task.spec, to_fit.y, *features, ROUNDED if name == "hidden-bag" else None)
        else:
            said = _logistic(task.spec, to_fit.y, *features)
        yield _judged(task, name, *_value(task.spec, said, to_score))


def _drawn(task: GeneratedTask, split: str, count: int) -> Samples:
    """Draw samples that are in no split: fewer where they are long."""
    count = min(count, MOST_STEPS // task.spec.seq_len)
    return task.decode(task.draw_split(split, count, task.rng(f"shortcuts/{split}")))


def _has_meaning(name: str, spec: TaskSpec, fitted: Samples, scored: Samples) -> bool:
    """Return whether a predictor can say anything of a task, with not too many features."""
    if isinstance(spec.input, Tokens) and spec.input.vocabulary > MOST_TOKENS:
        return name == "majority"
    if name == "length":
        return fitted.lengths is not None
    if name == FOR_INFORMATION:
        alike = not spec.per_step and fitted.x.shape[1] == scored.x.shape[1]
        return alike and order_blind.encoded(spec, fitted.x[:1]).numel() <= MOST_FEATURES
    return True


def _least_squares(spec: TaskSpec, y: Tensor, fit_MF: Tensor, score_MF: Tensor, least: float | None) -> Tensor:
    """Return the values, or the class of the largest one, that least squares says.

    Args:
        least: singular values below this share of the largest one are noise.
    """
    target = F.one_hot(y, _classes(spec)).double() if _has_classes(spec) else y.double()
    weights, *_ = np.linalg.lstsq(_with_constant(fit_MF), target.numpy(), rcond=least)
    said = torch.from_numpy(_with_constant(score_MF) @ weights)
    return said.argmax(-1) if _has_classes(spec) else said.float()


def _with_constant(features_MF: Tensor) -> np.ndarray:
    return np.hstack([features_MF.double().numpy(), np.ones((len(features_MF), 1))])


def _logistic(spec: TaskSpec, y_M: Tensor, fit_MF: Tensor, score_MF: Tensor) -> Tensor:
    """Return the classes that logistic regression says, with a small penalty on its weights."""
    if not fit_MF.shape[1]:
        return y_M.mode().values.expand(len(score_MF))
    mean_F = fit_MF.mean(0)
    spread_F = (fit_MF - mean_F).square().mean(0).sqrt().clamp_min(1e-6)
    fit_MF, score_MF = (fit_MF - mean_F) / spread_F, (score_MF - mean_F) / spread_F
    weights_FC = torch.zeros(fit_MF.shape[1], _classes(spec), requires_grad=True)
    constant_C = torch.zeros(_classes(spec), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights_FC, constant_C], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = PENALTY * weights_FC.square().sum()
        loss = F.cross_entropy(fit_MF @ weights_FC + constant_C, y_M) + penalty
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return (score_MF @ weights_FC + constant_C).argmax(-1)


def _has_classes(spec: TaskSpec) -> bool:
    return isinstance(spec.output, Label | TokenPerStep)


def _classes(spec: TaskSpec) -> int:
    match spec.output:
        case Label(classes) | TokenPerStep(classes):
            return classes
        case _:
            raise AssertionError("an output of real numbers has no classes")


def _value(spec: TaskSpec, said: Tensor, answers: Asked) -> tuple[float, float]:
    """Return the metric and its standard error, from the spread of the metric over parts of the samples."""
    folds = [answers.sample_M % FOLDS == fold for fold in range(FOLDS)]
    parts = [_metric(spec, said[mine], answers.y[mine]) for mine in folds]
    return _metric(spec, said, answers.y), float(np.std(parts, ddof=1)) / sqrt(FOLDS)


def _metric(spec: TaskSpec, said: Tensor, y: Tensor) -> float:
    metric = build_metric(spec)
    metric.update(said, y)
    return float(metric.compute())


def _judged(task: GeneratedTask, name: str, value: float, error: float) -> Shortcut:
    spec, declared = task.spec, task.shortcuts.get(name)
    score = 100 * utility(value, chance=spec.chance, solved=spec.solved)
    limit = None if name == FOR_INFORMATION or declared == 100 else _metric_at(spec, declared or 0)
    return Shortcut(name, value, error, score, declared, limit, spec.higher_is_better)


def _metric_at(spec: TaskSpec, score: float) -> float:
    """Return the metric that has a score, from 0 to 100."""
    share = score / 100
    if spec.higher_is_better:
        return spec.chance + share * (spec.solved - spec.chance)
    return float(spec.chance * (spec.solved / spec.chance) ** share)
