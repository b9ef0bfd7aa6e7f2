"""What the GPU kernels share: launching, loading a matrix, and functions in which NaN stays NaN."""

from typing import Any

import torch
import triton
import triton.language as tl

FUSED = {"enable_fp_fusion": True}
"""Triton 3.10 no longer fuses multiply-adds unless asked."""


def launch(kernel: Any, grid: tuple[int, ...], *given: Any, **fixed: Any) -> None:
    """Run a kernel on the GPU of its first tensor, which need not be torch's current one. An empty grid runs nothing.

    Args:
        grid: the number of programs in each dimension.
        given: the kernel's tensors and numbers.
        fixed: its constants of compilation, such as tile sizes, and Triton's own, such as num_warps.
    """
    if all(grid):
        with torch.cuda.device_of(given[0]):
            kernel[grid](*given, **fixed)


def in_registers(units: int, matrices: int) -> dict[str, Any]:
    """Return what is fixed when a loop is compiled that keeps this many units × units matrices in registers."""
    size = triton.next_power_of_2(units)
    return {"SIZE": size, "STAGES": 3, "num_warps": max(4, matrices * size // 16), **FUSED}


@triton.jit
def matrix(w, row_stride, column_stride, rows, columns, i, j):
    """Load the tile of a matrix whose rows are i and columns j, with zeros outside."""
    tile = i[:, None] * row_stride + j[None, :] * column_stride
    return tl.load(w + tile, (i < rows)[:, None] & (j < columns)[None, :], 0.0)


@triton.jit
def relu(x):
    return tl.where(x <= 0, 0.0, x)


@triton.jit
def tanh(x):
    # exp of a negative number: nothing overflows, and NaN stays NaN
    decay = tl.exp(-2 * tl.abs(x))
    size = (1 - decay) / (1 + decay)
    return tl.where(x < 0, -size, size)
