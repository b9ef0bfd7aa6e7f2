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

CHUNK = 128  # steps between two kept states


def channelwise_states(u_BTH: Tensor, a_HN: Tensor, c_HN: Tensor, d_H: Tensor) -> Tensor:
    """Return y, (B, T, H), from states at zero.

    Args:
        u_BTH: the input, float32.
        a_HN, c_HN: Ā and c, complex.
        d_H: D.
    """
    values_4NH = torch.stack([a_HN.real, a_HN.imag, c_HN.real, c_HN.imag]).mT
    y_BTH: Tensor = ChannelwiseStates.apply(u_BTH, in_vectors(values_4NH).transpose(1, 2), in_vectors(d_H))
    return y_BTH


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


@tile
def advance(code: Code, values: Any, u: Any, state: Any, y: Any, steps: Any) -> None:
    """y_t += Re(c x_t) over a chunk. `state` is x before the chunk and becomes x after it."""
    # Both parts of one state of each channel stay in registers for the whole chunk, and so do its Ā and c.
    a_re, a_im, c_re, c_im = code.load_each(values, 4)

    def step(t: Any, x: list[Any]) -> list[Any]:
        re, im = code.complex_fma((a_re, a_im), x, (code.load(code.at(u, (t, WIDTH))), ZERO))
        here = code.at(y, (t, WIDTH))
        code.store(code.fma(c_re, re, code.fma(code.negative(c_im), im, code.load(here))), here)
        return [re, im]

    code.store_each(code.loop(steps, code.load_each(state, 2), step), state)


@tile
def remake(code: Code, values: Any, u: Any, states: Any, steps: Any) -> None:
    """Compute the states of a chunk, (steps + 1, 2, WIDTH), from the first one, which is given."""
    a_re, a_im, _, _ = code.load_each(values, 4)

    def step(t: Any, x: list[Any]) -> list[Any]:
        x = code.complex_fma((a_re, a_im), x, (code.load(code.at(u, (t, WIDTH))), ZERO))
        code.store_each(x, code.at(states, 2 * WIDTH, (t, 2 * WIDTH)))
        return x

    code.loop(steps, code.load_each(states, 2), step)


@tile
def retreat(code: Code, values: Any, states: Any, to_y: Any, to_x: Any, to_u: Any, to_values: Any, steps: Any) -> None:
    """Run the adjoint over a chunk.

    to_x becomes the gradient of the state before it. to_u and to_values are added to.
    """
    # The gradients of the state, Ā and c stay in registers for the whole chunk. Each is a pair, with respect to the
    # real and to the imaginary part, so that Ā and x enter conjugated.
    a_re, a_im, c_re, c_im = code.load_each(values, 4)

    def step(done: Any, carried: list[Any]) -> list[Any]:
        t = code.minus(steps, done)  # the state's place: the one before the chunk has place 0
        from_y = code.load(code.at(to_y, (t, WIDTH), -WIDTH))
        to_re, to_im, *to_a_and_c = carried
        # The gradient of x_t: what reaches it through y_t = Re(c x_t), and through x_{t+1}.
        re = code.fma(c_re, from_y, to_re)
        im = code.fma(code.negative(c_im), from_y, to_im)
        here = code.at(to_u, (t, WIDTH), -WIDTH)
        code.store(code.builder.fadd(code.load(here), re), here)
        now_re, now_im = code.load_each(code.at(states, (t, 2 * WIDTH)), 2)
        old_re, old_im = code.load_each(code.at(states, (t, 2 * WIDTH), -2 * WIDTH), 2)
        to_a = code.complex_fma((old_re, code.negative(old_im)), (re, im), to_a_and_c[:2])
        to_c = [code.fma(from_y, now_re, to_a_and_c[2]), code.fma(code.negative(from_y), now_im, to_a_and_c[3])]
        return [*code.complex_fma((a_re, code.negative(a_im)), (re, im), (ZERO, ZERO)), *to_a, *to_c]

    carried = code.loop(steps, [*code.load_each(to_x, 2), *code.load_each(to_values, 4)], step)
    code.store_each(carried[:2], to_x)
    code.store_each(carried[2:], to_values)


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
                for n in range(order):
                    advance(values[group, n], now, x[n], total, count)
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
    states = np.empty((CHUNK + 1, 2, WIDTH), FLOAT)  # for one n at a time, so that they stay in the cache
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
                for n in range(order):
                    states[0] = kept[i, group, chunk, n]
                    remake(values[group, n], now, states, count)
                    retreat(values[group, n], states, to_y, to_x[n], to_u, grad_values[i, group, n], count)
                put(to_u, group, grad_u[i, here])
