"""What the last output of gated linear attention needs, on a CPU, compiled: in each head, a weighted sum of the inputs.

    w_t = q · (κ_t ⊙ W_k x_t),    κ_t = Π_{s>t} α_s,    α_s = σ(W_2 W_1 x_s + b)^{1/τ}

q is the last step's, and Σ_t w_t v_t = W_v Σ_t w_t x_t. A tile of steps has one in each lane of a vector. κ goes from
the last tile to the first. What it is after each tile is kept: the reverse pass computes all else again.

Shapes: B batch, T time, D input, N heads, d rows of a head's state; K = N d keys, R rank of the gates, Q = K + R rows
of W_k and W_1; M tiles of a sequence, L steps of a tile, S tiles of a group. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.gla import project
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
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, ONE, ROWS, VECTORS, WIDTH, ZERO, Code, index, tile


class WeightedInputs(torch.autograd.Function):
    """Maps x (B, T, D) and q (B, N, d) to Σ_t w_t x_t (B, N, D).

    The other arguments are W_k above W_1 (Q, D), W_2 with its bias as the last column (K, R + 1) and τ.
    """

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, x_BTD: Tensor, q_BNd: Tensor, into_QD: Tensor, gate_KR1: Tensor, temperature: float
    ) -> Tensor:
        x_BTD, q_BNd, share = x_BTD.contiguous(), q_BNd.contiguous(), x_BTD.new_tensor([1 / temperature])
        weights = into_QD.T.contiguous(), gate_KR1.T.contiguous(), share
        later_BMK = x_BTD.new_empty(len(x_BTD), -(-x_BTD.shape[1] // LANES), len(gate_KR1))
        sums = x_BTD.new_zeros(*q_BNd.shape[:2], x_BTD.shape[2], WIDTH)
        run(inputs_forward, x_BTD, q_BNd, *weights, later_BMK, sums)
        ctx.save_for_backward(x_BTD, q_BNd, *weights, into_QD.contiguous(), gate_KR1[:, :-1].contiguous(), later_BMK)
        return sums.sum(-1)

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_BND: Tensor) -> tuple[Tensor | None, ...]:
        x_BTD, q_BNd, _, gate_R1K, _, into_QD, *_ = ctx.saved_tensors
        groups = groups_of_sequences(x_BTD)
        shapes = into_QD.shape, gate_R1K.shape[::-1]
        sums = [sums_of(groups, outputs, inputs, x_BTD) for outputs, inputs in shapes]
        to_q, grad_x = q_BNd.new_zeros(*q_BNd.shape, WIDTH), torch.empty_like(x_BTD)
        grads = grad_BND.contiguous(), grad_BND.mT.contiguous(), to_q, grad_x
        run(inputs_backward, *sums, *ctx.saved_tensors, *grads, share=1)
        return grad_x, to_q.sum(-1), *(untiled(each, *shape) for each, shape in zip(sums, shapes, strict=True)), None


def in_heads(code: Code, heads: Any, size: Any, body: Any) -> None:
    """Run `body(n, first)` for each head, whose first key is `first`."""
    code.every(heads, 1, lambda n: body(n, code.builder.mul(n, size)))


@tile
def weigh(code: Code, w: Any, kept: Any, later: Any, p: Any, q: Any, heads: Any, size: Any) -> None:
    """Write w, (N, L), and κ, (K, L), of a tile from its α and k, (2 K, L).

    Args:
        later: κ of the tile's last step, (K). It becomes that of the last step before the tile.
    """
    keys = code.builder.mul(heads, size)

    def head(n: Any, first: Any) -> None:
        def some(i: Any, sums: list[Any]) -> list[Any]:
            j = code.builder.add(first, i)
            arriving, reader, sums = code.spread(code.at(later, j)), code.spread(code.at(q, j)), list(sums)
            for v in reversed(range(VECTORS)):
                here = (j, LANES), v * WIDTH
                alpha, key = code.load_pair(code.at(p, *here), 0, (keys, LANES))
                share = code.scan(code.shifted(alpha, ONE, back=True), ZERO, arriving, back=True)
                code.store(share, code.at(kept, *here))
                arriving = code.everywhere(code.product_of(alpha, share), 0)
                sums[v] = code.fma(code.product_of(reader, key), share, sums[v])
            code.builder.store(code.builder.extract_element(arriving, index(0)), code.at(later, j))
            return sums

        code.store_rows(code.loop(size, [ZERO] * VECTORS, some), code.at(w, (n, LANES)), 0)

    in_heads(code, heads, size, head)


@tile
def weigh_back(
    code: Code,
    to_p: Any,
    to_q: Any,
    earlier: Any,
    to_w: Any,
    kept: Any,
    rest: Any,
    p: Any,
    q: Any,
    heads: Any,
    size: Any,
) -> None:
    """Write the gradients of what α takes and of k, (2 K, L), and add to q's, (K, WIDTH).

    Args:
        earlier: the gradients of log κ of the steps before the tile, summed up, (K). Those of the tile are added.
    """
    keys = code.builder.mul(heads, size)

    def head(n: Any, first: Any) -> None:
        to_weight = code.load_rows(code.at(to_w, (n, LANES)), 0, 1)

        def some(i: Any) -> None:
            j = code.builder.add(first, i)
            before, reader = code.spread(code.at(earlier, j)), code.spread(code.at(q, j))
            for v in range(VECTORS):
                here = (j, LANES), v * WIDTH
                key = code.load(code.at(p, (keys, LANES), *here))
                through = code.product_of(to_weight[v], code.load(code.at(kept, *here)))
                to_reader, to_key = code.product_of(through, key), code.product_of(through, reader)
                code.add_each([to_reader], code.at(to_q, (j, WIDTH)))
                # κ of every step before this one has α of this one as a factor.
                summed = code.scan(ONE, code.product_of(to_reader, reader), before)
                to_log = code.shifted(summed, before)
                before = code.everywhere(summed, WIDTH - 1)
                to_alpha = code.product_of(to_log, code.load(code.at(rest, *here)))
                code.store_pair([to_alpha, to_key], code.at(to_p, *here), 0, (keys, LANES))
            code.builder.store(code.builder.extract_element(before, index(0)), code.at(earlier, j))

        code.every(size, 1, some)

    in_heads(code, heads, size, head)


@tile
def add_inputs(code: Code, sums: Any, w: Any, x: Any, heads: Any, inputs: Any) -> None:
    """Add w x, (N, D, WIDTH), of a tile."""

    def head(n: Any) -> None:
        weights = code.load_rows(code.at(w, (n, LANES)), 0, 1)

        def some(j: Any) -> None:
            place = code.builder.add(code.builder.mul(n, inputs), j)
            code.add_products(weights, code.load_rows(code.at(x, (j, LANES)), 0, 1), code.at(sums, (place, WIDTH)))

        code.every(inputs, 1, some)

    code.every(heads, 1, head)


@helper
def remake(
    p: Any, rest: Any, w: Any, kept: Any, x: Any, into: Any, gate: Any, share: Any, later: Any, q: Any, count: Any
) -> None:
    """Compute α, k, W_1 x, σ(−z) / τ of the decays' z, κ and w of a tile of `count` steps."""
    heads, size = q.shape
    keys = heads * size
    project(p, rest, x, into, gate, share)
    for j in range(keys):
        for t in range(count, LANES):  # no steps, so nothing decays
            p[j, t], rest[j, t] = FLOAT(1), FLOAT(0)
    weigh(w, kept, later, p, q, heads, size)


