"""The smallest tier: whatever tuning draws, these architectures fit it with sizes that are not absurd."""

from typing import cast

import pytest
from optuna import Trial

from bench.catalog.registry import find_model, find_task
from bench.contributing.rules import EdgeTrial
from bench.runs.parameter_budget import fit
from models.shared.contract import LEAST_UNITS
from models.shared.wrappers import WRAPPERS

NAMES = (
    "cornn", "exprnn", "gated-deltanet", "gla", "hyena", "lem", "linoss", "lmu", "lru", "mamba", "mamba2", "mamba3",
    "mlstm", "rg-lru", "s4", "s4d", "s5", "slice", "slstm", "sru", "tcn", "transformer",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_first_and_last_choices_of_a_search_space_fit_the_smallest_tier(name: str) -> None:
    """In the residual wrapper, which is the main contest."""
    cls, spec = find_model(name).cls, find_task("adding-200").build().spec
    assert cls.Config.units
    for end in (0, -1):
        changes = cls.search_space(cast(Trial, EdgeTrial(end)))
        settings = fit(cls, WRAPPERS["residual"], spec, "3k", changes)
        assert all(number >= LEAST_UNITS for number in settings.units().values())
