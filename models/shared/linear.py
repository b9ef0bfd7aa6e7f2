"""A linear layer for many rows on a CPU, where MKL's products are slow in two ways.

A product of tens of thousands of rows runs at half its speed where a row of the output is no multiple of 32 bytes long,
which is so at most widths that fit a parameter budget. A product of a block of a few thousand rows does not slow down.
And the gradient of the weights of few inputs takes up to six times as long as its transpose.

Shapes: M rows, K inputs, N outputs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ROWS = 2048
"""Rows of a block."""
LEAST = 8
"""The number of blocks, and the number of inputs, from which blocks are faster."""
NARROW = range(2, 12)
"""The numbers of inputs for which MKL is slow to compute the weights' gradient."""


class Linear(nn.Linear):
    """A torch.nn.Linear that is computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        return linear(input, self.weight, self.bias)


def linear(x_K: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + b, (…, K) to (…, N), as torch's own function does, in blocks of rows where that is faster."""
    if not in_blocks(x_K, weight_NK):
        return F.linear(x_K, weight_NK, bias_N)
    bias_N = weight_NK.new_zeros(len(weight_NK)) if bias_N is None else bias_N
    y_MN: Tensor = LinearInBlocks.apply(x_K.flatten(0, -2), weight_NK, bias_N)
    return y_MN.unflatten(0, x_K.shape[:-1])


def affine(layer: nn.Linear | nn.Conv1d) -> Tensor:
    """Return the weight, (N, K), of a layer or a depthwise convolution with its bias as the last column, (N, K + 1)."""
    assert layer.bias is not None
    return torch.cat([layer.weight.flatten(1), layer.bias.unsqueeze(-1)], dim=-1)


def in_blocks(x_K: Tensor, weight_NK: Tensor) -> bool:
    """Whether blocks of rows are faster. Autocast and torch.compile are left to torch's own function."""
    outputs, inputs = weight_NK.shape
    rows = x_K.numel() // inputs
    uneven = inputs >= LEAST and (outputs % 8 != 0 or inputs % 8 != 0)  # in float32, forward or backward
    widening = inputs in NARROW and outputs >= 4 * inputs
    large = (uneven and rows >= LEAST * ROWS) or (widening and rows >= 2 * ROWS)
    plain = x_K.dtype == weight_NK.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return large and plain and x_K.device.type == "cpu" and not torch.compiler.is_compiling()


class LinearInBlocks(torch.autograd.Function):
    """Maps x (M, K), W (N, K) and b (N) to x Wᵀ + b, (M, N)."""

    @staticmethod
    def forward(ctx: Any, x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor) -> Tensor:
        ctx.save_for_backward(x_MK, weight_NK)
        y_MN = x_MK.new_empty(len(x_MK), len(bias_N))
        for x, y in zip(x_MK.split(ROWS), y_MN.split(ROWS), strict=True):
            torch.addmm(bias_N, x, weight_NK.T, out=y)
        return y_MN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MN: Tensor) -> tuple[Tensor | None, ...]:
        x_MK, weight_NK = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        grad_x = torch.empty_like(x_MK) if wants_x else None
        if grad_x is not None:
            for grad, out in zip(grad_MN.split(ROWS), grad_x.split(ROWS), strict=True):
                torch.mm(grad, weight_NK, out=out)
        grad_weight = weight_gradient(grad_MN, x_MK) if wants_weight else None
        return grad_x, grad_weight, grad_MN.sum(0) if wants_bias else None


def weight_gradient(grad_MN: Tensor, x_MK: Tensor) -> Tensor:
    """Return Σ_m grad_m x_mᵀ, (N, K), as the transpose of the other product where there are fewer inputs."""
    return (x_MK.T @ grad_MN).T.contiguous() if x_MK.shape[1] < grad_MN.shape[1] else grad_MN.T @ x_MK
