"""LinOSS's oscillators on a CPU, compiled: one pass over time. The equations are those of models/linoss.py.

    v_t = a ⊙ v_{t−1} − k ⊙ x_{t−1} + b_t,    x_t = x_{t−1} + v_t

Only x is stored. The reverse pass takes v_t = x_t − x_{t−1} from it.

Shapes: B batch, T time, N oscillators. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run


class Oscillators(torch.autograd.Function):
    """Maps b (B, T, N), a (N) and k (N) to x (B, T, N), from v = x = 0."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, b_BTN: Tensor, a_N: Tensor, k_N: Tensor) -> Tensor:
        b_BTN, a_N, k_N = b_BTN.contiguous(), a_N.contiguous(), k_N.contiguous()
        x_BTN = torch.empty_like(b_BTN)
        run(oscillate_forward, b_BTN, a_N, k_N, x_BTN)
        ctx.save_for_backward(x_BTN, a_N, k_N)
        return x_BTN

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_x_BTN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_BTN, a_N, _ = ctx.saved_tensors
        grad_b, grad_a = torch.empty_like(x_BTN), a_N.new_zeros(len(x_BTN), len(a_N))
        grad_k = torch.zeros_like(grad_a)
        run(oscillate_backward, *ctx.saved_tensors, grad_x_BTN.contiguous(), grad_b, grad_a, grad_k)
        return grad_b, grad_a.sum(0), grad_k.sum(0)


@kernel
def oscillate_forward(first: int, last: int, b: Any, a: Any, k: Any, x: Any) -> None:
    start, v = np.zeros(len(a), FLOAT), np.empty(len(a), FLOAT)
    for i in range(first, last):
        v[:] = FLOAT(0)
        for t in range(b.shape[1]):
            before, now = x[i, t - 1] if t else start, x[i, t]
            for n in range(len(v)):
                v[n] = a[n] * v[n] - k[n] * before[n] + b[i, t, n]
                now[n] = before[n] + v[n]


@kernel
def oscillate_backward(
    first: int, last: int, x: Any, a: Any, k: Any, grad_x: Any, grad_b: Any, grad_a: Any, grad_k: Any
) -> None:
    start, to_v, to_x = np.zeros(len(a), FLOAT), np.empty(len(a), FLOAT), np.empty(len(a), FLOAT)
    for i in range(first, last):
        to_v[:] = FLOAT(0)
        to_x[:] = FLOAT(0)
        for t in range(x.shape[1] - 1, -1, -1):
            before, earlier = x[i, t - 1] if t else start, x[i, t - 2] if t > 1 else start
            for n in range(len(to_v)):
                # x_t reaches the loss itself, through x_{t+1} and through v_{t+1}; v_t through x_t and v_{t+1}.
                to_x[n] += grad_x[i, t, n] - k[n] * to_v[n]
                to_v[n] = to_x[n] + a[n] * to_v[n]
                grad_b[i, t, n] = to_v[n]
                grad_a[i, n] += to_v[n] * (before[n] - earlier[n])
                grad_k[i, n] -= to_v[n] * before[n]
