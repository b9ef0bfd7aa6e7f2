"""The gated norm of linear attentions on a CPU, compiled: o / √(mean o² + ε) ⊙ w ⊙ SiLU(z) in each head.

The reverse pass computes the norm and the gate again instead of storing them.

Shapes: B batch, T time, N heads, e numbers of a head. float32 only.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import sigmoid


class GatedHeadNorm(torch.autograd.Function):
    """Maps o (B, T, N, e), w (e), z (B, T, N, e) and ε (a tensor of one number) to y (B, T, N, e)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        ctx.save_for_backward(*given)
        y_BTNe = torch.empty_like(given[0])
        run(norm_forward, *given, y_BTNe)
        return y_BTNe

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_BTNe: Tensor) -> tuple[Tensor | None, ...]:
        o_BTNe, weight_e, z_BTNe, _ = ctx.saved_tensors
        grad_o, grad_z = torch.empty_like(o_BTNe), torch.empty_like(z_BTNe)
        grad_weight_Be = weight_e.new_zeros(len(o_BTNe), len(weight_e))
        run(norm_backward, *ctx.saved_tensors, grad_BTNe.contiguous(), grad_o, grad_weight_Be, grad_z)
        return grad_o, grad_weight_Be.sum(0), grad_z, None


@helper
def inverse_root(o: Any, epsilon: Any) -> Any:
    """Return 1 / √(mean o² + ε)."""
    total = FLOAT(0)
    for j in range(len(o)):
        total += o[j] * o[j]
    return FLOAT(1) / FLOAT(math.sqrt(total / FLOAT(len(o)) + epsilon))


@kernel
def norm_forward(first: int, last: int, o: Any, weight: Any, z: Any, epsilon: Any, y: Any) -> None:
    for i in range(first, last):
        for t in range(o.shape[1]):
            for n in range(o.shape[2]):
                row, gate, out = o[i, t, n], z[i, t, n], y[i, t, n]
                scale = inverse_root(row, epsilon[0])
                for j in range(len(row)):
                    out[j] = row[j] * scale * weight[j] * gate[j] * sigmoid(gate[j])


@kernel
def norm_backward(
    first: int,
    last: int,
    o: Any,
    weight: Any,
    z: Any,
    epsilon: Any,
    grad: Any,
    grad_o: Any,
    grad_weight: Any,
    grad_z: Any,
) -> None:
    size = o.shape[3]
    to_o = np.empty(size, FLOAT)
    for i in range(first, last):
        to_weight = grad_weight[i]
        for t in range(o.shape[1]):
            for n in range(o.shape[2]):
                row, gate, given, out, to_gate = o[i, t, n], z[i, t, n], grad[i, t, n], grad_o[i, t, n], grad_z[i, t, n]
                scale, along = inverse_root(row, epsilon[0]), FLOAT(0)
                for j in range(size):
                    share = sigmoid(gate[j])
                    opened, normed = given[j] * gate[j] * share, row[j] * scale
                    to_gate[j] = given[j] * normed * weight[j] * share * (FLOAT(1) + gate[j] * (FLOAT(1) - share))
                    to_weight[j] += opened * normed
                    to_o[j] = opened * weight[j]
                    along += to_o[j] * normed
                along /= FLOAT(size)
                for j in range(size):
                    out[j] = scale * (to_o[j] - row[j] * scale * along)
