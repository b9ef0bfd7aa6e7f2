"""Mamba's selective scan on a CPU, compiled: the states never leave the cache.

    h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t x_t B_t,    y_t = C_t · h_t + D ⊙ x_t,    out_t = y_t SiLU(z_t)

for each channel, with N states.

A state is kept every SEGMENT steps; the reverse pass makes those between again, and runs the adjoint recurrence over
them. Channels lie innermost, so that nothing is added up across a vector.

Shapes: B batch, T time, E channels, N state, K segments. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models._compiled import FLOAT, adjoint, helper, in_float32, kernel, run
from models._compiled_math import exp_of_negative, sigmoid

SEGMENT = 16


class SelectiveScan(torch.autograd.Function):
    """out (B, T, E) of x and Δ (B, T, E), A (E, N), B and C (B, T, N), D (E) and z (B, T, E)."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor, d_E: Tensor, z_BTE: Tensor
    ) -> Tensor:
        inputs = tuple(tensor.contiguous() for tensor in (x_BTE, dt_BTE, a_EN.T, b_BTN, c_BTN, d_E, z_BTE))
        y_BTE, out_BTE = torch.empty_like(inputs[0]), torch.empty_like(inputs[0])
        kept_BKNE = y_BTE.new_empty(len(y_BTE), -(-y_BTE.shape[1] // SEGMENT), *inputs[2].shape)
        run(scan_forward, *inputs, y_BTE, kept_BKNE, out_BTE)
        ctx.save_for_backward(*inputs, y_BTE, kept_BKNE)
        return out_BTE

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_out_BTE: Tensor) -> tuple[Tensor, ...]:
        *inputs, y_BTE, kept_BKNE = ctx.saved_tensors
        grad_x, grad_dt, _, grad_b, grad_c, _, grad_z = grads = [torch.empty_like(tensor) for tensor in inputs]
        grads[2], grads[5] = torch.zeros_like(kept_BKNE[:, 0]), y_BTE.new_zeros(len(y_BTE), y_BTE.shape[2])
        run(scan_backward, *inputs, y_BTE, kept_BKNE, grad_out_BTE.contiguous(), *grads)
        return grad_x, grad_dt, grads[2].sum(0).T, grad_b, grad_c, grads[5].sum(0), grad_z


@helper
def decays(dt: Any, a: Any, out: Any) -> None:
    """exp(Δ A) of one step, as one long loop: the channels alone may end between two vectors."""
    for n in range(a.shape[0]):
        for e in range(a.shape[1]):
            out[n, e] = dt[e] * a[n, e]
    flat = out.ravel()
    for j in range(len(flat)):
        flat[j] = exp_of_negative(flat[j])


@kernel
def scan_forward(
    first: int, last: int, x: Any, dt: Any, a: Any, b: Any, c: Any, d: Any, z: Any, y: Any, kept: Any, out: Any
) -> None:
    steps, (order, channels) = x.shape[1], a.shape
    decay, u = np.empty((order, channels), FLOAT), np.empty(channels, FLOAT)
    for i in range(first, last):
        h = np.zeros((order, channels), FLOAT)
        for t in range(steps):
            if t % SEGMENT == 0:
                kept[i, t // SEGMENT] = h
            decays(dt[i, t], a, decay)
            now = y[i, t]
            for e in range(channels):
                u[e], now[e] = dt[i, t, e] * x[i, t, e], d[e] * x[i, t, e]
            for n in range(order):
                for e in range(channels):
                    h[n, e] = decay[n, e] * h[n, e] + u[e] * b[i, t, n]
                for e in range(channels):
                    now[e] += c[i, t, n] * h[n, e]
            for e in range(channels):
                out[i, t, e] = now[e] * z[i, t, e] * sigmoid(z[i, t, e])


@kernel
def scan_backward(
    first: int,
    last: int,
    x: Any,
    dt: Any,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    z: Any,
    y: Any,
    kept: Any,
    grad_out: Any,
    grad_x: Any,
    grad_dt: Any,
    grad_a: Any,
    grad_b: Any,
    grad_c: Any,
    grad_d: Any,
    grad_z: Any,
) -> None:
    steps, (order, channels) = x.shape[1], a.shape
    h, decay = np.empty((SEGMENT + 1, order, channels), FLOAT), np.empty((SEGMENT, order, channels), FLOAT)
    u, to_u, to_step = np.empty((SEGMENT, channels), FLOAT), np.empty(channels, FLOAT), np.empty(channels, FLOAT)
    to_y = np.empty(channels, FLOAT)
    for i in range(first, last):
        to_h = np.zeros((order, channels), FLOAT)
        for segment in range(kept.shape[1] - 1, -1, -1):
            start = segment * SEGMENT
            count = min(SEGMENT, steps - start)
            h[0] = kept[i, segment]
            for k in range(count):
                decays(dt[i, start + k], a, decay[k])
                for e in range(channels):
                    u[k, e] = dt[i, start + k, e] * x[i, start + k, e]
                for n in range(order):
                    for e in range(channels):
                        h[k + 1, n, e] = decay[k, n, e] * h[k, n, e] + u[k, e] * b[i, start + k, n]
            for k in range(count - 1, -1, -1):
                t = start + k
                gate_backward(grad_out[i, t], y[i, t], z[i, t], to_y, grad_z[i, t])
                to_u[:], to_step[:] = FLOAT(0), FLOAT(0)
                for n in range(order):  # short loops over few arrays: the compiler vectorises each
                    to_state, to_b, to_c = to_h[n], FLOAT(0), FLOAT(0)
                    for e in range(channels):
                        to_c += to_y[e] * h[k + 1, n, e]
                        to_state[e] += to_y[e] * c[i, t, n]
                    for e in range(channels):
                        to_b += to_state[e] * u[k, e]
                        to_u[e] += to_state[e] * b[i, t, n]
                        to_state[e] *= decay[k, n, e]
                    for e in range(channels):
                        through = to_state[e] * h[k, n, e]
                        to_step[e] += through * a[n, e]
                        grad_a[i, n, e] += through * dt[i, t, e]
                    grad_b[i, t, n], grad_c[i, t, n] = to_b, to_c
                for e in range(channels):
                    grad_x[i, t, e] = to_u[e] * dt[i, t, e] + to_y[e] * d[e]
                    grad_dt[i, t, e] = to_step[e] + to_u[e] * x[i, t, e]
                    grad_d[i, e] += to_y[e] * x[i, t, e]


@helper
def gate_backward(grad_out: Any, y: Any, z: Any, to_y: Any, to_z: Any) -> None:
    """The adjoint of out = y z σ(z)."""
    for e in range(len(y)):
        share = sigmoid(z[e])
        to_y[e] = grad_out[e] * z[e] * share
        to_z[e] = grad_out[e] * y[e] * share * (FLOAT(1) + z[e] * (FLOAT(1) - share))
