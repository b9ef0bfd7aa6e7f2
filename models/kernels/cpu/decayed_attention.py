"""Linear attention with a decay on a CPU, compiled: a matrix state for each head, step by step.

    S_t = diag(kept_t) S_{t−1} + k_t v_tᵀ,    o_t = S_tᵀ q_t

The rows of S don't see one another, and the columns don't either. So a tile of some rows and a vector of columns goes
through a segment of time in registers. Its values before every segment are stored. The reverse pass computes those
within the segment again and runs the adjoint recurrence over them.

Shapes: B batch, T time, N heads, d rows of S, e columns, G vectors of columns, K segments. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.lanes import put, take
from models.kernels.cpu.toolkit.vector import WIDTH, ZERO, Code, tile

SEGMENT = 16
ROWS = WIDTH // 2
"""Rows of a tile. The totals of two products for each fit into one vector."""


class DecayedAttention(torch.autograd.Function):
    """Maps q, k (B, T, N, d), v (B, T, N, e) and kept (B, T, N, d, or 1 for all rows alike) to o (B, T, N, e)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        (batch, steps, heads, rows), v_BTNe = given[0].shape, given[2]
        states = v_BTNe.new_empty(batch, heads, -(-v_BTNe.shape[3] // WIDTH), -(-steps // SEGMENT), rows, WIDTH)
        o_BTNe = torch.empty_like(v_BTNe)
        run(attention_forward, *given, states, o_BTNe)
        ctx.save_for_backward(*given, states)
        return o_BTNe

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_o_BTNe: Tensor) -> tuple[Tensor, ...]:
        *given, states = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in given]  # to which each vector of columns adds its part
        run(attention_backward, *given, states, grad_o_BTNe.contiguous(), *grads)
        return tuple(grads)


def advance_tile(beside: bool) -> Any:
    """Return the tile that runs through a segment: S becomes the state after it, and o_t += S_tᵀ q_t.

    Args:
        beside: whether o_t reads, in place of k_t v_tᵀ, another vector of columns beside it: k_t b_tᵀ.
    """

    @tile
    def advance(
        code: Code, q: Any, k: Any, v: Any, b: Any, kept: Any, s: Any, o: Any, sizes: tuple[Any, ...], steps: Any
    ) -> None:
        """`sizes` are d, how far q_t and q_{t+1} lie apart, how far kept_t and kept_{t+1}, and kept of two rows."""
        rows, apart, kept_apart, share = code.unpack(sizes)

        def some_rows(r: Any, count: int) -> None:
            def step(t: Any, before: list[Any]) -> list[Any]:
                keys, readers = (code.spread_each(code.at(each, (t, apart), r), count) for each in (k, q))
                old = code.multiply(decays(code, kept, (t, kept_apart), r, share, count), before)
                after = code.add_to_each(old, keys, code.load(code.at(v, (t, WIDTH))))
                read = code.add_to_each(old, keys, code.load(code.at(b, (t, WIDTH)))) if beside else after
                here = code.at(o, (t, WIDTH))
                code.store(code.add_up(readers, read, code.load(here)), here)
                return after

            here = code.at(s, (r, WIDTH))
            code.store_each(code.loop(steps, code.load_each(here, count), step), here)

        code.in_tiles(rows, ROWS, some_rows)

    return advance


def decays(code: Code, kept: Any, place: Any, r: Any, share: Any, count: int) -> list[Any]:
    return [code.spread(code.at(kept, place, code.builder.mul(code.plus(r, i), share))) for i in range(count)]


