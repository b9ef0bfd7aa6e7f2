"""Short convolutions on a CPU, compiled: each channel's last K inputs, weighted, through SiLU or as they are.

    z_t = b + Σ_{j<K} w_j x_{t−K+1+j},    y_t = z_t σ(z_t) or z_t

A span of several steps is one long row: a loop over the few channels of a step would hardly begin before it ends. The
reverse pass computes z again, span by span, instead of storing it.

Shapes: B batch, T time, E channels, K width, R = S E numbers of a span of S steps. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import sigmoid

ROW = 256
"""The least numbers of a span."""


def convolve(x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, silu: bool) -> Tensor:
    """Return y, (B, T, E), through SiLU or not. Under autocast all become float32."""
    y_BTE: Tensor = ShortConvolution.apply(x_BTE, weight_EK, bias_E, silu)
    return y_BTE


class ShortConvolution(torch.autograd.Function):
    """Maps x (B, T, E), weights (E, K), bias (E) and whether SiLU follows to y (B, T, E)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, x_BTE: Tensor, weight_EK: Tensor, bias_E: Tensor, silu: bool) -> Tensor:
        span = -(-ROW // len(bias_E))
        inputs = x_BTE.contiguous(), weight_EK.T.repeat(1, span), bias_E.repeat(span), torch.tensor(silu)
        ctx.save_for_backward(*inputs)
        y_BTE = torch.empty_like(inputs[0])
        run(conv_forward, *inputs, y_BTE)
        return y_BTE

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTE: Tensor) -> tuple[Tensor | None, ...]:
        x_BTE, weight_KR, bias_R, _ = ctx.saved_tensors
        grad_x, grad_weight = torch.zeros_like(x_BTE), weight_KR.new_zeros(len(x_BTE), *weight_KR.shape)
        grad_bias = bias_R.new_zeros(len(x_BTE), *bias_R.shape)
        run(conv_backward, *ctx.saved_tensors, grad_y_BTE.contiguous(), grad_x, grad_weight, grad_bias)
        grad_weight, grad_bias = (g.unflatten(-1, (-1, x_BTE.shape[2])).sum((0, -2)) for g in (grad_weight, grad_bias))
        return grad_x, grad_weight.T, grad_bias, None


@helper
def inputs(x: Any, first: Any, back: Any, count: Any) -> Any:
    """Return what `count` numbers from `first` on see so far `back`, and for how many of them that is before x."""
    skipped = min(max(0, back - first), count)
    return skipped, x[first + skipped - back : first + count - back]


@helper
def weighted(x: Any, first: Any, apart: Any, weight: Any, bias: Any, z: Any) -> None:
    """Compute z of a span that begins at the number `first`. Steps lie `apart` numbers apart."""
    for n in range(len(z)):
        z[n] = bias[n]
    for j in range(len(weight)):
        skipped, seen = inputs(x, first, (len(weight) - 1 - j) * apart, len(z))
        z_j, weight_j = z[skipped:], weight[j, skipped:]
        for n in range(len(seen)):
            z_j[n] += weight_j[n] * seen[n]


@kernel
def conv_forward(first: int, last: int, x: Any, weight: Any, bias: Any, silu: Any, y: Any) -> None:
    for i in range(first, last):
        x_i, y_i = x[i].reshape(-1), y[i].reshape(-1)
        for start in range(0, len(x_i), len(bias)):
            now = y_i[start : start + len(bias)]
            weighted(x_i, start, x.shape[2], weight, bias, now)
            if silu.item():
                for n in range(len(now)):
                    now[n] *= sigmoid(now[n])


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
    width, channels, room = len(weight), x.shape[2], np.empty(len(bias), FLOAT)
    for i in range(first, last):
        x_i, to_x, to_y = x[i].reshape(-1), grad_x[i].reshape(-1), grad_y[i].reshape(-1)
        for start in range(0, len(x_i), len(bias)):
            given = to_y[start : start + len(bias)]
            z = room[: len(given)]
            # z becomes its own gradient.
            if silu.item():
                weighted(x_i, start, channels, weight, bias, z)
                for n in range(len(z)):
                    share = sigmoid(z[n])
                    z[n] = given[n] * share * (FLOAT(1) + z[n] * (FLOAT(1) - share))
            else:
                z[:] = given
            for n in range(len(z)):
                grad_bias[i, n] += z[n]
            for j in range(width):
                back = (width - 1 - j) * channels
                skipped, seen = inputs(x_i, start, back, len(z))
                _, to_seen = inputs(to_x, start, back, len(z))
                to_weight, weight_j, z_j = grad_weight[i, j, skipped:], weight[j, skipped:], z[skipped:]
                for n in range(len(seen)):
                    to_weight[n] += z_j[n] * seen[n]
                    to_seen[n] += z_j[n] * weight_j[n]
