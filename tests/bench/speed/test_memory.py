"""The peak of memory in a record: the run's own, whatever its process did before."""

import gc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from bench.runs.network import build
from bench.speed.memory import peak_host
from tests.conftest import QUICK, Bench

BALLAST = 2**29  # bytes

resettable = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can't be reset here")


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    """Cycles stay until somebody asks for them to be freed."""
    gc.disable()
    yield
    gc.enable()


@resettable
@pytest.mark.usefixtures("no_garbage_collector")
@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_what_was_held_before_a_run_is_not_counted(bench: Bench, in_a_cycle: bool) -> None:
    resident = psutil.Process().memory_info().rss
    ballast: list[object] = [torch.ones(BALLAST // 4)]
    if in_a_cycle:
        ballast.append(ballast)
    del ballast
    assert peak_host() > resident + 0.9 * BALLAST
    run = bench.json("run", "--model", "gru", *QUICK)
    recorded = bench.json("show", run["run_id"])["peak_memory_host"]
    assert 0 < recorded < resident + 0.9 * BALLAST


@resettable
def test_what_a_run_held_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = psutil.Process().memory_info().rss
    monkeypatch.setattr("bench.training.attempt.build", lambda *given: (torch.ones(BALLAST // 4), build(*given))[1])
    run = bench.json("run", "--model", "gru", *QUICK)
    assert bench.json("show", run["run_id"])["peak_memory_host"] > resident + 0.9 * BALLAST


def test_a_gpu_that_an_earlier_run_broke_is_not_the_next_ones_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    said = bench.refused("run", "--model", "gru", *QUICK)
    assert "an earlier run in this process left it without its GPU: CUDA error: an illegal memory access" in said
    assert "Run the command again" in said
    assert bench.json("runs") == []
