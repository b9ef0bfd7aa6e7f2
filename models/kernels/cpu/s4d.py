"""S4D's states on a CPU, compiled: faster than the convolution by transforms, because the states stay in registers.

    x_t = Ā ⊙ x_{t−1} + u_t,    y_t = Re Σ_n c_n x_{t,n} + D u_t           for each channel, with N complex states

The states of a vector of channels go through a chunk of time one after another. Their values before each chunk are
kept. The reverse pass computes the states within a chunk again and runs the adjoint recurrence over them.

Shapes: B batch, T time, H channels, G vectors of channels, N state, K chunks; WIDTH numbers a vector. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.lanes import in_vectors, put, take
from models.kernels.cpu.toolkit.vector import WIDTH, ZERO, Code, tile

CHUNK = 64  # steps between two kept states
STATES = 2
"""States of a channel that go through a chunk at once."""


def channelwise_states(u_BTH: Tensor, a_HN: Tensor, c_HN: Tensor, d_H: Tensor) -> Tensor:
    """Return y, (B, T, H), from states at zero.

    Args:
        u_BTH: the input, float32.
        a_HN, c_HN: Ā and c, complex.
        d_H: D.
    """
    values_4NH, together = (
        torch.stack([a_HN.real, a_HN.imag, c_HN.real, c_HN.imag]).mT,
        sequences_together(len(u_BTH), len(d_H)),
    )
    u_BTGH = u_BTH.unflatten(0, (-1, together)).transpose(1, 2)
    values_GN4 = in_vectors(values_4NH.repeat(1, 1, together)).transpose(1, 2)
    y_BTG = ChannelwiseStates.apply(u_BTGH.flatten(2), values_GN4, in_vectors(d_H.repeat(together)))
    y_BTH: Tensor = y_BTG.unflatten(2, u_BTGH.shape[2:]).transpose(1, 2).flatten(0, 1)
    return y_BTH


def sequences_together(batch: int, channels: int) -> int:
    """Return how many sequences to lay side by side, so that their channels leave the fewest lanes empty."""
    counts = [count for count in range(1, WIDTH + 1) if batch % count == 0]
    return min(counts, key=lambda count: -(-count * channels // WIDTH) / count)


class ChannelwiseStates(torch.autograd.Function):
    """Maps u (B, T, H), the real and imaginary parts of Ā and c (G, N, 4, WIDTH) and D (G, WIDTH) to y (B, T, H)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, u_BTH: Tensor, values_GN4: Tensor, d_G: Tensor) -> Tensor:
        given = u_BTH.contiguous(), values_GN4.contiguous(), d_G.contiguous()
        (batch, steps, _), (groups, order, _, _) = u_BTH.shape, values_GN4.shape
        kept = u_BTH.new_empty(batch, groups, -(-steps // CHUNK), order, 2, WIDTH)
        y_BTH = torch.empty_like(given[0])
        run(states_forward, *given, y_BTH, kept)
        ctx.save_for_backward(*given, kept)
        return y_BTH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTH: Tensor) -> tuple[Tensor, ...]:
        u_BTH, values_GN4, d_G, _ = ctx.saved_tensors
        grad_u, batch = torch.empty_like(u_BTH), len(u_BTH)
        grad_values, grad_d = values_GN4.new_zeros(batch, *values_GN4.shape), d_G.new_zeros(batch, *d_G.shape)
        run(states_backward, *ctx.saved_tensors, grad_y_BTH.contiguous(), grad_u, grad_values, grad_d)
        return grad_u, grad_values.sum(0), grad_d.sum(0)


def each(pointer: Any, code: Code, count: int, size: int) -> list[list[Any]]:
    """Load `size` vectors of each of `count` states that lie side by side."""
    vectors = code.load_each(pointer, count * size)
    return [vectors[i : i + size] for i in range(0, count * size, size)]


@tile
def advance(code: Code, values: Any, u: Any, state: Any, y: Any, order: Any, steps: Any) -> None:
    """y_t += Re Σ_n c_n x_{t,n} over a chunk. `state` is x before the chunk and becomes x after it."""

    def some(n: Any, count: int) -> None:
        # A few states of each channel stay in registers for the whole chunk, and so do their Ā and c. With one alone,
        # each step would wait for the one before it.
        here, own = code.at(state, (n, 2 * WIDTH)), each(code.at(values, (n, 4 * WIDTH)), code, count, 4)

        def step(t: Any, x: list[Any]) -> list[Any]:
            now, place = code.load(code.at(u, (t, WIDTH))), code.at(y, (t, WIDTH))
            total, after = code.load(place), []
            for i, (a_re, a_im, c_re, c_im) in enumerate(own):
                re, im = code.complex_fma((a_re, a_im), x[2 * i : 2 * i + 2], (now, ZERO))
                total = code.fma(c_re, re, code.fma(code.negative(c_im), im, total))
                after += [re, im]
            code.store(total, place)
            return after

        code.store_each(code.loop(steps, code.load_each(here, 2 * count), step), here)

    code.in_tiles(order, STATES, some)


@tile
def retreat(
    code: Code, values: Any, before: Any, u: Any, to_y: Any, to_x: Any, to_u: Any, to_values: Any, room: Any,
    order: Any, steps: Any,
) -> None:  # fmt: skip
    """Run the adjoint over a chunk.

    Args:
        before: x before the chunk.
        to_x: the gradient of the state after the chunk. It becomes that of the state before it.
        to_u, to_values: gradients, which are added to.
        room: for the states of STATES n at a time, so that they stay in the cache.
    """

    def some(n: Any, count: int) -> None:
        row = 2 * count * WIDTH
        own = each(code.at(values, (n, 4 * WIDTH)), code, count, 4)
        first = code.load_each(code.at(before, (n, 2 * WIDTH)), 2 * count)
        code.store_each(first, room)

        def remake(t: Any, x: list[Any]) -> list[Any]:
            now, after = code.load(code.at(u, (t, WIDTH))), []
            for i, (a_re, a_im, _, _) in enumerate(own):
                after += code.complex_fma((a_re, a_im), x[2 * i : 2 * i + 2], (now, ZERO))
            code.store_each(after, code.at(room, row, (t, row)))
            return after

        # The gradients of the states, Ā and c stay in registers for the whole chunk. Each is a pair, with respect to
        # the real and to the imaginary part, so that Ā and x enter conjugated.
        def step(done: Any, carried: list[Any]) -> list[Any]:
            t = code.minus(steps, done)  # the state's place: the one before the chunk has place 0
            from_y, here = code.load(code.at(to_y, (t, WIDTH), -WIDTH)), code.at(to_u, (t, WIDTH), -WIDTH)
            total, after = code.load(here), []
            now, old = (each(code.at(room, (t, row), shift), code, count, 2) for shift in (0, -row))
            for i, (a_re, a_im, c_re, c_im) in enumerate(own):
                to_re, to_im, *to_a_and_c = carried[6 * i : 6 * i + 6]
                # The gradient of x_t: what reaches it through y_t = Re(c x_t), and through x_{t+1}.
                re, im = code.fma(c_re, from_y, to_re), code.fma(code.negative(c_im), from_y, to_im)
                total = code.builder.fadd(total, re)
                to_a = code.complex_fma((old[i][0], code.negative(old[i][1])), (re, im), to_a_and_c[:2])
                to_c = [code.fma(from_y, now[i][0], to_a_and_c[2]),
                        code.fma(code.negative(from_y), now[i][1], to_a_and_c[3])]  # fmt: skip
                after += [*code.complex_fma((a_re, code.negative(a_im)), (re, im), (ZERO, ZERO)), *to_a, *to_c]
            code.store(total, here)
            return after

        code.loop(steps, first, remake)
        arriving = each(code.at(to_x, (n, 2 * WIDTH)), code, count, 2)
        sums = each(code.at(to_values, (n, 4 * WIDTH)), code, count, 4)
        carried = code.loop(
            steps, [vector for pair in zip(arriving, sums, strict=True) for part in pair for vector in part], step
        )
        for i in range(count):
            code.store_each(carried[6 * i : 6 * i + 2], code.at(to_x, (code.plus(n, i), 2 * WIDTH)))
            code.store_each(carried[6 * i + 2 : 6 * i + 6], code.at(to_values, (code.plus(n, i), 4 * WIDTH)))

    code.in_tiles(order, STATES, some)


@kernel
def states_forward(first: int, last: int, u: Any, values: Any, d: Any, y: Any, kept: Any) -> None:
    steps, (groups, order) = u.shape[1], values.shape[:2]
    now, total = np.empty((CHUNK, WIDTH), FLOAT), np.empty((CHUNK, WIDTH), FLOAT)
    for i in range(first, last):
        for group in range(groups):
            x = np.zeros((order, 2, WIDTH), FLOAT)
            for chunk in range(kept.shape[2]):
                here = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, steps))
                count = here.stop - here.start
                kept[i, group, chunk] = x
                # The vector's channels in rows of WIDTH, which all N states read. `total` starts with D u.
                take(u[i, here], group, now)
                for t in range(count):
                    for j in range(WIDTH):
                        total[t, j] = d[group, j] * now[t, j]
                advance(values[group], now, x, total, order, count)
                put(total, group, y[i, here])


