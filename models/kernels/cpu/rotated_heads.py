"""Keys and queries of Mamba-3 on a CPU, compiled: normalised, with a bias for each head, and rotated.

    u = x / √(mean x² + ε) ⊙ w + b in each head,    (u_{2r}, u_{2r+1}) turned by θ_r for r < R

The reverse pass computes the norm again instead of storing it.

Shapes: B batch, T time, J kinds (keys and queries), M heads, N numbers of a key, R angles. float32 only.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run


class RotatedHeads(torch.autograd.Function):
    """Maps x (B, T, J, N), w (J, N), b (J, M, N), θ (B, T, M, R) and ε to J tensors (B, T, M, N)."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, x_BTJN: Tensor, weight_JN: Tensor, bias_JMN: Tensor, angle_BTMR: Tensor, epsilon: float
    ) -> tuple[Tensor, ...]:
        turn_BTM2R = torch.stack([angle_BTMR.cos(), angle_BTMR.sin()], dim=3)
        given = [tensor.contiguous() for tensor in (x_BTJN, weight_JN, bias_JMN, turn_BTM2R)]
        given.append(torch.tensor(epsilon))
        y_JBTMN = x_BTJN.new_empty(len(weight_JN), *angle_BTMR.shape[:3], x_BTJN.shape[3])
        run(rotate_forward, *given, y_JBTMN)
        ctx.save_for_backward(*given, y_JBTMN)
        return y_JBTMN.unbind(0)

    @staticmethod
    @adjoint
    def backward(ctx: Any, *grads_BTMN: Tensor) -> tuple[Tensor | None, ...]:
        x_BTJN, weight_JN, bias_JMN, turn_BTM2R, _, _ = ctx.saved_tensors
        to_x, to_angle_BTMR = torch.empty_like(x_BTJN), torch.zeros_like(turn_BTM2R[:, :, :, 0])
        # All sequences share the norm and the biases: each adds to its own gradient, so that threads need no lock.
        to_weight, to_bias = (tensor.new_zeros(len(x_BTJN), *tensor.shape) for tensor in (weight_JN, bias_JMN))
        run(rotate_backward, *ctx.saved_tensors, torch.stack(grads_BTMN), to_x, to_weight, to_bias, to_angle_BTMR)
        return to_x, to_weight.sum(0), to_bias.sum(0), to_angle_BTMR, None


@helper
def inverse_root(x: Any, epsilon: Any) -> Any:
    """Return 1 / √(mean x² + ε)."""
    total = FLOAT(0)
    for n in range(len(x)):
        total += x[n] * x[n]
    return FLOAT(1) / FLOAT(math.sqrt(total / FLOAT(len(x)) + epsilon))


@kernel
def rotate_forward(first: int, last: int, x: Any, weight: Any, bias: Any, turn: Any, epsilon: Any, y: Any) -> None:
    (steps, kinds, size), (heads, _, angles) = x.shape[1:], turn.shape[2:]
    normed = np.empty(size, FLOAT)
    for i in range(first, last):
        for t in range(steps):
            for kind in range(kinds):
                scale = inverse_root(x[i, t, kind], epsilon.item())
                for n in range(size):
                    normed[n] = x[i, t, kind, n] * scale * weight[kind, n]
                for m in range(heads):
                    out, cos, sin = y[kind, i, t, m], turn[i, t, m, 0], turn[i, t, m, 1]
                    for n in range(size):
                        out[n] = normed[n] + bias[kind, m, n]
                    for r in range(angles):
                        u, v = out[2 * r], out[2 * r + 1]
                        out[2 * r], out[2 * r + 1] = u * cos[r] - v * sin[r], u * sin[r] + v * cos[r]


@kernel
def rotate_backward(
    first: int,
    last: int,
    x: Any,
    weight: Any,
    bias: Any,
    turn: Any,
    epsilon: Any,
    y: Any,
    grad: Any,
    to_x: Any,
    to_weight: Any,
    to_bias: Any,
    to_angle: Any,
) -> None:
    (steps, kinds, size), (heads, _, angles) = x.shape[1:], turn.shape[2:]
    to_u, to_normed = np.empty(size, FLOAT), np.empty(size, FLOAT)
    for i in range(first, last):
        for t in range(steps):
            for kind in range(kinds):
                to_normed[:] = FLOAT(0)
                for m in range(heads):
                    out, g, cos, sin = y[kind, i, t, m], grad[kind, i, t, m], turn[i, t, m, 0], turn[i, t, m, 1]
                    to_u[:] = g
                    for r in range(angles):
                        u, v = g[2 * r], g[2 * r + 1]
                        to_u[2 * r], to_u[2 * r + 1] = u * cos[r] + v * sin[r], v * cos[r] - u * sin[r]
                        to_angle[i, t, m, r] += v * out[2 * r] - u * out[2 * r + 1]
                    for n in range(size):
                        to_bias[i, kind, m, n] += to_u[n]
                        to_normed[n] += to_u[n]
                row, out_row = x[i, t, kind], to_x[i, t, kind]
                scale, along = inverse_root(row, epsilon.item()), FLOAT(0)
                for n in range(size):
                    to_weight[i, kind, n] += to_normed[n] * row[n] * scale
                    to_normed[n] *= weight[kind, n]
                    along += to_normed[n] * row[n] * scale
                along /= FLOAT(size)
                for n in range(size):
                    out_row[n] = scale * (to_normed[n] - row[n] * scale * along)
