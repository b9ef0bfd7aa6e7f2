"""LEM's loop over time on a CPU, compiled, forward and backward. The equations are those of models/lem.py.

A step stores what the reverse pass needs, Δt, Δ̄t and the two tanh, side by side as in the drive.

Shapes: B batch, T time, H hidden. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import relax_backward, sigmoid, tanh
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES


class LEMLoop(torch.autograd.Function):
    """Maps the drive (B, T, 4H), W₁, W₂ and W_z (H, 3H), W_y (H, H) and Δt to y (B, T, H), from states at zero."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, drive_BT4H: Tensor, hidden_H3H: Tensor, cross_HH: Tensor, dt: float) -> Tensor:
        kept_BT4H = drive_BT4H.clone(memory_format=torch.contiguous_format)
        y_BTH = kept_BT4H.new_empty(*kept_BT4H.shape[:2], len(cross_HH))
        z_BTH = torch.empty_like(y_BTH)
        run(lem_forward, kept_BT4H, in_panels(hidden_H3H), in_panels(cross_HH), torch.tensor(dt), y_BTH, z_BTH)
        ctx.save_for_backward(kept_BT4H, hidden_H3H, cross_HH, y_BTH, z_BTH)
        ctx.dt = dt
        return y_BTH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTH: Tensor) -> tuple[Tensor | None, ...]:
        kept_BT4H, hidden_H3H, cross_HH, y_BTH, z_BTH = ctx.saved_tensors
        grad_BT4H, hidden = torch.empty_like(kept_BT4H), len(cross_HH)
        weights = in_panels(hidden_H3H.T), in_panels(cross_HH.T), torch.tensor(ctx.dt)
        run(lem_backward, kept_BT4H, *weights, y_BTH, z_BTH, grad_y_BTH.contiguous(), grad_BT4H)
        from_y, to_y = grad_BT4H.split([3 * hidden, hidden], dim=2)
        return grad_BT4H, carried(y_BTH, from_y), z_BTH.flatten(0, 1).T @ to_y.flatten(0, 1), None


@kernel
def lem_forward(first: int, last: int, kept: Any, hidden: Any, cross: Any, dt: Any, y: Any, z: Any) -> None:
    count, (steps, size), step = last - first, y.shape[1:], FLOAT(dt.item())
    from_y, from_z = np.zeros((count, len(hidden) * LANES), FLOAT), np.zeros((count, len(cross) * LANES), FLOAT)
    zeros = np.zeros(size, FLOAT)
    # The share's sequences go through time together, so that a product serves them all. A step has two, since y needs
    # the new z.
    for t in range(steps):
        if t:
            products(from_y, y[first, t - 1], steps * size, hidden, count, size, from_y.shape[1])
        for i in range(first, last):
            k, z_before = kept[i, t], z[i, t - 1] if t else zeros
            for j in range(2 * size):
                k[j] = step * sigmoid(k[j] + from_y[i - first, j])
            for j in range(2 * size, 3 * size):
                k[j] = tanh(k[j] + from_y[i - first, j])
            for j in range(size):
                z[i, t, j] = z_before[j] + k[j] * (k[2 * size + j] - z_before[j])
        products(from_z, z[first, t], steps * size, cross, count, size, from_z.shape[1])
        for i in range(first, last):
            k, y_before = kept[i, t], y[i, t - 1] if t else zeros
            for j in range(size):
                k[3 * size + j] = tanh(k[3 * size + j] + from_z[i - first, j])
            for j in range(size):
                y[i, t, j] = y_before[j] + k[size + j] * (k[3 * size + j] - y_before[j])


@kernel
def lem_backward(
    first: int, last: int, kept: Any, hidden: Any, cross: Any, dt: Any, y: Any, z: Any, grad_y: Any, grad: Any
) -> None:
    count, (steps, size), step = last - first, y.shape[1:], FLOAT(dt.item())
    to_y, to_z = np.zeros((count, size), FLOAT), np.zeros((count, size), FLOAT)
    from_y, from_z = np.zeros((count, len(hidden) * LANES), FLOAT), np.zeros((count, len(cross) * LANES), FLOAT)
    zeros = np.zeros(size, FLOAT)
    # In reverse order: y first, then z, from which y was computed.
    for t in range(steps - 1, -1, -1):
        for i in range(first, last):
            k, g, g_y = kept[i, t], grad[i, t], to_y[i - first]
            for j in range(size):
                g_y[j] += grad_y[i, t, j] + from_y[i - first, j]
            before = y[i, t - 1] if t else zeros
            relax_backward(k[size : 2 * size], k[3 * size :], before, step, g_y, g[size : 2 * size], g[3 * size :])
        products(from_z, grad[first, t, 3 * size :], 4 * steps * size, cross, count, size, from_z.shape[1])
        for i in range(first, last):
            k, g, g_z = kept[i, t], grad[i, t], to_z[i - first]
            for j in range(size):
                g_z[j] += from_z[i - first, j]
            before = z[i, t - 1] if t else zeros
            relax_backward(k[:size], k[2 * size : 3 * size], before, step, g_z, g[:size], g[2 * size : 3 * size])
        products(from_y, grad[first, t], 4 * steps * size, hidden, count, 3 * size, from_y.shape[1])
