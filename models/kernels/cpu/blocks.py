"""SLiCE's steps on a CPU, compiled: blocks of a state, each with a matrix of its own at every step.

    y_t = y_{t−1} + κ tanh(A_t y_{t−1} / κ)                          with κ = LIMIT, which changes finite numbers only
                                                                     where they are about to overflow
Shapes: B batch, T time, G blocks, b numbers of a block. float32 only.
"""

from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import tanh

LIMIT = 1e11
LARGE = 1e7  # a tanh of up to this much over LIMIT is its argument in float32


class BlockStates(torch.autograd.Function):
    """Maps A (B, T, G, b, b) and the state before the first step (B, G, b) to y (B, T, G, b)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, a_BTGbb: Tensor, start_BGb: Tensor) -> Tensor:
        a_BTGbb, start_BGb = a_BTGbb.contiguous(), start_BGb.contiguous()
        y_BTGb = torch.empty_like(a_BTGbb[..., 0])
        run(blocks_forward, a_BTGbb, start_BGb, y_BTGb)
        ctx.save_for_backward(a_BTGbb, start_BGb, y_BTGb)
        return y_BTGb

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTGb: Tensor) -> tuple[Tensor, Tensor]:
        a_BTGbb, start_BGb, y_BTGb = ctx.saved_tensors  # once, since a checkpoint gives them once
        grad_a, grad_start = torch.empty_like(a_BTGbb), torch.zeros_like(start_BGb)
        run(blocks_backward, a_BTGbb, start_BGb, y_BTGb, grad_y_BTGb.contiguous(), grad_a, grad_start)
        return grad_a, grad_start


@helper
def bounded(change: Any) -> Any:
    limit = FLOAT(LIMIT)
    return limit * tanh(change / limit) if abs(change) > FLOAT(LARGE) else change


@helper
def slope(change: Any) -> Any:
    """Return the derivative of `bounded` from its value."""
    share = change / FLOAT(LIMIT)
    return FLOAT(1) - share * share


@kernel
def blocks_forward(first: int, last: int, a: Any, start: Any, y: Any) -> None:
    groups, size = start.shape[1:]
    for i in range(first, last):
        for t in range(y.shape[1]):
            for g in range(groups):
                before, now, matrix = y[i, t - 1, g] if t else start[i, g], y[i, t, g], a[i, t, g]
                for j in range(size):
                    change = FLOAT(0)
                    for k in range(size):
                        change += matrix[j, k] * before[k]
                    now[j] = before[j] + bounded(change)


@kernel
def blocks_backward(
    first: int, last: int, a: Any, start: Any, y: Any, grad_y: Any, grad_a: Any, grad_start: Any
) -> None:
    groups, size = start.shape[1:]
    for i in range(first, last):
        for g in range(groups):
            to_y = grad_start[i, g]  # the gradient of y_t, and in the end that of the start
            for t in range(y.shape[1] - 1, -1, -1):
                before, now, matrix = y[i, t - 1, g] if t else start[i, g], y[i, t, g], a[i, t, g]
                to_matrix, from_y = grad_a[i, t, g], grad_y[i, t, g]
                for j in range(size):
                    to_y[j] += from_y[j]
                for j in range(size):  # each row's share of to_y waits in to_matrix until all rows have read to_y
                    to_change = to_y[j] * slope(now[j] - before[j])
                    for k in range(size):
                        to_matrix[j, k] = to_change
                for j in range(size):
                    for k in range(size):
                        to_y[k] += matrix[j, k] * to_matrix[j, k]
                        to_matrix[j, k] *= before[k]
