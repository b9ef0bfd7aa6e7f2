"""The settings of an architecture: what each means, its type, its value and what tuning tries."""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from textwrap import dedent
from typing import Any, get_type_hints

from bench.catalog.registry import find_model_or_file, find_task, find_wrapper
from bench.runs.parameter_budget import fit
from bench.runs.search_ranges import searched
from bench.runs.settings import PARTS, Settings, type_text
from models.shared.contract import ModelConfig


def describe_settings(model: str, task: str, budget: str | None) -> list[dict[str, Any]]:
    """Return a row for each setting: the architecture's first, then its paper's wrapper's and training's.

    Args:
        model: a name, or a path to a .py file.
        task: the task that the architecture is fitted for.
        budget: the tier that it is fitted to; None for the defaults.

    Raises:
        RequestError: there is no such model, task or tier, or the model does not fit.
    """
    cls = find_model_or_file(model).cls
    wrapper = find_wrapper(cls.wrapper)
    settings = Settings.defaults(cls, wrapper)
    if budget is not None:
        settings = fit(cls, wrapper, find_task(task).build().spec, budget, {})
    values, tried = settings.flat(), searched(cls).texts()
    return [
        {"value": values[row["setting"]], "tuning": tried.get(row["setting"]), "of": part, **row}
        for part in PARTS
        for row in _described(type(getattr(settings, part)))
    ]


def _described(config: type[ModelConfig]) -> list[dict[str, Any]]:
    hints, texts = get_type_hints(config), meanings(config)
    return [
        {"setting": each.name, "type": type_text(hints[each.name]), "meaning": texts.get(each.name)}
        for each in fields(config)
    ]


def meanings(config: type[ModelConfig]) -> Mapping[str, str]:
    """Return setting → the docstring below its field, on one line. One that a subclass sets anew needs its own."""
    found: dict[str, str | None] = {}
    for cls in reversed(config.__mro__):
        if issubclass(cls, ModelConfig):
            found |= _docstrings(cls)
    return {each.name: text for each in fields(config) if (text := found.get(each.name))}


def _docstrings(cls: type) -> dict[str, str | None]:
    (definition,) = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    pairs = pairwise([*definition.body, ast.Pass()])
    return {ast.unparse(field.target): _text(after) for field, after in pairs if isinstance(field, ast.AnnAssign)}


def _text(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return None
