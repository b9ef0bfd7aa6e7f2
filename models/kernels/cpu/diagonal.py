"""Loops over time whose units see their own past only, compiled for CPUs:

    h_t = f(z_t, h_{t−1}),    z_t = W x_t + b                     one number of z a unit, or more

`every_state` takes z and returns h of every step. `last_state` takes x and returns the last h. It stores neither z nor
h: where the input is one number a step or a few, computing them again is faster than reading them from memory.

Shapes: B batch, T time, D input, H units, P numbers of z a unit, Q = P H side by side; C units of a block, N blocks,
R = P C. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.diagonal_cells import CELLS, advance, project, project_backward, project_to_input, retreat
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.lengths import check_lengths

BLOCK = 128
"""Units of a block. The states of one block at all steps of one sequence exist at once."""


def every_state(cell: str, z_BTQ: Tensor, u_H: Tensor) -> Tensor:
    """Return h, (B, T, H), from h = 0.

    Args:
        cell: one of `CELLS`.
        z_BTQ: what is given to the cell, float32; its P parts of H numbers lie side by side.
        u_H: the weight of h_{t−1}. Only "indrnn" has one.
    """
    h_BTH: Tensor = EveryState.apply(z_BTQ, u_H, torch.tensor(CELLS.index(cell)))
    return h_BTH


def last_state(
    cell: str, x_BTD: Tensor, lengths_B: Tensor | None, weight_QD: Tensor, bias_Q: Tensor | None, u_H: Tensor
) -> Tensor:
    """Return h, (B, H), at each sequence's last step, from h = 0, where z = W x + b.

    Args:
        cell: one of `CELLS`.
        lengths_B: each sequence's number of steps. None means T.
        bias_Q: b. None means 0.
        u_H: the weight of h_{t−1}. Only "indrnn" has one.

    Raises:
        ValueError: the lengths are not B integers in [1, T].
    """
    units, steps = len(u_H), x_BTD.shape[1]
    lengths_B = torch.full((len(x_BTD),), steps) if lengths_B is None else lengths_B
    check_lengths(lengths_B, x_BTD)  # the kernel reads memory as far as they say
    bias_Q = weight_QD.new_zeros(len(weight_QD)) if bias_Q is None else bias_Q
    both_DQ = torch.cat([weight_QD.T, bias_Q.unsqueeze(0)])
    weight_NDPC = in_blocks(both_DQ.unflatten(1, (-1, units)))
    h_BH: Tensor = LastState.apply(
        x_BTD, lengths_B.long(), weight_NDPC.flatten(2), in_blocks(u_H), torch.tensor(CELLS.index(cell))
    )
    return h_BH[:, :units]


def in_blocks(values_H: Tensor) -> Tensor:
    """Rearrange (…, H) to (N, …, C), with zeros for the units beyond H."""
    units = values_H.shape[-1]
    blocks = -(-units // BLOCK)
    padded = torch.nn.functional.pad(values_H, (0, blocks * BLOCK - units))
    return padded.unflatten(-1, (blocks, BLOCK)).movedim(-2, 0)


class EveryState(torch.autograd.Function):
    """Maps z (B, T, Q), u (H) and the cell's number to h (B, T, H)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, z_BTQ: Tensor, u_H: Tensor, cell: Tensor) -> Tensor:
        z_BTQ, u_H = z_BTQ.contiguous(), u_H.contiguous()
        h_BTH = z_BTQ.new_empty(*z_BTQ.shape[:2], len(u_H))
        run(every_forward, z_BTQ, u_H, cell, h_BTH)
        ctx.save_for_backward(z_BTQ, u_H, cell, h_BTH)
        return h_BTH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTH: Tensor) -> tuple[Tensor | None, ...]:
        z_BTQ, u_H, _, _ = ctx.saved_tensors
        grad_z, grad_u_BH = torch.empty_like(z_BTQ), u_H.new_zeros(len(z_BTQ), len(u_H))
        run(every_backward, *ctx.saved_tensors, grad_h_BTH.contiguous(), grad_z, grad_u_BH)
        return grad_z, grad_u_BH.sum(0), None


