"""The ranges that tuning searches, and whether a chosen setting lies at the end of one."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from bench.common.text import word
from models.shared.contract import SequenceModel
from models.shared.training import Training

if TYPE_CHECKING:
    from optuna import Trial

MARGIN = 0.05
"""The share of a range, on its own scale, that counts as its edge."""


class RangeTrial:
    """Stands in for an Optuna trial: takes every first choice, and remembers choices and the ranges of numbers."""

    def __init__(self) -> None:
        self.ranges: dict[str, tuple[float, float, bool]] = {}
        self.choices: dict[str, Sequence[Any]] = {}

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.choices[name] = choices
        return choices[0]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False, **_: Any) -> float:
        self.ranges[name] = (low, high, log)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False, **_: Any) -> int:
        self.ranges[name] = (low, high, log)
        return low

    def texts(self) -> dict[str, str]:
        """Return name → what is tried: "0.0001 to 0.03, log" or "false, true"."""
        numbers = {name: f"{low} to {high}{', log' * log}" for name, (low, high, log) in self.ranges.items()}
        return numbers | {name: ", ".join(map(word, choices)) for name, choices in self.choices.items()}


def searched(model: type[SequenceModel]) -> RangeTrial:
    """Return what tuning tries: settings of training and of the model."""
    trial = RangeTrial()
    for part in (Training, model):
        part.search_space(cast("Trial", trial))
    return trial


def at_edge(model: type[SequenceModel], chosen: Mapping[str, Any]) -> list[str]:
    """Return the chosen settings that lie at an end of their range: a wider one may hold better ones."""
    ranges = searched(model).ranges
    return [name for name, (low, high, log) in ranges.items() if _is_end(chosen.get(name), low, high, log=log)]


def _is_end(value: Any, low: float, high: float, *, log: bool) -> bool:
    if not isinstance(value, int | float):
        return False
    place = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
    return not MARGIN < place < 1 - MARGIN
