"""Sequences in lanes: each row of a step holds one number of WIDTH sequences, for kernels that take whole layers.

Whatever is the same for all sequences, such as a weight, is spread over the lanes, and no sum runs across them. So a
state of any size fills its vectors. Steps are transposed on their way in and out.

Shapes: B batch, T time, K numbers of a step; WIDTH lanes, innermost.
"""

from typing import Any

from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, part
from models.kernels.cpu.toolkit.rows import added, in_blocks, mapped
from models.kernels.cpu.toolkit.vector import WIDTH, Code, narrow


def blocks_of(x_BTK: Tensor) -> int:
    """Return the number of vectors that the sequences fill."""
    return -(-len(x_BTK) // WIDTH)


@part
def take_steps(x: Any, first: Any, start: Any, count: Any, rows: Any) -> None:
    """Copy steps of the sequences from `first` on, (B, T, K) to (count K, WIDTH). Lanes beyond the last one become 0.

    The steps of a sequence lie side by side in memory. So they are one long row.
    """
    size = x.shape[2]
    if first + WIDTH <= len(x) and count * size >= WIDTH:
        to_lanes(rows, x[first, start], x.shape[1] * size, count * size)
    else:
        for t in range(count):
            for j in range(size):
                for i in range(WIDTH):
                    rows[t * size + j, i] = x[first + i, start + t, j] if first + i < len(x) else FLOAT(0)


@part
def put_steps(rows: Any, first: Any, start: Any, count: Any, x: Any) -> None:
    """Copy steps back, (count K, WIDTH) to (B, T, K). Lanes beyond the last sequence are dropped."""
    size = x.shape[2]
    if first + WIDTH <= len(x) and count * size >= WIDTH:
        from_lanes(x[first, start], rows, x.shape[1] * size, count * size)
    else:
        for i in range(min(WIDTH, len(x) - first)):
            for t in range(count):
                for j in range(size):
                    x[first + i, start + t, j] = rows[t * size + j, i]


@narrow
def to_lanes(code: Code, rows: Any, x: Any, apart: Any, width: Any) -> None:
    def columns(j: Any) -> None:
        block = [code.load(code.at(x, (i, apart), j)) for i in range(WIDTH)]
        code.store_rows(code.transpose(block), code.at(rows, (j, WIDTH)), WIDTH)

    in_blocks(code, width, columns)


@narrow
def from_lanes(code: Code, x: Any, rows: Any, apart: Any, width: Any) -> None:
    def columns(j: Any) -> None:
        block = code.transpose(code.load_rows(code.at(rows, (j, WIDTH)), WIDTH, WIDTH))
        code.store_rows(block, code.at(x, j), apart)

    in_blocks(code, width, columns)


map_rows, add_map = narrow(mapped), narrow(added)
"""`layer` and `add_layer` of rows.py for WIDTH sequences: from x (K, WIDTH), with weights (K, N), to out (N, WIDTH)."""
