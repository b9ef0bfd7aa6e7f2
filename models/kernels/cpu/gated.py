"""The loops over time of the LSTM, the GRU and the simple RNN on a CPU, compiled, forward and backward.

Sequences are the innermost dimension, in blocks of a vector. So a weight, spread over a vector, serves a vector of
sequences, no unit is left over at the end of a vector, and a step needs no sums across one. x's product is part of the
step, so that only x is transposed. The weights' gradients are summed over the lanes once in CHUNK steps.

Shapes: B batch, T time, D input, H hidden, N blocks of L lanes, S stored steps, the first of them zeros. X = D + 1 and
J = H + 1: a 1 follows x and h, so that the biases are the last column of the weights. XP, JP: the same in whole
gradient tiles. K, Q: see gated_cells.py. I: H for every number that a unit keeps.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.gated_cells import CELLS, NUMBERS, advance, pull_input, retreat
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.outer import narrow_outer_summed, padded
from models.kernels.cpu.toolkit.vector import WIDTH
from models.kernels.lengths import check_lengths

CHUNK = 16
"""Steps whose gradients exist at once, so that they stay in the cache."""


def every_state(cell: str, x_BTD: Tensor, input_KX: Tensor, hidden_KJ: Tensor) -> Tensor:
    """Return h, (B, T, H), from states at zero.

    Args:
        cell: one of `CELLS`.
        input_KX, hidden_KJ: torch's weights, each with its bias as a last column.
    """
    h_BTH: Tensor = GatedLoop.apply(cell, x_BTD, None, input_KX, hidden_KJ)
    return h_BTH


def last_state(cell: str, x_BTD: Tensor, input_KX: Tensor, hidden_KJ: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Return h, (B, H), at each sequence's last step. The arguments are those of `every_state`, and lengths or None.

    Raises:
        ValueError: the lengths are not B integers in [1, T].
    """
    if lengths_B is None:
        lengths_B = torch.full(x_BTD.shape[:1], x_BTD.shape[1])
    else:
        check_lengths(lengths_B, x_BTD)
    h_B1H: Tensor = GatedLoop.apply(cell, x_BTD, lengths_B.long(), input_KX, hidden_KJ)
    return h_B1H.squeeze(1)


