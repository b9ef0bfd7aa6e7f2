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
from numba.extending import register_jitable
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


@register_jitable
def sequences_of_group(steps: int) -> int:
    """Return how many sequences of so many steps a group holds, at least one."""
    return max(1, GROUP // steps)


def groups_of_sequences(x_BTD: Tensor) -> int:
    """Return the number of groups that the sequences make."""
    return -(-len(x_BTD) // sequences_of_group(x_BTD.shape[1]))


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


def mapped(code: Code, out: Any, weight: Any, x: Any, inner: Any, outputs: Any) -> None:
    """out (N, L) = Wᵀ x, with weights (K, N) and x (K, L), where L is a row of the tile."""
    row = code.vectors * WIDTH

    def some(first: Any, n: int) -> None:
        sums = code.product([ZERO] * (n * code.vectors), (code.at(weight, first), outputs), (x, row), inner)
        code.store_rows(sums, code.at(out, (first, row)), row)

    code.in_tiles(outputs, OUTPUTS, some)


def added(code: Code, out: Any, weight: Any, x: Any, inner: Any, outputs: Any) -> None:
    """out (N, L) += Wᵀ x, with weights (K, N) and x (K, L), where L is a row of the tile."""
    row = code.vectors * WIDTH

    def some(first: Any, n: int) -> None:
        here = code.at(out, (first, row))
        sums = code.load_rows(here, row, n)
        code.store_rows(code.product(sums, (code.at(weight, first), outputs), (x, row), inner), here, row)

    code.in_tiles(outputs, OUTPUTS, some)


layer, add_layer = tile(mapped), tile(added)


@part
def weight_sums(out: Any, g: Any, x: Any, tiles: Any) -> None:
    """Add Σ g_n x_k over the rows of a group to a group's part of what `sums_of` returns.

    Args:
        g, x: (S, N, L) and (S, K, L), or what follows a row of such arrays: beyond the last output or input there is
            room for a whole tile of sums, whatever it holds.
        tiles: how many of the S to add.
    """
    g_tile, x_tile = g.strides[0] // g.itemsize, x.strides[0] // x.itemsize
    outer_sums(out, g, x, g_tile, x_tile, tiles, ROWS * out.shape[0], COLUMNS * out.shape[1])


@tile
def outer_sums(
    code: Code, out: Any, g: Any, x: Any, g_tile: Any, x_tile: Any, tiles: Any, outputs: Any, inputs: Any
) -> None:
    """Add Σ g_n x_k in tiles of ROWS × COLUMNS pairs. Tiles of rows lie `g_tile` and `x_tile` numbers apart."""

    def some(n: Any) -> None:
        def pairs(k: Any) -> None:
            left, right = code.at(g, (n, LANES)), code.at(x, (k, LANES))
            sums = code.outer([ZERO] * (ROWS * COLUMNS), (left, g_tile, LANES), (right, x_tile, LANES), tiles)
            place = code.builder.add(code.builder.mul(n, inputs), code.times(k, ROWS))
            code.add_each(code.across(sums), code.at(out, place))

        code.every(inputs, COLUMNS, pairs)

    code.every(outputs, ROWS, some)
