"""LEM's loop over time on a GPU, by Triton kernels. The equations are those of models/lem.py.

A program takes one sequence through all steps, with its four matrices in registers. A step stores Δt, Δ̄t and the two
tanh, side by side as in the drive.

Shapes: B batch, T time, H units. float32 only.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import in_registers, launch, matrix, tanh


@triton.jit
def loop_forward(
    x_BT4H, hidden_H3H, cross_HH, kept_BT4H, y_BTH, z_BTH, dt, T, H, SIZE: tl.constexpr, STAGES: tl.constexpr
):  # fmt: skip
    """Compute y and z of every step, from zeros, and store what the backward pass needs."""
    row, k = tl.program_id(0).to(tl.int64) * T, tl.arange(0, SIZE)
    inside = k < H
    to_dz, to_dy = matrix(hidden_H3H, 3 * H, 1, H, H, k, k), matrix(hidden_H3H + H, 3 * H, 1, H, H, k, k)
    to_z, to_y = matrix(hidden_H3H + 2 * H, 3 * H, 1, H, H, k, k), matrix(cross_HH, H, 1, H, H, k, k)
    y, z = tl.full([SIZE], 0.0, tl.float32), tl.full([SIZE], 0.0, tl.float32)
    for t in tl.range(T, num_stages=STAGES):
        here, four = (row + t) * H + k, (row + t) * 4 * H + k
        # Three products wait for the old y alone. The fourth waits for the new z, so a step is two products deep.
        dz = dt * tl.sigmoid(tl.load(x_BT4H + four, inside, 0.0) + tl.sum(to_dz * y[:, None], 0))
        dy = dt * tl.sigmoid(tl.load(x_BT4H + four + H, inside, 0.0) + tl.sum(to_dy * y[:, None], 0))
        new_z = tanh(tl.load(x_BT4H + four + 2 * H, inside, 0.0) + tl.sum(to_z * y[:, None], 0))
        z += dz * (new_z - z)
        new_y = tanh(tl.load(x_BT4H + four + 3 * H, inside, 0.0) + tl.sum(to_y * z[:, None], 0))
        y += dy * (new_y - y)
        tl.store(kept_BT4H + four, dz, inside)
        tl.store(kept_BT4H + four + H, dy, inside)
        tl.store(kept_BT4H + four + 2 * H, new_z, inside)
        tl.store(kept_BT4H + four + 3 * H, new_y, inside)
        tl.store(z_BTH + here, z, inside)
        tl.store(y_BTH + here, y, inside)


@triton.jit
def relaxed(gradient, rate, new, before, dt):
    """Return the gradients with respect to what rate = dt σ(·) and new = tanh(·) act on.

    `gradient` is that of a + rate (new − a), where a is `before`.
    """
    return gradient * (new - before) * rate * (1 - rate / dt), gradient * rate * (1 - new * new)


@triton.jit
def loop_backward(
    grad_BTH, kept_BT4H, y_BTH, z_BTH, hidden_H3H, cross_HH, dx_BT4H, dt, T, H,
    SIZE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of the drive. Those of the matrices follow from it, by products outside."""
    # The first three tiles are loaded transposed, and W_y as it is: its product is a sum over columns instead of rows.
    row, k = tl.program_id(0).to(tl.int64) * T, tl.arange(0, SIZE)
    inside = k < H
    from_dz, from_dy = matrix(hidden_H3H, 1, 3 * H, H, H, k, k), matrix(hidden_H3H + H, 1, 3 * H, H, H, k, k)
    from_z, from_y = matrix(hidden_H3H + 2 * H, 1, 3 * H, H, H, k, k), matrix(cross_HH, H, 1, H, H, k, k)
    gy, gz = tl.full([SIZE], 0.0, tl.float32), tl.full([SIZE], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        t = T - 1 - passed
        here, four, later = (row + t) * H + k, (row + t) * 4 * H + k, inside & (t * H + k >= H)
        dz, dy = tl.load(kept_BT4H + four, inside, 0.0), tl.load(kept_BT4H + four + H, inside, 0.0)
        new_z, new_y = tl.load(kept_BT4H + four + 2 * H, inside, 0.0), tl.load(kept_BT4H + four + 3 * H, inside, 0.0)
        y, z = tl.load(y_BTH + here - H, later, 0.0), tl.load(z_BTH + here - H, later, 0.0)
        # In reverse order: through y, whose target takes the new z, then through z.
        gy += tl.load(grad_BTH + here, inside, 0.0)
        to_dy, to_new_y = relaxed(gy, dy, new_y, y, dt)
        gz += tl.sum(from_y * to_new_y[None, :], 1)
        to_dz, to_new_z = relaxed(gz, dz, new_z, z, dt)
        tl.store(dx_BT4H + four, to_dz, inside)
        tl.store(dx_BT4H + four + H, to_dy, inside)
        tl.store(dx_BT4H + four + 2 * H, to_new_z, inside)
        tl.store(dx_BT4H + four + 3 * H, to_new_y, inside)
        gy = (1 - dy) * gy + tl.sum(from_dz * to_dz[:, None] + from_dy * to_dy[:, None] + from_z * to_new_z[:, None], 0)
        gz *= 1 - dz


@torch.library.custom_op("lem::loop", mutates_args=())
def lem_loop(
    x_BT4H: Tensor, hidden_H3H: Tensor, cross_HH: Tensor, dt: float
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return y and z, each (B, T, H), from zeros, and what the backward pass needs, (B, T, 4H).

    Args:
        x_BT4H: the drive: that of Δt, Δ̄t, z and y.
        hidden_H3H: W₁, W₂ and W_z, side by side.
        cross_HH: W_y, from z to y.
        dt: the largest step Δt.
    """
    B, T, H = *x_BT4H.shape[:2], len(cross_HH)
    y_BTH, z_BTH, kept_BT4H = x_BT4H.new_empty(B, T, H), x_BT4H.new_empty(B, T, H), x_BT4H.new_empty(B, T, 4 * H)
    given = (x_BT4H.contiguous(), hidden_H3H.contiguous(), cross_HH.contiguous())
    launch(loop_forward, (B,), *given, kept_BT4H, y_BTH, z_BTH, dt, T, H, **in_registers(H, 4))
    return y_BTH, z_BTH, kept_BT4H


@torch.library.custom_op("lem::loop_backward", mutates_args=())
def backward(
    grad_BTH: Tensor, y_BTH: Tensor, z_BTH: Tensor, kept_BT4H: Tensor, hidden_H3H: Tensor, cross_HH: Tensor, dt: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the drive and of both matrices."""
    (B, T, H), dx_BT4H = y_BTH.shape, torch.empty_like(kept_BT4H)
    given = (grad_BTH.contiguous(), kept_BT4H, y_BTH, z_BTH, hidden_H3H.contiguous(), cross_HH.contiguous())
    launch(loop_backward, (B,), *given, dx_BT4H, dt, T, H, **in_registers(H, 4))
    from_y_BT3H, from_z_BTH = dx_BT4H.split([3 * H, H], dim=2)
    dhidden_H3H = y_BTH[:, :-1].flatten(0, 1).T @ from_y_BT3H[:, 1:].flatten(0, 1)
    return dx_BT4H, dhidden_H3H, z_BTH.flatten(0, 1).T @ from_z_BTH.flatten(0, 1)


# Register the operators' shapes and gradients with torch.


@lem_loop.register_fake
def _(x_BT4H, hidden_H3H, cross_HH, dt):
    y_BTH = x_BT4H.new_empty(*x_BT4H.shape[:2], len(cross_HH))
    return y_BTH, torch.empty_like(y_BTH), x_BT4H.new_empty(x_BT4H.shape)


@backward.register_fake
def _(grad_BTH, y_BTH, z_BTH, kept_BT4H, hidden_H3H, cross_HH, dt):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (kept_BT4H, hidden_H3H, cross_HH))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.dt = inputs[3]
    ctx.save_for_backward(*output, *inputs[1:3])


def _pull(ctx: Any, grad_BTH: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *backward(grad_BTH, *ctx.saved_tensors, ctx.dt), None


lem_loop.register_autograd(_pull, setup_context=_save)
