"""The gated linear unit on a CPU, compiled: a ⊙ σ(b), where a and b lie side by side. torch's own takes row by row.

Shapes: M rows, W width. float32 only.
"""

from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import sigmoid

ROWS = 1024
"""Rows of a share."""


class GatedUnit(torch.autograd.Function):
    """Maps a and b side by side, (M, 2W), to y, (M, W)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, both_M2W: Tensor) -> Tensor:
        both_M2W = both_M2W.contiguous()
        ctx.save_for_backward(both_M2W)
        y_MW = both_M2W.new_empty(len(both_M2W), both_M2W.shape[1] // 2)
        run(gate_forward, both_M2W, y_MW, share=ROWS)
        return y_MW

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_MW: Tensor) -> Tensor:
        (both_M2W,) = ctx.saved_tensors
        grad_both = torch.empty_like(both_M2W)
        run(gate_backward, both_M2W, grad_MW.contiguous(), grad_both, share=ROWS)
        return grad_both


@kernel
def gate_forward(first: int, last: int, both: Any, y: Any) -> None:
    width = y.shape[1]
    for i in range(first, last):
        for j in range(width):
            y[i, j] = both[i, j] * sigmoid(both[i, width + j])


@kernel
def gate_backward(first: int, last: int, both: Any, grad: Any, grad_both: Any) -> None:
    width = grad.shape[1]
    for i in range(first, last):
        for j in range(width):
            share = sigmoid(both[i, width + j])
            grad_both[i, j] = grad[i, j] * share
            grad_both[i, width + j] = grad[i, j] * both[i, j] * share * (FLOAT(1) - share)
