"""The specification of a task: what models and the leaderboard need to know of it."""

from dataclasses import dataclass
from typing import Literal

Metric = Literal["accuracy", "macro-f1", "mse", "mae"]
ACCURACIES = ("accuracy", "macro-f1")  # metrics where more is better

SPLITS = ("train", "validation", "test")
TUNING_SPLITS = ("train", "validation")
IGNORED = -100  # the target at positions of a token output that carry neither loss nor metric


@dataclass(frozen=True)
class Continuous:
    """Input of real numbers, (B, T, width)."""

    width: int

    def __str__(self) -> str:
        return f"{self.width} real"


@dataclass(frozen=True)
class Tokens:
    """Input of token ids, (B, T), each in [0, vocabulary)."""

    vocabulary: int

    def __str__(self) -> str:
        return f"tokens of {self.vocabulary}"


@dataclass(frozen=True)
class Label:
    """One class for the whole sequence, (B,)."""

    classes: int

    def __str__(self) -> str:
        return f"one of {self.classes}"


@dataclass(frozen=True)
class Value:
    """One vector of real numbers for the whole sequence, (B, width)."""

    width: int = 1

    def __str__(self) -> str:
        return f"{self.width} real"


@dataclass(frozen=True)
class TokenPerStep:
    """One token at every position, (B, T); positions that hold `IGNORED` are masked out."""

    vocabulary: int
    unscored: int | None = None
    """A target token that carries loss but is left out of the metric (the blank of `copy`)."""
    scored_from: int = 0
    """The first position that the metric looks at. Positions before it carry loss only."""

    def __str__(self) -> str:
        return f"a token of {self.vocabulary} per step"


@dataclass(frozen=True)
class ValuePerStep:
    """One vector of real numbers at every position, (B, T, width); positions that hold NaN are masked out."""

    width: int = 1
    scored_from: int = 0
    """The first position that the metric looks at. Positions before it carry loss only."""

    def __str__(self) -> str:
        return f"{self.width} real per step"


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What a model needs to know (input, output, length) and what the board needs (the metric and its two anchors).

    Raises:
        ValueError: the metric does not fit the output, or `solved` is not better than `chance`.
    """

    name: str
    summary: str
    seq_len: int
    input: Continuous | Tokens
    output: Label | Value | TokenPerStep | ValuePerStep
    metric: Metric
    chance: float
    """The metric of a predictor that remembers nothing: the theoretical value where one exists."""
    solved: float = 1.0
    """The metric that counts as solved: 1.0 for accuracies, a stated error for regressions."""
    variable_lengths: bool = False
    extra_tests: tuple[str, ...] = ()
    """Names of extra test splits, such as longer sequences. Each is scored once, after `test`, and recorded with it."""
    source: str
    license: str
    citation: str
    version: int = 1

    def __post_init__(self) -> None:
        if (self.metric in ACCURACIES) != isinstance(self.output, Label | TokenPerStep):
            raise ValueError(f"task {self.name}: metric {self.metric!r} does not fit the output {self.output}")
        if (self.solved > self.chance) != self.higher_is_better:
            raise ValueError(f"task {self.name}: solved={self.solved} is not better than chance={self.chance}")

    @property
    def higher_is_better(self) -> bool:
        return self.metric in ACCURACIES

    def is_solved(self, value: float) -> bool:
        """Return whether a value of the metric counts as solved."""
        return value >= self.solved if self.higher_is_better else value <= self.solved

    @property
    def per_step(self) -> bool:
        """Whether there is an answer at every position, and not one for the whole sequence."""
        return isinstance(self.output, TokenPerStep | ValuePerStep)
