"""Mamba's selection, scan and gate on a CPU, compiled, with a sequence in each lane (`sequences.py`):

    ρ_t, B_t, C_t = W x_t,    Δ_t = softplus(W_Δ ρ_t + b_Δ)
    h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t x_t B_t,    y_t = C_t · h_t + D ⊙ x_t,    out_t = y_t SiLU(z_t)

for each channel, with N states. A tile of some channels and some of their states goes through a segment of time in
registers. The kernels get A log₂ e, so that exp(Δ A) is a power of two. The states before each segment are kept. The
reverse pass computes those within it again, with all that they depend on, and runs the adjoint recurrence over them.

Shapes: B batch, T time, E channels, N state, R rank of Δ, Q = R + 2 N; S steps of a segment. Whatever is not a weight
has WIDTH sequences as its innermost dimension. float32 only.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.functions import log_sigmoid, sigmoid
from models.kernels.cpu.toolkit.outer import narrow_outer_summed, padded
from models.kernels.cpu.toolkit.sequences import add_map, blocks_of, map_rows, put_steps, take_steps
from models.kernels.cpu.toolkit.vector import COLUMNS, LOG2_E, WIDTH, Code, narrow

SEGMENT = 16  # steps between two kept states
LN_2 = math.log(2)
CHANNELS, STATES = 4, 2
"""Channels, and states of each, of a tile."""


def selective_scan(
    x_BTE: Tensor, z_BTE: Tensor, select_QE: Tensor, dt_ER: Tensor, dt_E: Tensor, a_EN: Tensor, d_E: Tensor
) -> Tensor:
    """Return out, (B, T, E). The equations are those above, from Gu & Dao 2023, Algorithm 2 and Figure 3.

    Args:
        x_BTE: the input after the convolution. float32, as the others; under autocast all become float32.
        z_BTE: the gate, before SiLU.
        select_QE: W, whose outputs are ρ, B and C.
        dt_ER, dt_E: W_Δ and b_Δ.
        a_EN: A, negative: the kernels take Δ A ≤ 0 only.
        d_E: D.
    """
    out_BTE: Tensor = SelectiveScan.apply(x_BTE, z_BTE, select_QE, dt_ER, dt_E, a_EN * LOG2_E, d_E)
    return out_BTE


class SelectiveScan(torch.autograd.Function):
    """Maps the arguments of `selective_scan`, with A log₂ e in place of A, to its result."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        given = tuple(tensor.contiguous() for tensor in given)
        x_BTE, _, select_QE, _, _, a_EN, _ = given
        (_, steps, channels), blocks = x_BTE.shape, blocks_of(x_BTE)
        kept = x_BTE.new_empty(blocks, -(-steps // SEGMENT), *a_EN.shape, WIDTH)
        y, out_BTE = x_BTE.new_empty(blocks, steps, channels, WIDTH), torch.empty_like(x_BTE)
        run(scan_forward, kept, *given, select_QE.T.contiguous(), y, out_BTE, share=1)
        ctx.save_for_backward(*given, kept, y)
        return out_BTE

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_out_BTE: Tensor) -> tuple[Tensor, ...]:
        *given, kept, y = ctx.saved_tensors
        x_BTE, z_BTE, select_QE, dt_ER, dt_E, a_EN, d_E = given
        blocks, (channels, rank) = len(kept), dt_ER.shape
        grad_x, grad_z = torch.empty_like(x_BTE), torch.empty_like(z_BTE)
        # Each block of sequences adds to gradients of its own, so that threads need no lock.
        to_select = x_BTE.new_zeros(blocks, len(select_QE), padded(channels))
        to_dt = x_BTE.new_zeros(blocks, channels, padded(rank))
        to_a, to_d, to_bias = (x_BTE.new_zeros(blocks, *each.shape, WIDTH) for each in (a_EN, d_E, dt_E))
        run(
            scan_backward, kept, *given, select_QE.T.contiguous(), y, grad_out_BTE.contiguous(), grad_x, grad_z,
            to_select, to_dt, to_bias, to_a, to_d, share=1,
        )  # fmt: skip
        weights = to_select.sum(0)[:, :channels].contiguous(), to_dt.sum(0)[:, :rank].contiguous()
        to_bias, to_a, to_d = (each.sum((0, -1)) for each in (to_bias, to_a, to_d))
        return grad_x, grad_z, *weights, to_bias, to_a * LN_2, to_d


@narrow
def advance(
    code: Code, a: Any, dt: Any, u: Any, b: Any, c: Any, h: Any, y: Any, sizes: tuple[Any, ...], steps: Any
) -> None:
    """y_t += C_t · h_t over a segment. `h`, (E, N), is the state before the segment and becomes that after it.

    u is Δ x. `sizes` are E, N, and how far two steps of dt, u and y, and of b and c lie apart.
    """
    channels, order, apart, b_apart = code.unpack(sizes)

    def some_channels(e: Any, count: int) -> None:
        def some_states(n: Any, states: int) -> None:
            numbers = tile_of(code, e, n, order, count, states)
            rates = [code.spread(code.at(a, number)) for number in numbers]

            def step(t: Any, before: list[Any]) -> list[Any]:
                dts, us = (code.load_rows(code.at(each, (t, apart), (e, WIDTH)), WIDTH, count) for each in (dt, u))
                writers, readers = (code.load_rows(code.at(v, (t, b_apart), (n, WIDTH)), WIDTH, states) for v in (b, c))
                after = follow(code, decays(code, rates, dts), us, writers, before)
                for i in range(count):
                    here = code.at(y, (t, apart), (code.plus(e, i), WIDTH))
                    code.add_products(after[i * states : (i + 1) * states], readers, here)
                return after

            code.loop_in_place(steps, [code.at(h, (number, WIDTH)) for number in numbers], step)

        code.in_tiles(order, STATES, some_states)

    code.in_tiles(channels, CHANNELS, some_channels)


def tile_of(code: Code, e: Any, n: Any, order: Any, count: int, states: int) -> list[Any]:
    """Return the numbers of a tile's states among all, (E, N)."""
    rows = [code.builder.add(code.builder.mul(code.plus(e, i), order), n) for i in range(count)]
    return [code.plus(row, j) for row in rows for j in range(states)]


def decays(code: Code, rates: list[Any], dts: list[Any]) -> list[Any]:
    states = len(rates) // len(dts)
    return [code.exp2_of_product(rate, dts[i // states]) for i, rate in enumerate(rates)]


def follow(code: Code, kept: list[Any], us: list[Any], writers: list[Any], before: list[Any]) -> list[Any]:
    """Return a tile after a step."""
    inputs = [code.product_of(u, writer) for u in us for writer in writers]
    return [code.fma(*three) for three in zip(kept, before, inputs, strict=True)]


@narrow
def retreat(
    code: Code, a: Any, dt: Any, u: Any, b: Any, c: Any, h: Any, to_y: Any, to_h: Any, to_a: Any, to_u: Any, to_dt: Any,
    to_b: Any, to_c: Any, room: Any, sizes: tuple[Any, ...], steps: Any,
) -> None:  # fmt: skip
    """Run the adjoint over a segment. to_h becomes the gradient of the state before it; the others are added to.

    to_dt log 2 is what reaches Δ through the decays. `room` is for a tile's states before and after each step, and its
    decays.
    """
    channels, order, apart, b_apart = code.unpack(sizes)
    row = CHANNELS * STATES * WIDTH  # its first SEGMENT + 1 rows are states, the others decays
    decayed = code.at(room, (SEGMENT + 1, row))

    def some_channels(e: Any, count: int) -> None:
        def some_states(n: Any, states: int) -> None:
            numbers = tile_of(code, e, n, order, count, states)
            rates = [code.spread(code.at(a, number)) for number in numbers]

            def by_channel(array: Any, t: Any) -> Any:
                return code.at(array, (t, apart), (e, WIDTH))

            def by_state(array: Any, t: Any) -> Any:
                return code.at(array, (t, b_apart), (n, WIDTH))

            # First, compute the segment's states again and store them, with the decays, which the way back only loads.
            def remake(t: Any, before: list[Any]) -> list[Any]:
                dts, us = (code.load_rows(by_channel(each, t), WIDTH, count) for each in (dt, u))
                kept = decays(code, rates, dts)
                after = follow(code, kept, us, code.load_rows(by_state(b, t), WIDTH, states), before)
                code.store_each(kept, code.at(decayed, (t, row)))
                code.store_each(after, code.at(room, (t, row), row))
                return after

            # Then go back from the last step. The gradients of the states and of their rates stay in registers.
            def step(done: Any, carried: list[Any]) -> list[Any]:
                t = code.minus(steps, code.plus(done, 1))
                from_y, us, dts = (code.load_rows(by_channel(each, t), WIDTH, count) for each in (to_y, u, dt))
                writers, readers = (code.load_rows(by_state(each, t), WIDTH, states) for each in (b, c))
                before, after = (code.load_each(code.at(room, (t, row), shift), size) for shift in (0, row))
                to_after, to_rates = carried[:size], carried[size:]
                pairs = [(g, reader) for g in from_y for reader in readers]
                to_after = [code.fma(*pair, total) for pair, total in zip(pairs, to_after, strict=True)]
                for j in range(states):
                    code.add_products(from_y, after[j::states], code.at(by_state(to_c, t), j * WIDTH))
                    code.add_products(us, to_after[j::states], code.at(by_state(to_b, t), j * WIDTH))
                # Through the decay exp(Δ A): times h_{t−1} it is the gradient of Δ A.
                to_before = code.multiply(to_after, code.load_each(code.at(decayed, (t, row)), size))
                changes = code.multiply(to_before, before)
                for i in range(count):
                    own = slice(i * states, (i + 1) * states)
                    code.add_products(to_after[own], writers, code.at(by_channel(to_u, t), i * WIDTH))
                    code.add_products(changes[own], rates[own], code.at(by_channel(to_dt, t), i * WIDTH))
                    to_rates[own] = code.add_to_each(to_rates[own], changes[own], dts[i])
                return [*to_before, *to_rates]

            size, start = count * states, [code.load(code.at(h, (number, WIDTH))) for number in numbers]
            code.store_each(start, room)
            code.loop(steps, start, remake)
            code.loop_in_place(steps, [code.at(p, (number, WIDTH)) for p in (to_h, to_a) for number in numbers], step)

        code.in_tiles(order, STATES, some_states)

    code.in_tiles(channels, CHANNELS, some_channels)


@part
def depend(x: Any, maps: Any, dt_map: Any, dt_bias: Any, count: Any, selected: Any, raw: Any, dt: Any, u: Any) -> None:
    """Compute what depends on x: of each step ρ, B and C (Q), and Δ before and behind its softplus and Δ x (E)."""
    (channels, outputs), rank = maps.shape, dt_map.shape[1]
    for t in range(count):
        sums = selected[t * outputs :]
        map_rows(sums, maps, x[t * channels :], channels, outputs)
        for e in range(channels):
            for j in range(WIDTH):
                raw[t * channels + e, j] = dt_bias[e]
            for r in range(rank):
                for j in range(WIDTH):
                    raw[t * channels + e, j] += dt_map[e, r] * sums[r, j]
    raw_n, dt_n, u_n, x_n = raw.reshape(-1), dt.reshape(-1), u.reshape(-1), x.reshape(-1)
    for n in range(count * channels * WIDTH):  # one long row: a row of WIDTH would hardly begin before it ends
        dt_n[n] = -log_sigmoid(-raw_n[n])
        u_n[n] = dt_n[n] * x_n[n]


@part
def gate(y: Any, z: Any, out: Any) -> None:
    for n in range(len(y)):
        out[n] = y[n] * z[n] * sigmoid(z[n])


@part
def gate_backward(grad: Any, y: Any, z: Any, to_y: Any, to_z: Any) -> None:
    for n in range(len(y)):
        share = sigmoid(z[n])
        opened = grad[n] * share
        to_y[n] = opened * z[n]
        to_z[n] = opened * y[n] * (FLOAT(1) + z[n] * (FLOAT(1) - share))


@kernel
def scan_forward(
    first: int, last: int, kept: Any, x: Any, z: Any, select: Any, dt_map: Any, dt_bias: Any, a: Any, d: Any,
    maps: Any, y: Any, out: Any,
) -> None:  # fmt: skip
    (channels, order), (steps, outputs), rank = a.shape, (x.shape[1], len(select)), dt_map.shape[1]
    rows, selected = np.empty((6, SEGMENT * channels, WIDTH), FLOAT), np.empty((SEGMENT * outputs, WIDTH), FLOAT)
    x_now, z_now, raw, dt, u, out_now = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    sizes = channels, order, channels * WIDTH, outputs * WIDTH
    for r in range(first, last):
        h = np.zeros((channels, order, WIDTH), FLOAT)
        for segment in range(kept.shape[1]):
            start = segment * SEGMENT
            count = min(SEGMENT, steps - start)
            kept[r, segment] = h
            take_steps(x, r * WIDTH, start, count, x_now)
            take_steps(z, r * WIDTH, start, count, z_now)
            depend(x_now, maps, dt_map, dt_bias, count, selected, raw, dt, u)
            for t in range(count):
                for e in range(channels):
                    for j in range(WIDTH):
                        y[r, start + t, e, j] = d[e] * x_now[t * channels + e, j]
            advance(a, dt, u, selected[rank:], selected[rank + order :], h, y[r, start], sizes, count)
            now = y[r, start : start + count].reshape(-1)
            gate(now, z_now.reshape(-1), out_now.reshape(-1))
            put_steps(out_now, r * WIDTH, start, count, out)


@kernel
def scan_backward(
    first: int, last: int, kept: Any, x: Any, z: Any, select: Any, dt_map: Any, dt_bias: Any, a: Any, d: Any,
    maps: Any, y: Any, grad_out: Any, grad_x: Any, grad_z: Any, to_select: Any, to_dt_map: Any, to_bias: Any,
    to_a: Any, to_d: Any,
) -> None:  # fmt: skip
    (channels, order), (steps, outputs), rank = a.shape, (x.shape[1], len(select)), dt_map.shape[1]
    # The last gradient tile may reach beyond the rows.
    rows = np.zeros((11, SEGMENT * channels + COLUMNS, WIDTH), FLOAT)
    x_now, z_now, raw, dt, u, from_out = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    to_x, to_z, to_y, to_u, to_dt = rows[6], rows[7], rows[8], rows[9], rows[10]
    both = np.zeros((2, SEGMENT * outputs + COLUMNS, WIDTH), FLOAT)
    selected, to_selected = both[0], both[1]
    room = np.empty((2 * SEGMENT + 1, CHANNELS * STATES, WIDTH), FLOAT)
    apart, selected_apart = channels * WIDTH, outputs * WIDTH
    sizes = channels, order, apart, selected_apart
    for r in range(first, last):
        to_h = np.zeros((channels, order, WIDTH), FLOAT)
        for segment in range(kept.shape[1] - 1, -1, -1):
            start = segment * SEGMENT
            count = min(SEGMENT, steps - start)
            take_steps(x, r * WIDTH, start, count, x_now)
            take_steps(z, r * WIDTH, start, count, z_now)
            take_steps(grad_out, r * WIDTH, start, count, from_out)
            to_selected[:], to_u[:], to_dt[:] = FLOAT(0), FLOAT(0), FLOAT(0)
            depend(x_now, maps, dt_map, dt_bias, count, selected, raw, dt, u)
            before_gate = y[r, start : start + count].reshape(-1)
            gate_backward(from_out.reshape(-1), before_gate, z_now.reshape(-1), to_y.reshape(-1), to_z.reshape(-1))
            retreat(
                a, dt, u, selected[rank:], selected[rank + order :], kept[r, segment], to_y, to_h, to_a[r], to_u,
                to_dt, to_selected[rank:], to_selected[rank + order :], room, sizes, count,
            )  # fmt: skip
            through(x_now.reshape(-1), raw.reshape(-1), to_u.reshape(-1), to_dt.reshape(-1), count * apart)
            for t in range(count):
                for e in range(channels):
                    n = t * channels + e
                    for j in range(WIDTH):
                        to_x[n, j] = to_u[n, j] * dt[n, j] + to_y[n, j] * d[e]
                        to_d[r, e, j] += to_y[n, j] * x_now[n, j]
                        to_bias[r, e, j] += to_dt[n, j]
                sums = to_selected[t * outputs :]
                map_rows(sums, dt_map, to_dt[t * channels :], channels, rank)
                add_map(to_x[t * channels :], select, sums, outputs, channels)
            narrow_outer_summed(
                to_select[r], to_selected, selected_apart, WIDTH, x_now, apart, WIDTH, to_select.shape[2], outputs,
                count,
            )  # fmt: skip
            narrow_outer_summed(
                to_dt_map[r], to_dt, apart, WIDTH, selected, selected_apart, WIDTH, to_dt_map.shape[2], channels, count
            )
            put_steps(to_x, r * WIDTH, start, count, grad_x)
            put_steps(to_z, r * WIDTH, start, count, grad_z)


@part
def through(x: Any, raw: Any, to_u: Any, to_dt: Any, count: Any) -> None:
    """Turn the gradient of Δ into that of what its softplus acts on."""
    for n in range(count):
        to_dt[n] = (to_dt[n] * FLOAT(LN_2) + to_u[n] * x[n]) * sigmoid(raw[n])
