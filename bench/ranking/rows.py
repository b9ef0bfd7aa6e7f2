"""The rows of a suite's ranking."""

from dataclasses import dataclass

from bench.ranking.cells import EntryKey


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """An entry on one task."""

    task: str
    score: float | None
    """Mean over seeds, failures counted as 0; None where there is no result."""
    std: float | None
    """Sample standard deviation over seeds; None where there are fewer than two."""
    learned: float | None
    """Share of the seeds that learned the task, from utility LEARNED on; None where there is no result."""
    seeds: int
    failures: int
    no_spread: bool
    """Whether all its seeds, two or more, score alike, so that their spread is unknown."""


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """An entry in a suite."""

    rank_low: int | None
    """1 + the number of entries that are significantly better. Both ranks are None where the entry is not ranked."""
    rank_high: int | None
    """The number of ranked entries less those that are significantly worse."""
    model: str
    wrapper: str
    budget: str
    tuning: str
    settings: str
    score: float | None
    """100 × the mean over tasks of the mean utility over seeds; None while a task has no result."""
    score_low: float | None
    """95% interval for other seeds; None where no cell has spread or one has a single seed."""
    score_high: float | None
    score_low_tasks: float | None
    """95% interval for other tasks; None where there is one task."""
    score_high_tasks: float | None
    learned: float | None
    """Share of the seeds that learned their task: mean over tasks; None while a task has no result."""
    params: float
    """Learned numbers, not counting token embedding tables. Like the other sizes, a geometric mean over tasks."""
    params_core: float
    params_embedding: float
    """Arithmetic mean: it is 0 where a task has no tokens."""
    params_readout: float
    state_bytes: float | None
    """None where the model carries no state."""
    hardware: tuple[str, ...]
    """What its runs were trained on. If it is several, `train_seconds` and `samples_per_second` are None."""
    train_seconds: float | None
    """Time of training one seed of the suite, from seeds that finished; None while a task has no such seed."""
    samples_per_second: float | None
    """Training throughput: geometric mean over tasks."""
    tasks_done: int
    """Tasks with at least five seeds, from 0 on and with none left out."""
    tasks_total: int
    seeds: int
    """The fewest seeds in any cell."""
    failures: int
    verification: str
    """The lowest rung of any of its runs."""
    p_front: float | None
    """Probability of being on the front of score and parameters, among the contest's ranked entries of all tiers."""
    budget_auc: float | None
    """None until all tiers of the suite are ranked."""
    tasks: tuple[TaskScore, ...]

    @property
    def key(self) -> EntryKey:
        return EntryKey(self.model, self.wrapper, self.budget, self.tuning, self.settings)


@dataclass(frozen=True, kw_only=True)
class Board:
    """The ranking of a suite in one contest."""

    rows: tuple[SuiteRow, ...]
    """Ranked entries, best first; then incomplete ones, most complete first."""
    smallest_difference: float | None
    """Points of score by which two entries must differ to be told apart; None where no difference would be enough."""
