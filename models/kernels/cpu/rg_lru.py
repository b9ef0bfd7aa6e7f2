"""The RG-LRU's gates and recurrence on a CPU, compiled, forward and backward. The equations are those of
models/rg_lru.py.

The reverse pass computes the gates again, step by step, instead of storing what follows from them.

Shapes: B batch, T time, L channels. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import exp_of_negative, sigmoid

EXPM1 = tuple(FLOAT(c) for c in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1))  # coefficients of (exp(v) − 1)/v


class GatedRecurrence(torch.autograd.Function):
    """Maps what r, i and h take (B, T, L each), the rates −c log a (L) and the steepest slope to h (B, T, L)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, r_BTL: Tensor, i_BTL: Tensor, x_BTL: Tensor, rate_L: Tensor, steepest: float) -> Tensor:
        given = *(tensor.contiguous() for tensor in (r_BTL, i_BTL, x_BTL, rate_L)), torch.tensor(0.5 / steepest)
        h_BTL = torch.empty_like(given[0])
        run(recurrence_forward, *given, h_BTL)
        ctx.save_for_backward(*given, h_BTL)
        return h_BTL

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTL: Tensor) -> tuple[Tensor | None, ...]:
        r_BTL, _, _, rate_L, _, _ = ctx.saved_tensors
        to_r, to_i, to_x = (torch.empty_like(r_BTL) for _ in range(3))
        to_rate_BL = rate_L.new_zeros(len(r_BTL), len(rate_L))
        run(recurrence_backward, *ctx.saved_tensors, grad_h_BTL.contiguous(), to_r, to_i, to_x, to_rate_BL)
        return to_r, to_i, to_x, to_rate_BL.sum(0), None


@helper
def root_of_rest(log_a: Any, a: Any) -> Any:
    """Return √(1 − a²). Near a = 1, where the difference loses its digits, by a series."""
    v, series = FLOAT(2) * log_a, EXPM1[0]
    for coefficient in EXPM1[1:]:
        series = series * v + coefficient
    return np.sqrt(-v * series if v > FLOAT(-0.25) else FLOAT(1) - a * a)


@kernel
def recurrence_forward(first: int, last: int, r: Any, i: Any, x: Any, rate: Any, least: Any, h: Any) -> None:
    steps, size = h.shape[1:]
    for s in range(first, last):
        for j in range(size):
            h[s, 0, j] = sigmoid(i[s, 0, j]) * x[s, 0, j]
        for t in range(1, steps):
            before, now = h[s, t - 1], h[s, t]
            for j in range(size):
                log_a = -rate[j] * sigmoid(r[s, t, j])
                a = exp_of_negative(log_a)
                now[j] = a * before[j] + root_of_rest(log_a, a) * sigmoid(i[s, t, j]) * x[s, t, j]


@kernel
def recurrence_backward(
    first: int,
    last: int,
    r: Any,
    i: Any,
    x: Any,
    rate: Any,
    least: Any,
    h: Any,
    grad_h: Any,
    to_r: Any,
    to_i: Any,
    to_x: Any,
    to_rate: Any,
) -> None:
    (steps, size), smallest = h.shape[1:], least.item()
    to_h = np.empty(size, FLOAT)
    for s in range(first, last):
        to_h[:] = FLOAT(0)
        for t in range(steps - 1, 0, -1):
            before = h[s, t - 1]
            for j in range(size):
                g = to_h[j] + grad_h[s, t, j]
                share, i_t, x_t = sigmoid(r[s, t, j]), sigmoid(i[s, t, j]), x[s, t, j]
                log_a = -rate[j] * share
                a = exp_of_negative(log_a)
                root = root_of_rest(log_a, a)
                to_i[s, t, j] = g * root * x_t * i_t * (FLOAT(1) - i_t)
                to_x[s, t, j] = g * root * i_t
                # log a acts through the decay and, with d(1 − a²)/d log a = −2 a², through the root.
                slope = a / (root if root > smallest else FLOAT(smallest))
                to_log_a = g * a * (before[j] - slope * i_t * x_t)
                to_r[s, t, j] = -to_log_a * rate[j] * share * (FLOAT(1) - share)
                to_rate[s, j] -= to_log_a * share
                to_h[j] = g * a
        for j in range(size):
            g, i_t = to_h[j] + grad_h[s, 0, j], sigmoid(i[s, 0, j])
            to_i[s, 0, j] = g * x[s, 0, j] * i_t * (FLOAT(1) - i_t)
            to_x[s, 0, j] = g * i_t
            to_r[s, 0, j] = FLOAT(0)
