"""The mLSTM's projections, gates and memory on a CPU, compiled. The equations are those of models/mlstm.py.

C and n are kept as one matrix, divided by exp(m). n is its last column, for which a 1 stands behind v. The decays are
exp(log f_t + m_{t−1} − m_t), and exp(ĩ_t − m_t)/√d is in v. A tile of the matrix goes through a segment of time in
registers. The reverse pass makes a segment's queries, keys, values and matrices again, from the matrix before it.

Shapes: B batch, T time, N heads, d their size, I = N d, e = d + 1 columns; J blocks of b channels of a projection;
P = 3 I, for q, k and v. Whatever is not a weight has WIDTH sequences as its innermost dimension (`sequences.py`).
float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, part, run
from models.kernels.cpu.toolkit.functions import exp_of_negative, log_sigmoid, sigmoid
from models.kernels.cpu.toolkit.outer import narrow_outer_summed, padded
from models.kernels.cpu.toolkit.sequences import add_map, blocks_of, map_rows, put_steps, take_steps
from models.kernels.cpu.toolkit.vector import COLUMNS, WIDTH, ZERO, Code, narrow

SEGMENT = 16
TILE = 4
"""Rows and columns of the part of a matrix that goes through a segment in registers."""
EMPTY = FLOAT(-1e30)  # m before the first step
LARGEST = FLOAT(80)  # exp of more has no room in float32


class Memory(torch.autograd.Function):
    """Maps c, x (B, T, I), W_q, W_k, W_v (J, b, b), the gates' weight (2 N, 3 I) and bias, and ε to h̃ (B, T, I)."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, c_BTI: Tensor, x_BTI: Tensor, query_Jbb: Tensor, key_Jbb: Tensor, value_Jbb: Tensor,
        gates_NP: Tensor, bias_N: Tensor, epsilon: float,
    ) -> Tensor:  # fmt: skip
        c_BTI, x_BTI = c_BTI.contiguous(), x_BTI.contiguous()
        (_, steps, inner), heads, blocks = c_BTI.shape, len(bias_N) // 2, blocks_of(c_BTI)
        size, segments = inner // heads, -(-steps // SEGMENT)
        given = c_BTI, x_BTI, torch.stack([query_Jbb, key_Jbb, value_Jbb]), torch.cat([gates_NP, bias_N[:, None]], 1)
        numbers = torch.tensor([size**-0.5, epsilon])
        states = c_BTI.new_empty(blocks, segments, heads, size, size + 1, WIDTH)
        tops = c_BTI.new_empty(blocks, segments, heads, WIDTH)
        read, h_BTI = c_BTI.new_empty(blocks, steps, heads, size + 1, WIDTH), torch.empty_like(c_BTI)
        run(memory_forward, states, *transposed(given), numbers, tops, read, h_BTI, share=1)
        ctx.save_for_backward(*given, numbers, states, tops, read)
        return h_BTI

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTI: Tensor) -> tuple[Tensor | None, ...]:
        c_BTI, x_BTI, maps_3Jbb, gates_NP, numbers, states, tops, read = ctx.saved_tensors
        blocks, size = len(states), maps_3Jbb.shape[2]
        grad_c, grad_x = torch.empty_like(c_BTI), torch.empty_like(x_BTI)
        to_maps = c_BTI.new_zeros(blocks, *maps_3Jbb.shape[:3], padded(size))
        to_gates = c_BTI.new_zeros(blocks, len(gates_NP), padded(gates_NP.shape[1]))
        given = *transposed((c_BTI, x_BTI, maps_3Jbb, gates_NP)), maps_3Jbb, gates_NP[:, :-1].contiguous()
        run(
            memory_backward, states, *given, numbers, tops, read, grad_h_BTI.contiguous(), grad_c, grad_x, to_maps,
            to_gates, share=1,
        )  # fmt: skip
        to_gates = to_gates.sum(0)[:, : gates_NP.shape[1]]
        return grad_c, grad_x, *to_maps.sum(0)[..., :size], to_gates[:, :-1].contiguous(), to_gates[:, -1], None


