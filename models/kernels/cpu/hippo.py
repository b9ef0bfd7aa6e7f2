"""HiPPO-LegS's loop over time on a CPU, compiled, forward and backward. The equations are those of models/hippo.py.

The memory's triangular system is solved row by row, with the sum left of the diagonal carried along, in O(N).

Shapes: B batch, T time, H hidden, N order. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import relax_backward, sigmoid, tanh
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES


class HiPPOLoop(torch.autograd.Function):
    """Maps the drive (B, T, 2H), W_g and W_h (H + N, 2H), L_f (H), b_f (1) and B (N) to h (B, T, H), from zeros."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, drive_BT2H: Tensor, weight: Tensor, to_f_H: Tensor, bias_f: Tensor, b_N: Tensor) -> Tensor:
        gates_BT2H = drive_BT2H.clone(memory_format=torch.contiguous_format)
        both_BTK = gates_BT2H.new_empty(*gates_BT2H.shape[:2], len(weight))  # h and c side by side
        run(hippo_forward, gates_BT2H, in_panels(weight), to_f_H.contiguous(), bias_f, b_N, both_BTK)
        ctx.save_for_backward(gates_BT2H, weight, to_f_H, b_N, both_BTK)
        return both_BTK[..., : len(to_f_H)].clone()

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTH: Tensor) -> tuple[Tensor | None, ...]:
        gates_BT2H, weight, to_f_H, b_N, both_BTK = ctx.saved_tensors
        grad_BT2H, grad_f_BT = torch.empty_like(gates_BT2H), both_BTK.new_empty(both_BTK.shape[:2])
        weights = in_panels(weight.T), to_f_H.contiguous(), b_N
        run(hippo_backward, gates_BT2H, *weights, both_BTK, grad_h_BTH.contiguous(), grad_BT2H, grad_f_BT)
        grad_to_f = both_BTK[..., : len(to_f_H)].flatten(0, 1).T @ grad_f_BT.flatten()
        return grad_BT2H, carried(both_BTK, grad_BT2H), grad_to_f, grad_f_BT.sum().reshape(1), None


@kernel
def hippo_forward(first: int, last: int, gates: Any, weight: Any, to_f: Any, bias_f: Any, b: Any, both: Any) -> None:
    count, (steps, width), size = last - first, both.shape[1:], len(to_f)
    product, now = np.zeros((count, len(weight) * LANES), FLOAT), np.zeros((count, width), FLOAT)
    # The share's sequences go through time together, so that one product serves them all. `now` holds h and c.
    for t in range(steps):
        products(product, now, width, weight, count, width, product.shape[1])
        for i in range(first, last):
            k, state, f = gates[i, t], now[i - first], bias_f[0]
            for j in range(size):
                k[j] = sigmoid(k[j] + product[i - first, j])
            for j in range(size, 2 * size):
                k[j] = tanh(k[j] + product[i - first, j])
            for j in range(size):
                state[j] += k[j] * (k[size + j] - state[j])
            for j in range(size):
                f += to_f[j] * state[j]
            remember(state[size:], f, FLOAT(0.5) / FLOAT(t + 1), b)
            both[i, t] = state


@kernel
def hippo_backward(
    first: int, last: int, gates: Any, weight: Any, to_f: Any, b: Any, both: Any, grad_h: Any, grad: Any, grad_f: Any
) -> None:
    count, (steps, width), size = last - first, both.shape[1:], len(to_f)
    product, to_both = np.zeros((count, len(weight) * LANES), FLOAT), np.zeros((count, width), FLOAT)
    zeros = np.zeros(size, FLOAT)
    for t in range(steps - 1, -1, -1):
        for i in range(first, last):
            k, g, to_state = gates[i, t], grad[i, t], to_both[i - first]
            for j in range(width):
                to_state[j] += product[i - first, j]
            # In reverse order: the memory c first, since it was updated last, then f, then h and its gates.
            grad_f[i, t] = remember_backward(to_state[size:], FLOAT(0.5) / FLOAT(t + 1), b)
            for j in range(size):
                to_state[j] += grad_h[i, t, j] + grad_f[i, t] * to_f[j]
            before = both[i, t - 1, :size] if t else zeros
            relax_backward(k[:size], k[size:], before, FLOAT(1), to_state, g[:size], g[size:])
        products(product, grad[first, t], 2 * steps * size, weight, count, 2 * size, product.shape[1])


@helper
def remember(c: Any, f: Any, alpha: Any, b: Any) -> None:
    """Set c to 2 y − c, where (I + αA) y = c + α B f and row n of A is B_n (B_0, …, B_{n−1}) and n + 1."""
    total = FLOAT(0)
    for n in range(len(c)):
        y = (c[n] + alpha * b[n] * (f - total)) / (FLOAT(1) + alpha * FLOAT(n + 1))
        total += b[n] * y
        c[n] = FLOAT(2) * y - c[n]


@helper
def remember_backward(to_c: Any, alpha: Any, b: Any) -> Any:
    """Run the adjoint: the gradient of the new c becomes that of the old one. Return that of f."""
    to_f, to_total = FLOAT(0), FLOAT(0)
    for n in range(len(to_c) - 1, -1, -1):
        to_target = (FLOAT(2) * to_c[n] + to_total * b[n]) / (FLOAT(1) + alpha * FLOAT(n + 1))
        to_total -= alpha * b[n] * to_target
        to_f += alpha * b[n] * to_target
        to_c[n] = to_target - to_c[n]
    return to_f
