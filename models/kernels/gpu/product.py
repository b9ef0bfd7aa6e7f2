"""Loops over time whose step is one product with the state and a function of each unit, on a GPU, by a Triton kernel:

    s_t = f(x_t + s_{t−1} M),    ds_t = f'(s_t) ⊙ (g_t + ds_{t+1} Mᵀ)

f acts on the first units, as tanh (the LMU) or as modReLU (expRNN). The others stay linear. Its slope follows from s_t
alone, so the backward pass is a loop of the same form. A program takes one sequence through all steps, with M in
registers.

Shapes: B batch, T time, K state. float32 only.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import in_registers, launch, matrix, tanh


@triton.jit
def loop(
    x_BTK, m_KK, bias_K, s_BTK, out_BTK, T, K, ACTED,
    FUNCTION: tl.constexpr, BACKWARD: tl.constexpr, SIZE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute s from x or, backward, the gradient of x from that of s."""
    # M is loaded once. The state stays in registers, and x (and s, backward) are loaded ahead.
    row, k = tl.program_id(0).to(tl.int64) * T, tl.arange(0, SIZE)
    inside, acted = k < K, k < ACTED
    m = matrix(m_KK, K, 1, K, K, k, k)
    bias = tl.load(bias_K + k, acted, 0.0)
    state = tl.full([SIZE], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        here = (row + (T - 1 - passed if BACKWARD else passed)) * K + k
        z = tl.load(x_BTK + here, inside, 0.0) + tl.sum(m * state[:, None], 0)
        # Backward, z is the gradient of s_t, which f's slope turns into that of what f acts on.
        if BACKWARD:
            s = tl.load(s_BTK + here, inside, 0.0)
            slope = 1 - s * s if FUNCTION == "tanh" else tl.where(s == 0, 0.0, 1.0)
            z *= tl.where(acted, slope, 1.0)
        elif FUNCTION == "tanh":
            z = tl.where(acted, tanh(z), z)
        else:
            size = tl.abs(z) + bias
            size = tl.where((size < 0) | (z == 0), 0.0, size)
            z = tl.where(acted, tl.where(z < 0, -size, size), z)
        tl.store(out_BTK + here, z, inside)
        state = z


@torch.library.custom_op("product::loop", mutates_args=())
def product_loop(x_BTK: Tensor, m_KK: Tensor, bias_K: Tensor, function: str) -> Tensor:
    """Return s, (B, T, K), from zeros, for x (B, T, K) and M (K, K). float32, on a GPU.

    Args:
        bias_K: modReLU's biases. f acts on as many units as there are, also where it is tanh.
        function: "tanh" or "modrelu".
    """
    return _run(x_BTK, m_KK, bias_K, None, function)


@torch.library.custom_op("product::loop_backward", mutates_args=())
def backward(
    ds_BTK: Tensor, s_BTK: Tensor, m_KK: Tensor, bias_K: Tensor, function: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, M and the biases."""
    dx_BTK = _run(ds_BTK, m_KK.T, bias_K, s_BTK, function)
    dm_KK = s_BTK[:, :-1].flatten(0, 1).T @ dx_BTK[:, 1:].flatten(0, 1)
    acted = len(bias_K)
    slope = s_BTK[..., :acted].sign() if function == "modrelu" else torch.zeros_like(s_BTK[..., :acted])
    return dx_BTK, dm_KK, (slope * dx_BTK[..., :acted]).sum((0, 1))


def _run(x_BTK: Tensor, m_KK: Tensor, bias_K: Tensor, s_BTK: Tensor | None, function: str) -> Tensor:
    B, T, K = x_BTK.shape
    out_BTK = x_BTK.new_empty(B, T, K)
    given = (x_BTK.contiguous(), m_KK.contiguous(), bias_K.contiguous(), out_BTK if s_BTK is None else s_BTK)
    fixed = {"FUNCTION": function, "BACKWARD": s_BTK is not None, **in_registers(K, 1)}
    launch(loop, (B,), *given, out_BTK, T, K, len(bias_K), **fixed)
    return out_BTK


# Register the operators' shapes and gradients with torch.


@product_loop.register_fake
def _(x_BTK, m_KK, bias_K, function):
    return x_BTK.new_empty(x_BTK.shape)


@backward.register_fake
def _(ds_BTK, s_BTK, m_KK, bias_K, function):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (s_BTK, m_KK, bias_K))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.function = inputs[3]
    ctx.save_for_backward(output, *inputs[1:3])


def _pull(ctx: Any, ds_BTK: Tensor) -> tuple[Tensor | None, ...]:
    return *backward(ds_BTK, *ctx.saved_tensors, ctx.function), None


product_loop.register_autograd(_pull, setup_context=_save)
