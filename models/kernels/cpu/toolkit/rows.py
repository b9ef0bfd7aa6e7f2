"""Rows in lanes: layers of a network over LANES rows at once, one row in each lane of a vector.

A width of 34 is no multiple of a vector, and most operations on rows of it compute a third more or fall back to single
numbers. With a row in each lane, any width is as good as another: a weight is spread over the lanes, a sum over the
width adds whole vectors, and what one layer leaves in the cache the next one finds there. Rows are transposed on their
way in and out.

Shapes: M rows of the whole input, K inputs, N outputs, L = LANES rows of a tile, S tiles of a group.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, part
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, OUTPUTS, ROWS, VECTORS, WIDTH, ZERO, Code, tile

TILES = 8
"""Tiles of a group, whose part of the weights' gradient is added up before it leaves the registers."""
GROUP = TILES * LANES
"""Rows of a group."""


def groups_of(rows: Tensor) -> int:
    """Return the number of groups that the rows (M, …) make."""
    return -(-len(rows) // GROUP)


def with_bias(weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
    """Return a layer's weights for `layer`: transposed, and below them the bias, (K + 1, N)."""
    bias_N = weight_NK.new_zeros(len(weight_NK)) if bias_N is None else bias_N
    return torch.cat([weight_NK.T, bias_N.unsqueeze(0)])


def sums_of(groups: int, outputs: int, inputs: int, like: Tensor) -> Tensor:
    """Return zeros that `weight_sums` adds to: for each group, tiles of ROWS × COLUMNS sums."""
    return like.new_zeros(groups, -(-outputs // ROWS), -(-inputs // COLUMNS), ROWS * COLUMNS)


def untiled(sums: Tensor, outputs: int, inputs: int) -> Tensor:
    """Return the sum over the groups, (N, K)."""
    return sums.sum(0).unflatten(-1, (ROWS, COLUMNS)).transpose(1, 2).flatten(2).flatten(0, 1)[:outputs, :inputs]


@part
def gather(rows: Any, first: Any, lanes: Any) -> None:
    """Copy LANES rows, from row `first` on, into lanes, (M, K) to (K, L). Lanes beyond the last row become 0."""
    width, count = rows.shape[1], min(LANES, len(rows) - first)
    if count == LANES and width >= WIDTH:
        to_lanes(lanes, rows, first, width)
    else:
        for j in range(width):
            for i in range(LANES):
                lanes[j, i] = rows[first + i, j] if i < count else FLOAT(0)


@part
def scatter(lanes: Any, first: Any, rows: Any) -> None:
    """Copy lanes to rows, (K, L) to (M, K). Lanes beyond the last row are dropped."""
    width, count = rows.shape[1], min(LANES, len(rows) - first)
    if count == LANES and width >= WIDTH:
        to_rows(rows, lanes, first, width)
    else:
        for i in range(count):
            for j in range(width):
                rows[first + i, j] = lanes[j, i]


@tile
def to_lanes(code: Code, lanes: Any, rows: Any, first: Any, width: Any) -> None:
    def columns(j: Any) -> None:
        for v in range(VECTORS):
            corner = code.at(rows, (code.plus(first, v * WIDTH), width), j)
            block = [code.load(code.at(corner, (i, width))) for i in range(WIDTH)]
            for i, column in enumerate(code.transpose(block)):
                code.store(column, code.at(lanes, (code.plus(j, i), LANES), v * WIDTH))

    in_blocks(code, width, columns)


@tile
def to_rows(code: Code, rows: Any, lanes: Any, first: Any, width: Any) -> None:
    def columns(j: Any) -> None:
        for v in range(VECTORS):
            block = [code.load(code.at(lanes, (code.plus(j, i), LANES), v * WIDTH)) for i in range(WIDTH)]
            corner = code.at(rows, (code.plus(first, v * WIDTH), width), j)
            for i, row in enumerate(code.transpose(block)):
                code.store(row, code.at(corner, (i, width)))

    in_blocks(code, width, columns)


def in_blocks(code: Code, width: Any, columns: Callable[[Any], None]) -> None:
    """Run `columns(first)` for blocks of WIDTH columns. The last one may overlap the one before it."""
    code.every(code.minus(width, 1), WIDTH, columns)
    columns(code.minus(width, WIDTH))


@tile
def layer(code: Code, out: Any, weight: Any, x: Any, inner: Any, outputs: Any) -> None:
    """out (N, L) = Wᵀ x, with weights (K, N) and x (K, L)."""

    def some(first: Any, n: int) -> None:
        sums = code.product([ZERO] * (n * VECTORS), (code.at(weight, first), outputs), (x, LANES), inner)
        code.store_rows(sums, code.at(out, (first, LANES)), LANES)

    code.in_tiles(outputs, OUTPUTS, some)


@tile
def add_layer(code: Code, out: Any, weight: Any, x: Any, inner: Any, outputs: Any) -> None:
    """out (N, L) += Wᵀ x, with weights (K, N) and x (K, L)."""

    def some(first: Any, n: int) -> None:
        here = code.at(out, (first, LANES))
        sums = code.load_rows(here, LANES, n)
        code.store_rows(code.product(sums, (code.at(weight, first), outputs), (x, LANES), inner), here, LANES)

    code.in_tiles(outputs, OUTPUTS, some)


@tile
def weight_sums(
    code: Code, out: Any, g: Any, x: Any, g_tile: Any, x_tile: Any, tiles: Any, outputs: Any, inputs: Any
) -> None:
    """Add Σ g_n x_k over the rows of a group, in tiles of ROWS × COLUMNS pairs of n and k.

    Args:
        g, x: (S, N, L) and (S, K, L), a tile of rows `g_tile` and `x_tile` numbers after another. N and K are whole
            numbers of ROWS and COLUMNS: beyond the last output or input there is room, whatever it holds.
    """

    def some(n: Any) -> None:
        def pairs(k: Any) -> None:
            left, right = code.at(g, (n, LANES)), code.at(x, (k, LANES))
            sums = code.outer([ZERO] * (ROWS * COLUMNS), (left, g_tile, LANES), (right, x_tile, LANES), tiles)
            place = code.builder.add(code.builder.mul(n, inputs), code.times(k, ROWS))
            code.add_each(code.across(sums), code.at(out, place))

        code.every(inputs, COLUMNS, pairs)

    code.every(outputs, ROWS, some)
