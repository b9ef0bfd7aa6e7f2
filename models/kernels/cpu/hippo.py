"""HiPPO-LegS's loop over time on a CPU, compiled, forward and backward. The equations are those of models/hippo.py.

The memory's triangular system is solved row by row, with the sum left of the diagonal carried along, in O(N). All
sequences of a share have the same system, so a row is solved for all of them at once, in vectors.

Shapes: B batch, T time, H hidden, N order, K = 2H + 1: gate, candidate and u side by side. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, SHARE, adjoint, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.functions import relax_backward, sigmoid, tanh
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES


class HiPPOLoop(torch.autograd.Function):
    """Maps the drive (B, T, K), what reads c (N, 2H) and h (1, H), B (N) and the time's cap to h (B, T, H)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, drive_BTK: Tensor, from_c: Tensor, from_h_1H: Tensor, b_N: Tensor, cap: int) -> Tensor:
        kept_BTK, ctx.cap = drive_BTK.clone(memory_format=torch.contiguous_format), torch.tensor(cap)
        h_BTH, c_BTN = (kept_BTK.new_empty(*kept_BTK.shape[:2], size) for size in (from_h_1H.shape[1], len(b_N)))
        run(hippo_forward, kept_BTK, in_panels(from_c), from_h_1H.contiguous(), b_N, ctx.cap, h_BTH, c_BTN)
        ctx.save_for_backward(kept_BTK, from_c, from_h_1H, b_N, h_BTH, c_BTN)
        return h_BTH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTH: Tensor) -> tuple[Tensor | None, ...]:
        kept_BTK, from_c, from_h_1H, b_N, h_BTH, c_BTN = ctx.saved_tensors
        grad_BTK, given = torch.empty_like(kept_BTK), (in_panels(from_c.T), from_h_1H.contiguous(), b_N, ctx.cap)
        run(hippo_backward, kept_BTK, *given, h_BTH, grad_h_BTH.contiguous(), grad_BTK)
        to_gates, to_u = grad_BTK.tensor_split((-1,), dim=2)
        grad_from_c = c_BTN.flatten(0, 1).T @ to_gates.flatten(0, 1)
        return grad_BTK, grad_from_c, carried(h_BTH, to_u).T, None, None


@kernel
def hippo_forward(first: int, last: int, kept: Any, from_c: Any, from_h: Any, b: Any, cap: Any, h: Any, c: Any) -> None:
    count, (steps, size), order, from_h = last - first, h.shape[1:], len(b), from_h[0]
    product, zeros = np.zeros((count, len(from_c) * LANES), FLOAT), np.zeros(size, FLOAT)
    # Coefficients by rows of SHARE sequences; those beyond the count stay zero.
    now, u, total = np.zeros((order, SHARE), FLOAT), np.zeros(SHARE, FLOAT), np.zeros(SHARE, FLOAT)
    for t in range(steps):
        for i in range(first, last):
            before, f = h[i, t - 1] if t else zeros, kept[i, t, 2 * size]
            for j in range(size):
                f += from_h[j] * before[j]
            u[i - first] = f
        if t:
            remember(now, u, FLOAT(0.5) / FLOAT(min(t, cap.item())), b, total)
        else:
            now[0] = u
        for i in range(first, last):
            for n in range(order):
                c[i, t, n] = now[n, i - first]
        # The share's sequences go through time together, so that one product serves them all.
        products(product, c[first, t], steps * order, from_c, count, order, product.shape[1])
        for i in range(first, last):
            k, before = kept[i, t], h[i, t - 1] if t else zeros
            for j in range(size):
                k[j] = sigmoid(k[j] + product[i - first, j])
            for j in range(size, 2 * size):
                k[j] = tanh(k[j] + product[i - first, j])
            for j in range(size):
                h[i, t, j] = before[j] + k[j] * (k[size + j] - before[j])


@kernel
def hippo_backward(
    first: int, last: int, kept: Any, to_c: Any, from_h: Any, b: Any, cap: Any, h: Any, grad_h: Any, grad: Any
) -> None:
    count, (steps, size), order, from_h = last - first, h.shape[1:], len(b), from_h[0]
    product, zeros = np.zeros((count, len(to_c) * LANES), FLOAT), np.zeros(size, FLOAT)
    to_h, to_now = np.zeros((count, size), FLOAT), np.zeros((order, SHARE), FLOAT)
    to_u, to_total = np.zeros(SHARE, FLOAT), np.zeros(SHARE, FLOAT)
    for t in range(steps - 1, -1, -1):
        # In reverse order: h and its gates first, then the memory c, which they read, then u.
        for i in range(first, last):
            k, g, before = kept[i, t], grad[i, t], h[i, t - 1] if t else zeros
            for j in range(size):
                to_h[i - first, j] += grad_h[i, t, j]
            gates, to_gates = k[: 2 * size], g[: 2 * size]
            relax_backward(
                gates[:size], gates[size:], before, FLOAT(1), to_h[i - first], to_gates[:size], to_gates[size:]
            )
        products(product, grad[first, t], steps * (2 * size + 1), to_c, count, 2 * size, product.shape[1])
        for i in range(count):
            for n in range(order):
                to_now[n, i] += product[i, n]
        if t:
            remember_backward(to_now, to_u, FLOAT(0.5) / FLOAT(min(t, cap.item())), b, to_total)
        else:
            to_u[:] = to_now[0]
        for i in range(first, last):
            grad[i, t, 2 * size] = to_u[i - first]
            for j in range(size):
                to_h[i - first, j] += to_u[i - first] * from_h[j]


@part
def remember(c: Any, u: Any, alpha: Any, b: Any, total: Any) -> None:
    """Set c to 2 y − c, where (I + αA) y = c + α B u and row n of A is B_n (B_0, …, B_{n−1}) and n + 1.

    c is (N, SHARE), u (SHARE). `total` is room for Σ_{m<n} B_m y_m.
    """
    total[:] = FLOAT(0)
    for n in range(len(c)):
        scale = FLOAT(1) / (FLOAT(1) + alpha * FLOAT(n + 1))
        for i in range(SHARE):
            y = (c[n, i] + alpha * b[n] * (u[i] - total[i])) * scale
            total[i] += b[n] * y
            c[n, i] = FLOAT(2) * y - c[n, i]


@part
def remember_backward(to_c: Any, to_u: Any, alpha: Any, b: Any, to_total: Any) -> None:
    """Run the adjoint: the gradient of the new c becomes that of the old one. to_u is written: that of u."""
    to_total[:] = FLOAT(0)
    to_u[:] = FLOAT(0)
    for n in range(len(to_c) - 1, -1, -1):
        scale = FLOAT(1) / (FLOAT(1) + alpha * FLOAT(n + 1))
        for i in range(SHARE):
            to_target = (FLOAT(2) * to_c[n, i] + to_total[i] * b[n]) * scale
            to_total[i] -= alpha * b[n] * to_target
            to_u[i] += alpha * b[n] * to_target
            to_c[n, i] = to_target - to_c[n, i]
