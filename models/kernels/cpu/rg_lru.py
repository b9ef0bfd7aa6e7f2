"""The recurrent block of Hawk and Griffin on a CPU, compiled, from its input to its output. The equations are those of
models/rg_lru.py.

A tile of steps, one in each lane of a vector, passes through the maps, the convolution, the gates and the recurrence,
which merges neighbouring lanes (`Code.scan`). Only the states before each tile are kept: the reverse pass computes all
else again, which takes it no longer than reading it.

Shapes: B batch, T time, D input, H output, C inner channels, Q = 2 C rows of W_1 and W_2, N blocks of the gates, I
channels of each, P = 2 I its rows of W_a and W_x, W convolution width, K tiles of a sequence, L steps of a tile, S
tiles of a group. A last column "1" holds biases. float32 only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.rows import (
    TILES,
    add_layer,
    gather,
    groups_of_sequences,
    layer,
    scatter,
    sequences_of_group,
    sums_of,
    untiled,
    weight_sums,
)
from models.kernels.cpu.toolkit.vector import (
    COLUMNS,
    LANES,
    ONE,
    ROWS,
    VECTORS,
    WIDTH,
    ZERO,
    Code,
    constant,
    index,
    tile,
)

EXPM1 = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1)  # coefficients of (exp(v) − 1)/v
SHARE, OPENED, DECAY, ROOT, STATE = range(5)
"""What is known of a tile: σ of what r and i take, a, √(1 − a²) and h, (C, L) each."""
RATE, RECURRENCE_BIAS, INPUT_BIAS = range(3)
"""The gradients that are summed up channel by channel."""


class RecurrentBlock(torch.autograd.Function):
    """Maps x (B, T, D) to the outputs (B, T, H) and the last state (B, C), from a state at zero.

    The other arguments are W_1 above W_2 (Q, D + 1), the convolution's weights (C, W + 1), W_a above W_x in each block
    (N, P, I), their biases (N, P), the rates −c log a (C), W_3 (H, C + 1) and the steepest slope of the root. Without
    rows of W_2 and W_3, there are no outputs but the last state.
    """

    @staticmethod
    @in_float32
    def forward(
        ctx: Any,
        x_BTD: Tensor,
        into_QD1: Tensor,
        conv_CW1: Tensor,
        gates_NPI: Tensor,
        bias_NP: Tensor,
        rate_C: Tensor,
        leave_HC1: Tensor,
        steepest: float,
    ) -> tuple[Tensor, Tensor]:
        x_BTD, (batch, steps, _), channels = x_BTD.contiguous(), x_BTD.shape, len(rate_C)
        weights = (
            into_QD1.unflatten(0, (-1, channels)).mT.contiguous(),
            conv_CW1.contiguous(),
            gates_NPI.mT.contiguous(),
            bias_NP.contiguous(),
            rate_C.contiguous(),
        )
        states_BKC = x_BTD.new_zeros(batch, 1 + -(-steps // LANES), channels)  # before each tile, and the last one
        y_BTH = x_BTD.new_empty(batch, steps, len(leave_HC1))
        run(block_forward, x_BTD, *weights, leave_HC1.T.contiguous(), states_BKC, y_BTH)
        back = into_QD1[:, :-1].contiguous(), gates_NPI.contiguous(), leave_HC1[:, :-1].contiguous()
        ctx.save_for_backward(x_BTD, *weights, *back, x_BTD.new_tensor(0.5 / steepest), states_BKC)
        return y_BTH, states_BKC[:, -1].clone()

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTH: Tensor, grad_end_BC: Tensor) -> tuple[Tensor | None, ...]:
        x_BTD, _, conv_CW1, *_, back_QD, gates_NPI, leave_HC, _, _ = ctx.saved_tensors
        (rows, inputs), (blocks, paired, size), (outputs, channels) = back_QD.shape, gates_NPI.shape, leave_HC.shape
        groups, room = groups_of_sequences(x_BTD), -paired % ROWS
        sums = (
            sums_of(groups, rows, inputs + 1, x_BTD),
            sums_of(groups, blocks * (paired + room), size, x_BTD),
            sums_of(groups, outputs, channels + 1, x_BTD),
        )
        to_conv, to_rest = (x_BTD.new_zeros(groups, n, channels, WIDTH) for n in (conv_CW1.shape[1], 3))
        grad_x = torch.empty_like(x_BTD)
        given = grad_y_BTH.contiguous(), grad_end_BC.contiguous(), grad_x
        run(block_backward, *sums, to_conv, to_rest, *ctx.saved_tensors, *given, share=1)
        grad_into, grad_leave = untiled(sums[0], rows, inputs + 1), untiled(sums[2], outputs, channels + 1)
        grad_gates = untiled(sums[1], blocks * (paired + room), size).unflatten(0, (blocks, -1))[:, :paired]
        grad_rate, *grad_biases = to_rest.sum((0, -1))
        grad_bias = torch.cat([grad.unflatten(0, (blocks, size)) for grad in grad_biases], dim=1)
        return grad_x, grad_into, to_conv.sum((0, -1)).T, grad_gates, grad_bias, grad_rate, grad_leave, None


@tile
def place(code: Code, long: Any, lanes: Any, first: Any, apart: Any, channels: Any) -> None:
    """Copy lanes, (C, L), to the columns of long rows from `first` on, which lie `apart` numbers apart."""

    def some(j: Any) -> None:
        code.store_rows(code.load_rows(code.at(lanes, (j, LANES)), 0, 1), code.at(long, (j, apart), first), 0)

    code.every(channels, 1, some)


@tile
def convolve(code: Code, c: Any, u: Any, weight: Any, first: Any, apart: Any, width: Any, channels: Any) -> None:
    """Write the convolution, (C, L), of long rows that it sees from the column `first` on."""

    def some(j: Any) -> None:
        own = code.at(weight, (j, code.plus(width, 1)))
        bias = code.spread_rows(code.at(own, width), 1)
        code.store_rows(
            code.product(bias, (own, 1), (code.at(u, (j, apart), first), 1), width), code.at(c, (j, LANES)), 0
        )

    code.every(channels, 1, some)


@tile
def convolve_back(
    code: Code,
    to_u: Any,
    to_weight: Any,
    to_c: Any,
    u: Any,
    weight: Any,
    first: Any,
    seen: Any,
    apart: Any,
    width: Any,
    channels: Any,
) -> None:
    """Write u's gradient, (C, L), and add to that of the weights, (W + 1, C, WIDTH).

    Args:
        to_c, u: long rows: the convolution's gradient, whose tile begins at `first`, and what it sees from `seen` on.
    """

    def some(j: Any) -> None:
        later, earlier = code.at(to_c, (j, apart), first), code.at(u, (j, apart), seen)
        last = code.at(weight, (j, code.plus(width, 1)), code.minus(width, 1))
        code.store_rows(code.product([ZERO] * VECTORS, (last, -1), (later, 1), width), code.at(to_u, (j, LANES)), 0)
        now = code.load_rows(later, 0, 1)

        def tap(w: Any) -> None:
            place = code.builder.add(code.builder.mul(w, channels), j)
            code.add_products(now, code.load_rows(code.at(earlier, w), 0, 1), code.at(to_weight, (place, WIDTH)))

        code.every(width, 1, tap)
        place = code.builder.add(code.builder.mul(width, channels), j)
        code.add_products(now, [ONE] * VECTORS, code.at(to_weight, (place, WIDTH)))

    code.every(channels, 1, some)


def in_blocks(code: Code, blocks: Any, size: Any, body: Callable[[Any, Any], None]) -> None:
    """Run `body(j, row)` for each channel, where `row` is that of its recurrence gate. Its input gate is I below."""

    def block(n: Any) -> None:
        first = code.builder.mul(n, size)

        def some(i: Any) -> None:
            j = code.builder.add(first, i)
            body(j, code.builder.add(first, j))

        code.every(size, 1, some)

    code.every(blocks, 1, block)


def root_of_rest(code: Code, log_a: Any, a: Any) -> Any:
    """Return √(1 − a²). Near a = 1, where the difference loses its digits, by a series."""
    v = code.product_of(constant(2.0), log_a)
    near = code.product_of(code.negative(v), code.polynomial(EXPM1, v))
    close = code.builder.fcmp_ordered(">", v, constant(-0.25))
    return code.root(code.builder.select(close, near, code.slope(a)))


@tile
def advance(
    code: Code,
    known: Any,
    z: Any,
    c: Any,
    bias: Any,
    rate: Any,
    start: Any,
    preceded: Any,
    blocks: Any,
    size: Any,
) -> None:
    """Write what is known of a tile, (5, C, L), from the gates without bias, z (2 C, L), and their inputs, c (C, L).

    Args:
        start: h before the tile, (C).
        preceded: 0 for the sequence's first step, which has neither decay nor root, and 1 for the others, (L).
    """
    channels = code.builder.mul(blocks, size)

    def some(j: Any, row: Any) -> None:
        before, speed = code.spread(code.at(start, j)), code.negative(code.spread(code.at(rate, j)))
        biases = [code.spread(code.at(bias, row)), code.spread(code.at(bias, row, size))]
        for v in range(VECTORS):
            here, there = ((j, LANES), v * WIDTH), code.load(code.at(preceded, v * WIDTH))
            gates = code.load_pair(code.at(z, (row, LANES), v * WIDTH), 0, (size, LANES))
            share, opened = (code.sigmoid(gate) for gate in code.add(gates, biases))
            log_a = code.product_of(speed, share)
            a = code.exp_of_negative(log_a)
            root = code.builder.select(code.builder.fcmp_ordered(">", there, ZERO), root_of_rest(code, log_a, a), ONE)
            decay = code.product_of(a, there)
            h = code.scan(decay, code.product_of(code.product_of(root, opened), code.load(code.at(c, *here))), before)
            before = code.everywhere(h, WIDTH - 1)
            for i, value in enumerate((share, opened, decay, root, h)):
                code.store(value, code.at(known, *here, *[(channels, LANES)] * i))

    in_blocks(code, blocks, size, some)


@tile
def retreat(
    code: Code,
    to_z: Any,
    to_c: Any,
    known: Any,
    c: Any,
    to_h: Any,
    start: Any,
    carried: Any,
    rate: Any,
    least: Any,
    to_rest: Any,
    blocks: Any,
    size: Any,
) -> None:
    """Run the adjoint over a tile: write the gradients of z, and of c but through z.

    Args:
        to_h: the gradient of h from outside, (C, L).
        carried: what reaches the tile's last h from later ones, (C). It becomes what reaches the one before the tile.
        least: the smallest root to divide by.
        to_rest: gradients that are added to, (3, C, WIDTH).
    """
    channels = code.builder.mul(blocks, size)

    def some(j: Any, row: Any) -> None:
        arriving, speed, smallest = (code.spread(p) for p in (code.at(carried, j), code.at(rate, j), least))
        sums = [code.at(to_rest, (j, WIDTH), *[(channels, WIDTH)] * i) for i in range(3)]
        for v in reversed(range(VECTORS)):
            here = (j, LANES), v * WIDTH
            places = [code.at(known, *here, *[(channels, LANES)] * i) for i in range(5)]
            share, opened, decay, root, h = (code.load(pointer) for pointer in places)
            before = code.load(code.at(places[STATE], -1)) if v else code.shifted(h, code.spread(code.at(start, j)))
            given, entered = code.load(code.at(to_h, *here)), code.load(code.at(c, *here))
            # A lane passes on what its step keeps. `arriving` has that factor already.
            to_state = code.scan(code.shifted(decay, ONE, back=True), given, arriving, back=True)
            to_kept = code.product_of(to_state, decay)
            arriving = code.everywhere(to_kept, 0)
            # log a acts through the decay and, with d(1 − a²)/d log a = −2 a², through the root.
            above = code.builder.select(code.builder.fcmp_unordered(">", root, smallest), root, smallest)
            drawn = code.product_of(opened, entered)
            steep = code.product_of(code.builder.fdiv(decay, above), drawn)
            to_log = code.product_of(to_kept, code.difference(before, steep))  # negated below
            to_share = code.negative(code.product_of(to_log, share))
            to_drawn = code.product_of(to_state, root)
            rest = code.difference(ONE, share)
            to_gates = [
                code.product_of(code.product_of(to_share, rest), speed),
                code.product_of(code.product_of(to_drawn, drawn), code.difference(ONE, opened)),
            ]
            code.store_pair(to_gates, code.at(to_z, (row, LANES), v * WIDTH), 0, (size, LANES))
            code.store(code.product_of(to_drawn, opened), code.at(to_c, *here))
            for value, pointer in zip((to_share, *to_gates), sums, strict=True):
                code.add_each([value], pointer)
        code.builder.store(code.builder.extract_element(arriving, index(0)), code.at(carried, j))

    in_blocks(code, blocks, size, some)


@tile
def gate(code: Code, m: Any, h: Any, channels: Any) -> None:
    """Turn what GELU takes, (C, L), into GELU ⊙ h."""

    def some(first: Any) -> None:
        here = code.at(m, first)
        value, _ = code.gelu(code.load(here))
        code.store(code.product_of(value, code.load(code.at(h, first))), here)

    code.every(code.times(channels, LANES), WIDTH, some)


@tile
def gate_back(code: Code, m: Any, to_m: Any, to_z: Any, h: Any, channels: Any) -> None:
    """Do the same, write the gradient of what GELU takes and turn that of GELU ⊙ h into that of h."""

    def some(first: Any) -> None:
        here, there, state = code.at(m, first), code.at(to_m, first), code.load(code.at(h, first))
        value, slope = code.gelu(code.load(here))
        grad = code.load(there)
        code.store(code.product_of(value, state), here)
        code.store(code.product_of(code.product_of(grad, state), slope), code.at(to_z, first))
        code.store(code.product_of(grad, value), there)

    code.every(code.times(channels, LANES), WIDTH, some)


@helper
def remake(
    known: Any, z: Any, c: Any, u: Any, first: Any, conv: Any, gates: Any, bias: Any, rate: Any, start: Any, there: Any
) -> None:
    """Compute what is known of a tile and the gates' inputs, c, from the rows u that the convolution sees."""
    blocks, size, paired = gates.shape
    convolve(c, u, conv, first, u.shape[1], conv.shape[1] - 1, u.shape[0])
    for n in range(blocks):
        layer(z[n * paired :], gates[n], c[n * size :], size, paired)
    advance(known, z, c, bias, rate, start, there, blocks, size)


