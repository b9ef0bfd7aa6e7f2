"""The sLSTM's loop over time on a CPU, compiled, forward and backward. The equations are those of models/slstm.py.

A step stores what the reverse pass needs, i′, f′, z and o, side by side as in the drive, and the slope σ(−f̃) of log f.
h does not depend on m, so that the reverse pass takes it as constant.

Shapes: B batch, T time, H hidden. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import exp_of_negative, log_sigmoid, sigmoid, tanh
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES

EMPTY = FLOAT(-1e30)  # m before the first step


class SLSTMLoop(torch.autograd.Function):
    """Maps the drive (B, T, 4H) and R (H, 4H) to h (B, T, H), from states at zero."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, drive_BT4H: Tensor, recurrent_H4H: Tensor) -> Tensor:
        kept_BT4H = drive_BT4H.clone(memory_format=torch.contiguous_format)
        slope, c, n, h = (kept_BT4H.new_empty(*kept_BT4H.shape[:2], len(recurrent_H4H)) for _ in range(4))
        run(slstm_forward, kept_BT4H, in_panels(recurrent_H4H), slope, c, n, h)
        ctx.save_for_backward(kept_BT4H, recurrent_H4H, slope, c, n, h)
        return h

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTH: Tensor) -> tuple[Tensor, Tensor]:
        kept_BT4H, recurrent_H4H, slope, c, n, h_BTH = ctx.saved_tensors
        grad_BT4H = torch.empty_like(kept_BT4H)
        run(slstm_backward, kept_BT4H, in_panels(recurrent_H4H.T), slope, c, n, grad_h_BTH.contiguous(), grad_BT4H)
        return grad_BT4H, carried(h_BTH, grad_BT4H)


@kernel
def slstm_forward(first: int, last: int, kept: Any, recurrent: Any, slope: Any, c: Any, n: Any, h: Any) -> None:
    count, (steps, size) = last - first, h.shape[1:]
    from_h, m = np.zeros((count, len(recurrent) * LANES), FLOAT), np.full((count, size), EMPTY, FLOAT)
    zeros = np.zeros(size, FLOAT)
    # The share's sequences go through time together, so that one product serves them all.
    for t in range(steps):
        if t:
            products(from_h, h[first, t - 1], steps * size, recurrent, count, size, from_h.shape[1])
        for i in range(first, last):
            k, top = kept[i, t], m[i - first]
            c_before, n_before = (c[i, t - 1], n[i, t - 1]) if t else (zeros, zeros)
            for j in range(4 * size):
                k[j] += from_h[i - first, j]
            for j in range(size):
                write, keep = k[j], log_sigmoid(k[size + j]) + top[j]
                slope[i, t, j] = sigmoid(-k[size + j])
                top[j] = max(write, keep)
                k[j], k[size + j] = exp_of_negative(write - top[j]), exp_of_negative(keep - top[j])
                k[2 * size + j], k[3 * size + j] = tanh(k[2 * size + j]), sigmoid(k[3 * size + j])
            for j in range(size):
                c[i, t, j] = k[size + j] * c_before[j] + k[j] * k[2 * size + j]
                n[i, t, j] = k[size + j] * n_before[j] + k[j]
                h[i, t, j] = k[3 * size + j] * c[i, t, j] / n[i, t, j]


@kernel
def slstm_backward(
    first: int, last: int, kept: Any, recurrent: Any, slope: Any, c: Any, n: Any, grad_h: Any, grad: Any
) -> None:
    count, (steps, size) = last - first, c.shape[1:]
    from_h = np.zeros((count, len(recurrent) * LANES), FLOAT)
    to_c, to_n, zeros = np.zeros((count, size), FLOAT), np.zeros((count, size), FLOAT), np.zeros(size, FLOAT)
    for t in range(steps - 1, -1, -1):
        for i in range(first, last):
            k, g, g_c, g_n = kept[i, t], grad[i, t], to_c[i - first], to_n[i - first]
            c_before, n_before = (c[i, t - 1], n[i, t - 1]) if t else (zeros, zeros)
            for j in range(size):
                write, keep, z, o = k[j], k[size + j], k[2 * size + j], k[3 * size + j]
                to_h, share = grad_h[i, t, j] + from_h[i - first, j], FLOAT(1) / n[i, t, j]
                ratio = c[i, t, j] * share
                from_c, from_n = g_c[j] + to_h * o * share, g_n[j] - to_h * o * ratio * share
                g[j] = (from_c * z + from_n) * write
                g[size + j] = (from_c * c_before[j] + from_n * n_before[j]) * keep * slope[i, t, j]
                g[2 * size + j] = from_c * write * (FLOAT(1) - z * z)
                g[3 * size + j] = to_h * ratio * o * (FLOAT(1) - o)
                g_c[j], g_n[j] = from_c * keep, from_n * keep
        products(from_h, grad[first, t], 4 * steps * size, recurrent, count, 4 * size, from_h.shape[1])
