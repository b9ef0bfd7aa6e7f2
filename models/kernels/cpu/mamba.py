"""Mamba's selective scan on a CPU, compiled: the states stay in registers.

    h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t x_t B_t,    y_t = C_t · h_t + D ⊙ x_t,    out_t = y_t SiLU(z_t)

for each channel, with N states. A few states of a vector of channels go through a segment at a time. Their values
before it are kept. The reverse pass computes those within the segment again and runs the adjoint recurrence over them.

Shapes: B batch, T time, E channels, G vectors of channels, N state, K segments; WIDTH numbers a vector. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.functions import sigmoid
from models.kernels.cpu.toolkit.lanes import in_vectors, put, take
from models.kernels.cpu.toolkit.vector import WIDTH, Code, tile

SEGMENT = 16  # steps between two kept states
STATES = 4
"""States of a channel that go through a segment at once."""


def selective_scan(
    x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor, d_E: Tensor, z_BTE: Tensor
) -> Tensor:
    """Return out, (B, T, E). The equations are those above, from Gu & Dao 2023, Algorithm 2 and Figure 3.

    Args:
        x_BTE: the input after the convolution. float32, as the others; under autocast all become float32.
        dt_BTE: Δ, positive.
        a_EN: A, negative: the kernel's exp takes Δ A ≤ 0 only.
        b_BTN, c_BTN, d_E: B, C and D.
        z_BTE: the gate, before SiLU.
    """
    out_BTE: Tensor = SelectiveScan.apply(x_BTE, dt_BTE, in_vectors(a_EN.T), b_BTN, c_BTN, in_vectors(d_E), z_BTE)
    return out_BTE


class SelectiveScan(torch.autograd.Function):
    """Maps x and Δ (B, T, E), A (G, N, WIDTH), B and C (B, T, N), D (G, WIDTH) and z (B, T, E) to out (B, T, E)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        x_BTE, a_GN = given[0], given[2]
        y_BTE, out_BTE = torch.empty_like(x_BTE), torch.empty_like(x_BTE)
        kept_BKGN = x_BTE.new_empty(len(x_BTE), -(-x_BTE.shape[1] // SEGMENT), *a_GN.shape)
        run(scan_forward, *given, y_BTE, kept_BKGN, out_BTE)
        ctx.save_for_backward(*given, y_BTE, kept_BKGN)
        return out_BTE

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_out_BTE: Tensor) -> tuple[Tensor, ...]:
        *given, y_BTE, kept_BKGN = ctx.saved_tensors
        batch, grads = len(y_BTE), [torch.empty_like(tensor) for tensor in given]
        # All sequences share A and D: each adds to its own gradient, so that threads need no lock.
        grads[2], grads[5] = (tensor.new_zeros(batch, *tensor.shape) for tensor in (given[2], given[5]))
        run(scan_backward, *given, y_BTE, kept_BKGN, grad_out_BTE.contiguous(), *grads)
        grads[2], grads[5] = grads[2].sum(0), grads[5].sum(0)
        return tuple(grads)


@tile
def advance(code: Code, a: Any, dt: Any, u: Any, b: Any, c: Any, state: Any, y: Any, order: Any, steps: Any) -> None:
    """y_t += C_t · h_t over a segment. `state` is h before the segment and becomes h after it. u is Δ x."""

    def states(n: Any, count: int) -> None:
        # `count` states of the channels and their rates stay in registers for the whole segment. Further states follow
        # and add their part to the same y, which is still in the cache.
        rates = code.load_each(code.at(a, (n, WIDTH)), count)

        def step(t: Any, h: list[Any]) -> list[Any]:
            weights, readers = (code.spread_each(code.at(v, (t, order), n), count) for v in (b, c))
            _, h = follow(code, rates, code.at(dt, (t, WIDTH)), code.at(u, (t, WIDTH)), weights, h)
            here = code.at(y, (t, WIDTH))
            total = code.load(here)
            for reader, value in zip(readers, h, strict=True):
                total = code.fma(reader, value, total)
            code.store(total, here)
            return h

        here = code.at(state, (n, WIDTH))
        code.store_each(code.loop(steps, code.load_each(here, count), step), here)

    code.in_tiles(order, STATES, states)


def follow(
    code: Code, rates: list[Any], dt: Any, u: Any, weights: list[Any], h: list[Any]
) -> tuple[list[Any], list[Any]]:
    """Return the decays of a step and the states after it."""
    dt, u = code.load(dt), code.load(u)
    decays = [code.exp_of_negative(code.product_of(rate, dt)) for rate in rates]
    inputs = [code.product_of(u, weight) for weight in weights]
    return decays, [code.fma(*three) for three in zip(decays, h, inputs, strict=True)]


@tile
def retreat(
    code: Code,
    a: Any,
    dt: Any,
    u: Any,
    b: Any,
    c: Any,
    state: Any,
    to_y: Any,
    to_state: Any,
    to_u: Any,
    to_dt: Any,
    to_a: Any,
    to_b: Any,
    to_c: Any,
    room: Any,
    order: Any,
    steps: Any,
) -> None:
    """Run the adjoint over a segment. to_state becomes the gradient of the state before it; the others are added to.

    to_dt is what reaches Δ through the decays. `room` is for STATES states before and after each step, and decays.
    """
    row = STATES * WIDTH  # the numbers of a row of `room`. Its first SEGMENT + 1 rows are states, the others decays

    def states(n: Any, count: int) -> None:
        rates = code.load_each(code.at(a, (n, WIDTH)), count)
        decays = code.at(room, (SEGMENT + 1, row))
        start = code.load_each(code.at(state, (n, WIDTH)), count)
        code.store_each(start, room)

        # First, compute the segment's states again and store them, with the decays, which the way back then only loads.
        def remake(t: Any, h: list[Any]) -> list[Any]:
            weights = code.spread_each(code.at(b, (t, order), n), count)
            decay, h = follow(code, rates, code.at(dt, (t, WIDTH)), code.at(u, (t, WIDTH)), weights, h)
            code.store_each(decay, code.at(decays, (t, row)))
            code.store_each(h, code.at(room, (t, row), row))
            return h

        # Then go back from the last step. The gradients of the states and of their rates stay in registers.
        def step(done: Any, carried: list[Any]) -> list[Any]:
            t = code.minus(steps, code.plus(done, 1))
            from_y, u_t, dt_t = (code.load(code.at(v, (t, WIDTH))) for v in (to_y, u, dt))
            weights, readers = (code.spread_each(code.at(v, (t, order), n), count) for v in (b, c))
            before, after = (code.load_each(code.at(room, (t, row), shift), count) for shift in (0, row))
            to_h, to_rates = carried[:count], carried[count:]
            to_h = [code.fma(from_y, reader, g) for reader, g in zip(readers, to_h, strict=True)]
            # to_h is now the gradient of h_t. B and C are shared by all channels: their gradients are kept per lane
            # here, and their lanes are added once a segment (add_lanes).
            place = t, code.times(order, WIDTH)
            code.add_each([code.product_of(from_y, h) for h in after], code.at(to_c, place, (n, WIDTH)))
            code.add_each([code.product_of(g, u_t) for g in to_h], code.at(to_b, place, (n, WIDTH)))
            code.add_products(to_h, weights, code.at(to_u, (t, WIDTH)))
            # Through the decay exp(Δ A): to_h becomes the gradient of h_{t−1}. Times h_{t−1} it is that of Δ A.
            decay = code.load_each(code.at(decays, (t, row)), count)
            to_h = [code.product_of(g, d) for g, d in zip(to_h, decay, strict=True)]
            changes = [code.product_of(g, h) for g, h in zip(to_h, before, strict=True)]
            code.add_products(changes, rates, code.at(to_dt, (t, WIDTH)))
            return [*to_h, *(code.fma(change, dt_t, g) for change, g in zip(changes, to_rates, strict=True))]

        code.loop(steps, start, remake)
        ends = [code.at(v, (n, WIDTH)) for v in (to_state, to_a)]
        carried = code.loop(steps, [vector for end in ends for vector in code.load_each(end, count)], step)
        code.store_each(carried[:count], ends[0])
        code.store_each(carried[count:], ends[1])

    code.in_tiles(order, STATES, states)


@part
def gate(y: Any, z: Any, out: Any) -> None:
    for t in range(len(y)):
        for e in range(y.shape[1]):
            out[t, e] = y[t, e] * z[t, e] * sigmoid(z[t, e])


@part
def gate_backward(grad_out: Any, y: Any, z: Any, to_y: Any, to_z: Any) -> None:
    for t in range(len(y)):
        for e in range(y.shape[1]):
            share = sigmoid(z[t, e])
            to_y[t, e] = grad_out[t, e] * z[t, e] * share
            to_z[t, e] = grad_out[t, e] * y[t, e] * share * (FLOAT(1) + z[t, e] * (FLOAT(1) - share))


@kernel
def scan_forward(
    first: int, last: int, x: Any, dt: Any, a: Any, b: Any, c: Any, d: Any, z: Any, y: Any, kept: Any, out: Any
) -> None:
    steps, (groups, order) = x.shape[1], a.shape[:2]
    room = np.empty((3, SEGMENT, WIDTH), FLOAT)
    step, u, total = room[0], room[1], room[2]
    # Segment by segment, all channels of each, so that what a segment reads and writes stays in the cache.
    for i in range(first, last):
        h = np.zeros((groups, order, WIDTH), FLOAT)
        for segment in range(kept.shape[1]):
            here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
            count = here.stop - here.start
            kept[i, segment] = h
            for group in range(groups):
                # A vector of channels is copied to rows of WIDTH, which are read once for every STATES states. `total`
                # starts with D x, to which `advance` adds C · h.
                take(dt[i, here], group, step)
                take(x[i, here], group, u)
                for t in range(count):
                    for j in range(WIDTH):
                        total[t, j] = d[group, j] * u[t, j]
                        u[t, j] *= step[t, j]
                advance(a[group], step, u, b[i, here], c[i, here], h[group], total, order, count)
                put(total, group, y[i, here])
            gate(y[i, here], z[i, here], out[i, here])  # while the segment's y is in the cache


@kernel
def scan_backward(
    first: int,
    last: int,
    x: Any,
    dt: Any,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    z: Any,
    y: Any,
    kept: Any,
    grad_out: Any,
    grad_x: Any,
    grad_dt: Any,
    grad_a: Any,
    grad_b: Any,
    grad_c: Any,
    grad_d: Any,
    grad_z: Any,
) -> None:
    steps, (groups, order) = x.shape[1], a.shape[:2]
    rows, lanes = np.empty((6, SEGMENT, WIDTH), FLOAT), np.empty((2, SEGMENT, order, WIDTH), FLOAT)
    step, now, u, from_y, to_u, to_dt = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    to_y, to_b, to_c = np.empty((SEGMENT, x.shape[2]), FLOAT), lanes[0], lanes[1]
    room = np.empty((2 * SEGMENT + 1, STATES, WIDTH), FLOAT)
    for i in range(first, last):
        to_h = np.zeros((groups, order, WIDTH), FLOAT)
        for segment in range(kept.shape[1] - 1, -1, -1):
            here = slice(segment * SEGMENT, min((segment + 1) * SEGMENT, steps))
            count = here.stop - here.start
            # The gate first, for all channels: the scan's adjoint starts from the gradient of its input y.
            gate_backward(grad_out[i, here], y[i, here], z[i, here], to_y, grad_z[i, here])
            to_b[:], to_c[:] = FLOAT(0), FLOAT(0)
            for group in range(groups):
                take(dt[i, here], group, step)
                take(x[i, here], group, now)
                take(to_y[:count], group, from_y)
                for t in range(count):
                    for j in range(WIDTH):
                        u[t, j] = step[t, j] * now[t, j]
                        to_u[t, j], to_dt[t, j] = FLOAT(0), FLOAT(0)
                retreat(
                    a[group], step, u, b[i, here], c[i, here], kept[i, segment, group], from_y, to_h[group], to_u,
                    to_dt, grad_a[i, group], to_b, to_c, room, order, count,
                )  # fmt: skip
                # Through u = Δ x to Δ and x, and through D x.
                for t in range(count):
                    for j in range(WIDTH):
                        grad_d[i, group, j] += from_y[t, j] * now[t, j]
                        to_dt[t, j] += to_u[t, j] * now[t, j]
                        to_u[t, j] = to_u[t, j] * step[t, j] + from_y[t, j] * d[group, j]
                put(to_u, group, grad_x[i, here])
                put(to_dt, group, grad_dt[i, here])
            add_lanes(to_b, grad_b[i, here])
            add_lanes(to_c, grad_c[i, here])


@part
def add_lanes(lanes: Any, out: Any) -> None:
    # The gradients of B and C are sums over all channels. The vectors of channels have been added up already.
    for t in range(len(out)):
        for n in range(out.shape[1]):
            total = FLOAT(0)
            for j in range(WIDTH):
                total += lanes[t, n, j]
            out[t, n] = total