@helper
def long_rows(u: Any, x: Any, weight: Any, past: Any, lanes: Any, now: Any) -> None:
    """Compute W_1 x + b_1 of all steps, in long rows (C, past + T). The steps before the first stay 0."""
    inputs, channels = weight.shape
    for t in range(0, u.shape[1] - past, LANES):
        gather(x, t, lanes)
        layer(now, weight, lanes, inputs, channels)
        place(u, now, past + t, u.shape[1], channels)


@kernel
def block_forward(
    first: int,
    last: int,
    x: Any,
    into: Any,
    conv: Any,
    gates: Any,
    bias: Any,
    rate: Any,
    leave: Any,
    states: Any,
    y: Any,
) -> None:
    (_, steps, inputs), channels, outputs, width = x.shape, rate.shape[0], y.shape[2], conv.shape[1] - 1
    tiles, past = states.shape[1] - 1, width - 1
    u, lanes = np.zeros((channels, past + tiles * LANES), FLOAT), np.ones((inputs + 1, LANES), FLOAT)
    known, z = np.empty((5, channels, LANES), FLOAT), np.empty((2 * channels, LANES), FLOAT)
    c, now = np.empty((channels, LANES), FLOAT), np.ones((channels + 1, LANES), FLOAT)  # the last row stays 1
    out, preceded = np.empty((outputs, LANES), FLOAT), np.ones((2, LANES), FLOAT)
    preceded[0, 0] = FLOAT(0)
    for i in range(first, last):
        long_rows(u, x[i], into[0], past, lanes, now)
        for k in range(tiles):
            t = k * LANES
            remake(known, z, c, u, t, conv, gates, bias, rate, states[i, k], preceded[min(k, 1)])
            end = min(steps - t, LANES) - 1
            for j in range(channels):
                states[i, k + 1, j] = known[STATE, j, end]
            if outputs:
                gather(x[i], t, lanes)
                layer(now, into[1], lanes, inputs + 1, channels)
                gate(now, known[STATE], channels)
                layer(out, leave, now, channels + 1, outputs)
                scatter(out, t, y[i])


