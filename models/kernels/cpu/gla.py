"""Gated linear attention on a CPU, compiled, from its input to its output. The equations are those of models/gla.py.

A tile of steps passes through the maps, the decays, the attention, the norm and the gate before the next one comes.
Most of it has a step in each lane of a vector. The attention has a column of the state in each (decayed_attention.py),
so that its operands are turned into rows. Only the states before each tile are kept: the reverse pass computes all else
again.

Shapes: B batch, T time, D input, H output, N heads, d rows of a head's state, e columns, G vectors of columns; K = N d
keys, V = N e values, R rank of the gates, Q = 2 K + 2 V + R rows of W_q, W_k, W_v, W_z and W_1; M tiles of a sequence,
L steps of a tile, S tiles of a group. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.decayed_attention import ROWS as STATE_ROWS
from models.kernels.cpu.decayed_attention import advance, retreat_own
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.lanes import put, take
from models.kernels.cpu.toolkit.rows import (
    TILES,
    gather,
    groups_of_sequences,
    layer,
    scatter,
    sequences_of_group,
    sums_of,
    untiled,
    weight_sums,
)
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, ONE, ROWS, VECTORS, WIDTH, ZERO, Code, tile


class GatedAttention(torch.autograd.Function):
    """Maps x (B, T, D) to y (B, T, H), from a state at zero.

    The other arguments are W_q, W_k, W_v, W_z and W_1, one above the other (Q, D), W_2 with its bias as the last column
    (K, R + 1), the norm's weight (e), W_o (H, V), the norm's ε and the temperature τ.
    """

    @staticmethod
    @in_float32
    def forward(
        ctx: Any,
        x_BTD: Tensor,
        into_QD: Tensor,
        gate_KR1: Tensor,
        norm_e: Tensor,
        leave_HV: Tensor,
        epsilon: float,
        temperature: float,
    ) -> Tensor:
        x_BTD, (batch, steps, _), size, (keys, _) = x_BTD.contiguous(), x_BTD.shape, len(norm_e), gate_KR1.shape
        heads = leave_HV.shape[1] // size
        numbers = x_BTD.new_tensor([epsilon, 1 / size, 1 / temperature])
        weights = into_QD.T.contiguous(), gate_KR1.T.contiguous(), norm_e.contiguous(), numbers
        y_BTH = x_BTD.new_empty(batch, steps, len(leave_HV))
        states = x_BTD.new_zeros(batch, 1 + -(-steps // LANES), heads, -(-size // WIDTH), keys // heads, WIDTH)
        run(attention_forward, x_BTD, *weights, leave_HV.T.contiguous(), states, y_BTH)
        back = into_QD.contiguous(), gate_KR1[:, :-1].contiguous(), leave_HV.contiguous()
        ctx.save_for_backward(x_BTD, *weights, *back, states)
        return y_BTH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTH: Tensor) -> tuple[Tensor | None, ...]:
        x_BTD, _, gate_R1K, norm_e, _, into_QD, _, leave_HV, _ = ctx.saved_tensors
        groups = groups_of_sequences(x_BTD)
        shapes = into_QD.shape, gate_R1K.shape[::-1], leave_HV.shape
        sums = [sums_of(groups, outputs, inputs, x_BTD) for outputs, inputs in shapes]
        to_norm, grad_x = x_BTD.new_zeros(groups, len(norm_e), WIDTH), torch.empty_like(x_BTD)
        run(attention_backward, *sums, to_norm, *ctx.saved_tensors, grad_y_BTH.contiguous(), grad_x, share=1)
        grad_into, grad_gate, grad_leave = (untiled(each, *shape) for each, shape in zip(sums, shapes, strict=True))
        return grad_x, grad_into, grad_gate, to_norm.sum((0, 2)), grad_leave, None, None


@tile
def decay(code: Code, z: Any, rest: Any, share: Any, keys: Any) -> None:
    """Turn z, (K, L), into σ(z)^{1/τ}, and write σ(−z) / τ. `share` is 1 / τ."""

    def some(first: Any) -> None:
        here, power = code.at(z, first), code.spread(share)
        log, other = code.log_sigmoid(code.load(here))
        code.store(code.exp_of_negative(code.product_of(log, power)), here)
        code.store(code.product_of(other, power), code.at(rest, first))

    code.every(code.times(keys, LANES), WIDTH, some)


@tile
def decay_back(code: Code, to_z: Any, kept: Any, rest: Any, keys: Any) -> None:
    """Turn the gradient of the decays, (K, L), into that of z."""

    def some(first: Any) -> None:
        here, values = code.at(to_z, first), [code.load(code.at(p, first)) for p in (to_z, kept, rest)]
        code.store(code.product_of(code.product_of(values[0], values[1]), values[2]), here)

    code.every(code.times(keys, LANES), WIDTH, some)


def scales(code: Code, o: Any, size: Any, numbers: Any) -> list[Any]:
    """Return 1 / √(mean o² + ε) of a head, for each step."""

    def some(j: Any, sums: list[Any]) -> list[Any]:
        row = code.load_rows(code.at(o, (j, LANES)), 0, 1)
        return code.multiply_add(row, row, sums)

    sums = code.loop(size, [ZERO] * VECTORS, some)
    epsilon, share = code.spread(numbers), code.spread(code.at(numbers, 1))
    return [code.inverse_root(code.fma(total, share, epsilon)) for total in sums]


@tile
def norm(code: Code, m: Any, o: Any, z: Any, weight: Any, numbers: Any, heads: Any, size: Any) -> None:
    """m (V, L) = norm(o) ⊙ w ⊙ SiLU(z)."""

    def head(n: Any) -> None:
        first = code.builder.mul(n, size), LANES
        scale = scales(code, code.at(o, first), size, numbers)

        def some(j: Any) -> None:
            here = [code.at(p, first, (j, LANES)) for p in (m, o, z)]
            values, gates = (code.load_rows(p, 0, 1) for p in here[1:])
            opened = code.multiply(gates, [code.sigmoid(gate) for gate in gates])
            normed = code.scale(code.multiply(values, scale), code.spread(code.at(weight, j)))
            code.store_rows(code.multiply(normed, opened), here[0], 0)

        code.every(size, 1, some)

    code.every(heads, 1, head)


@tile
def norm_back(
    code: Code,
    m: Any,
    to_m: Any,
    to_z: Any,
    to_weight: Any,
    o: Any,
    z: Any,
    weight: Any,
    numbers: Any,
    heads: Any,
    size: Any,
) -> None:
    """Do the same, turn m's gradient into o's, write z's and add to w's, (e, WIDTH)."""

    def head(n: Any) -> None:
        first = code.builder.mul(n, size), LANES
        scale = scales(code, code.at(o, first), size, numbers)

        def through_gate(j: Any, along: list[Any]) -> list[Any]:
            places = [code.at(p, first, (j, LANES)) for p in (m, to_m, to_z, o, z)]
            grad, values, gates = (code.load_rows(places[i], 0, 1) for i in (1, 3, 4))
            shares = [code.sigmoid(gate) for gate in gates]
            own, normed = code.spread(code.at(weight, j)), code.multiply(values, scale)
            weighted, opened = code.scale(normed, own), code.multiply(gates, shares)
            code.store_rows(code.multiply(weighted, opened), places[0], 0)
            # The slope of z σ(z) is σ(z) + z σ(z) (1 − σ(z)).
            slope = code.multiply_add(opened, [code.difference(ONE, share) for share in shares], shares)
            code.store_rows(code.multiply(code.multiply(grad, weighted), slope), places[2], 0)
            given = code.multiply(grad, opened)
            code.add_products(given, normed, code.at(to_weight, (j, WIDTH)))
            to_normed = code.scale(given, own)
            code.store_rows(to_normed, places[1], 0)
            return code.multiply_add(to_normed, normed, along)

        share = code.negative(code.spread(code.at(numbers, 1)))
        along = code.scale(code.loop(size, [ZERO] * VECTORS, through_gate), share)

        def through_norm(j: Any) -> None:
            here = code.at(to_m, first, (j, LANES))
            normed = code.multiply(code.load_rows(code.at(o, first, (j, LANES)), 0, 1), scale)
            across = code.multiply_add(normed, along, code.load_rows(here, 0, 1))
            code.store_rows(code.multiply(across, scale), here, 0)

        code.every(size, 1, through_norm)

    code.every(heads, 1, head)


@helper
def project(p: Any, rest: Any, x: Any, into: Any, gate: Any, share: Any) -> None:
    """Compute α, the first K rows of p, what the other maps give, below it, and σ(−z) / τ of the decays' z.

    The last map gives W_1 x. The row behind it holds 1.
    """
    (inputs, maps), (ranks, keys) = into.shape, gate.shape
    layer(p[keys:], into, x, inputs, maps)
    layer(p, gate, p[keys + maps + 1 - ranks :], ranks, keys)
    decay(p, rest, share, keys)


@helper
def remake(
    p: Any, rest: Any, rows: Any, read: Any, o: Any, x: Any, into: Any, gate: Any, numbers: Any, before: Any, after: Any
) -> None:
    """Compute a tile from its inputs and the states before it to the states after it and what is read of them.

    Args:
        p: what enters the attention and what gates it: α, q, k, v, z, W_1 x and a row of 1 (K + Q + 1, L).
        rest: σ(−z) / τ of the decays' z, (K, L).
        rows: α, q, k and v of each step, (L, 3 K + V).
        read, o: what is read of the states, (L, V) and (V, L).
    """
    heads, vectors, size, _ = before.shape
    keys, columns = heads * size, read.shape[1] // heads
    project(p, rest, x, into, gate, numbers[2:])
    scatter(p, 0, rows)
    sizes = size, rows.shape[1], rows.shape[1], 1
    now, out = np.empty((LANES, WIDTH), FLOAT), np.empty((LANES, WIDTH), FLOAT)
    after[:] = before
    for n in range(heads):
        first, value = n * size, 3 * keys + n * columns
        for g in range(vectors):
            take(rows[:, value : value + columns], g, now)
            out[:] = FLOAT(0)
            q, k, kept = rows[0, keys + first :], rows[0, 2 * keys + first :], rows[0, first:]
            advance(q, k, now, now, kept, after[n, g], out, sizes, LANES)
            put(out, g, read[:, n * columns : (n + 1) * columns])
    gather(read, 0, o)


@helper
def attend_back(to_rows: Any, to_read: Any, rows: Any, before: Any, to_s: Any, room: Any) -> None:
    """Run the adjoint of the attention over a tile: write the gradients of the rows α, q, k and v.

    to_s, the gradient of the states after the tile, becomes that of the states before it.
    """
    heads, vectors, size, _ = before.shape
    keys, columns = heads * size, to_read.shape[1] // heads
    sizes = size, rows.shape[1], rows.shape[1], 1
    now, to_o, to_v = np.empty((LANES, WIDTH), FLOAT), np.empty((LANES, WIDTH), FLOAT), np.empty((LANES, WIDTH), FLOAT)
    to_rows[:] = FLOAT(0)
    for n in range(heads):
        first, value = n * size, 3 * keys + n * columns
        for g in range(vectors):
            take(rows[:, value : value + columns], g, now)
            take(to_read[:, n * columns : (n + 1) * columns], g, to_o)
            to_v[:] = FLOAT(0)
            q, k, kept = rows[0, keys + first :], rows[0, 2 * keys + first :], rows[0, first:]
            to_q, to_k, to_kept = to_rows[0, keys + first :], to_rows[0, 2 * keys + first :], to_rows[0, first:]
            retreat_own(
                q, k, now, now, kept, before[n, g], to_o, to_s[n, g], to_q, to_k, to_v, to_v, to_kept, room, sizes,
                LANES,
            )  # fmt: skip
            put(to_v, g, to_rows[:, value : value + columns])


@kernel
def attention_forward(
    first: int,
    last: int,
    x: Any,
    into: Any,
    gate: Any,
    weight: Any,
    numbers: Any,
    leave: Any,
    states: Any,
    y: Any,
) -> None:
    (inputs, maps), keys, (values, outputs), size = into.shape, gate.shape[1], leave.shape, len(weight)
    p, rest = np.ones((keys + maps + 1, LANES), FLOAT), np.empty((keys, LANES), FLOAT)  # the last row of p stays 1
    rows, read = np.empty((LANES, 3 * keys + values), FLOAT), np.empty((LANES, values), FLOAT)
    o, lanes, out = (
        np.empty((values, LANES), FLOAT),
        np.empty((inputs, LANES), FLOAT),
        np.empty((outputs, LANES), FLOAT),
    )
    for i in range(first, last):
        for k in range(states.shape[1] - 1):
            gather(x[i], k * LANES, lanes)
            remake(p, rest, rows, read, o, lanes, into, gate, numbers, states[i, k], states[i, k + 1])
            norm(o, o, p[3 * keys + values :], weight, numbers, values // size, size)
            layer(out, leave, o, values, outputs)
            scatter(out, k * LANES, y[i])


@kernel
def attention_backward(
    first: int,
    last: int,
    sums_into: Any,
    sums_gate: Any,
    sums_leave: Any,
    to_norm: Any,
    x: Any,
    into: Any,
    gate: Any,
    weight: Any,
    numbers: Any,
    into_back: Any,
    gate_back: Any,
    leave_back: Any,
    states: Any,
    grad_y: Any,
    grad_x: Any,
) -> None:
    (batch, steps, inputs), (outputs, values), (keys, rank) = x.shape, leave_back.shape, gate_back.shape
    maps, size, together = len(into_back), len(weight), sequences_of_group(steps)
    gates, low = 3 * keys + values, 3 * keys + 2 * values  # the first rows of z and W_1 x
    rest, o, to_x = np.empty((keys, LANES), FLOAT), np.empty((values, LANES), FLOAT), np.empty((inputs, LANES), FLOAT)
    rows, read = np.empty((LANES, gates), FLOAT), np.empty((LANES, values), FLOAT)
    to_rows, to_m = np.empty((LANES, gates), FLOAT), np.empty((values, LANES), FLOAT)
    after, room = np.empty(states.shape[2:], FLOAT), np.empty((LANES + 1, STATE_ROWS, WIDTH), FLOAT)
    # What sums of weights' gradients read of a group: what enters a map, and the gradient of what leaves it.
    lanes = np.zeros((TILES, COLUMNS * sums_into.shape[2], LANES), FLOAT)
    p, to_p = (
        np.ones((TILES, keys + maps + 1 + COLUMNS, LANES), FLOAT),
        np.zeros((TILES, keys + maps + ROWS, LANES), FLOAT),
    )
    m = np.zeros((TILES, COLUMNS * sums_leave.shape[2], LANES), FLOAT)
    to_y = np.zeros((TILES, ROWS * sums_leave.shape[1], LANES), FLOAT)
    for group in range(first, last):
        s, stop = 0, min((group + 1) * together, batch)
        for i in range(group * together, stop):
            to_s = np.zeros(states.shape[2:], FLOAT)
            for k in range(states.shape[1] - 2, -1, -1):
                t = k * LANES
                gather(x[i], t, lanes[s])
                own = p[s, : keys + maps + 1]
                remake(own, rest, rows, read, o, lanes[s], into, gate, numbers, states[i, k], after)
                gather(grad_y[i], t, to_y[s])
                layer(to_m, leave_back, to_y[s], outputs, values)
                norm_back(
                    m[s], to_m, to_p[s, gates:], to_norm[group], o, own[gates:], weight, numbers, values // size, size
                )
                scatter(to_m, 0, read)
                attend_back(to_rows, read, rows, states[i, k], to_s, room)
                gather(to_rows, 0, to_p[s])
                decay_back(to_p[s], own, rest, keys)
                layer(to_p[s, low:], gate_back, to_p[s], keys, rank)
                layer(to_x, into_back, to_p[s, keys:], maps, inputs)
                scatter(to_x, t, grad_x[i])
                s += 1
                if s == TILES or (k == 0 and i == stop - 1):
                    weight_sums(sums_into[group], to_p[:, keys:], lanes, s)
                    weight_sums(sums_gate[group], to_p, p[:, low:], s)
                    weight_sums(sums_leave[group], to_y, m, s)
                    s = 0
