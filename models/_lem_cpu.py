"""LEM's loop over time on a CPU, compiled, forward and backward. The equations are those of models/lem.py.

A step keeps what the reverse pass needs: Δt, Δ̄t and the two tanh, side by side as in the drive.

Shapes: B batch, T time, H hidden. float32 only.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._compiled import FAST, FLOAT, add_product, relax_backward, run, sigmoid, tanh


class LEMLoop(torch.autograd.Function):
    """y (B, T, H) of the drive (B, T, 4H), W₁, W₂ and W_z (H, 3H), W_y (H, H) and Δt, from states at zero."""

    @staticmethod
    def forward(ctx: Any, drive_BT4H: Tensor, hidden_H3H: Tensor, cross_HH: Tensor, dt: float) -> Tensor:
        hidden_H3H, cross_HH = hidden_H3H.contiguous(), cross_HH.contiguous()
        kept_BT4H = drive_BT4H.clone(memory_format=torch.contiguous_format)
        y_BTH = kept_BT4H.new_empty(*kept_BT4H.shape[:2], len(cross_HH))
        z_BTH = torch.empty_like(y_BTH)
        run(lem_forward, kept_BT4H, hidden_H3H, cross_HH, torch.tensor(dt), y_BTH, z_BTH)
        ctx.save_for_backward(kept_BT4H, hidden_H3H, cross_HH, y_BTH, z_BTH)
        ctx.dt = dt
        return y_BTH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y_BTH: Tensor) -> tuple[Tensor | None, ...]:
        kept_BT4H, hidden_H3H, cross_HH, y_BTH, z_BTH = ctx.saved_tensors
        grad_BT4H, hidden = torch.empty_like(kept_BT4H), len(cross_HH)
        weights = hidden_H3H.T.contiguous(), cross_HH.T.contiguous(), torch.tensor(ctx.dt)
        run(lem_backward, kept_BT4H, *weights, y_BTH, z_BTH, grad_y_BTH.contiguous(), grad_BT4H)
        from_y, to_y = grad_BT4H.split([3 * hidden, hidden], dim=2)
        grad_hidden = y_BTH[:, :-1].flatten(0, 1).T @ from_y[:, 1:].flatten(0, 1)
        return grad_BT4H, grad_hidden, z_BTH.flatten(0, 1).T @ to_y.flatten(0, 1), None


@njit(nogil=True, fastmath=FAST, cache=True)
def lem_forward(first: int, last: int, kept: Any, hidden: Any, cross: Any, dt: Any, y: Any, z: Any) -> None:
    size, step = len(cross), FLOAT(dt.item())
    for i in range(first, last):
        y_now, z_now = np.zeros(size, FLOAT), np.zeros(size, FLOAT)
        for t in range(kept.shape[1]):
            k = kept[i, t]
            add_product(k[: 3 * size], y_now, hidden)
            for j in range(2 * size):
                k[j] = step * sigmoid(k[j])
            for j in range(2 * size, 3 * size):
                k[j] = tanh(k[j])
            for j in range(size):
                z_now[j] += k[j] * (k[2 * size + j] - z_now[j])
            add_product(k[3 * size :], z_now, cross)
            for j in range(3 * size, 4 * size):
                k[j] = tanh(k[j])
            for j in range(size):
                y_now[j] += k[size + j] * (k[3 * size + j] - y_now[j])
            y[i, t], z[i, t] = y_now, z_now


@njit(nogil=True, fastmath=FAST, cache=True)
def lem_backward(
    first: int, last: int, kept: Any, hidden: Any, cross: Any, dt: Any, y: Any, z: Any, grad_y: Any, grad: Any
) -> None:
    size, step = len(cross), FLOAT(dt.item())
    for i in range(first, last):
        to_y, to_z, zeros = np.zeros(size, FLOAT), np.zeros(size, FLOAT), np.zeros(size, FLOAT)
        for t in range(kept.shape[1] - 1, -1, -1):
            k, g = kept[i, t], grad[i, t]
            for j in range(size):
                to_y[j] += grad_y[i, t, j]
            relax_backward(
                k[size : 2 * size], k[3 * size :], y[i, t - 1] if t else zeros, step, to_y, g[size:], g[3 * size :]
            )
            add_product(to_z, g[3 * size :], cross)
            relax_backward(k[:size], k[2 * size : 3 * size], z[i, t - 1] if t else zeros, step, to_z, g, g[2 * size :])
            add_product(to_y, g[: 3 * size], hidden)