class GatedLoop(torch.autograd.Function):
    """Maps a cell's name, x, lengths or None, and the weights to h, (B, T, H), or (B, 1, H) where there are lengths."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, cell: str, x_BTD: Tensor, lengths_B: Tensor | None, input_KX: Tensor, hidden_KJ: Tensor
    ) -> Tensor:
        (batch, steps, _), hidden = x_BTD.shape, hidden_KJ.shape[1] - 1
        x_BTD, input_KX, hidden_KJ = x_BTD.contiguous(), input_KX.contiguous(), hidden_KJ.contiguous()
        # Without a reverse pass two steps take turns.
        stored = (-(-batch // WIDTH), 1 + (steps if any(ctx.needs_input_grad) else 1))
        h_NSJL = x_BTD.new_empty(*stored, padded(hidden + 1), WIDTH)
        kept_NSIL = x_BTD.new_empty(*stored, CELLS[cell].kept * hidden, WIDTH)
        h_out = x_BTD.new_empty(batch, steps if lengths_B is None else 1, hidden)
        lengths_B = torch.zeros(0, dtype=torch.long) if lengths_B is None else lengths_B.contiguous()
        given = torch.tensor(NUMBERS[cell]), x_BTD, lengths_B
        weights = (side_by_side(weight, CELLS[cell].gates) for weight in (input_KX, hidden_KJ))
        run(forward, h_NSJL, *given, *weights, kept_NSIL, h_out, share=1)
        ctx.cell = cell
        ctx.save_for_backward(*given, input_KX, hidden_KJ, h_NSJL, kept_NSIL)
        return h_out

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        *given, input_KX, hidden_KJ, h_NSJL, kept_NSIL = ctx.saved_tensors
        x_BTD, cell, with_input = given[1], CELLS[ctx.cell], ctx.needs_input_grad[1]
        grad_x = torch.empty_like(x_BTD) if with_input else x_BTD.new_empty(0, 0, 0)
        # Where the candidate's sum of x is apart, it is the first of the gradients.
        turned = hidden_KJ.shape[1] - 1 if cell.apart else 0
        grad_input = x_BTD.new_zeros(len(h_NSJL), len(input_KX), padded(input_KX.shape[1]))
        grad_hidden = x_BTD.new_zeros(len(h_NSJL), len(hidden_KJ), h_NSJL.shape[2])
        weights = input_KX.roll(turned, 0), hidden_KJ, torch.tensor(turned)
        results = grad_x, grad_input, grad_hidden
        run(backward, h_NSJL, *given, *weights, kept_NSIL, grad_h.contiguous(), *results, share=1)
        to_input_KX = grad_input.sum(0)[:, : input_KX.shape[1]].roll(-turned, 0)
        to_hidden_KJ = grad_hidden.sum(0)[:, : hidden_KJ.shape[1]]
        return None, grad_x if with_input else None, None, to_input_KX, to_hidden_KJ


def side_by_side(weight_KI: Tensor, gates: int) -> Tensor:
    """Rearrange one of torch's weights to (I, Q), where a unit's gates lie side by side."""
    return weight_KI.unflatten(0, (gates, -1)).permute(2, 1, 0).flatten(1).contiguous()


@kernel
def forward(
    first: int, last: int, h: Any, cell: Any, x: Any, lengths: Any, to_gates: Any, hidden: Any, kept: Any, out: Any
) -> None:
    slots, steps, size, inner = h.shape[1], x.shape[1], out.shape[2], len(to_gates)
    x_now = np.zeros((inner, WIDTH), FLOAT)
    x_now[-1] = 1
    for n in range(first, last):
        h[n, :, size:], h[n, 0, :size], kept[n, 0] = 0, 0, 0
        h[n, :, size] = 1
        for t in range(steps):
            before, now = t % slots, (t + 1) % slots
            take(x, n * WIDTH, t, x_now)
            advance(
                cell.item(), x_now, to_gates, hidden, h[n, before], kept[n, before], h[n, now],
                kept[n, now], inner, size,
            )  # fmt: skip
            for i in range(n * WIDTH, min((n + 1) * WIDTH, len(x))):
                if len(lengths) == 0 or lengths[i] == t + 1:
                    for j in range(size):
                        out[i, t % out.shape[1], j] = h[n, now, j, i - n * WIDTH]


@kernel
def backward(
    first: int, last: int, h: Any, cell: Any, x: Any, lengths: Any, to_gates: Any, hidden: Any, turned: Any, kept: Any,
    grad_h: Any, grad_x: Any, grad_input: Any, grad_hidden: Any,
) -> None:  # fmt: skip
    (steps, inputs), rows, size = x.shape[1:], len(hidden), hidden.shape[1] - 1
    # The gradients of all sums, a chunk's steps and the step after them; what else a step's h and c get from the next.
    to_sums = np.zeros((CHUNK + 1, rows + turned.item(), WIDTH), FLOAT)
    to_h, to_c = np.zeros((size, WIDTH), FLOAT), np.zeros((size, WIDTH), FLOAT)
    x_rows, to_x = np.zeros((CHUNK, grad_input.shape[2], WIDTH), FLOAT), np.zeros((inputs, WIDTH), FLOAT)
    x_rows[:, inputs] = 1
    for n in range(first, last):
        to_sums[0], to_h[:], to_c[:] = 0, 0, 0
        for start in range((steps - 1) // CHUNK * CHUNK, -1, -CHUNK):
            count = min(CHUNK, steps - start)
            to_sums[count] = to_sums[0]
            for i in range(count - 1, -1, -1):
                t = start + i
                add_given(grad_h, lengths, n * WIDTH, t, to_h)
                retreat(
                    cell.item(), hidden, to_sums[i + 1], to_sums[i], to_h, to_c, h[n, t], kept[n, t],
                    h[n, t + 1], kept[n, t + 1], size,
                )  # fmt: skip
                take(x, n * WIDTH, t, x_rows[i])
                if len(grad_x):
                    pull_input(to_x, to_sums[i], to_gates, inputs, rows)
                    put(to_x, n * WIDTH, t, grad_x)
            step = to_sums.shape[1] * WIDTH
            narrow_outer_summed(
                grad_input[n], to_sums, step, WIDTH, x_rows, x_rows.shape[1] * WIDTH, WIDTH, x_rows.shape[1],
                rows, count,
            )  # fmt: skip
            narrow_outer_summed(
                grad_hidden[n], to_sums[0, turned.item() :], step, WIDTH, h[n, start], h.shape[2] * WIDTH,
                WIDTH, h.shape[2], rows, count,
            )  # fmt: skip


@part
def take(x: Any, first: int, t: int, rows: Any) -> None:
    """Transpose a step of a block's sequences into rows."""
    for i in range(min(rows.shape[1], len(x) - first)):
        for d in range(x.shape[2]):
            rows[d, i] = x[first + i, t, d]


@part
def put(rows: Any, first: int, t: int, x: Any) -> None:
    """Transpose rows back into a step of a block's sequences."""
    for i in range(min(rows.shape[1], len(x) - first)):
        for d in range(x.shape[2]):
            x[first + i, t, d] = rows[d, i]


@part
def add_given(grad_h: Any, lengths: Any, first: int, t: int, to_h: Any) -> None:
    """Add the given gradient of a step's h, which is that of a sequence's last step where there are lengths."""
    for i in range(min(to_h.shape[1], len(grad_h) - first)):
        if len(lengths) == 0 or lengths[first + i] == t + 1:
            for j in range(len(to_h)):
                to_h[j, i] += grad_h[first + i, t % grad_h.shape[1], j]
