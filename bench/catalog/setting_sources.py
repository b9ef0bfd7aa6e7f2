"""Where a setting of a run came from: "flag", "budget", or "preset", followed by what tuning spent on finding it."""

from collections.abc import Iterable, Mapping
from typing import Any

FLAG, BUDGET, PRESET = "flag", "budget", "preset"
FIXED_BY_SUITES = (
    "max_steps", "epochs", "batch_size", "patience", "precision", "warmup", "end_when_solved", "start_at_constant",
)  # fmt: skip
"""Settings that a suite fixes or may fix. In a suite, neither tuning nor a person chooses them."""


def spent(trials: int, length: str) -> str:
    """Write a tuning budget as text: trials, each as long as a run.

    Args:
        length: as `training_length` writes it.
    """
    return f"{trials} trials of {length}"


def from_preset(words: str | None) -> str:
    """Return the source of a preset's settings.

    Args:
        words: what tuning spent, as `spent` writes it; None where nobody tuned, as with the settings of a paper.
    """
    return PRESET if words is None else f"{PRESET}: {words}"


def spent_on(sources: Iterable[str]) -> str | None:
    """Return what was spent on a preset, from the sources of a run's settings; None where they do not say."""
    return next((source.partition(": ")[2] or None for source in sources if is_preset(source)), None)


def is_preset(source: str) -> bool:
    return source.partition(":")[0] == PRESET


def is_within(source: str, trials: int, length: str) -> bool:
    """Return whether a setting cost at most `trials` trials, each as long as its run.

    Older records do not say what was spent. They count as within the budget, because it was the suite's. What can't be
    read as a budget does not count.

    Args:
        length: the training of the run, as `training_length` writes it.
    """
    words = source.partition(": ")[2]
    count, _, trained = words.partition(" trials of ")
    affordable = count.isdecimal() and int(count) <= trials and trained == length
    return not is_preset(source) or not words or affordable


def same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether settings came from the same sources, as far as both say."""
    return one.keys() == other.keys() and all(_agree(one[name], other[name]) for name in one)


def _agree(one: str, other: str) -> bool:
    untold = is_preset(one) and is_preset(other) and PRESET in (one, other)
    return untold or one == other


def training_length(training: Mapping[str, Any]) -> str:
    """Return how long training was, from its recorded settings, as `Training.length` writes it."""
    return f"{training['max_steps']} steps" if training.get("max_steps") else f"{training.get('epochs')} epochs"
