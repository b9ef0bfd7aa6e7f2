"""minGRU on a CPU, compiled, from its input to the states: h_t = h_{t−1} + s_t (g_t − h_{t−1}), s = σ(z), g = g(c),

where z and c are W x side by side, and g(c) = c + ½ for c ≥ 0, else σ(c). A tile of steps, one in each lane of a
vector, passes through the product, the gates and the recurrence, which merges neighbouring lanes (`Code.scan`). What
the reverse pass needs of a tile is kept: s, g and h.

Shapes: B batch, T time, D input, E units, K tiles of a sequence, L steps of a tile, S tiles of a group. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
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
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, ROWS, VECTORS, WIDTH, ZERO, Code, constant, index, tile


class MinGRU(torch.autograd.Function):
    """Maps x (B, T, D) and W (2E, D) to h (B, T, E), from h = 0."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, x_BTD: Tensor, weight_QD: Tensor) -> Tensor:
        x_BTD, (batch, steps, _), units = x_BTD.contiguous(), x_BTD.shape, len(weight_QD) // 2
        h_BTE = x_BTD.new_empty(batch, steps, units)
        kept_BK3EL = x_BTD.new_empty(batch, -(-steps // LANES), 3, units, LANES)
        run(gates_forward, x_BTD, weight_QD.T.contiguous(), kept_BK3EL, h_BTE)
        ctx.save_for_backward(x_BTD, weight_QD.contiguous(), kept_BK3EL)
        return h_BTE

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_BTE: Tensor) -> tuple[Tensor, ...]:
        x_BTD, weight_QD, kept_BK3EL = ctx.saved_tensors
        groups = groups_of_sequences(x_BTD)
        outputs, inputs = weight_QD.shape
        sums, grad_x = sums_of(groups, outputs, inputs, x_BTD), torch.empty_like(x_BTD)
        run(gates_backward, sums, x_BTD, weight_QD, kept_BK3EL, grad_BTE.contiguous(), grad_x, share=1)
        return grad_x, untiled(sums, outputs, inputs).contiguous()


@tile
def advance(code: Code, kept: Any, z: Any, state: Any, units: Any) -> None:
    """Write s, g and h of a tile, (3, E, L), from z and c, (2E, L). The state, (E), is h before and becomes h after."""

    def some(j: Any) -> None:
        before = code.spread(code.at(state, j))
        for v in range(VECTORS):
            here = (j, LANES), v * WIDTH
            gate, candidate = code.load_pair(code.at(z, *here), 0, (units, LANES))
            share, squashed = code.sigmoid(gate), code.sigmoid(candidate)
            positive = code.builder.fcmp_unordered(">=", candidate, ZERO)
            target = code.builder.select(positive, code.builder.fadd(candidate, constant(0.5)), squashed)
            h = code.scan(code.difference(constant(1.0), share), code.product_of(share, target), before)
            before = code.everywhere(h, WIDTH - 1)
            for i, value in enumerate((share, target, h)):
                code.store(value, code.at(kept, *here, *[(units, LANES)] * i))
        code.builder.store(code.builder.extract_element(before, index(0)), code.at(state, j))

    code.every(units, 1, some)


@tile
def retreat(code: Code, to_z: Any, kept: Any, before: Any, grad: Any, carried: Any, units: Any) -> None:
    """Run the adjoint over a tile: write the gradients of z and c, (2E, L).

    Args:
        before: h of the tile before, (E, L).
        grad: the gradient of h from outside, (E, L).
        carried: what reaches the tile's last h from later ones, (E). It becomes what reaches the one before the tile.
    """

    def some(j: Any) -> None:
        one, arriving = constant(1.0), code.spread(code.at(carried, j))
        for v in reversed(range(VECTORS)):
            here = (j, LANES), v * WIDTH
            share, target, h = (code.load(code.at(kept, *here, *[(units, LANES)] * i)) for i in range(3))
            end = code.at(before, (j, LANES), LANES - 1)
            last = code.at(kept, *here, *[(units, LANES)] * 2, -1) if v else end
            # A lane passes on what its step keeps. `arriving` has that factor already.
            keep = code.difference(one, share)
            given = code.load(code.at(grad, *here))
            to_h = code.scan(code.shifted(keep, one, back=True), given, arriving, back=True)
            arriving = code.everywhere(code.product_of(keep, to_h), 0)
            apart = code.difference(target, code.shifted(h, code.spread(last)))
            below = code.builder.fcmp_ordered("<", target, constant(0.5))
            slope = code.builder.select(below, code.product_of(target, code.difference(one, target)), one)
            to_share = code.product_of(to_h, share)
            to_gate = code.product_of(code.product_of(to_share, keep), apart)
            code.store_pair([to_gate, code.product_of(to_share, slope)], code.at(to_z, *here), 0, (units, LANES))
        code.builder.store(code.builder.extract_element(arriving, index(0)), code.at(carried, j))

    code.every(units, 1, some)


@kernel
def gates_forward(first: int, last: int, x: Any, weight: Any, kept: Any, h: Any) -> None:
    (inputs, outputs), units = weight.shape, h.shape[2]
    lanes, z = np.empty((inputs, LANES), FLOAT), np.empty((outputs, LANES), FLOAT)
    for i in range(first, last):
        state = np.zeros(units, FLOAT)
        for k in range(kept.shape[1]):
            gather(x[i], k * LANES, lanes)
            layer(z, weight, lanes, inputs, outputs)
            advance(kept[i, k], z, state, units)
            scatter(kept[i, k, 2], k * LANES, h[i])


@kernel
def gates_backward(first: int, last: int, sums: Any, x: Any, weight: Any, kept: Any, grad: Any, grad_x: Any) -> None:
    (batch, steps, inputs), (outputs, _), units = x.shape, weight.shape, grad.shape[2]
    together, rows, columns = sequences_of_group(steps), ROWS * sums.shape[1], COLUMNS * sums.shape[2]
    to_z, lanes = np.zeros((TILES, rows, LANES), FLOAT), np.zeros((TILES, columns, LANES), FLOAT)
    to_h, to_x, start = (
        np.empty((units, LANES), FLOAT),
        np.empty((inputs, LANES), FLOAT),
        np.zeros((units, LANES), FLOAT),
    )
    for group in range(first, last):
        s, end = 0, min((group + 1) * together, batch)
        for i in range(group * together, end):
            carried = np.zeros(units, FLOAT)
            for k in range(kept.shape[1] - 1, -1, -1):
                gather(x[i], k * LANES, lanes[s])
                gather(grad[i], k * LANES, to_h)
                retreat(to_z[s], kept[i, k], kept[i, k - 1, 2] if k else start, to_h, carried, units)
                layer(to_x, weight, to_z[s], outputs, inputs)
                scatter(to_x, k * LANES, grad_x[i])
                s += 1
                if s == TILES or (k == 0 and i == end - 1):
                    weight_sums(sums[group], to_z, lanes, s)
                    s = 0
