"""Loops over time whose step is one product with the state and a function of each unit, compiled for CPUs:

    s_t = f(drive_t + s_{t−1} M)

f acts on the first units, as tanh (the LMU) or as modReLU (expRNN). The others stay linear. Its slope follows from s_t
alone, so nothing else is stored for the reverse pass.

Shapes: B batch, T time, K state. float32 only.
"""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import tanh
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES


class ProductLoop(torch.autograd.Function):
    """Maps the drive (B, T, K), M (K, K), a bias for each unit under f, and f's name to s (B, T, K), from zeros."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, drive_BTK: Tensor, m_KK: Tensor, bias: Tensor, f: Literal["tanh", "modrelu"]) -> Tensor:
        s_BTK = drive_BTK.new_empty(drive_BTK.shape)
        ctx.is_tanh, bias = torch.tensor(f == "tanh"), bias.contiguous()
        run(product_forward, drive_BTK.contiguous(), in_panels(m_KK), bias, ctx.is_tanh, s_BTK)
        ctx.save_for_backward(s_BTK, m_KK, bias)
        return s_BTK

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_s_BTK: Tensor) -> tuple[Tensor | None, ...]:
        s_BTK, m_KK, bias = ctx.saved_tensors
        grad_BTK, grad_bias_B = torch.empty_like(s_BTK), bias.new_zeros(len(s_BTK), len(bias))
        given = s_BTK, grad_s_BTK.contiguous(), in_panels(m_KK.T), ctx.is_tanh
        run(product_backward, *given, grad_BTK, grad_bias_B)
        return grad_BTK, carried(s_BTK, grad_BTK), grad_bias_B.sum(0), None


@kernel
def product_forward(first: int, last: int, drive: Any, panels: Any, bias: Any, is_tanh: Any, s: Any) -> None:
    steps, size = s.shape[1:]
    product = np.zeros((last - first, len(panels) * LANES), FLOAT)
    # The share's sequences go through time together, so that one product serves them all and M stays in the cache.
    for t in range(steps):
        if t:
            products(product, s[first, t - 1], steps * size, panels, last - first, size, product.shape[1])
        for i in range(first, last):
            now = s[i, t]
            for j in range(size):
                now[j] = drive[i, t, j] + product[i - first, j]
            if is_tanh.item():
                for j in range(len(bias)):
                    now[j] = tanh(now[j])
            else:
                for j in range(len(bias)):
                    now[j] = modrelu(now[j], bias[j])


@helper
def modrelu(z: Any, bias: Any) -> Any:
    size = abs(z) + bias
    size = FLOAT(0) if size < 0 else size  # NaN stays NaN
    size = size if z != 0 else FLOAT(0)
    return size if z > 0 else -size


@kernel
def product_backward(
    first: int, last: int, s: Any, grad_s: Any, panels: Any, is_tanh: Any, grad: Any, grad_bias: Any
) -> None:
    steps, size = s.shape[1:]
    acted = grad_bias.shape[1]
    product = np.zeros((last - first, len(panels) * LANES), FLOAT)
    for t in range(steps - 1, -1, -1):
        for i in range(first, last):
            now, g = s[i, t], grad[i, t]
            for j in range(size):
                g[j] = grad_s[i, t, j] + product[i - first, j]
            if is_tanh.item():
                for j in range(acted):
                    g[j] *= FLOAT(1) - now[j] * now[j]
            else:
                for j in range(acted):
                    g[j] = g[j] if now[j] != 0 else FLOAT(0)
                    grad_bias[i, j] += g[j] if now[j] > 0 else -g[j]
        if t:
            products(product, grad[first, t], steps * size, panels, last - first, size, product.shape[1])
