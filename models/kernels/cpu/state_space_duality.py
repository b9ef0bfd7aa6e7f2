"""Linear attention with weights and a skip on a CPU, compiled: the state-space models Mamba-2 and Mamba-3.

    y_t = kept_t S_{t−1}ᵀ q_t + own_t (q_t · k_t) v_t + D v_t,    S_t = kept_t S_{t−1} + w_t k_t v_tᵀ

w may depend on the step after, which y must not see. Heads of a group share q and k. The tiles are those of
decayed_attention.py, which get w v in place of v.

Shapes: B batch, T time, G groups, H heads, N rows of S, P columns, K segments. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.decayed_attention import ROWS, SEGMENT, advance_tile, retreat_tile
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.lanes import put, take
from models.kernels.cpu.toolkit.vector import WIDTH

advance, retreat = advance_tile(late=True), retreat_tile(own=False, late=True)


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


@helper
def dot(a: Any, b: Any) -> Any:
    total = FLOAT(0)
    for n in range(len(a)):
        total += a[n] * b[n]
    return total


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
    lanes, s = np.empty((2, SEGMENT, WIDTH), FLOAT), np.empty((rows, WIDTH), FLOAT)
    now, out = lanes[0], lanes[1]
    for i in range(first, last):
        for h in range(heads):
            g = h * groups // heads
            for vector in range(states.shape[2]):
                s[:] = FLOAT(0)
                for segment in range(states.shape[3]):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    count = here.stop - here.start
                    states[i, h, vector, segment] = s
                    take(v[i, here, h], vector, now)
                    for t in range(count):
                        step = here.start + t
                        share = own[i, step, h] * dot(q[i, step, g], k[i, step, g]) + skip[h]
                        for j in range(WIDTH):
                            out[t, j] = share * now[t, j]
                            now[t, j] *= weight[i, step, h]
                    advance(q[i, here, g], k[i, here, g], now, kept[i, here, h], s, out, sizes, count)
                    put(out, vector, y[i, here, h])


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
    lanes = np.empty((4, SEGMENT, WIDTH), FLOAT)
    now, weighted, to_y, to_weighted = lanes[0], lanes[1], lanes[2], lanes[3]
    for i in range(first, last):
        for h in range(heads):
            g = h * groups // heads
            for vector in range(states.shape[2]):
                to_s[:] = FLOAT(0)
                for segment in range(states.shape[3] - 1, -1, -1):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    count = here.stop - here.start
                    take(v[i, here, h], vector, now)
                    take(grad_y[i, here, h], vector, to_y)
                    for t in range(count):
                        w = weight[i, here.start + t, h]
                        for j in range(WIDTH):
                            weighted[t, j], to_weighted[t, j] = w * now[t, j], FLOAT(0)
                    retreat(
                        q[i, here, g], k[i, here, g], weighted, kept[i, here, h], states[i, h, vector, segment],
                        to_y, to_s, to_q[i, here, g], to_k[i, here, g], to_weighted, to_kept[i, here, h], room, sizes,
                        count,
                    )  # fmt: skip
                    for t in range(count):
                        step = here.start + t
                        q_t, k_t, to_q_t, to_k_t = q[i, step, g], k[i, step, g], to_q[i, step, g], to_k[i, step, g]
                        score, along = dot(q_t, k_t), dot(to_y[t], now[t])
                        to_skip[i, h] += along
                        to_own[i, step, h] += score * along
                        to_weight[i, step, h] += dot(to_weighted[t], now[t])
                        to_score, share = own[i, step, h] * along, own[i, step, h] * score + skip[h]
                        for n in range(rows):
                            to_q_t[n] += to_score * k_t[n]
                            to_k_t[n] += to_score * q_t[n]
                        for j in range(WIDTH):
                            now[t, j] = weight[i, step, h] * to_weighted[t, j] + share * to_y[t, j]
                    put(now, vector, to_v[i, here, h])
