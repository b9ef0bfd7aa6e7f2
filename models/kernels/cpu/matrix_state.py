"""Delta rules on a CPU, compiled: a matrix state for each head, step by step.

    S_t = diag(kept_t) S_{t−1} + k_t v_tᵀ − write_t (S_{t−1}ᵀ read_t)ᵀ,    o_t = S_tᵀ q_t

The columns of S don't see one another. So a vector of them goes through time at once. Its values at every SEGMENT-th
step are stored. The reverse pass computes those between again and runs the adjoint recurrence over them.

Shapes: B batch, T time, N heads, d rows of S, e columns, G vectors of columns, K segments. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.lanes import put, take
from models.kernels.cpu.toolkit.vector import WIDTH, ZERO, Code, tile

SEGMENT = 16


class MatrixState(torch.autograd.Function):
    """Maps q, k (B, T, N, d), v (B, T, N, e), kept (B, T, N, d or 1), read and write (B, T, N, d) to o (B, T, N, e).

    One number of `kept` is for all rows.
    """

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        (batch, steps, heads, rows), v_BTNe = given[0].shape, given[2]
        groups, segments = -(-v_BTNe.shape[3] // WIDTH), -(-steps // SEGMENT)
        states = v_BTNe.new_empty(batch, heads, groups, segments, rows, WIDTH)
        o_BTNe = torch.empty_like(v_BTNe)
        run(all_forward, *given, states, o_BTNe)
        ctx.save_for_backward(*given, states)
        return o_BTNe

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_o_BTNe: Tensor) -> tuple[Tensor, ...]:
        *given, states = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in given]  # to which each vector of columns adds its part
        run(all_backward, *given, states, grad_o_BTNe.contiguous(), *grads)
        return tuple(grads)


@tile
def advance(
    code: Code,
    q: Any,
    k: Any,
    v: Any,
    kept: Any,
    read: Any,
    write: Any,
    s: Any,
    u: Any,
    o: Any,
    sizes: tuple[Any, ...],
    s_apart: Any,
    steps: Any,
) -> None:
    """Run through a segment: S, u = −Sᵀ read and o of each step. S_t lies `s_apart` numbers after S_{t−1}."""
    rows, share, apart, kept_apart = code.unpack(sizes)

    def step(t: Any, _: list[Any]) -> list[Any]:
        before, v_t = code.at(s, (t, s_apart)), code.load(code.at(v, (t, WIDTH)))
        after = code.at(before, s_apart)
        q_t, k_t, kept_t = code.at(q, (t, apart)), code.at(k, (t, apart)), code.at(kept, (t, kept_apart))
        read_t, write_t = code.at(read, (t, apart)), code.at(write, (t, apart))

        def reading(r: Any, sums: list[Any]) -> list[Any]:
            return [code.fma(code.spread(code.at(read_t, r)), code.load(code.at(before, (r, WIDTH))), sums[0])]

        u_t = code.negative(*code.loop(rows, [ZERO], reading))
        code.store(u_t, code.at(u, (t, WIDTH)))

        def row(r: Any, sums: list[Any]) -> list[Any]:
            old, left = code.load(code.at(before, (r, WIDTH))), code.spread(code.at(kept_t, (r, share)))
            new = code.fma(code.spread(code.at(k_t, r)), v_t, code.product_of(left, old))
            new = code.fma(code.spread(code.at(write_t, r)), u_t, new)
            code.store(new, code.at(after, (r, WIDTH)))
            return [code.fma(code.spread(code.at(q_t, r)), new, sums[0])]

        (o_t,) = code.loop(rows, [ZERO], row)
        code.store(o_t, code.at(o, (t, WIDTH)))
        return []

    code.loop(steps, [], step)


@tile
def retreat(
    code: Code,
    q: Any,
    k: Any,
    v: Any,
    kept: Any,
    read: Any,
    write: Any,
    s: Any,
    u: Any,
    to_o: Any,
    to_s: Any,
    to_v: Any,
    to_q: Any,
    to_k: Any,
    to_kept: Any,
    to_read: Any,
    to_write: Any,
    sizes: tuple[Any, ...],
    steps: Any,
) -> None:
    """Run the adjoint over a segment. to_s becomes the gradient of S before it. to_v is written, others added to."""
    rows, share, apart, kept_apart = code.unpack(sizes)

    def step(done: Any, _: list[Any]) -> list[Any]:
        t = code.minus(steps, code.plus(done, 1))
        o_t, v_t, u_t = (code.load(code.at(each, (t, WIDTH))) for each in (to_o, v, u))
        before = code.at(s, (t, code.times(rows, WIDTH)))
        after = code.at(before, code.times(rows, WIDTH))
        q_t, k_t, read_t, write_t, to_q_t, to_k_t, to_read_t, to_write_t = (
            code.at(each, (t, apart)) for each in (q, k, read, write, to_q, to_k, to_read, to_write)
        )
        kept_t, to_kept_t = (code.at(each, (t, kept_apart)) for each in (kept, to_kept))

        # First the gradient of S_t, which then reaches what was written.
        def written(r: Any, sums: list[Any]) -> list[Any]:
            here = code.at(to_s, (r, WIDTH))
            g = code.fma(code.spread(code.at(q_t, r)), o_t, code.load(here))
            code.store(g, here)
            code.add_total(code.product_of(o_t, code.load(code.at(after, (r, WIDTH)))), code.at(to_q_t, r))
            code.add_total(code.product_of(g, v_t), code.at(to_k_t, r))
            code.add_total(code.product_of(g, u_t), code.at(to_write_t, r))
            return [
                code.fma(code.spread(code.at(each, r)), g, total)
                for each, total in zip((k_t, write_t), sums, strict=True)
            ]

        to_v_t, to_u_t = code.loop(rows, [ZERO, ZERO], written)
        code.store(to_v_t, code.at(to_v, (t, WIDTH)))
        to_read_out = code.negative(to_u_t)

        # Then it goes on to S_{t−1}.
        def left(r: Any, _: list[Any]) -> list[Any]:
            here = code.at(to_s, (r, WIDTH))
            g, old = code.load(here), code.load(code.at(before, (r, WIDTH)))
            code.add_total(code.product_of(g, old), code.at(to_kept_t, (r, share)))
            g = code.product_of(g, code.spread(code.at(kept_t, (r, share))))
            code.add_total(code.product_of(to_read_out, old), code.at(to_read_t, r))
            code.store(code.fma(code.spread(code.at(read_t, r)), to_read_out, g), here)
            return []

        code.loop(rows, [], left)
        return []

    code.loop(steps, [], step)


@part
def sizes_of(q: Any, kept: Any) -> Any:
    """Return d, whether each row has its own kept, and how far steps of q and of kept lie apart."""
    heads, rows = q.shape[2:]
    return rows, int(kept.shape[3] > 1), heads * rows, heads * kept.shape[3]


@kernel
def all_forward(
    first: int, last: int, q: Any, k: Any, v: Any, kept: Any, read: Any, write: Any, states: Any, o: Any
) -> None:
    sizes, steps = sizes_of(q, kept), q.shape[1]
    lanes, s = np.empty((3, SEGMENT, WIDTH), FLOAT), np.empty((q.shape[3], WIDTH), FLOAT)
    now, u, out = lanes[0], lanes[1], lanes[2]
    for i in range(first, last):
        for n in range(q.shape[2]):
            for group in range(states.shape[2]):
                s[:] = FLOAT(0)
                for segment in range(states.shape[3]):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    states[i, n, group, segment] = s
                    take(v[i, here, n], group, now)
                    advance(
                        q[i, here, n], k[i, here, n], now, kept[i, here, n], read[i, here, n], write[i, here, n],
                        s, u, out, sizes, 0, here.stop - here.start,
                    )  # fmt: skip
                    put(out, group, o[i, here, n])


@kernel
def all_backward(
    first: int,
    last: int,
    q: Any,
    k: Any,
    v: Any,
    kept: Any,
    read: Any,
    write: Any,
    states: Any,
    grad_o: Any,
    grad_q: Any,
    grad_k: Any,
    grad_v: Any,
    grad_kept: Any,
    grad_read: Any,
    grad_write: Any,
) -> None:
    sizes, steps, rows = sizes_of(q, kept), q.shape[1], q.shape[3]
    s, to_s = np.empty((SEGMENT + 1, rows, WIDTH), FLOAT), np.empty((rows, WIDTH), FLOAT)
    lanes = np.empty((5, SEGMENT, WIDTH), FLOAT)
    now, u, out, to_o, to_v = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
    for i in range(first, last):
        for n in range(q.shape[2]):
            for group in range(states.shape[2]):
                to_s[:] = FLOAT(0)
                for segment in range(states.shape[3] - 1, -1, -1):
                    here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
                    s[0] = states[i, n, group, segment]
                    take(v[i, here, n], group, now)
                    take(grad_o[i, here, n], group, to_o)
                    given = q[i, here, n], k[i, here, n], now, kept[i, here, n], read[i, here, n], write[i, here, n]
                    count = here.stop - here.start
                    advance(*given, s, u, out, sizes, rows * WIDTH, count)
                    retreat(
                        *given, s, u, to_o, to_s, to_v, grad_q[i, here, n], grad_k[i, here, n],
                        grad_kept[i, here, n], grad_read[i, here, n], grad_write[i, here, n], sizes, count,
                    )  # fmt: skip
                    put(to_v, group, grad_v[i, here, n])
