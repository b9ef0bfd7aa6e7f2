"""Fit an architecture to a parameter tier by its width."""

from typing import Any

from bench.catalog.tiers import embedding_width, tier_size
from bench.common.errors import RequestError
from bench.runs.network import count_on_meta
from bench.runs.settings import Settings
from datamodules._spec import TaskSpec, Tokens
from models.shared.contract import LEAST_UNITS, SequenceModel
from models.shared.wrappers import Wrapper

NEIGHBOURS = 8
"""How many widths are also tried on each side of the one found. The size can fall from one width to the next, where a
width divides otherwise or a projection is no longer needed. Halving intervals ends next to one of these falls."""


def fit(
    model: type[SequenceModel], wrapper: type[Wrapper], spec: TaskSpec, budget: str | int, changes: dict[str, Any]
) -> Settings:
    """Return the settings at the width that uses most of the budget: learned numbers, not counting token tables.

    Token tables have the width that belongs to the budget.

    Args:
        spec: the task, which sets the sizes of the input and the output.
        budget: a tier or a number.
        changes: settings that hold at every width.

    Raises:
        RequestError: no such tier, not even the smallest width fits, the size does not grow with the width, or it fits
            only with fewer than LEAST_UNITS units, statistics, states or channels that `changes` does not ask for.
    """
    limit = budget if isinstance(budget, int) else tier_size(budget)
    if isinstance(spec.input, Tokens):
        changes = {"embed_size": embedding_width(limit, spec.input.vocabulary)} | changes

    def settings(width: int) -> Settings:
        return Settings.at_width(model, wrapper, width).updated(changes)

    def size(width: int) -> int:
        return count_on_meta(model, wrapper, settings(width), spec).budgeted

    if size(1) > limit:
        raise RequestError(
            f"{model.__name__} does not fit {spec.name} in {budget}: its smallest width has {size(1):,} parameters."
        )
    low, high = 1, 2
    while size(high) <= limit:
        if high > limit:
            raise RequestError(f"{model.__name__} can't be fitted to {budget}: its size does not grow with its width.")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= limit else (low, middle)
    near = {width: size(width) for width in range(max(1, low - NEIGHBOURS), low + NEIGHBOURS + 1)}
    found = settings(max((width for width in near if near[width] <= limit), key=near.__getitem__))
    if absurd := found.absurd(asked=changes):
        would_be = ", ".join(f"{name} would be {number}" for name, number in absurd.items())
        raise RequestError(
            f"{model.__name__} does not fit {spec.name} in {budget}: {would_be}, and sensible layers have "
            f"{LEAST_UNITS} or more."
        )
    return found