def retreat_tile(own: bool, beside: bool) -> Any:
    """Return the tile that runs the adjoint over a segment.

    Args:
        own: whether each row has a decay of its own, not all the same.
        beside: as in `advance_tile`.
    """

    @tile
    def retreat(
        code: Code,
        q: Any,
        k: Any,
        v: Any,
        b: Any,
        kept: Any,
        s: Any,
        to_o: Any,
        to_s: Any,
        to_q: Any,
        to_k: Any,
        to_v: Any,
        to_b: Any,
        to_kept: Any,
        room: Any,
        sizes: tuple[Any, ...],
        steps: Any,
    ) -> None:
        """to_s becomes the gradient of `s`, the state before the segment. The others are added to.

        `room` is for ROWS rows of the states before and after each step.
        """
        rows, apart, kept_apart, share = code.unpack(sizes)
        row = ROWS * WIDTH

        def some_rows(r: Any, count: int) -> None:
            start = code.load_each(code.at(s, (r, WIDTH)), count)
            code.store_each(start, room)

            # First, compute the segment's states again.
            def remake(t: Any, before: list[Any]) -> list[Any]:
                old = code.multiply(decays(code, kept, (t, kept_apart), r, share, count), before)
                keys = code.spread_each(code.at(k, (t, apart), r), count)
                after = code.add_to_each(old, keys, code.load(code.at(v, (t, WIDTH))))
                code.store_each(after, code.at(room, (t, row), row))
                return after

            # Then go back from the last step, with the gradients of the states in registers.
            def step(done: Any, to_after: list[Any]) -> list[Any]:
                t = code.minus(steps, code.plus(done, 1))
                o_t, v_t, b_t = (code.load(code.at(each, (t, WIDTH))) for each in (to_o, v, b))
                keys, readers = (code.spread_each(code.at(each, (t, apart), r), count) for each in (k, q))
                left = decays(code, kept, (t, kept_apart), r, share, count)
                before, after = (code.load_each(code.at(room, (t, row), shift), count) for shift in (0, row))
                to_old = code.add_to_each(to_after, readers, o_t)
                if beside:
                    read, to_read = code.add_to_each(code.multiply(left, before), keys, b_t), code.scale(readers, o_t)
                    to_keys = code.add_to_each(code.scale(to_after, v_t), to_read, b_t)
                    code.add_products(keys, to_after, code.at(to_v, (t, WIDTH)))
                    code.add_products(keys, to_read, code.at(to_b, (t, WIDTH)))
                else:
                    read, to_keys = after, code.scale(to_old, v_t)
                    code.add_products(keys, to_old, code.at(to_v, (t, WIDTH)))
                places = [code.at(each, (t, apart), r) for each in (to_q, to_k)]
                code.add_totals([code.scale(read, o_t), to_keys], places)
                here = code.at(to_kept, (t, kept_apart), code.builder.mul(r, share))
                if own:
                    code.add_totals([code.multiply(to_old, before)], [here])
                else:
                    code.add_total(code.add_up(to_old, before, ZERO), here)
                return code.multiply(to_old, left)

            code.loop(steps, start, remake)
            end = code.at(to_s, (r, WIDTH))
            code.store_each(code.loop(steps, code.load_each(end, count), step), end)

        code.in_tiles(rows, ROWS, some_rows)

    return retreat


advance, retreat_own, retreat_alike = advance_tile(False), retreat_tile(True, False), retreat_tile(False, False)


@kernel
def attention_forward(first: int, last: int, q: Any, k: Any, v: Any, kept: Any, states: Any, o: Any) -> None:
    (steps, heads, rows), own = q.shape[1:], kept.shape[3] > 1
    sizes = rows, heads * rows, heads * kept.shape[3], int(own)
    lanes, s = np.empty((2, SEGMENT, WIDTH), FLOAT), np.empty((rows, WIDTH), FLOAT)
    now, out = lanes[0], lanes[1]
    for i in range(first, last):
        for n in range(heads):
            for group in range(states.shape[2]):
                s[:] = FLOAT(0)
                for segment in range(states.shape[3]):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    states[i, n, group, segment] = s
                    take(v[i, here, n], group, now)
                    out[:] = FLOAT(0)
                    advance(
                        q[i, here, n], k[i, here, n], now, now, kept[i, here, n], s, out, sizes, here.stop - here.start
                    )
                    put(out, group, o[i, here, n])


@kernel
def attention_backward(
    first: int,
    last: int,
    q: Any,
    k: Any,
    v: Any,
    kept: Any,
    states: Any,
    grad_o: Any,
    grad_q: Any,
    grad_k: Any,
    grad_v: Any,
    grad_kept: Any,
) -> None:
    (steps, heads, rows), own = q.shape[1:], kept.shape[3] > 1
    sizes = rows, heads * rows, heads * kept.shape[3], int(own)
    room, to_s = np.empty((SEGMENT + 1, ROWS, WIDTH), FLOAT), np.empty((rows, WIDTH), FLOAT)
    lanes = np.empty((3, SEGMENT, WIDTH), FLOAT)
    now, to_o, to_v = lanes[0], lanes[1], lanes[2]
    for i in range(first, last):
        for n in range(heads):
            for group in range(states.shape[2]):
                to_s[:] = FLOAT(0)
                for segment in range(states.shape[3] - 1, -1, -1):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    take(v[i, here, n], group, now)
                    take(grad_o[i, here, n], group, to_o)
                    to_v[:] = FLOAT(0)
                    given = q[i, here, n], k[i, here, n], now, now, kept[i, here, n], states[i, n, group, segment]
                    grads = grad_q[i, here, n], grad_k[i, here, n], to_v, to_v, grad_kept[i, here, n]
                    if own:
                        retreat_own(*given, to_o, to_s, *grads, room, sizes, here.stop - here.start)
                    else:
                        retreat_alike(*given, to_o, to_s, *grads, room, sizes, here.stop - here.start)
                    put(to_v, group, grad_v[i, here, n])
