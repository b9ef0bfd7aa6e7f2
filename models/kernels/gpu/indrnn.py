"""IndRNN's loop over time on a GPU, by Triton kernels, with a thread for each unit.

    h_t = ReLU(z_t + u ⊙ h_{t−1}),    dz_t = [h_t > 0] (dh_t + u ⊙ dz_{t+1}),    du = Σ_t dz_t ⊙ h_{t−1}

Shapes: B batch, T time, H units. float32 only.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import FUSED, launch, relu

WIDTH = 32
"""Units of a program: one warp's, because a GPU has more multiprocessors than most batches keep busy."""
RESOURCES = {"num_warps": 1, **FUSED}
STAGES = tl.constexpr(4)
"""Steps that are in a loop at once, so that values are loaded three steps ahead."""


@triton.jit
def loop_forward(z_BTH, u_H, h_BTH, T, H, WIDTH: tl.constexpr):
    unit = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = unit < H
    start = tl.program_id(0).to(tl.int64) * T * H + unit
    u, h = tl.load(u_H + unit, inside, 0.0), tl.full([WIDTH], 0.0, tl.float32)
    # h stays in its thread's register. A step waits for one multiply-add, and z is loaded ahead.
    for t in tl.range(T, num_stages=STAGES):
        h = relu(tl.load(z_BTH + start + t * H, inside, 0.0) + u * h)
        tl.store(h_BTH + start + t * H, h, inside)


@triton.jit
def loop_backward(dh_BTH, h_BTH, u_H, dz_BTH, du_BH, T, H, WIDTH: tl.constexpr):
    unit = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = unit < H
    sequence = tl.program_id(0).to(tl.int64)
    start = sequence * T * H + unit
    u = tl.load(u_H + unit, inside, 0.0)
    dz, du = tl.full([WIDTH], 0.0, tl.float32), tl.full([WIDTH], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        here = start + (T - 1 - passed) * H
        # ReLU's slope follows from h, so z is not read. At the first step `before` is h itself and is left out of du.
        dh, h = tl.load(dh_BTH + here, inside, 0.0), tl.load(h_BTH + here, inside, 0.0)
        before = tl.load(h_BTH + tl.maximum(here - H, start), inside, 0.0)
        dz = tl.where(h <= 0, 0.0, dh + u * dz)
        du += tl.where(passed < T - 1, dz * before, 0.0)
        tl.store(dz_BTH + here, dz, inside)
    tl.store(du_BH + sequence * H + unit, du, inside)


@torch.library.custom_op("indrnn::every_state", mutates_args=())
def every_state(z_BTH: Tensor, u_H: Tensor) -> Tensor:
    """Return h, (B, T, H), from h = 0, for z (B, T, H) and u (H)."""
    B, T, H = z_BTH.shape
    h_BTH = z_BTH.new_empty(B, T, H)
    grid = (B, triton.cdiv(H, WIDTH))
    launch(loop_forward, grid, z_BTH.contiguous(), u_H.contiguous(), h_BTH, T, H, WIDTH=WIDTH, **RESOURCES)
    return h_BTH


@torch.library.custom_op("indrnn::every_state_backward", mutates_args=())
def backward(dh_BTH: Tensor, h_BTH: Tensor, u_H: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of z and u."""
    B, T, H = h_BTH.shape
    dz_BTH, du_BH = h_BTH.new_empty(B, T, H), h_BTH.new_empty(B, H)
    grid, given = (B, triton.cdiv(H, WIDTH)), (dh_BTH.contiguous(), h_BTH, u_H.contiguous())
    launch(loop_backward, grid, *given, dz_BTH, du_BH, T, H, WIDTH=WIDTH, **RESOURCES)
    return dz_BTH, du_BH.sum(0)


# Register the operators' shapes and gradients with torch.


@every_state.register_fake
def _(z_BTH, u_H):
    return z_BTH.new_empty(z_BTH.shape)


@backward.register_fake
def _(dh_BTH, h_BTH, u_H):
    return h_BTH.new_empty(h_BTH.shape), u_H.new_empty(u_H.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(output, inputs[1])


def _pull(ctx: Any, dh_BTH: Tensor) -> tuple[Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor] = backward(dh_BTH, *ctx.saved_tensors)
    return gradients


every_state.register_autograd(_pull, setup_context=_save)
