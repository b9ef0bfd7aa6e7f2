"""The worked example in each task's docstring."""

import doctest
import importlib

import pytest

from bench.common.root import ROOT

STEMS = sorted(path.stem for path in (ROOT / "datamodules").glob("*.py"))
TASKS = [stem for stem in STEMS if not stem.startswith("_")]


@pytest.mark.parametrize("stem", STEMS)
def test_the_examples_run(stem: str) -> None:
    name = "datamodules" if stem == "__init__" else f"datamodules.{stem}"
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0 or stem not in TASKS
