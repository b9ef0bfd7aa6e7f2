"""The product of a few sequences' states with one matrix, which a recurrence computes at every step.

BLAS would pack the matrix again at every step. Here it is laid out once, in panels of LANES columns, and a tile of sums
stays in the registers.

Shapes: G sequences, J inner, K columns, P panels.
"""

from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.toolkit.vector import LANES, WIDTH, ZERO, Code, tile

TILE = 8 if WIDTH == 16 else 4
"""Sequences of a tile, as many as the registers hold sums for."""


def in_panels(m_JK: Tensor) -> Tensor:
    """Lay out a matrix for `products`, (P, J, LANES), with zeros in the columns beyond K."""
    panels = -(-m_JK.shape[1] // LANES)
    padded_JK = torch.nn.functional.pad(m_JK, (0, panels * LANES - m_JK.shape[1]))
    return padded_JK.unflatten(1, (panels, LANES)).transpose(0, 1).contiguous()


@tile
def products(
    code: Code, out: Any, vectors: Any, apart: Any, panels: Any, sequences: Any, inner: Any, width: Any
) -> None:
    """out (G, width) = V · M, where the rows of V lie `apart` numbers apart. The width is that of all panels."""

    # One panel after another, so that a panel stays in the cache while all sequences use it.
    def columns(first: Any) -> None:
        def rows(g: Any, n: int) -> None:
            weights = code.at(vectors, (g, apart)), 1
            panel = code.at(panels, (first, inner)), LANES
            sums = code.product([ZERO] * (n * LANES // WIDTH), weights, panel, inner, apart)
            code.store_rows(sums, code.at(out, (g, width), first), width)

        code.in_tiles(sequences, TILE, rows)

    code.every(width, LANES, columns)


def carried(state_BTJ: Tensor, grad_BTK: Tensor) -> Tensor:
    """Return Σ_t state_{t−1}ᵀ grad_t over all sequences, (J, K): the gradient of the matrix that carries the state on.

    One product pairs the steps as they lie in memory, without a copy. It includes the pairs of a sequence's last step
    with the next sequence's first, which are then subtracted.
    """
    if state_BTJ.shape[1] == 1:
        return state_BTJ.new_zeros(state_BTJ.shape[2], grad_BTK.shape[2])
    every = state_BTJ.flatten(0, 1)[:-1].T @ grad_BTK.flatten(0, 1)[1:]
    return every.addmm_(state_BTJ[:-1, -1].T, grad_BTK[1:, 0], alpha=-1)
