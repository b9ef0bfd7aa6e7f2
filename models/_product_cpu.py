"""Loops over time whose step is one product with the state and a function of each unit, compiled for CPUs:

    s_t = f(drive_t + s_{t−1} M)

f acts on the first units, as tanh (the LMU) or as modReLU (expRNN); the others stay linear. Its slope follows from s_t
alone, so the reverse pass needs nothing else kept.

Shapes: B batch, T time, K state. float32 only.
"""

from typing import Any, Literal

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._compiled import FAST, FLOAT, add_product, run, tanh


class ProductLoop(torch.autograd.Function):
    """s (B, T, K) of the drive (B, T, K), M (K, K), modReLU's bias (one for each unit under f) and f, from zeros."""

    @staticmethod
    def forward(ctx: Any, drive_BTK: Tensor, m_KK: Tensor, bias: Tensor, f: Literal["tanh", "modrelu"]) -> Tensor:
        s_BTK = drive_BTK.clone(memory_format=torch.contiguous_format)
        ctx.code = torch.tensor(f == "tanh")
        run(product_forward, s_BTK, m_KK.contiguous(), bias.contiguous(), ctx.code)
        ctx.save_for_backward(s_BTK, m_KK, bias)
        return s_BTK

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_s_BTK: Tensor) -> tuple[Tensor | None, ...]:
        s_BTK, m_KK, bias = ctx.saved_tensors
        grad_BTK = grad_s_BTK.clone(memory_format=torch.contiguous_format)
        run(product_backward, s_BTK, m_KK.T.contiguous(), bias.contiguous(), ctx.code, grad_BTK)
        grad_m = s_BTK[:, :-1].flatten(0, 1).T @ grad_BTK[:, 1:].flatten(0, 1)
        acted = slice(0, len(bias))
        return grad_BTK, grad_m, (grad_BTK[..., acted] * s_BTK[..., acted].sign()).sum((0, 1)), None


@njit(nogil=True, fastmath=FAST, cache=True)
def product_forward(first: int, last: int, s: Any, m: Any, bias: Any, is_tanh: Any) -> None:
    for i in range(first, last):
        for t in range(s.shape[1]):
            now = s[i, t]
            if t:
                add_product(now, s[i, t - 1], m)
            if is_tanh.item():
                for j in range(len(bias)):
                    now[j] = tanh(now[j])
            else:
                for j in range(len(bias)):
                    size = max(abs(now[j]) + bias[j], FLOAT(0))
                    now[j] = np.sign(now[j]) * size


@njit(nogil=True, fastmath=FAST, cache=True)
def product_backward(first: int, last: int, s: Any, m: Any, bias: Any, is_tanh: Any, grad: Any) -> None:
    for i in range(first, last):
        for t in range(s.shape[1] - 1, -1, -1):
            now, g = s[i, t], grad[i, t]
            if is_tanh.item():
                for j in range(len(bias)):
                    g[j] *= FLOAT(1) - now[j] * now[j]
            else:
                for j in range(len(bias)):
                    g[j] = g[j] if now[j] != 0 else FLOAT(0)
            if t:
                add_product(grad[i, t - 1], g, m)
