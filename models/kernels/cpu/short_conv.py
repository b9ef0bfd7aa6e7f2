"""Short convolutions on a CPU, compiled: each channel's last K inputs, weighted, through SiLU or as they are.

    z_t = b + Σ_{j<K} w_j x_{t−K+1+j},    y_t = z_t σ(z_t) or z_t

The reverse pass computes z again, step by step, instead of storing it.

Shapes: B batch, T time, E channels, K width. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import sigmoid


def convolve(x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, silu: bool) -> Tensor:
    """Return y, (B, T, E), through SiLU or not. Under autocast all become float32."""
    y_BTE: Tensor = ShortConvolution.apply(x_BTE, weight_EK, bias_E, silu)
    return y_BTE


class ShortConvolution(torch.autograd.Function):
    """Maps x (B, T, E), weights (E, K), bias (E) and whether SiLU follows to y (B, T, E)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, silu: bool) -> Tensor:
        inputs = x_BTE.contiguous(), weight_EK.T.contiguous(), bias_E.contiguous(), torch.tensor(silu)
        ctx.save_for_backward(*inputs)
        y_BTE = torch.empty_like(inputs[0])
        run(conv_forward, *inputs, y_BTE)
        return y_BTE

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTE: Tensor) -> tuple[Tensor | None, ...]:
        x_BTE, weight_KE, bias_E, _ = ctx.saved_tensors
        grad_x, grad_weight = torch.zeros_like(x_BTE), weight_KE.new_zeros(len(x_BTE), *weight_KE.shape)
        grad_bias = bias_E.new_zeros(len(x_BTE), *bias_E.shape)
        run(conv_backward, *ctx.saved_tensors, grad_y_BTE.contiguous(), grad_x, grad_weight, grad_bias)
        return grad_x, grad_weight.sum(0).T, grad_bias.sum(0), None


@helper
def weighted(x: Any, t: Any, weight: Any, bias: Any, z: Any) -> None:
    """Compute z of one step."""
    z[:] = bias
    # Channels innermost, so that the loop vectorises. Inputs before the first step are zero and left out.
    for j in range(max(0, len(weight) - 1 - t), len(weight)):
        for e in range(len(z)):
            z[e] += weight[j, e] * x[t - len(weight) + 1 + j, e]


@kernel
def conv_forward(first: int, last: int, x: Any, weight: Any, bias: Any, silu: Any, y: Any) -> None:
    for i in range(first, last):
        for t in range(x.shape[1]):
            now = y[i, t]
            weighted(x[i], t, weight, bias, now)
            if silu.item():
                for e in range(len(now)):
                    now[e] *= sigmoid(now[e])


@kernel
def conv_backward(
    first: int,
    last: int,
    x: Any,
    weight: Any,
    bias: Any,
    silu: Any,
    grad_y: Any,
    grad_x: Any,
    grad_weight: Any,
    grad_bias: Any,
) -> None:
    width, channels = weight.shape
    z = np.empty(channels, FLOAT)
    for i in range(first, last):
        for t in range(x.shape[1]):
            # z becomes its own gradient.
            if silu.item():
                weighted(x[i], t, weight, bias, z)
                for e in range(channels):
                    share = sigmoid(z[e])
                    z[e] = grad_y[i, t, e] * share * (FLOAT(1) + z[e] * (FLOAT(1) - share))
            else:
                z[:] = grad_y[i, t]
            for e in range(channels):
                grad_bias[i, e] += z[e]
            for j in range(max(0, width - 1 - t), width):
                source = t - width + 1 + j
                for e in range(channels):
                    grad_weight[i, j, e] += z[e] * x[i, source, e]
                    grad_x[i, source, e] += z[e] * weight[j, e]
