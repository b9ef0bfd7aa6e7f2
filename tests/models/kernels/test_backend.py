"""Which way a loop over time goes on a GPU, and on which GPU its kernel runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")
from triton.runtime import driver

from models.kernels import backend
from models.kernels.backend import triton_works
from models.kernels.gpu.launch import launch


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    backend._triton_starts.cache_clear()
    yield
    backend._triton_starts.cache_clear()


def test_triton_that_can_not_start_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler() -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(driver, "_active", SimpleNamespace(get_current_target=no_compiler))
    with pytest.warns(UserWarning, match="apt-get install gcc python3-dev.*Failed to find C compiler"):
        assert not triton_works()
    assert not triton_works()  # and is said once


def test_triton_that_starts_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_active", SimpleNamespace(get_current_target=lambda: "sm_90"))
    on_gpu: Any = SimpleNamespace(dtype=torch.float32, device=torch.device("cuda"), is_cuda=True)
    assert backend.loop_backend(on_gpu) == "triton"
    assert torch.compile(lambda x: x + triton_works(), backend="eager", fullgraph=True)(torch.zeros(1)) == 1


def test_a_kernel_runs_on_its_tensors_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[Tensor | None] = [None]

    @contextmanager
    def device_of(tensor: Tensor) -> Iterator[None]:
        current.append(tensor)
        yield
        current.pop()

    class Kernel:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            return lambda tensor, *given, **fixed: launched.append((current[-1] is tensor, grid, given, fixed))

    launched: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    launch(Kernel(), (2, 3), torch.zeros(1), 5, num_warps=4)
    launch(Kernel(), (2, 0), torch.zeros(1), 5, num_warps=4)
    assert launched == [(True, (2, 3), (5,), {"num_warps": 4})]
