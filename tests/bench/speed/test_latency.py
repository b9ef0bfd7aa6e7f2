"""The time of a step: measured for every recurrent model, recorded with a run, and never a reason for a run to fail."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.catalog.registry import find_model, find_task, model_names
from bench.runs.network import build
from bench.runs.settings import Settings
from bench.speed.latency import step_seconds
from db.store import Store
from models.shared.wrappers import WRAPPERS
from tests.conftest import QUICK, Bench


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("name", model_names())
def test_every_recurrent_model_has_a_latency(name: str, wrapper: type) -> None:
    cls = find_model(name).cls
    settings = Settings.at_width(cls, wrapper, 4)
    network = build(cls, wrapper, settings, find_task("digits").build().spec)
    before = torch.random.get_rng_state()
    seconds = step_seconds(network.mixers(), torch.device("cpu"))
    assert (seconds is not None) == (cls.is_recurrent() and cls.mixes)
    assert seconds is None or seconds > 0
    assert torch.equal(before, torch.random.get_rng_state())


def test_it_is_recorded_with_the_run(bench: Bench) -> None:
    bench("run", "--model", "gru", *QUICK)
    bench("run", "--model", "tcn", *QUICK)
    gru, tcn = Store(str(bench.db), read_only=True).runs()
    assert gru.facts["step_seconds"] > 0
    assert tcn.facts["step_seconds"] is None


def test_a_step_that_fails_costs_no_run(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("mine", "pass")
    path.write_text(path.read_text() + STEP)
    bench("run", "--model", str(path), "--epochs", "1")
    (run,) = Store(str(bench.db), read_only=True).runs()
    assert run.status == "finished"
    assert run.facts["step_seconds"] is None


STEP = """
    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 3)

    def step(self, x_BD, state):
        raise RuntimeError("not written yet")
"""
