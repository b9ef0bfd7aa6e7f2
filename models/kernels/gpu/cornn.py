"""coRNN's loop over time on a GPU, by Triton kernels. The equations are those of models/cornn.py; going back,

    gy += dy_t,  gz += dt gy,  ga = dt gz (1 − u_t²),  gy += Wᵀ ga − dt γ gz,  gz ← (1 − dt ε) gz + 𝒲ᵀ ga

A program takes one sequence through all steps, with both halves of the matrix in registers.

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
    x_BTH, w_2HH, y_BTH, z_BTH, u_BTH, dt, gamma, epsilon, T, H, SIZE: tl.constexpr, STAGES: tl.constexpr
):  # fmt: skip
    """Compute positions y, velocities z and the force u of every step, from rest."""
    # Both halves of the matrix are loaded once, before the loop. y and z stay in registers too.
    row, k = tl.program_id(0).to(tl.int64) * T, tl.arange(0, SIZE)
    inside = k < H
    to_y, to_z = matrix(w_2HH, H, 1, H, H, k, k), matrix(w_2HH + H * H, H, 1, H, H, k, k)
    y, z = tl.full([SIZE], 0.0, tl.float32), tl.full([SIZE], 0.0, tl.float32)
    for t in tl.range(T, num_stages=STAGES):
        here = (row + t) * H + k
        # Both products in one sum over rows. The update takes the old y for z, then the new z for y.
        u = tanh(tl.load(x_BTH + here, inside, 0.0) + tl.sum(to_y * y[:, None] + to_z * z[:, None], 0))
        z = (1 - dt * epsilon) * z + dt * (u - gamma * y)
        y += dt * z
        tl.store(u_BTH + here, u, inside)
        tl.store(z_BTH + here, z, inside)
        tl.store(y_BTH + here, y, inside)


@triton.jit
def loop_backward(dy_BTH, u_BTH, back_2HH, dx_BTH, dt, gamma, epsilon, T, H, SIZE: tl.constexpr, STAGES: tl.constexpr):
    """Compute the gradient of what tanh acts on, at every step. `back_2HH` is the matrix, each half transposed."""
    row, k = tl.program_id(0).to(tl.int64) * T, tl.arange(0, SIZE)
    inside = k < H
    to_y, to_z = matrix(back_2HH, H, 1, H, H, k, k), matrix(back_2HH + H * H, H, 1, H, H, k, k)
    gy, gz = tl.full([SIZE], 0.0, tl.float32), tl.full([SIZE], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        here = (row + T - 1 - passed) * H + k
        u = tl.load(u_BTH + here, inside, 0.0)
        gy += tl.load(dy_BTH + here, inside, 0.0)
        # The matrix's own gradient is left to a product outside: ga of all steps is all that it needs from here.
        gz += dt * gy
        ga = dt * gz * (1 - u * u)
        tl.store(dx_BTH + here, ga, inside)
        gy += tl.sum(to_y * ga[:, None], 0) - dt * gamma * gz
        gz = (1 - dt * epsilon) * gz + tl.sum(to_z * ga[:, None], 0)


@torch.library.custom_op("cornn::loop", mutates_args=())
def cornn_loop(
    x_BTH: Tensor, w_2HH: Tensor, dt: float, gamma: float, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return y, z and u, each (B, T, H), for the drive x (B, T, H) and W above 𝒲 (2H, H). float32, on a GPU."""
    B, T, H = x_BTH.shape
    y_BTH, z_BTH, u_BTH = (x_BTH.new_empty(B, T, H) for _ in range(3))
    given = (x_BTH.contiguous(), w_2HH.contiguous())
    launch(loop_forward, (B,), *given, y_BTH, z_BTH, u_BTH, dt, gamma, epsilon, T, H, **in_registers(H, 2))
    return y_BTH, z_BTH, u_BTH


@torch.library.custom_op("cornn::loop_backward", mutates_args=())
def backward(
    dy_BTH: Tensor, y_BTH: Tensor, z_BTH: Tensor, u_BTH: Tensor, w_2HH: Tensor, dt: float, gamma: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and of the matrix."""
    B, T, H = dy_BTH.shape
    dx_BTH = dy_BTH.new_empty(B, T, H)
    given = (dy_BTH.contiguous(), u_BTH, w_2HH.view(2, H, H).mT.contiguous())
    launch(loop_backward, (B,), *given, dx_BTH, dt, gamma, epsilon, T, H, **in_registers(H, 2))
    # The matrix's gradient over all steps and sequences by one product a half, whose order of summation is fixed.
    later = dx_BTH[:, 1:].flatten(0, 1)
    return dx_BTH, torch.cat([state[:, :-1].flatten(0, 1).T @ later for state in (y_BTH, z_BTH)])


# Register the operators' shapes and gradients with torch.


@cornn_loop.register_fake
def _(x_BTH, w_2HH, dt, gamma, epsilon):
    return tuple(x_BTH.new_empty(x_BTH.shape) for _ in range(3))


@backward.register_fake
def _(dy_BTH, y_BTH, z_BTH, u_BTH, w_2HH, dt, gamma, epsilon):
    return dy_BTH.new_empty(dy_BTH.shape), w_2HH.new_empty(w_2HH.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.constants = inputs[2:]
    ctx.save_for_backward(*output, inputs[1])


def _pull(ctx: Any, dy_BTH: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *backward(dy_BTH, *ctx.saved_tensors, *ctx.constants), None, None, None


cornn_loop.register_autograd(_pull, setup_context=_save)