@kernel
def states_backward(
    first: int,
    last: int,
    u: Any,
    values: Any,
    d: Any,
    kept: Any,
    grad_y: Any,
    grad_u: Any,
    grad_values: Any,
    grad_d: Any,
) -> None:
    steps, (groups, order) = u.shape[1], values.shape[:2]
    now, to_y, to_u = np.empty((CHUNK, WIDTH), FLOAT), np.empty((CHUNK, WIDTH), FLOAT), np.empty((CHUNK, WIDTH), FLOAT)
    room = np.empty((CHUNK + 1, STATES, 2, WIDTH), FLOAT)
    for i in range(first, last):
        for group in range(groups):
            to_x = np.zeros((order, 2, WIDTH), FLOAT)
            for chunk in range(kept.shape[2] - 1, -1, -1):
                here = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, steps))
                count = here.stop - here.start
                # Through D u first; every state then adds its part to u's gradient.
                take(u[i, here], group, now)
                take(grad_y[i, here], group, to_y)
                for t in range(count):
                    for j in range(WIDTH):
                        to_u[t, j] = d[group, j] * to_y[t, j]
                        grad_d[i, group, j] += now[t, j] * to_y[t, j]
                retreat(
                    values[group],
                    kept[i, group, chunk],
                    now,
                    to_y,
                    to_x,
                    to_u,
                    grad_values[i, group],
                    room,
                    order,
                    count,
                )
                put(to_u, group, grad_u[i, here])
