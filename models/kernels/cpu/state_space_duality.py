"""Linear attention with weights and a skip on a CPU, compiled: the state-space models Mamba-2 and Mamba-3.

    y_t = (kept_t S_{t−1} + own_t k_t v_tᵀ)ᵀ q_t + D v_t,    S_t = kept_t S_{t−1} + w_t k_t v_tᵀ

w may depend on the step after, which y does not see. Heads of a group share q and k. The tiles are those of
decayed_attention.py, which get w v in place of v and own v beside it.

Shapes: B batch, T time, G groups, H heads, N rows of S, P columns, K segments. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.decayed_attention import ROWS, SEGMENT, advance_tile, retreat_tile
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.lanes import put, take
from models.kernels.cpu.toolkit.vector import WIDTH

advance, retreat = advance_tile(beside=True), retreat_tile(own=False, beside=True)


class WeightedAttention(torch.autograd.Function):
    """Maps q, k (B, T, G, N), v (B, T, H, P), kept, w and own (B, T, H each) and D (H) to y (B, T, H, P)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        q_BTGN, v_BTHP = given[0], given[2]
        batch, steps, heads, columns = v_BTHP.shape
        vectors, segments = -(-columns // WIDTH), -(-steps // SEGMENT)
        states = v_BTHP.new_empty(batch, heads, vectors, segments, q_BTGN.shape[3], WIDTH)
        y_BTHP = torch.empty_like(v_BTHP)
        run(weighted_forward, *given, states, y_BTHP)
        ctx.save_for_backward(*given, states)
        return y_BTHP

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTHP: Tensor) -> tuple[Tensor, ...]:
        *given, states = ctx.saved_tensors
        # To most of them, each head or vector of columns adds its part.
        grads = [torch.zeros_like(tensor) for tensor in given[:-1]]
        to_skip_BH = given[-1].new_zeros(len(grad_y_BTHP), len(given[-1]))
        run(weighted_backward, *given, states, grad_y_BTHP.contiguous(), *grads, to_skip_BH)
        return *grads, to_skip_BH.sum(0)


@kernel
def weighted_forward(
    first: int,
    last: int,
    q: Any,
    k: Any,
    v: Any,
    kept: Any,
    weight: Any,
    own: Any,
    skip: Any,
    states: Any,
    y: Any,
) -> None:
    (steps, heads), (groups, rows) = v.shape[1:3], q.shape[2:]
    sizes = rows, groups * rows, heads, 0
    lanes, s = np.empty((4, SEGMENT, WIDTH), FLOAT), np.empty((rows, WIDTH), FLOAT)
    now, written, beside, out = lanes[0], lanes[1], lanes[2], lanes[3]
    for i in range(first, last):
        for h in range(heads):
            g = h * groups // heads
            for vector in range(states.shape[2]):
                s[:] = FLOAT(0)
                for segment in range(states.shape[3]):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    states[i, h, vector, segment] = s
                    take(v[i, here, h], vector, now)
                    weighted(now, weight[i, here, h], own[i, here, h], written, beside)
                    for t in range(here.stop - here.start):
                        for j in range(WIDTH):
                            out[t, j] = skip[h] * now[t, j]
                    advance(
                        q[i, here, g], k[i, here, g], written, beside, kept[i, here, h], s, out, sizes,
                        here.stop - here.start,
                    )  # fmt: skip
                    put(out, vector, y[i, here, h])


@part
def weighted(v: Any, weight: Any, own: Any, written: Any, beside: Any) -> None:
    for t in range(len(weight)):
        for j in range(WIDTH):
            written[t, j] = weight[t] * v[t, j]
            beside[t, j] = own[t] * v[t, j]


@kernel
def weighted_backward(
    first: int,
    last: int,
    q: Any,
    k: Any,
    v: Any,
    kept: Any,
    weight: Any,
    own: Any,
    skip: Any,
    states: Any,
    grad_y: Any,
    to_q: Any,
    to_k: Any,
    to_v: Any,
    to_kept: Any,
    to_weight: Any,
    to_own: Any,
    to_skip: Any,
) -> None:
    (steps, heads), (groups, rows) = v.shape[1:3], q.shape[2:]
    sizes = rows, groups * rows, heads, 0
    room, to_s = np.empty((SEGMENT + 1, ROWS, WIDTH), FLOAT), np.empty((rows, WIDTH), FLOAT)
    lanes = np.empty((6, SEGMENT, WIDTH), FLOAT)
    now, written, beside, to_y, to_written, to_beside = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5]
    for i in range(first, last):
        for h in range(heads):
            g = h * groups // heads
            for vector in range(states.shape[2]):
                to_s[:] = FLOAT(0)
                for segment in range(states.shape[3] - 1, -1, -1):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    take(v[i, here, h], vector, now)
                    take(grad_y[i, here, h], vector, to_y)
                    weighted(now, weight[i, here, h], own[i, here, h], written, beside)
                    to_written[:], to_beside[:] = FLOAT(0), FLOAT(0)
                    retreat(
                        q[i, here, g], k[i, here, g], written, beside, kept[i, here, h], states[i, h, vector, segment],
                        to_y, to_s, to_q[i, here, g], to_k[i, here, g], to_written, to_beside, to_kept[i, here, h],
                        room, sizes, here.stop - here.start,
                    )  # fmt: skip
                    for t in range(here.stop - here.start):
                        w, more = weight[i, here.start + t, h], own[i, here.start + t, h]
                        to_w, to_more, to_d = FLOAT(0), FLOAT(0), FLOAT(0)
                        for j in range(WIDTH):
                            to_w += to_written[t, j] * now[t, j]
                            to_more += to_beside[t, j] * now[t, j]
                            to_d += to_y[t, j] * now[t, j]
                            now[t, j] = w * to_written[t, j] + more * to_beside[t, j] + skip[h] * to_y[t, j]
                        to_weight[i, here.start + t, h] += to_w
                        to_own[i, here.start + t, h] += to_more
                        to_skip[i, h] += to_d
                    put(now, vector, to_v[i, here, h])
