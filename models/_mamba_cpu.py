"""Mamba's selective scan on a CPU, compiled: the states never leave the cache.

    h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t x_t B_t,    y_t = C_t · h_t        for each channel, with N states

The reverse pass makes a channel's states again and runs the adjoint recurrence over them.

Shapes: B batch, T time, E channels, N state. float32 only.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._compiled import FAST, FLOAT, exp_of_negative, run


class SelectiveScan(torch.autograd.Function):
    """y (B, T, E) of x and Δ (B, T, E), A (E, N), B and C (B, T, N)."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        inputs = tuple(tensor.contiguous() for tensor in inputs)
        ctx.save_for_backward(*inputs)
        y_BTE = torch.empty_like(inputs[0])
        run(scan_forward, *inputs, y_BTE)
        return y_BTE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y_BTE: Tensor) -> tuple[Tensor, ...]:
        x_BTE, dt_BTE, a_EN, b_BTN, c_BTN = ctx.saved_tensors
        grad_x, grad_dt, grad_a = (
            torch.empty_like(x_BTE),
            torch.empty_like(x_BTE),
            a_EN.repeat(len(x_BTE), 1, 1).zero_(),
        )
        grad_b, grad_c = torch.zeros_like(b_BTN), torch.zeros_like(c_BTN)
        inputs = x_BTE, dt_BTE, a_EN, b_BTN, c_BTN, grad_y_BTE.contiguous()
        run(scan_backward, *inputs, grad_x, grad_dt, grad_a, grad_b, grad_c)
        return grad_x, grad_dt, grad_a.sum(0), grad_b, grad_c


@njit(nogil=True, fastmath=FAST, cache=True)
def scan_forward(first: int, last: int, x: Any, dt: Any, a: Any, b: Any, c: Any, y: Any) -> None:
    _, steps, channels = x.shape
    for i in range(first, last):
        h = np.zeros_like(a)
        for t in range(steps):
            for e in range(channels):
                u, total = dt[i, t, e] * x[i, t, e], FLOAT(0)
                for n in range(a.shape[1]):
                    h[e, n] = exp_of_negative(dt[i, t, e] * a[e, n]) * h[e, n] + u * b[i, t, n]
                    total += c[i, t, n] * h[e, n]
                y[i, t, e] = total


@njit(nogil=True, fastmath=FAST, cache=True)
def scan_backward(
    first: int,
    last: int,
    x: Any,
    dt: Any,
    a: Any,
    b: Any,
    c: Any,
    grad_y: Any,
    grad_x: Any,
    grad_dt: Any,
    grad_a: Any,
    grad_b: Any,
    grad_c: Any,
) -> None:
    _, steps, channels = x.shape
    order = a.shape[1]
    for i in range(first, last):
        decay, h = np.empty((steps, order), FLOAT), np.zeros((steps + 1, order), FLOAT)
        for e in range(channels):
            for t in range(steps):
                u = dt[i, t, e] * x[i, t, e]
                for n in range(order):
                    decay[t, n] = exp_of_negative(dt[i, t, e] * a[e, n])
                for n in range(order):
                    h[t + 1, n] = decay[t, n] * h[t, n] + u * b[i, t, n]
            grad_h = np.zeros(order, FLOAT)
            for t in range(steps - 1, -1, -1):
                step, u = dt[i, t, e], dt[i, t, e] * x[i, t, e]
                grad_u, grad_step = FLOAT(0), FLOAT(0)
                for n in range(order):  # short loops over few arrays: the compiler vectorises each
                    grad_c[i, t, n] += grad_y[i, t, e] * h[t + 1, n]
                for n in range(order):
                    grad_h[n] += grad_y[i, t, e] * c[i, t, n]
                for n in range(order):
                    grad_b[i, t, n] += grad_h[n] * u
                for n in range(order):
                    grad_u += grad_h[n] * b[i, t, n]
                for n in range(order):
                    grad_h[n] *= decay[t, n]
                for n in range(order):
                    grad_step += grad_h[n] * h[t, n] * a[e, n]
                for n in range(order):
                    grad_a[i, e, n] += grad_h[n] * h[t, n] * step
                grad_x[i, t, e] = grad_u * step
                grad_dt[i, t, e] = grad_step + grad_u * x[i, t, e]
