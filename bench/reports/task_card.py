"""A task described in full: its definition, its facts and a sample."""

import inspect
from typing import Any

from bench.catalog.registry import find_task
from bench.reports.listings import task_row
from bench.reports.shortcuts import reached
from datamodules._spec import IGNORED

SHOWN = 24  # steps of a sample
DIGITS = 3


def describe_task(name: str) -> dict[str, Any]:
    """Return the card of a task, with facts and one sample, which are read or drawn from its data.

    Raises:
        RequestError: there is no such task.
    """
    task = find_task(name).build()
    card = task_card(name) | {"facts": task.facts(), "sample": _sample(task.example())}
    return card | {"variants": list(card["variants"])}


def task_card(name: str) -> dict[str, Any]:
    """Return the row of `bench tasks`, the definition with its example, and the family's variants with their lengths.

    Also what predictors without a memory of order were recorded to reach.

    No data are read or drawn.

    Raises:
        RequestError: there is no such task.
    """
    found = find_task(name)
    module = inspect.getmodule(found.cls)
    assert module is not None
    definition, prompt, example = (module.__doc__ or "").partition(">>>")
    row = task_row(found.build())
    return row | {
        "shortcuts": reached(found.variant, row["version"]),
        "definition": definition.strip(),
        "example": (prompt + example).strip(),
        "variants": {variant: found.cls(variant).spec.seq_len for variant in found.cls.variants},
    }


def _sample(example: Any) -> dict[str, Any]:
    """The first steps of the input, and the answer: None at steps that ask for none."""
    x, y = example.x[0], example.y[0]
    return {
        "x": _rounded(x[:SHOWN].tolist()),
        "y": _rounded(y.tolist()),
        "length": len(x) if example.lengths is None else int(example.lengths[0]),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    if value == IGNORED or value != value:  # NaN differs from itself
        return None
    return round(value, DIGITS) if isinstance(value, float) else value