def transposed(given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return c, x and the weights as `map_rows` takes them."""
    c_BTI, x_BTI, maps_3Jbb, gates_NP = given
    return c_BTI, x_BTI, maps_3Jbb.mT.contiguous(), gates_NP.T.contiguous()


def block_map(adds: bool) -> Any:
    """Return a tile that maps blocks of rows, each with a matrix of its own.

    Args:
        adds: whether the result is added to what is there.
    """

    @narrow
    def mapped(code: Code, out: Any, weight: Any, x: Any, blocks: Any, size: Any) -> None:
        """out (J b, WIDTH) = Wᵀ x or more by it, with weights (J, b, b) and x (J b, WIDTH)."""

        def block(j: Any) -> None:
            first = code.builder.mul(j, size)
            matrix, rows = code.at(weight, (first, size)), code.at(x, (first, WIDTH))

            def some(i: Any, n: int) -> None:
                here = code.at(out, (first, WIDTH), (i, WIDTH))
                start = code.load_rows(here, WIDTH, n) if adds else [ZERO] * n
                code.store_rows(code.product(start, (code.at(matrix, i), size), (rows, WIDTH), size), here, WIDTH)

            code.in_tiles(size, TILE, some)

        code.every(blocks, 1, block)

    return mapped


map_blocks, add_blocks = block_map(adds=False), block_map(adds=True)


@narrow
def advance(
    code: Code, q: Any, k: Any, v: Any, kept: Any, s: Any, read: Any, sizes: tuple[Any, ...], steps: Any
) -> None:
    """Run through a segment: the matrix s (d, e) becomes that after it, and `read` of each step grows by sᵀ q.

    `sizes` are d, e, and how far two steps of q and k, of v and `read`, and of `kept` lie apart.
    """
    rows, columns, apart, v_apart, kept_apart = code.unpack(sizes)

    def some_rows(r: Any, n: int) -> None:
        def some_columns(c: Any, m: int) -> None:
            def step(t: Any, before: list[Any]) -> list[Any]:
                keys, readers = (code.load_rows(code.at(each, (t, apart), (r, WIDTH)), WIDTH, n) for each in (k, q))
                after = grown(code, before, code.load(code.at(kept, (t, kept_apart))), keys, values(t))
                here = code.at(read, (t, v_apart), (c, WIDTH))
                totals = code.load_rows(here, WIDTH, m)
                for i, reader in enumerate(readers):
                    totals = code.add_to_each(totals, after[i * m : (i + 1) * m], reader)
                code.store_rows(totals, here, WIDTH)
                return after

            def values(t: Any) -> list[Any]:
                return code.load_rows(code.at(v, (t, v_apart), (c, WIDTH)), WIDTH, m)

            code.loop_in_place(steps, tile_of(code, s, r, c, columns, n, m), step)

        code.in_tiles(columns, TILE, some_columns)

    code.in_tiles(rows, TILE, some_rows)


def tile_of(code: Code, array: Any, r: Any, c: Any, columns: Any, n: int, m: int) -> list[Any]:
    """Return pointers to the n by m vectors of a tile of matrices (d, e, WIDTH)."""
    places = [code.at(array, (code.plus(r, i), code.times(columns, WIDTH)), (c, WIDTH)) for i in range(n)]
    return [code.at(place, j * WIDTH) for place in places for j in range(m)]


def grown(code: Code, before: list[Any], kept: Any, keys: list[Any], values: list[Any]) -> list[Any]:
    """Return a tile after a step."""
    pairs = [(key, value) for key in keys for value in values]
    return [code.fma(*pair, old) for pair, old in zip(pairs, code.scale(before, kept), strict=True)]


@narrow
def retreat(
    code: Code, q: Any, k: Any, v: Any, kept: Any, s: Any, to_read: Any, to_s: Any, to_q: Any, to_k: Any, to_v: Any,
    to_kept: Any, room: Any, sizes: tuple[Any, ...], steps: Any,
) -> None:  # fmt: skip
    """Run the adjoint over a segment. to_s becomes the gradient of `s`, the matrix before it; the rest is added to.

    `room` is for a tile of the matrices before and after each step.
    """
    rows, columns, apart, v_apart, kept_apart = code.unpack(sizes)
    row = TILE * TILE * WIDTH

    def some_rows(r: Any, n: int) -> None:
        def some_columns(c: Any, m: int) -> None:
            def by_row(array: Any, t: Any) -> Any:
                return code.at(array, (t, apart), (r, WIDTH))

            def by_column(array: Any, t: Any) -> Any:
                return code.at(array, (t, v_apart), (c, WIDTH))

            start = [code.load(place) for place in tile_of(code, s, r, c, columns, n, m)]
            code.store_each(start, room)

            def remake(t: Any, before: list[Any]) -> list[Any]:
                keys, values = code.load_rows(by_row(k, t), WIDTH, n), code.load_rows(by_column(v, t), WIDTH, m)
                after = grown(code, before, code.load(code.at(kept, (t, kept_apart))), keys, values)
                code.store_each(after, code.at(room, (t, row), row))
                return after

            def step(done: Any, to_after: list[Any]) -> list[Any]:
                t = code.minus(steps, code.plus(done, 1))
                keys, readers = (code.load_rows(by_row(each, t), WIDTH, n) for each in (k, q))
                values, from_read = (code.load_rows(by_column(each, t), WIDTH, m) for each in (v, to_read))
                before, after = (code.load_each(code.at(room, (t, row), shift), n * m) for shift in (0, row))
                pairs = [(reader, given) for reader in readers for given in from_read]
                to_after = [code.fma(*pair, total) for pair, total in zip(pairs, to_after, strict=True)]
                for i in range(n):
                    part = slice(i * m, (i + 1) * m)
                    code.add_products(after[part], from_read, code.at(by_row(to_q, t), i * WIDTH))
                    code.add_products(to_after[part], values, code.at(by_row(to_k, t), i * WIDTH))
                for j in range(m):
                    code.add_products(to_after[j::m], keys, code.at(by_column(to_v, t), j * WIDTH))
                code.add_products(to_after, before, code.at(to_kept, (t, kept_apart)))
                return code.scale(to_after, code.load(code.at(kept, (t, kept_apart))))

            code.loop(steps, start, remake)
            code.loop_in_place(steps, tile_of(code, to_s, r, c, columns, n, m), step)

        code.in_tiles(columns, TILE, some_columns)

    code.in_tiles(rows, TILE, some_rows)


@helper
def one(m: Any) -> Any:
    """Return exp(−m), which the 1 of the divisor has become."""
    lowest = -m if m > 0 else (m if m > -LARGEST else -LARGEST)
    e = exp_of_negative(lowest)
    return e if m > 0 else FLOAT(1) / e


@part
def project(c: Any, x: Any, maps: Any, gates: Any, qkv: Any, sums: Any) -> None:
    """Compute a step's q, k and v, and from them the gates' sums."""
    blocks, size = maps.shape[1:3]
    inner = blocks * size
    map_blocks(qkv, maps[0], c, blocks, size)
    map_blocks(qkv[inner:], maps[1], c, blocks, size)
    map_blocks(qkv[2 * inner :], maps[2], x, blocks, size)
    map_rows(sums, gates, qkv, len(gates), gates.shape[1])


@part
def stabilise(sums: Any, scale: Any, top: Any, m: Any, kept: Any, written: Any) -> None:
    """Compute a step's m, decay and weight of what is written, in each head. `top` is m before it and becomes m."""
    heads = len(top)
    for n in range(heads):
        for j in range(WIDTH):
            before, write = log_sigmoid(sums[heads + n, j]) + top[n, j], sums[n, j]
            now = before if before > write else write
            m[n, j], top[n, j] = now, now
            kept[n, j], written[n, j] = exp_of_negative(before - now), scale * exp_of_negative(write - now)


@part
def shares_of(read: Any, m: Any, epsilon: Any, shares: Any) -> None:
    """Compute what a step's C q is multiplied by for h̃, in each head."""
    for n in range(len(shares)):
        for j in range(WIDTH):
            floor, size = one(m[n, j]), abs(read[n, -1, j])
            shares[n, j] = FLOAT(1) / ((size if size > floor else floor) + epsilon)


@part
def weigh(v: Any, written: Any, weighted: Any) -> None:
    """Weight a step's v, (N d, WIDTH), and the 1 behind each head's: (N, e, WIDTH)."""
    size = weighted.shape[1] - 1
    for n in range(len(weighted)):
        for i in range(size):
            for j in range(WIDTH):
                weighted[n, i, j] = v[n * size + i, j] * written[n, j]
        for j in range(WIDTH):
            weighted[n, size, j] = written[n, j]


@part
def sizes_of(qkv: Any, weighted: Any) -> Any:
    heads, columns = weighted.shape[1:3]
    return columns - 1, columns, qkv.shape[1] * WIDTH, heads * columns * WIDTH, heads * WIDTH


@kernel
def memory_forward(
    first: int, last: int, states: Any, c: Any, x: Any, maps: Any, gates: Any, numbers: Any, tops: Any, read: Any,
    h: Any,
) -> None:  # fmt: skip
    (steps, inner), (heads, size) = c.shape[1:], states.shape[2:4]
    rows, qkv = np.empty((3, SEGMENT * inner, WIDTH), FLOAT), np.ones((SEGMENT, len(gates), WIDTH), FLOAT)
    sums, weighted = np.empty((2 * heads, WIDTH), FLOAT), np.empty((SEGMENT, heads, size + 1, WIDTH), FLOAT)
    by_step, shares = np.empty((3, SEGMENT, heads, WIDTH), FLOAT), np.empty((heads, WIDTH), FLOAT)
    m, kept, written = by_step[0], by_step[1], by_step[2]
    sizes = sizes_of(qkv, weighted)
    for r in range(first, last):
        top, memory = np.full((heads, WIDTH), EMPTY, FLOAT), np.zeros((heads, size, size + 1, WIDTH), FLOAT)
        for segment in range(states.shape[1]):
            start = segment * SEGMENT
            count = min(SEGMENT, steps - start)
            states[r, segment], tops[r, segment] = memory, top
            take_steps(c, r * WIDTH, start, count, rows[0])
            take_steps(x, r * WIDTH, start, count, rows[1])
            for t in range(count):
                project(rows[0, t * inner :], rows[1, t * inner :], maps, gates, qkv[t], sums)
                stabilise(sums, numbers[0], top, m[t], kept[t], written[t])
                weigh(qkv[t, 2 * inner :], written[t], weighted[t])
            read[r, start : start + count] = FLOAT(0)
            for n in range(heads):
                q, k = qkv[0, n * size :], qkv[0, inner + n * size :]
                advance(q, k, weighted[0, n], kept[0, n], memory[n], read[r, start, n], sizes, count)
            for t in range(count):
                now = read[r, start + t]
                shares_of(now, m[t], numbers[1], shares)
                for n in range(heads):
                    for i in range(size):
                        for j in range(WIDTH):
                            rows[2, t * inner + n * size + i, j] = now[n, i, j] * shares[n, j]
            put_steps(rows[2], r * WIDTH, start, count, h)


@kernel
def memory_backward(
    first: int, last: int, states: Any, c: Any, x: Any, maps: Any, gates: Any, maps_back: Any, gates_back: Any,
    numbers: Any, tops: Any, read: Any, grad_h: Any, grad_c: Any, grad_x: Any, to_maps: Any, to_gates: Any,
) -> None:  # fmt: skip
    (steps, inner), (heads, size), (blocks, block) = c.shape[1:], states.shape[2:4], maps.shape[1:3]
    outputs, columns = 2 * heads, to_gates.shape[2]
    given = np.zeros((2, SEGMENT * inner + COLUMNS, WIDTH), FLOAT)  # the last gradient tile may reach beyond the rows
    to_given, from_h = np.empty((2, SEGMENT * inner, WIDTH), FLOAT), np.empty((SEGMENT * inner, WIDTH), FLOAT)
    both = np.zeros((2, SEGMENT, columns, WIDTH), FLOAT)
    qkv, to_qkv = both[0], both[1]
    qkv[:, 3 * inner] = FLOAT(1)
    sums, to_sums = np.empty((SEGMENT, outputs, WIDTH), FLOAT), np.empty((SEGMENT, outputs, WIDTH), FLOAT)
    by_column = np.empty((3, SEGMENT, heads, size + 1, WIDTH), FLOAT)
    weighted, to_weighted, to_read = by_column[0], by_column[1], by_column[2]
    by_step, shares = np.empty((5, SEGMENT, heads, WIDTH), FLOAT), np.empty((heads, WIDTH), FLOAT)
    m, kept, written, to_kept, to_m = by_step[0], by_step[1], by_step[2], by_step[3], by_step[4]
    room = np.empty((SEGMENT + 1, TILE * TILE, WIDTH), FLOAT)
    sizes = sizes_of(qkv, weighted)
    for r in range(first, last):
        carried, to_memory = np.zeros((heads, WIDTH), FLOAT), np.zeros((heads, size, size + 1, WIDTH), FLOAT)
        for segment in range(states.shape[1] - 1, -1, -1):
            start, top = segment * SEGMENT, tops[r, segment].copy()
            count = min(SEGMENT, steps - start)
            to_qkv[:], to_weighted[:], to_kept[:] = FLOAT(0), FLOAT(0), FLOAT(0)
            take_steps(c, r * WIDTH, start, count, given[0])
            take_steps(x, r * WIDTH, start, count, given[1])
            take_steps(grad_h, r * WIDTH, start, count, from_h)
            for t in range(count):
                project(given[0, t * inner :], given[1, t * inner :], maps, gates, qkv[t], sums[t])
                stabilise(sums[t], numbers[0], top, m[t], kept[t], written[t])
                weigh(qkv[t, 2 * inner :], written[t], weighted[t])
                shares_of(read[r, start + t], m[t], numbers[1], shares)
                divide_back(from_h[t * inner :], read[r, start + t], m[t], shares, numbers[1], to_read[t], to_m[t])
            for n in range(heads):
                q, k, to_q = qkv[0, n * size :], qkv[0, inner + n * size :], to_qkv[0, n * size :]
                retreat(
                    q, k, weighted[0, n], kept[0, n], states[r, segment, n], to_read[0, n], to_memory[n], to_q,
                    to_qkv[0, inner + n * size :], to_weighted[0, n], to_kept[0, n], room, sizes, count,
                )  # fmt: skip
            for t in range(count - 1, -1, -1):
                to_v = to_qkv[t, 2 * inner :]
                weigh_back(qkv[t, 2 * inner :], written[t], to_weighted[t], to_v, to_sums[t])
                stabilise_back(sums[t], kept[t], to_kept[t], to_m[t], carried, to_sums[t])
                add_map(to_qkv[t], gates_back, to_sums[t], outputs, 3 * inner)
                to_c, to_x = to_given[0, t * inner :], to_given[1, t * inner :]
                map_blocks(to_c, maps_back[0], to_qkv[t], blocks, block)
                add_blocks(to_c, maps_back[1], to_qkv[t, inner:], blocks, block)
                map_blocks(to_x, maps_back[2], to_v, blocks, block)
            put_steps(to_given[0], r * WIDTH, start, count, grad_c)
            put_steps(to_given[1], r * WIDTH, start, count, grad_x)
            narrow_outer_summed(
                to_gates[r], to_sums, outputs * WIDTH, WIDTH, qkv, columns * WIDTH, WIDTH, columns, outputs, count
            )
            for i in range(3):
                for j in range(blocks):
                    narrow_outer_summed(
                        to_maps[r, i, j], to_qkv[0, i * inner + j * block :], columns * WIDTH, WIDTH,
                        given[i // 2, j * block :], inner * WIDTH, WIDTH, to_maps.shape[4], block, count,
                    )  # fmt: skip


@part
def divide_back(grad: Any, read: Any, m: Any, shares: Any, epsilon: Any, to_read: Any, to_m: Any) -> None:
    """Write a step's gradients of C q and n · q, and of m, from that of h̃."""
    heads, size = len(read), read.shape[1] - 1
    for n in range(heads):
        to_n = to_read[n, size]
        to_n[:] = FLOAT(0)
        for i in range(size):
            for j in range(WIDTH):
                to_read[n, i, j] = grad[n * size + i, j] * shares[n, j]
                to_n[j] -= to_read[n, i, j] * read[n, i, j] * shares[n, j]
        for j in range(WIDTH):
            # What all is divided by cancels in h̃ but for ε. So only ε passes on a gradient of m.
            to_m[n, j] = to_n[j] * epsilon
            total = read[n, size, j]
            sign = FLOAT(1) if total > 0 else FLOAT(-1)
            to_n[j] = to_n[j] * sign if abs(total) > one(m[n, j]) else FLOAT(0)


@part
def weigh_back(v: Any, written: Any, to_weighted: Any, to_v: Any, to_sums: Any) -> None:
    """Add to the gradient of a step's v. Write that of ĩ through its weight."""
    heads, size = len(to_weighted), to_weighted.shape[1] - 1
    for n in range(heads):
        to_write = to_sums[n]
        to_write[:] = to_weighted[n, size]
        for i in range(size):
            for j in range(WIDTH):
                to_write[j] += to_weighted[n, i, j] * v[n * size + i, j]
                to_v[n * size + i, j] = to_weighted[n, i, j] * written[n, j]
        for j in range(WIDTH):
            to_write[j] *= written[n, j]


@part
def stabilise_back(sums: Any, kept: Any, to_kept: Any, to_m: Any, carried: Any, to_sums: Any) -> None:
    """Write the gradients of a step's gate sums. `carried` is that of m_t, and becomes that of m_{t−1}."""
    heads = len(carried)
    for n in range(heads):
        for j in range(WIDTH):
            total, through = carried[n, j] + to_m[n, j], to_kept[n, j] * kept[n, j]
            same = kept[n, j] == FLOAT(1)  # m_t is that of the step before, decayed
            to_sums[n, j] += FLOAT(0) if same else total
            carried[n, j] = total if same else FLOAT(0)
            to_sums[heads + n, j] = (through + carried[n, j]) * sigmoid(-sums[heads + n, j])
