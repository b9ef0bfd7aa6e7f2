"""HiPPO-LegS's loop over time on a CPU, compiled, forward and backward. The equations are those of models/hippo.py.

The memory's triangular system is solved row by row, the sum of what stands left of the diagonal carried along: O(N).

Shapes: B batch, T time, H hidden, N order. float32 only.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._compiled import FAST, FLOAT, add_product, relax_backward, run, sigmoid, tanh


class HiPPOLoop(torch.autograd.Function):
    """h (B, T, H) of the drive (B, T, 2H), W_g and W_h (H + N, 2H), L_f (H), b_f (1) and B (N), from states at zero."""

    @staticmethod
    def forward(ctx: Any, drive_BT2H: Tensor, *weights: Tensor) -> Tensor:
        weights = tuple(weight.contiguous() for weight in weights)
        gates_BT2H = drive_BT2H.clone(memory_format=torch.contiguous_format)
        both_BTK = gates_BT2H.new_empty(*gates_BT2H.shape[:2], len(weights[0]))  # h and c side by side
        run(hippo_forward, gates_BT2H, *weights, both_BTK)
        ctx.save_for_backward(gates_BT2H, *weights, both_BTK)
        return both_BTK[..., : len(weights[1])].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h_BTH: Tensor) -> tuple[Tensor | None, ...]:
        gates_BT2H, weight, to_f_H, _, b_N, both_BTK = ctx.saved_tensors
        grad_BT2H, grad_f_BT = torch.empty_like(gates_BT2H), both_BTK.new_empty(both_BTK.shape[:2])
        weights = weight.T.contiguous(), to_f_H, b_N
        run(hippo_backward, gates_BT2H, *weights, both_BTK, grad_h_BTH.contiguous(), grad_BT2H, grad_f_BT)
        grad_weight = both_BTK[:, :-1].flatten(0, 1).T @ grad_BT2H[:, 1:].flatten(0, 1)
        grad_to_f = both_BTK[..., : len(to_f_H)].flatten(0, 1).T @ grad_f_BT.flatten()
        return grad_BT2H, grad_weight, grad_to_f, grad_f_BT.sum().reshape(1), None


@njit(nogil=True, fastmath=FAST, cache=True)
def hippo_forward(first: int, last: int, gates: Any, weight: Any, to_f: Any, bias_f: Any, b: Any, both: Any) -> None:
    size, order = len(to_f), len(b)
    for i in range(first, last):
        now = np.zeros(size + order, FLOAT)
        for t in range(gates.shape[1]):
            k, f = gates[i, t], bias_f[0]
            add_product(k, now, weight)
            for j in range(size):
                k[j] = sigmoid(k[j])
            for j in range(size, 2 * size):
                k[j] = tanh(k[j])
            for j in range(size):
                now[j] += k[j] * (k[size + j] - now[j])
            for j in range(size):
                f += to_f[j] * now[j]
            remember(now[size:], f, FLOAT(0.5) / FLOAT(t + 1), b)
            both[i, t] = now


@njit(nogil=True, fastmath=FAST, cache=True)
def hippo_backward(
    first: int, last: int, gates: Any, weight: Any, to_f: Any, b: Any, both: Any, grad_h: Any, grad: Any, grad_f: Any
) -> None:
    size, order = len(to_f), len(b)
    for i in range(first, last):
        to_both, zeros = np.zeros(size + order, FLOAT), np.zeros(size, FLOAT)
        for t in range(gates.shape[1] - 1, -1, -1):
            k, g = gates[i, t], grad[i, t]
            grad_f[i, t] = remember_backward(to_both[size:], FLOAT(0.5) / FLOAT(t + 1), b)
            for j in range(size):
                to_both[j] += grad_h[i, t, j] + grad_f[i, t] * to_f[j]
            before = both[i, t - 1, :size] if t else zeros
            relax_backward(k[:size], k[size:], before, FLOAT(1), to_both, g, g[size:])
            add_product(to_both, g, weight)


@njit(fastmath=FAST)
def remember(c: Any, f: Any, alpha: Any, b: Any) -> None:
    """c becomes 2 y − c, where (I + αA) y = c + α B f and row n of A is B_n (B_0, …, B_{n−1}) and n + 1."""
    total = FLOAT(0)
    for n in range(len(c)):
        y = (c[n] + alpha * b[n] * (f - total)) / (FLOAT(1) + alpha * FLOAT(n + 1))
        total += b[n] * y
        c[n] = FLOAT(2) * y - c[n]


@njit(fastmath=FAST)
def remember_backward(to_c: Any, alpha: Any, b: Any) -> Any:
    """The adjoint: the gradient of the new c becomes that of the old one; that of f is returned."""
    to_f, to_total = FLOAT(0), FLOAT(0)
    for n in range(len(to_c) - 1, -1, -1):
        to_target = (FLOAT(2) * to_c[n] + to_total * b[n]) / (FLOAT(1) + alpha * FLOAT(n + 1))
        to_total -= alpha * b[n] * to_target
        to_f += alpha * b[n] * to_target
        to_c[n] = to_target - to_c[n]
    return to_f