@kernel
def block_backward(
    first: int,
    last: int,
    sums_into: Any,
    sums_gates: Any,
    sums_leave: Any,
    to_conv: Any,
    to_rest: Any,
    x: Any,
    into: Any,
    conv: Any,
    gates: Any,
    bias: Any,
    rate: Any,
    into_back: Any,
    gates_back: Any,
    leave_back: Any,
    least: Any,
    states: Any,
    grad_y: Any,
    grad_end: Any,
    grad_x: Any,
) -> None:
    (batch, steps, inputs), (outputs, channels), rows = x.shape, leave_back.shape, len(into_back)
    (blocks, paired, size), width, tiles = gates_back.shape, conv.shape[1] - 1, states.shape[1] - 1
    past, together, pitch = width - 1, sequences_of_group(steps), (paired + ROWS - 1) // ROWS
    u, to_c = np.zeros((channels, past + tiles * LANES), FLOAT), np.zeros((channels, past + tiles * LANES), FLOAT)
    known, z = np.empty((5, channels, LANES), FLOAT), np.empty((2 * channels, LANES), FLOAT)
    now, to_h = np.empty((channels, LANES), FLOAT), np.zeros((channels, LANES), FLOAT)
    to_x, preceded = np.empty((inputs, LANES), FLOAT), np.ones((2, LANES), FLOAT)
    preceded[0, 0] = FLOAT(0)
    # What sums of weights' gradients read of a group: what enters a map, and the gradient of what leaves it.
    lanes = np.ones((TILES, COLUMNS * sums_into.shape[2], LANES), FLOAT)
    to_rows = np.zeros((TILES, ROWS * sums_into.shape[1], LANES), FLOAT)
    c = np.zeros((TILES, channels + COLUMNS, LANES), FLOAT)
    to_z = np.zeros((TILES, 2 * channels + ROWS, LANES), FLOAT)
    m = np.ones((TILES, COLUMNS * sums_leave.shape[2], LANES), FLOAT)
    to_y = np.zeros((TILES, ROWS * sums_leave.shape[1], LANES), FLOAT)
    for group in range(first, last):
        s, stop = 0, min((group + 1) * together, batch)
        for i in range(group * together, stop):
            long_rows(u, x[i], into[0], past, lanes[s], now)
            carried = np.zeros(channels, FLOAT)
            for k in range(tiles - 1, -1, -1):
                t = k * LANES
                gather(x[i], t, lanes[s])
                remake(known, z, c[s], u, t, conv, gates, bias, rate, states[i, k], preceded[min(k, 1)])
                if outputs:
                    gather(grad_y[i], t, to_y[s])
                    layer(to_h, leave_back, to_y[s], outputs, channels)
                    layer(m[s], into[1], lanes[s], inputs + 1, channels)
                    gate_back(m[s], to_h, to_rows[s, channels:], known[STATE], channels)
                else:
                    to_h[:] = FLOAT(0)
                if k == tiles - 1:
                    for j in range(channels):
                        to_h[j, steps - 1 - t] += grad_end[i, j]
                retreat(
                    to_z[s], now, known, c[s], to_h, states[i, k], carried, rate, least, to_rest[group], blocks, size
                )
                for n in range(blocks):
                    add_layer(now[n * size :], gates_back[n], to_z[s, n * paired :], paired, size)
                place(to_c, now, t, u.shape[1], channels)
                convolve_back(to_rows[s], to_conv[group], to_c, u, conv, t, t, u.shape[1], width, channels)
                layer(to_x, into_back, to_rows[s], rows, inputs)
                scatter(to_x, t, grad_x[i])
                s += 1
                if s == TILES or (k == 0 and i == stop - 1):
                    weight_sums(sums_into[group], to_rows, lanes, s)
                    for n in range(blocks):
                        own = sums_gates[group, n * pitch : (n + 1) * pitch]
                        weight_sums(own, to_z[:, n * paired :], c[:, n * size :], s)
                    weight_sums(sums_leave[group], to_y, m, s)
                    s = 0
