"""Sums of outer products over steps and sequences: the gradient of a matrix that acts on rows of sequences.

Shapes: N steps or blocks, I and J the rows of either side.
"""

from typing import Any

from models.kernels.cpu.toolkit.vector import COLUMNS, ROWS, WIDTH, ZERO, Code, narrow, tile


def padded(columns: int) -> int:
    """Return a number of columns rounded up to whole gradient tiles."""
    return (columns + COLUMNS - 1) // COLUMNS * COLUMNS


def outer(
    code: Code, out: Any, a: Any, a_step: Any, a_row: Any, b: Any, b_step: Any, b_row: Any, columns: Any, rows: Any,
    count: Any,
) -> None:  # fmt: skip
    """out[i, j] += Σ_n a[n, i] b[n, j], summed over the lanes: (rows, columns). The columns are `padded`."""

    # All sums of a tile share the shuffles that add up the lanes (`across`). COLUMNS sums of a row then lie side by
    # side in a vector and are added to `out` together.
    def some_rows(first: Any, n: int) -> None:
        def across_columns(column: Any) -> None:
            left = (code.at(a, (first, a_row)), a_step, a_row)
            right = (code.at(b, (column, b_row)), b_step, b_row)
            totals = code.across(code.outer([ZERO] * (n * COLUMNS), left, right, count))
            for i in range(n):
                cell = code.at(out, (code.plus(first, i), columns), column)
                four = code.shuffle(
                    totals[i * COLUMNS // WIDTH],
                    totals[i * COLUMNS // WIDTH],
                    [i * COLUMNS % WIDTH + j for j in range(COLUMNS)],
                )
                code.store(code.builder.fadd(code.load(cell, four.type), four), cell)

        code.every(columns, COLUMNS, across_columns)

    code.in_tiles(rows, ROWS, some_rows)


outer_summed, narrow_outer_summed = tile(outer), narrow(outer)