@kernel
def inputs_forward(
    first: int, last: int, x: Any, q: Any, into: Any, gate: Any, share: Any, later: Any, sums: Any
) -> None:
    (inputs, maps), keys, heads, steps = into.shape, gate.shape[1], q.shape[1], x.shape[1]
    p, rest = np.ones((keys + maps + 1, LANES), FLOAT), np.empty((keys, LANES), FLOAT)  # the last row of p stays 1
    lanes, w, kept = np.empty((inputs, LANES), FLOAT), np.empty((heads, LANES), FLOAT), np.empty_like(rest)
    for i in range(first, last):
        now = np.ones(keys, FLOAT)
        for k in range(later.shape[1] - 1, -1, -1):
            t = k * LANES
            later[i, k] = now
            gather(x[i], t, lanes)
            remake(p, rest, w, kept, lanes, into, gate, share, now, q[i], min(steps - t, LANES))
            add_inputs(sums[i], w, lanes, heads, inputs)


@kernel
def inputs_backward(
    first: int,
    last: int,
    sums_into: Any,
    sums_gate: Any,
    x: Any,
    q: Any,
    into: Any,
    gate: Any,
    share: Any,
    into_back: Any,
    gate_back: Any,
    later: Any,
    grad: Any,
    grad_back: Any,
    to_q: Any,
    grad_x: Any,
) -> None:
    (batch, steps, inputs), maps, (keys, rank), (_, heads, size) = x.shape, len(into_back), gate_back.shape, q.shape
    together, tiles = sequences_of_group(steps), later.shape[1]
    rest, kept, now = np.empty((keys, LANES), FLOAT), np.empty((keys, LANES), FLOAT), np.empty(keys, FLOAT)
    w, to_w, to_x = (
        np.empty((heads, LANES), FLOAT),
        np.empty((heads, LANES), FLOAT),
        np.empty((inputs, LANES), FLOAT),
    )
    # What sums of weights' gradients read of a group: what enters a map, and the gradient of what leaves it.
    lanes = np.zeros((TILES, COLUMNS * sums_into.shape[2], LANES), FLOAT)
    p = np.ones((TILES, keys + maps + 1 + COLUMNS, LANES), FLOAT)
    to_p = np.zeros((TILES, keys + maps + ROWS, LANES), FLOAT)
    for group in range(first, last):
        s, stop = 0, min((group + 1) * together, batch)
        for i in range(group * together, stop):
            earlier = np.zeros(keys, FLOAT)
            for k in range(tiles):
                t = k * LANES
                now[:] = later[i, k]
                gather(x[i], t, lanes[s])
                remake(p[s], rest, w, kept, lanes[s], into, gate, share, now, q[i], min(steps - t, LANES))
                layer(to_w, grad_back[i], lanes[s], inputs, heads)
                weigh_back(to_p[s], to_q[i], earlier, to_w, kept, rest, p[s], q[i], heads, size)
                layer(to_p[s, 2 * keys :], gate_back, to_p[s], keys, rank)
                layer(to_x, into_back, to_p[s, keys:], maps, inputs)
                add_layer(to_x, grad[i], w, heads, inputs)
                scatter(to_x, t, grad_x[i])
                s += 1
                if s == TILES or (k == tiles - 1 and i == stop - 1):
                    weight_sums(sums_into[group], to_p[:, keys:], lanes, s)
                    weight_sums(sums_gate[group], to_p, p[:, 2 * keys :], s)
                    s = 0
