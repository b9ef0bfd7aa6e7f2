"""LayerNorm on a CPU, compiled: (x − mean) / √(variance + ε) ⊙ w + b, with a row in each lane of a vector.

The reverse pass computes mean and variance again instead of storing them.

Shapes: M rows, W width, L rows of a tile. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.rows import GROUP, gather, groups_of, scatter
from models.kernels.cpu.toolkit.vector import LANES, VECTORS, WIDTH, ZERO, Code, constant, tile


class LayerNorm(torch.autograd.Function):
    """Maps x (M, W), w and b (W) and ε to y (M, W)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, x_MW: Tensor, weight_W: Tensor, bias_W: Tensor, epsilon: float) -> Tensor:
        x_MW, numbers = x_MW.contiguous(), torch.tensor([1 / len(weight_W), epsilon])
        ctx.save_for_backward(x_MW, weight_W, numbers)
        y_MW = torch.empty_like(x_MW)
        run(norm_forward, groups(x_MW), x_MW, weight_W, bias_W, numbers, y_MW, share=1)
        return y_MW

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_MW: Tensor) -> tuple[Tensor | None, ...]:
        x_MW, weight_W, numbers = ctx.saved_tensors
        grad_x = torch.empty_like(x_MW)
        sums = x_MW.new_zeros(groups_of(x_MW), 2, len(weight_W), WIDTH)
        run(norm_backward, sums, x_MW, weight_W, numbers, grad_MW.contiguous(), grad_x, share=1)
        grad_weight, grad_bias = sums.sum((0, 3))
        return grad_x, grad_weight, grad_bias, None


def groups(x_MW: Tensor) -> Tensor:
    """Return a tensor without numbers, of as many rows as x has groups, for `run` to share out."""
    return x_MW.new_empty(groups_of(x_MW), 0)


def standardised(code: Code, x: Any, width: Any, numbers: Any) -> list[Any]:
    """Make x (W, L) x − mean. Return 1 / √(variance + ε), a row of lanes."""

    def centre(j: Any, squares: list[Any]) -> list[Any]:
        here = code.at(x, (j, LANES))
        apart = [code.difference(*pair) for pair in zip(code.load_rows(here, 0, 1), mean, strict=True)]
        code.store_rows(apart, here, 0)
        return [code.fma(a, a, square) for a, square in zip(apart, squares, strict=True)]

    share, start = code.spread(numbers), [ZERO] * VECTORS
    totals = code.loop(width, start, lambda j, sums: code.add(sums, code.load_rows(code.at(x, (j, LANES)), 0, 1)))
    mean = [code.product_of(total, share) for total in totals]
    epsilon = code.spread(code.at(numbers, 1))
    return [code.inverse_root(code.fma(square, share, epsilon)) for square in code.loop(width, start, centre)]


@tile
def normalise(code: Code, x: Any, weight: Any, bias: Any, numbers: Any, width: Any) -> None:
    """Turn x (W, L) into its LayerNorm. `numbers` are 1/W and ε."""
    scale = standardised(code, x, width, numbers)

    def finish(j: Any) -> None:
        here, w, b = code.at(x, (j, LANES)), code.spread(code.at(weight, j)), code.spread(code.at(bias, j))
        rows = zip(code.load_rows(here, 0, 1), scale, strict=True)
        code.store_rows([code.fma(code.product_of(*pair), w, b) for pair in rows], here, 0)

    code.every(width, 1, finish)


@tile
def pull_back(
    code: Code, x: Any, grad: Any, to_weight: Any, to_bias: Any, weight: Any, numbers: Any, width: Any
) -> None:
    """Turn grad (W, L) into the gradient of x. What goes to w and b is added to (W, WIDTH) each."""
    scale = standardised(code, x, width, numbers)

    def totals(j: Any, sums: list[Any]) -> list[Any]:
        here, there, w = code.at(x, (j, LANES)), code.at(grad, (j, LANES)), code.spread(code.at(weight, j))
        given, rows = code.load_rows(there, 0, 1), zip(code.load_rows(here, 0, 1), scale, strict=True)
        normed = [code.product_of(*pair) for pair in rows]
        code.store_rows(normed, here, 0)
        code.add_products(given, normed, code.at(to_weight, (j, WIDTH)))
        code.add_products(given, [constant(1.0)] * VECTORS, code.at(to_bias, (j, WIDTH)))
        given = [code.product_of(g, w) for g in given]
        code.store_rows(given, there, 0)
        along = [code.fma(*three) for three in zip(given, normed, sums[VECTORS:], strict=True)]
        return [*code.add(given, sums[:VECTORS]), *along]

    share = code.spread(numbers)
    means = [code.product_of(total, share) for total in code.loop(width, [ZERO] * (2 * VECTORS), totals)]
    mean, along = means[:VECTORS], [code.negative(m) for m in means[VECTORS:]]

    def finish(j: Any) -> None:
        here, there = code.at(x, (j, LANES)), code.at(grad, (j, LANES))
        apart = [code.difference(*pair) for pair in zip(code.load_rows(there, 0, 1), mean, strict=True)]
        rest = [code.fma(*three) for three in zip(code.load_rows(here, 0, 1), along, apart, strict=True)]
        code.store_rows([code.product_of(*pair) for pair in zip(rest, scale, strict=True)], there, 0)

    code.every(width, 1, finish)


@kernel
def norm_forward(first: int, last: int, groups: Any, x: Any, weight: Any, bias: Any, numbers: Any, y: Any) -> None:
    width = len(weight)
    lanes = np.empty((width, LANES), FLOAT)
    for start in range(first * GROUP, min(last * GROUP, len(x)), LANES):
        gather(x, start, lanes)
        normalise(lanes, weight, bias, numbers, width)
        scatter(lanes, start, y)


@kernel
def norm_backward(first: int, last: int, sums: Any, x: Any, weight: Any, numbers: Any, grad: Any, grad_x: Any) -> None:
    width = len(weight)
    lanes, to_x = np.empty((width, LANES), FLOAT), np.empty((width, LANES), FLOAT)
    for group in range(first, last):
        for start in range(group * GROUP, min((group + 1) * GROUP, len(x)), LANES):
            gather(x, start, lanes)
            gather(grad, start, to_x)
            pull_back(lanes, to_x, sums[group, 0], sums[group, 1], weight, numbers, width)
            scatter(to_x, start, grad_x)
