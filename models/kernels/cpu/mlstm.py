"""The mLSTM's memory on a CPU, compiled, forward and backward. The equations are those of models/mlstm.py.

C and n are one matrix, read by q. n is its column d, in front of which v has a 1. The tiles are those of
decayed_attention.py. All is kept divided by exp(m), so that their decays are exp(log f_t + m_{t−1} − m_t), and
exp(ĩ_t − m_t)/√d is in v.

Shapes: B batch, T time, N heads, d their size, e = d + 1 columns, K segments. float32 only.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.decayed_attention import ROWS, SEGMENT, advance_tile, retreat_tile
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import exp_of_negative
from models.kernels.cpu.toolkit.lanes import put, take
from models.kernels.cpu.toolkit.vector import WIDTH

EMPTY = FLOAT(-1e30)  # m before the first step
LARGEST = FLOAT(80)  # exp of more has no room in float32

advance, retreat = advance_tile(beside=False), retreat_tile(own=False, beside=False)


class Memory(torch.autograd.Function):
    """Maps q, k, v (B, T, N, d), ĩ and log f (B, T, N) and the ε of the divisor to h̃ (B, T, N, d)."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, q_BTNd: Tensor, k_BTNd: Tensor, v_BTNd: Tensor, write_BTN: Tensor, keep_BTN: Tensor, epsilon: float
    ) -> Tensor:
        given = [tensor.contiguous() for tensor in (q_BTNd, k_BTNd, v_BTNd, write_BTN, keep_BTN)]
        given.append(torch.tensor(epsilon))
        batch, steps, heads, size = q_BTNd.shape
        states = q_BTNd.new_empty(batch, heads, -(-(size + 1) // WIDTH), -(-steps // SEGMENT), size, WIDTH)
        weights_BN4T, h_BTNd = q_BTNd.new_empty(batch, heads, 4, steps), torch.empty_like(given[0])
        run(memory_forward, *given, states, weights_BN4T, h_BTNd)
        ctx.save_for_backward(*given, states, weights_BN4T, h_BTNd)
        return h_BTNd

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTNd: Tensor) -> tuple[Tensor | None, ...]:
        # To those of q, k and v, each vector of columns adds its part.
        grads = [torch.zeros_like(tensor) for tensor in ctx.saved_tensors[:5]]
        run(memory_backward, *ctx.saved_tensors, grad_h_BTNd.contiguous(), *grads)
        return *grads, None


@helper
def one(m: Any) -> Any:
    """Return exp(−m), which the 1 of the divisor has become."""
    return exp_of_negative(-m) if m > 0 else FLOAT(1) / exp_of_negative(max(m, -LARGEST))


@helper
def stabilised(write: Any, keep: Any, scale: Any, m: Any, kept: Any, written: Any) -> None:
    """Compute m of every step, the decay of the memory and the weight of what is written."""
    top = EMPTY
    for t in range(len(m)):
        before = keep[t] + top
        top = max(before, write[t])
        m[t], kept[t], written[t] = top, exp_of_negative(before - top), scale * exp_of_negative(write[t] - top)


@kernel
def memory_forward(
    first: int,
    last: int,
    q: Any,
    k: Any,
    v: Any,
    write: Any,
    keep: Any,
    epsilon: Any,
    states: Any,
    weights: Any,
    h: Any,
) -> None:
    steps, heads, size = q.shape[1:]
    sizes = size, heads * size, 1, 0
    scale = FLOAT(1 / math.sqrt(size))
    now, s = np.empty((SEGMENT, WIDTH), FLOAT), np.empty((size, WIDTH), FLOAT)
    read = np.empty((states.shape[2], steps, WIDTH), FLOAT)
    for i in range(first, last):
        for head in range(heads):
            m, kept, written, n = weights[i, head, 0], weights[i, head, 1], weights[i, head, 2], weights[i, head, 3]
            stabilised(write[i, :, head], keep[i, :, head], scale, m, kept, written)
            read[:] = FLOAT(0)
            for group in range(states.shape[2]):
                s[:] = FLOAT(0)
                for segment in range(states.shape[3]):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    states[i, head, group, segment] = s
                    values(v[i, here, head], group, now)
                    for t in range(here.stop - here.start):
                        for j in range(WIDTH):
                            now[t, j] *= written[here.start + t]
                    advance(
                        q[i, here, head], k[i, here, head], now, now, kept[here], s, read[group, here], sizes,
                        here.stop - here.start,
                    )  # fmt: skip
            for t in range(steps):
                n[t] = read[size // WIDTH, t, size % WIDTH]
                share = FLOAT(1) / (max(abs(n[t]), one(m[t])) + epsilon.item())
                for j in range(size):
                    h[i, t, head, j] = read[j // WIDTH, t, j % WIDTH] * share


@helper
def values(v: Any, group: Any, out: Any) -> None:
    """Copy a vector of v's columns, and the 1 behind them, at every step of a segment."""
    take(v, group, out)
    if group == v.shape[1] // WIDTH:
        out[:, v.shape[1] % WIDTH] = FLOAT(1)


@kernel
def memory_backward(
    first: int,
    last: int,
    q: Any,
    k: Any,
    v: Any,
    write: Any,
    keep: Any,
    epsilon: Any,
    states: Any,
    weights: Any,
    h: Any,
    grad_h: Any,
    to_q: Any,
    to_k: Any,
    to_v: Any,
    to_write: Any,
    to_keep: Any,
) -> None:
    steps, heads, size = q.shape[1:]
    sizes = size, heads * size, 1, 0
    room, to_s = np.empty((SEGMENT + 1, ROWS, WIDTH), FLOAT), np.empty((size, WIDTH), FLOAT)
    lanes = np.empty((3, SEGMENT, WIDTH), FLOAT)
    now, weighted, to_weighted = lanes[0], lanes[1], lanes[2]
    to_read, by_step = np.empty((states.shape[2], steps, WIDTH), FLOAT), np.empty((3, steps), FLOAT)
    to_kept, to_written, to_m = by_step[0], by_step[1], by_step[2]
    for i in range(first, last):
        for head in range(heads):
            m, kept, written, n = weights[i, head, 0], weights[i, head, 1], weights[i, head, 2], weights[i, head, 3]
            to_read[:], by_step[:] = FLOAT(0), FLOAT(0)
            for t in range(steps):
                floor, along = one(m[t]), FLOAT(0)
                share = FLOAT(1) / (max(abs(n[t]), floor) + epsilon.item())
                for j in range(size):
                    to_read[j // WIDTH, t, j % WIDTH] = grad_h[i, t, head, j] * share
                    along += grad_h[i, t, head, j] * h[i, t, head, j]
                # What all is divided by cancels in h̃ but for ε. So only ε passes on a gradient of m.
                to_m[t] = -along * share * epsilon.item()
                if abs(n[t]) > floor:
                    to_read[size // WIDTH, t, size % WIDTH] = -along * share * np.sign(n[t])
            for group in range(states.shape[2]):
                to_s[:] = FLOAT(0)
                for segment in range(states.shape[3] - 1, -1, -1):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    count = here.stop - here.start
                    values(v[i, here, head], group, now)
                    for t in range(count):
                        for j in range(WIDTH):
                            weighted[t, j], to_weighted[t, j] = written[here.start + t] * now[t, j], FLOAT(0)
                    retreat(
                        q[i, here, head], k[i, here, head], weighted, weighted, kept[here],
                        states[i, head, group, segment], to_read[group, here], to_s, to_q[i, here, head],
                        to_k[i, here, head], to_weighted, to_weighted, to_kept[here], room, sizes, count,
                    )  # fmt: skip
                    for t in range(count):
                        total = FLOAT(0)
                        for j in range(WIDTH):
                            total += to_weighted[t, j] * now[t, j]
                            to_weighted[t, j] *= written[here.start + t]
                        to_written[here.start + t] += total
                    put(to_weighted, group, to_v[i, here, head])
            carried = FLOAT(0)
            for t in range(steps - 1, -1, -1):
                carried += to_m[t]
                to_keep[i, t, head], to_write[i, t, head] = to_kept[t] * kept[t], to_written[t] * written[t]
                if kept[t] == FLOAT(1):  # m_t is that of the step before, decayed
                    to_keep[i, t, head] += carried
                else:
                    to_write[i, t, head] += carried
                    carried = FLOAT(0)
