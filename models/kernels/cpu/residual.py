"""The end of a residual block on a CPU, compiled: h + a ⊙ σ(b), where a and b are W y + bias, side by side.

A tile of rows passes through the product, the gate and the sum before the next one comes. a and σ(b) are kept for the
reverse pass, which so needs neither the product nor an exponential again.

Shapes: M rows, K inputs, W width of the stream, S tiles, L rows of a tile. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.rows import (
    GROUP,
    TILES,
    gather,
    groups_of,
    layer,
    scatter,
    sums_of,
    untiled,
    weight_sums,
    with_bias,
)
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, OUTPUTS, ROWS, VECTORS, WIDTH, ZERO, Code, constant, tile


class GatedResidual(torch.autograd.Function):
    """Maps h (M, W), y (M, K), the weight (2W, K) and the bias (2W) to the block's output, (M, W)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, h_MW: Tensor, y_MK: Tensor, weight_NK: Tensor, bias_N: Tensor) -> Tensor:
        h_MW, y_MK, weight_NK = h_MW.contiguous(), y_MK.contiguous(), weight_NK.contiguous()
        out_MW = torch.empty_like(h_MW)
        kept_SNL = h_MW.new_empty(groups_of(h_MW), TILES, len(weight_NK), LANES)
        run(block_forward, kept_SNL, h_MW, y_MK, with_bias(weight_NK, bias_N), out_MW, share=1)
        ctx.save_for_backward(kept_SNL, y_MK, weight_NK)
        return out_MW

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_MW: Tensor) -> tuple[Tensor, ...]:
        kept_SNL, y_MK, weight_NK = ctx.saved_tensors
        grad_MW, grad_y = grad_MW.contiguous(), torch.empty_like(y_MK)
        outputs, inputs = weight_NK.shape
        sums = sums_of(len(kept_SNL), outputs, inputs + 1, y_MK)
        run(block_backward, kept_SNL, y_MK, weight_NK, grad_MW, grad_y, sums, share=1)
        both_NK = untiled(sums, outputs, inputs + 1)
        return grad_MW, grad_y, both_NK[:, :inputs].contiguous(), both_NK[:, inputs]


@tile
def gated(code: Code, out: Any, kept: Any, weight: Any, y: Any, inner: Any, width: Any) -> None:
    """out (W, L) += a ⊙ σ(b), from weights (K + 1, 2W). a and σ(b) are kept, (2W, L)."""

    def some(first: Any, n: int) -> None:
        both, sums = code.times(width, 2), [ZERO] * (n * VECTORS)
        a = code.product(sums, (code.at(weight, first), both), (y, LANES), inner)
        b = code.product(sums, (code.at(weight, first, width), both), (y, LANES), inner)
        shares = [code.sigmoid(vector) for vector in b]
        code.store_rows(a, code.at(kept, (first, LANES)), LANES)
        code.store_rows(shares, code.at(kept, (first, LANES), (width, LANES)), LANES)
        here = code.at(out, (first, LANES))
        stream = code.load_rows(here, LANES, n)
        code.store_rows([code.fma(*three) for three in zip(a, shares, stream, strict=True)], here, LANES)

    code.in_tiles(width, OUTPUTS // 2, some)


@tile
def ungated(code: Code, to_z: Any, kept: Any, grad: Any, width: Any) -> None:
    """Write the gradients of a and b, (2W, L), from that of a ⊙ σ(b)."""

    def some(first: Any) -> None:
        a, share, g = (code.load(code.at(p, first)) for p in (kept, code.at(kept, (width, LANES)), grad))
        to_a = code.product_of(g, share)
        code.store(to_a, code.at(to_z, first))
        to_b = code.product_of(code.product_of(to_a, a), code.difference(constant(1.0), share))
        code.store(to_b, code.at(to_z, first, (width, LANES)))

    code.every(code.times(width, LANES), WIDTH, some)


@kernel
def block_forward(first: int, last: int, kept: Any, h: Any, y: Any, weight: Any, out: Any) -> None:
    inner, width = len(weight), h.shape[1]
    x, stream = np.ones((inner, LANES), FLOAT), np.empty((width, LANES), FLOAT)  # the last row of x stays 1
    for group in range(first, last):
        for s in range(TILES):
            row = group * GROUP + s * LANES
            if row < len(h):
                gather(y, row, x)
                gather(h, row, stream)
                gated(stream, kept[group, s], weight, x, inner, width)
                scatter(stream, row, out)


@kernel
def block_backward(first: int, last: int, kept: Any, y: Any, weight: Any, grad: Any, grad_y: Any, sums: Any) -> None:
    (outputs, inputs), width = weight.shape, grad.shape[1]
    all_outputs, all_inputs = ROWS * sums.shape[1], COLUMNS * sums.shape[2]
    to_z, x = np.zeros((TILES, all_outputs, LANES), FLOAT), np.zeros((TILES, all_inputs, LANES), FLOAT)
    from_out, to_y = np.empty((width, LANES), FLOAT), np.empty((inputs, LANES), FLOAT)
    x[:, inputs] = FLOAT(1)
    for group in range(first, last):
        tiles = min(TILES, -(-(len(grad) - group * GROUP) // LANES))
        for s in range(tiles):
            row = group * GROUP + s * LANES
            gather(grad, row, from_out)
            gather(y, row, x[s])
            ungated(to_z[s], kept[group, s], from_out, width)
            layer(to_y, weight, to_z[s], outputs, inputs)
            scatter(to_y, row, grad_y)
        weight_sums(sums[group], to_z, x, tiles)
