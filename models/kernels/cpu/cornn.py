"""coRNN's loop over time on a CPU, compiled, forward and backward. The equations are those of models/cornn.py.

Shapes: B batch, T time, H hidden. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import tanh
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES


class CoRNNLoop(torch.autograd.Function):
    """Maps the drive (B, T, H), W above 𝒲 (2H, H) and (Δt, γ, ε) to y (B, T, H), from states at zero."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, drive_BTH: Tensor, weight_2HH: Tensor, constants: tuple[float, float, float]) -> Tensor:
        hidden = weight_2HH.shape[1]
        force_BTH = torch.empty_like(drive_BTH, memory_format=torch.contiguous_format)
        both_BT2H = drive_BTH.new_empty(*drive_BTH.shape[:2], 2 * hidden)  # y and z side by side
        ctx.constants = torch.tensor(constants)
        run(cornn_forward, drive_BTH.contiguous(), in_panels(weight_2HH), ctx.constants, force_BTH, both_BT2H)
        ctx.save_for_backward(force_BTH, both_BT2H, weight_2HH)
        return both_BT2H[..., :hidden].clone()

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTH: Tensor) -> tuple[Tensor | None, ...]:
        force_BTH, both_BT2H, weight_2HH = ctx.saved_tensors
        grad_BTH = torch.empty_like(force_BTH)
        run(cornn_backward, force_BTH, in_panels(weight_2HH.T), ctx.constants, grad_y_BTH.contiguous(), grad_BTH)
        return grad_BTH, carried(both_BT2H, grad_BTH), None


@kernel
def cornn_forward(first: int, last: int, drive: Any, weight: Any, constants: Any, force: Any, both: Any) -> None:
    count, (steps, size), (dt, gamma, epsilon) = last - first, force.shape[1:], constants
    product, zeros = np.zeros((count, len(weight) * LANES), FLOAT), np.zeros(2 * size, FLOAT)
    # The share's sequences go through time together, so that one product serves them all and its matrix stays cached.
    for t in range(steps):
        if t:
            products(product, both[first, t - 1], 2 * steps * size, weight, count, 2 * size, product.shape[1])
        for i in range(first, last):
            before, now = both[i, t - 1] if t else zeros, both[i, t]
            for j in range(size):
                force[i, t, j] = tanh(drive[i, t, j] + product[i - first, j])
            for j in range(size):
                y, z = before[j], before[size + j]
                z += dt * (force[i, t, j] - gamma * y - epsilon * z)
                now[j], now[size + j] = y + dt * z, z


@kernel
def cornn_backward(first: int, last: int, force: Any, weight: Any, constants: Any, grad_y: Any, grad: Any) -> None:
    count, (steps, size), (dt, gamma, epsilon) = last - first, force.shape[1:], constants
    product, to_both = np.zeros((count, len(weight) * LANES), FLOAT), np.zeros((count, 2 * size), FLOAT)
    for t in range(steps - 1, -1, -1):
        # Here `product` is what the later step's force passes back to y and z. The new y contains Δt z, so z gets dt y.
        for i in range(first, last):
            to_y, to_z, from_force = to_both[i - first, :size], to_both[i - first, size:], product[i - first]
            for j in range(size):
                y = to_y[j] + from_force[j] + grad_y[i, t, j]
                z = to_z[j] + from_force[size + j] + dt * y
                grad[i, t, j] = dt * z * (FLOAT(1) - force[i, t, j] * force[i, t, j])
                to_y[j] = y - dt * gamma * z
                to_z[j] = z - dt * epsilon * z
        products(product, grad[first, t], steps * size, weight, count, size, product.shape[1])
