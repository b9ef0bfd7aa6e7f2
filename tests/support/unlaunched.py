"""Every layer with kernels for GPUs, by Triton's own compiler and launcher, up to a driver that runs nothing.

Triton compiles a kernel again for what it is called with: an argument that is 1 becomes a constant, one that 16 divides
is noted as such. So it is called as on a GPU, with layers and batches of several sizes. Prints how many launches of
each architecture it came to; refuses a kernel that would not fit the smallest GPUs. TRITON_INTERPRET must not be set.

    python -m tests.support.unlaunched
"""

import json
from collections import Counter
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import ty_to_cpp
from triton.runtime import driver

from models.kernels import backend

SHARED_MEMORY, THREADS = 99 * 1024, 1024  # of a program, on GPUs since 2020
NAMES = ("cornn", "exprnn", "fru", "hippo", "indrnn", "lem", "lmu", "lru", "mamba", "mingru", "minlstm", "s5", "sru")
WIDTHS, SHAPES = (1, 48), ((1, 1, 1), (16, 37, 3))  # batch, time, input


launches: Counter[str] = Counter()


class Machine:
    """What Triton asks a GPU's driver to do."""

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": SHARED_MEMORY}

    def load_binary(self, name: str, *given: Any) -> tuple[int, int, int, int, int]:
        return 1, 1, 0, 0, THREADS

    def unload_module(self, module: Any) -> None: ...


class Launcher:
    def __init__(self, source: Any, metadata: Any) -> None: ...

    def __call__(self, *given: Any) -> None:
        launches["now"] += 1


class Driver:
    launcher_cls, utils = Launcher, Machine()

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 86, 32)

    def map_python_to_cpp_type(self, name: str) -> str:
        return str(ty_to_cpp(name))


def call(name: str, width: int, shape: tuple[int, int, int]) -> None:
    """A layer forward and back, its every step and its last one, with lengths and without."""
    from bench.catalog.registry import find_model

    (batch, steps, inputs), model = shape, find_model(name).cls
    layer = model(model.Config.at_width(width), input_size=inputs, seq_len=steps)
    layer.eval()  # batch normalization can't train on one value
    x_BTD = torch.zeros(shape, requires_grad=True)
    for lengths_B in (None, torch.full((batch,), steps)):
        (layer(x_BTD, lengths_B).sum() + layer.last(x_BTD, lengths_B).sum()).backward()


def main() -> None:
    driver.set_active(Driver())
    backend.loop_backend = lambda tensor: "triton"
    backend.runs_compiled = backend.made_again = lambda *tensors: False
    for name in NAMES:
        for width in WIDTHS:
            for shape in SHAPES:
                call(name, width, shape)
        launches[name] = launches.pop("now", 0)
    print(json.dumps(launches))


if __name__ == "__main__":
    main()
