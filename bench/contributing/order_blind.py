"""What a predictor without a memory of order sees of a sequence. `shortcuts.py` fits predictors to it.

Shapes: N samples, T time, E numbers a step, M answers, F features.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules._base import Samples
from datamodules._generated import GeneratedTask
from datamodules._spec import TaskSpec, Tokens
from models.shared.lightning_module import answered, scored

WINDOW = 16  # inputs
HIDDEN = 256  # units of the hidden layer, whose weights are random: only what reads it is fitted
BINS = 16  # of lengths
CHUNK = 1 << 25  # numbers that are held at a time


class Asked(NamedTuple):
    """The answers that the metric looks at."""

    sample_M: Tensor
    step_M: Tensor
    """The last step that an answer may depend on."""
    y: Tensor
    """(M,) classes or (M, width) values"""


def asked(spec: TaskSpec, batch: Samples, most: int | None = None) -> Asked:
    """Return the answers to a batch.

    Args:
        most: how many to return; of more, a random part.
    """
    there = answered(spec, scored(spec, batch.y))
    sample_M, step_M = there.nonzero().T if spec.per_step else (torch.arange(len(batch.y)), _last_steps(batch))
    if most is not None and len(sample_M) > most:
        chosen = torch.randperm(len(sample_M), generator=_generator())[:most].sort().values
        sample_M, step_M = sample_M[chosen], step_M[chosen]
    return Asked(sample_M, step_M, batch.y[sample_M, step_M] if spec.per_step else batch.y[sample_M])


View = Callable[[TaskSpec, Samples, Tensor, Tensor], Tensor]
"""Specification, samples, and for each answer its sample and step → what the predictor sees, (M, F)."""


def nothing(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    return torch.zeros(len(sample_M), 0)


def length(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    return F.one_hot(((step_M + 1) * BINS // (spec.seq_len + 1)).clamp_max(BINS - 1), BINS).float()


def bag(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    """The sum and the mean over the inputs so far; for real numbers, also over their squares."""
    e_NTE = encoded(spec, batch.x)
    if not isinstance(spec.input, Tokens):
        e_NTE = torch.cat([e_NTE, e_NTE**2], dim=-1)
    return _with_newest(spec, batch, sample_M, step_M, _summed(spec, e_NTE, sample_M, step_M))


def hidden_bag(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    """A hidden layer: on the sum over the inputs, for tokens; on each input before the sum, for real numbers."""
    if isinstance(spec.input, Tokens):
        sums_MF = bag(spec, batch, sample_M, step_M)
        return torch.cat([sums_MF, _hidden(sums_MF / sums_MF.square().mean().sqrt())], dim=-1)
    return _with_newest(spec, batch, sample_M, step_M, _summed(spec, _hidden(batch.x), sample_M, step_M))


def first(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    e_NWE = encoded(spec, batch.x[:, :WINDOW])
    seen_MW1 = torch.arange(e_NWE.shape[1]) <= step_M[:, None]
    return _with_newest(spec, batch, sample_M, step_M, (e_NWE[sample_M] * seen_MW1[..., None]).flatten(1))


def last(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    e_NTE = F.pad(encoded(spec, batch.x), (0, 0, WINDOW - 1, 0))
    return e_NTE[sample_M[:, None], step_M[:, None] + torch.arange(WINDOW)].flatten(1)


def whole(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor) -> Tensor:
    return encoded(spec, batch.x).flatten(1)[sample_M]


def encoded(spec: TaskSpec, x: Tensor) -> Tensor:
    """Return inputs as vectors of numbers, (N, T, E)."""
    if not isinstance(spec.input, Tokens):
        return x
    return F.one_hot(x, spec.input.vocabulary).float()


def seen(view: View, task: GeneratedTask, batch: Samples, answers: Asked) -> Tensor:
    """Return what a predictor sees of each answer's sequence, (M, F), chunk by chunk."""
    size = max(1, CHUNK // (batch.x[0].numel() * HIDDEN))
    return torch.cat([view(task.spec, *part) for part in _parts(batch, answers, size)])


def _parts(batch: Samples, answers: Asked, size: int) -> Iterator[tuple[Samples, Tensor, Tensor]]:
    for start in range(0, len(batch.y), size):
        mine = (answers.sample_M >= start) & (answers.sample_M < start + size)
        rows = torch.arange(start, min(start + size, len(batch.y)))
        yield batch.gather(rows), answers.sample_M[mine] - start, answers.step_M[mine]


def _summed(spec: TaskSpec, e_NTE: Tensor, sample_M: Tensor, step_M: Tensor) -> Tensor:
    sums_ME = e_NTE.cumsum(1)[sample_M, step_M]
    if not spec.per_step and not spec.variable_lengths:
        return sums_ME / spec.seq_len**0.5  # the mean says the same
    return torch.cat([sums_ME / spec.seq_len**0.5, sums_ME / (step_M[:, None] + 1)], dim=-1)


def _with_newest(spec: TaskSpec, batch: Samples, sample_M: Tensor, step_M: Tensor, features_MF: Tensor) -> Tensor:
    """Add the newest input, which needs no memory, where there is an answer at every step."""
    if not spec.per_step:
        return features_MF
    return torch.cat([features_MF, encoded(spec, batch.x[sample_M, step_M][:, None]).flatten(1)], dim=-1)


def _hidden(x: Tensor) -> Tensor:
    generator = _generator()
    weights = torch.randn(x.shape[-1], HIDDEN, generator=generator)
    return (x @ weights + torch.empty(HIDDEN).uniform_(-2, 2, generator=generator)).relu()


def _last_steps(batch: Samples) -> Tensor:
    return (torch.full((len(batch.y),), batch.x.shape[1]) if batch.lengths is None else batch.lengths) - 1


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
