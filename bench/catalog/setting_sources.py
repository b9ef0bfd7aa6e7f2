"""Where a setting of a run came from: "flag", "budget", or "preset" with what was spent on finding it, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

FLAG, BUDGET, PRESET = "flag", "budget", "preset"
FIXED_BY_SUITES = ("max_steps", "epochs", "batch_size", "patience", "precision")
"""What a suite says itself, or may: neither tuning nor anybody's hand chooses it there."""


def spent(trials: int, length: str) -> str:
    """A tuning budget in words: trials, each as long as a run."""
    return f"{trials} trials of {length}"


def from_preset(words: str | None) -> str:
    """The source of what a preset holds; None where nobody tuned it, as with the settings of a paper."""
    return PRESET if words is None else f"{PRESET}: {words}"


def spent_on(sources: Iterable[str]) -> str | None:
    """What was spent on a preset, of the sources of its settings, where they say so."""
    return next((source.partition(": ")[2] or None for source in sources if is_preset(source)), None)


def is_preset(source: str) -> bool:
    return source.partition(":")[0] == PRESET


def is_within(source: str, trials: int, length: str) -> bool:
    """Whether a setting cost at most so many trials, each as long as its run.

    Older records do not say what was spent: it was the suite's budget.
    """
    words = source.partition(": ")[2]
    count, _, trained = words.partition(" trials of ")
    return not is_preset(source) or not words or (int(count) <= trials and trained == length)


def same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether settings came from the same sources, as far as both say."""
    return one.keys() == other.keys() and all(_agree(one[name], other[name]) for name in one)


def _agree(one: str, other: str) -> bool:
    untold = is_preset(one) and is_preset(other) and PRESET in (one, other)
    return untold or one == other


def training_length(training: Mapping[str, Any]) -> str:
    """How long training was, in the words of `Training.length`, from its recorded settings."""
    return f"{training['max_steps']} steps" if training.get("max_steps") else f"{training.get('epochs')} epochs"
