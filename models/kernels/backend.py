"""The choice of what runs a loop over time: a kernel for CPUs (numba), one for GPUs (Triton), or torch's operations."""

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["numba", "triton", "torch"]

SINGLE = (torch.float32, torch.complex64)  # the types that the kernels take
FEW_INPUTS = 8  # for as many values a step or fewer, computing their projection again is faster than reading it


def loop_backend(tensor: Tensor) -> Backend:
    """Return what runs a loop over this tensor's time, where the loop has kernels for CPUs and for GPUs.

    The kernels take float32 and complex64. Other types, and GPUs on which Triton does not work, get "torch".
    """
    if tensor.dtype not in SINGLE:
        return "torch"
    if tensor.device.type == "cpu":
        return "numba"
    return "triton" if tensor.is_cuda and triton_works() else "torch"


@torch.compiler.assume_constant_result  # torch.compile would trace it otherwise, cached or not
def triton_works() -> bool:
    """Whether Triton is installed and can start kernels on the GPU in use. It builds a library to start the first."""
    return _triton_starts()


@cache
def _triton_starts() -> bool:
    if find_spec("triton") is None:
        return False
    from triton.runtime import driver

    try:
        driver.active.get_current_target()
    except Exception as error:  # no compiler, no headers, no driver: each fails in its own way
        warnings.warn(
            "Triton can't start kernels, so loops over time launch every operation of a step, many times more slowly. "
            f"It needs a C compiler and Python's headers (apt-get install gcc python3-dev). It says: {error}",
            stacklevel=3,
        )
        return False
    return True


def runs_compiled(*tensors: Tensor) -> bool:
    """Whether a CPU kernel can take these tensors: float32, on the CPU."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def made_again(x_BTD: Tensor, weight: Tensor) -> bool:
    """Whether a CPU kernel that returns only the last output should compute x's projection again, not store it."""
    return runs_compiled(x_BTD, weight) and x_BTD.shape[-1] <= FEW_INPUTS


def fuses(*tensors: Tensor) -> bool:
    """Whether one CPU kernel may take the place of several operations. Autocast and torch.func see into torch's."""
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    return runs_compiled(*tensors) and not transformed and not torch.is_autocast_enabled("cpu")
