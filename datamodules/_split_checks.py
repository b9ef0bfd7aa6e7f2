"""Look whether a task's splits hold what its specification says, and name the sample that does not.

Shapes: B batch, T time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules._base import Samples, SequenceDataModule
from datamodules._files import DataError
from datamodules._spec import IGNORED, Continuous, Label, TaskSpec, TokenPerStep, Tokens, Value, ValuePerStep

AT_ONCE = 4_096  # samples that are decoded at a time


Look = Callable[[TaskSpec, str, "Samples"], Iterator["Odd"]]


@dataclass(frozen=True)
class Odd:
    """Something that the specification does not allow."""

    what: str
    sample: int | None = None
    """The sample's number in the batch; None where all are alike in it."""


def check_splits(task: SequenceDataModule) -> None:
    """Check every split of a task, as a model would see it. As with hashing, nothing of it reaches training.

    Raises:
        DataError: a split is empty, or it holds what the specification does not allow.
    """
    for split in task.split_names:
        samples = task.split(split)
        if len(samples.y) == 0:
            raise DataError(f"{task.spec.name}: the split {split} has no samples.")
        for start in range(0, len(samples.y), AT_ONCE):
            for odd in found_odd(task.spec, split, _part(task, split, samples, slice(start, start + AT_ONCE))):
                where = "" if odd.sample is None else f", sample {start + odd.sample}"
                raise DataError(f"{task.spec.name}, {split}{where}: {odd.what}. Nothing is recorded.")


def _part(task: SequenceDataModule, split: str, samples: Samples, part: slice) -> Samples:
    counts = {name: len(part) for name, part in samples._asdict().items() if part is not None}
    if len(set(counts.values())) > 1:
        parts = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise DataError(f"{task.spec.name}, {split}: the parts differ in their number of samples: {parts}.")
    lengths = None if samples.lengths is None else samples.lengths[part]
    return task.decode(Samples(samples.x[part], samples.y[part], lengths))


def found_odd(spec: TaskSpec, split: str, batch: Samples) -> Iterator[Odd]:
    """Yield what is odd in a batch. Later checks rest on earlier ones, so the first finding is the one to mend."""
    for look in (odd_shapes, odd_types, odd_lengths, odd_numbers, odd_ranges):
        yield from look(spec, split, batch)


def odd_shapes(spec: TaskSpec, split: str, batch: Samples) -> Iterator[Odd]:
    count = len(batch.y)
    # A task may ask for the rule, at lengths beyond those for training.
    steps = spec.seq_len if split == "train" or batch.x.dim() < 2 else max(spec.seq_len, batch.x.shape[1])
    width = (spec.input.width,) if isinstance(spec.input, Continuous) else ()
    match spec.output:
        case Label():
            answer: tuple[int, ...] = (count,)
        case Value(width=size):
            answer = (count, size)
        case TokenPerStep():
            answer = (count, steps)
        case ValuePerStep(width=size):
            answer = (count, steps, size)
    wanted = {"x": (batch.x, (count, steps, *width)), "y": (batch.y, answer)}
    if batch.lengths is not None:
        wanted["lengths"] = (batch.lengths, (count,))
    for name, (given, shape) in wanted.items():
        if tuple(given.shape) != shape:
            yield Odd(f"{name} has shape {_without_count(given.shape)}; expected {_without_count(shape)}")
    if (batch.lengths is not None) != spec.variable_lengths:
        there = "lengths are given" if batch.lengths is not None else "no lengths are given"
        yield Odd(f"variable_lengths is {spec.variable_lengths}, and {there}")


def _without_count(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['B', *map(str, shape[1:])])})"


def odd_types(spec: TaskSpec, split: str, batch: Samples) -> Iterator[Odd]:
    real = {"x": isinstance(spec.input, Continuous), "y": isinstance(spec.output, Value | ValuePerStep)}
    for name, given in batch._asdict().items():
        legal = torch.float32 if real.get(name) else torch.int64
        if given is not None and given.dtype != legal:
            yield Odd(f"{name} is of {given.dtype}; expected {legal}")


def odd_lengths(spec: TaskSpec, split: str, batch: Samples) -> Iterator[Odd]:
    if batch.lengths is not None:
        yield from _outside("a length", batch.lengths, 1, batch.x.shape[1])


def odd_numbers(spec: TaskSpec, split: str, batch: Samples) -> Iterator[Odd]:
    bad_x, bad_y = ~batch.x.isfinite(), ~batch.y.isfinite()
    if batch.lengths is not None:  # what follows a sequence may be anything
        bad_x[torch.arange(bad_x.shape[1]) >= batch.lengths[:, None]] = False
    if isinstance(spec.output, ValuePerStep):
        bad_y &= ~batch.y.isnan()  # masked out
    for name, bad in (("x", bad_x), ("y", bad_y)):
        if bad.any():
            yield Odd(f"{name} has numbers that are not finite", _first(bad))


def odd_ranges(spec: TaskSpec, split: str, batch: Samples) -> Iterator[Odd]:
    if isinstance(spec.input, Tokens):
        yield from _outside("a token of x", batch.x, 0, spec.input.vocabulary - 1)
    match spec.output:
        case Label(size):
            yield from _outside("a label", batch.y, 0, size - 1)
        case TokenPerStep(size):
            answers = batch.y.where(batch.y != IGNORED, 0)
            yield from _outside("a token of y", answers, 0, size - 1)
            yield from _unanswered(batch.y == IGNORED)
        case ValuePerStep():
            yield from _unanswered(batch.y.isnan())


def _outside(what: str, given: Tensor, low: int, high: int) -> Iterator[Odd]:
    bad = (given < low) | (given > high)
    if bad.any():
        yield Odd(f"{what} is {given[bad][0].item()}; legal: {low} to {high}", _first(bad))


def _unanswered(masked: Tensor) -> Iterator[Odd]:
    none = masked.flatten(1).all(1)
    if none.any():
        yield Odd("every position of y is masked out, so that nothing is asked", _first(none))


def _first(bad: Tensor) -> int:
    return int(bad.flatten(1).any(1).nonzero()[0]) if bad.dim() > 1 else int(bad.nonzero()[0])