class LastState(torch.autograd.Function):
    """Maps x (B, T, D), lengths (B), W above b (N, D + 1, R), u (N, C) and the cell's number to h (B, NC)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        ctx.save_for_backward(*given)
        h_BNC = given[0].new_empty(len(given[0]), *given[3].shape)
        run(last_forward, *given, h_BNC)
        return h_BNC.flatten(1)

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BH: Tensor) -> tuple[Tensor | None, ...]:
        x_BTD, _, weight_NDR, u_NC, _ = ctx.saved_tensors
        batch, wanted = len(x_BTD), ctx.needs_input_grad[0]
        grad_x = torch.zeros_like(x_BTD) if wanted else x_BTD.new_empty(batch, 0, 0)
        grad_weight, grad_u = weight_NDR.new_zeros(batch, *weight_NDR.shape), u_NC.new_zeros(batch, *u_NC.shape)
        grad_h_BNC = grad_h_BH.unflatten(1, u_NC.shape).contiguous()
        run(last_backward, *ctx.saved_tensors, grad_h_BNC, grad_x, grad_weight, grad_u)
        return grad_x if wanted else None, None, grad_weight.sum(0), grad_u.sum(0), None


@kernel
def every_forward(first: int, last: int, z: Any, u: Any, cell: Any, h: Any) -> None:
    start = np.zeros(len(u), FLOAT)
    for i in range(first, last):
        for t in range(z.shape[1]):
            advance(cell.item(), z[i, t], u, h[i, t - 1] if t else start, h[i, t])


@kernel
def every_backward(
    first: int, last: int, z: Any, u: Any, cell: Any, h: Any, grad_h: Any, grad_z: Any, grad_u: Any
) -> None:
    start, to_h = np.zeros(len(u), FLOAT), np.empty(len(u), FLOAT)
    for i in range(first, last):
        to_h[:] = FLOAT(0)
        for t in range(z.shape[1] - 1, -1, -1):
            for j in range(len(u)):
                to_h[j] += grad_h[i, t, j]
            retreat(cell.item(), z[i, t], u, h[i, t - 1] if t else start, h[i, t], to_h, grad_z[i, t], grad_u[i])


@kernel
def last_forward(first: int, last: int, x: Any, lengths: Any, weight: Any, u: Any, cell: Any, h: Any) -> None:
    # A block's weights and states stay in the cache while all sequences pass. Two rows hold h_{t−1} and h_t in turn.
    z, states = np.empty(weight.shape[2], FLOAT), np.empty((2, u.shape[1]), FLOAT)
    for n in range(len(u)):
        for i in range(first, last):
            states[0] = 0
            for t in range(lengths[i]):
                project(x[i, t], weight[n], z)
                advance(cell.item(), z, u[n], states[t % 2], states[(t + 1) % 2])
            h[i, n] = states[lengths[i] % 2]


@kernel
def last_backward(
    first: int,
    last: int,
    x: Any,
    lengths: Any,
    weight: Any,
    u: Any,
    cell: Any,
    grad_h: Any,
    grad_x: Any,
    grad_weight: Any,
    grad_u: Any,
) -> None:
    z, to_z = np.empty(weight.shape[2], FLOAT), np.empty(weight.shape[2], FLOAT)
    h = np.zeros((x.shape[1] + 1, u.shape[1]), FLOAT)
    for n in range(len(u)):
        for i in range(first, last):
            # Compute the states again and keep them for this sequence and block. z is computed once more going back.
            for t in range(lengths[i]):
                project(x[i, t], weight[n], z)
                advance(cell.item(), z, u[n], h[t], h[t + 1])
            to_h = grad_h[i, n].copy()
            for t in range(lengths[i] - 1, -1, -1):
                project(x[i, t], weight[n], z)
                retreat(cell.item(), z, u[n], h[t], h[t + 1], to_h, to_z, grad_u[i, n])
                project_backward(x[i, t], to_z, grad_weight[i, n])
                if grad_x.shape[1]:
                    project_to_input(weight[n], to_z, grad_x[i, t])
