"""A transformer's feed-forward network on a CPU, compiled, with its norm and its shortcut:

    y = v + W_2 GELU(W_1 LN(v) + b_1) + b_2

A tile of rows passes through all of it before the next one comes. GELU and its slope are kept for the reverse pass; the
norm is computed again.

Shapes: M rows, H width, F inner width, S tiles, L rows of a tile. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.layer_norm import normalise, pull_back
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.rows import (
    GROUP,
    TILES,
    add_layer,
    gather,
    groups_of,
    layer,
    scatter,
    sums_of,
    untiled,
    weight_sums,
    with_bias,
)
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, OUTPUTS, VECTORS, WIDTH, ZERO, Code, tile


class FeedForward(torch.autograd.Function):
    """Maps v (M, H), the norm's w and b (H), W_1 (F, H), b_1 (F), W_2 (H, F), b_2 (H) and the norm's ε to y (M, H)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, v_MH: Tensor, *given: Any) -> Tensor:
        *weights, epsilon = given
        scale_H, shift_H, w1_FH, b1_F, w2_HF, b2_H = weights
        v_MH, numbers = v_MH.contiguous(), torch.tensor([1 / len(scale_H), epsilon])
        kept_S2FL = v_MH.new_empty(groups_of(v_MH), TILES, 2, len(w1_FH), LANES)
        y_MH = torch.empty_like(v_MH)
        run(
            network_forward, kept_S2FL, v_MH, scale_H, shift_H, numbers, with_bias(w1_FH, b1_F), with_bias(w2_HF, b2_H),
            y_MH, share=1,
        )  # fmt: skip
        ctx.save_for_backward(kept_S2FL, v_MH, scale_H, shift_H, numbers, w1_FH.contiguous(), w2_HF.contiguous())
        return y_MH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_MH: Tensor) -> tuple[Tensor | None, ...]:
        kept_S2FL, v_MH, *_ = ctx.saved_tensors
        (inner, width), groups = ctx.saved_tensors[-2].shape, len(kept_S2FL)
        sums_1, sums_2 = sums_of(groups, inner, width + 1, v_MH), sums_of(groups, width, inner + 1, v_MH)
        sums_norm, grad_v = v_MH.new_zeros(groups, 2, width, WIDTH), torch.empty_like(v_MH)
        run(
            network_backward, *ctx.saved_tensors, grad_MH.contiguous(), grad_v, sums_norm, sums_1, sums_2, share=1
        )  # fmt: skip
        first, second = untiled(sums_1, inner, width + 1), untiled(sums_2, width, inner + 1)
        to_w1, to_w2 = first[:, :width].contiguous(), second[:, :inner].contiguous()
        return grad_v, *sums_norm.sum((0, 3)), to_w1, first[:, width], to_w2, second[:, inner], None


@tile
def activated(code: Code, out: Any, slope: Any, weight: Any, x: Any, inputs: Any, outputs: Any) -> None:
    """out (F, L) = GELU(Wᵀ x), and GELU's slope, with weights (K, F) and x (K, L)."""

    def some(first: Any, n: int) -> None:
        sums = code.product([ZERO] * (n * VECTORS), (code.at(weight, first), outputs), (x, LANES), inputs)
        both = [code.gelu_by_erf(vector) for vector in sums]
        code.store_rows([value for value, _ in both], code.at(out, (first, LANES)), LANES)
        code.store_rows([steep for _, steep in both], code.at(slope, (first, LANES)), LANES)

    code.in_tiles(outputs, OUTPUTS, some)


@tile
def times(code: Code, out: Any, factor: Any, count: Any) -> None:
    """out (F, L) ⊙= factor."""

    def some(place: Any) -> None:
        here = code.at(out, place)
        code.store(code.product_of(code.load(here), code.load(code.at(factor, place))), here)

    code.every(code.times(count, LANES), WIDTH, some)


@kernel
def network_forward(
    first: int,
    last: int,
    kept: Any,
    v: Any,
    scale: Any,
    shift: Any,
    numbers: Any,
    weight_1: Any,
    weight_2: Any,
    y: Any,
) -> None:
    inner, width = weight_1.shape[1], v.shape[1]
    stream = np.empty((width, LANES), FLOAT)
    x, hidden = np.ones((width + 1, LANES), FLOAT), np.ones((inner + 1, LANES), FLOAT)  # the last rows stay 1
    for group in range(first, last):
        for s in range(TILES):
            row = group * GROUP + s * LANES
            if row < len(v):
                gather(v, row, stream)
                x[:width] = stream
                normalise(x, scale, shift, numbers, width)
                activated(hidden, kept[group, s, 1], weight_1, x, width + 1, inner)
                kept[group, s, 0] = hidden[:inner]
                add_layer(stream, weight_2, hidden, inner + 1, width)
                scatter(stream, row, y)


@kernel
def network_backward(
    first: int,
    last: int,
    kept: Any,
    v: Any,
    scale: Any,
    shift: Any,
    numbers: Any,
    weight_1: Any,
    weight_2: Any,
    grad: Any,
    grad_v: Any,
    sums_norm: Any,
    sums_1: Any,
    sums_2: Any,
) -> None:
    inner, width = weight_1.shape
    wide, narrow = COLUMNS * sums_2.shape[2], COLUMNS * sums_1.shape[2]
    hidden, to_hidden = np.zeros((TILES, wide, LANES), FLOAT), np.zeros((TILES, wide, LANES), FLOAT)
    x, from_y = np.zeros((TILES, narrow, LANES), FLOAT), np.zeros((TILES, narrow, LANES), FLOAT)
    raw, to_x = np.empty((width, LANES), FLOAT), np.empty((width, LANES), FLOAT)
    x[:, width], hidden[:, inner] = FLOAT(1), FLOAT(1)
    for group in range(first, last):
        tiles = min(TILES, -(-(len(v) - group * GROUP) // LANES))
        for s in range(tiles):
            row = group * GROUP + s * LANES
            gather(v, row, raw)
            gather(grad, row, from_y[s])
            x[s, :width] = raw
            normalise(x[s], scale, shift, numbers, width)
            hidden[s, :inner] = kept[group, s, 0]
            layer(to_hidden[s], weight_2, from_y[s], width, inner)
            times(to_hidden[s], kept[group, s, 1], inner)
            layer(to_x, weight_1, to_hidden[s], inner, width)
            pull_back(raw, to_x, sums_norm[group, 0], sums_norm[group, 1], scale, numbers, width)
            for j in range(width):
                for i in range(LANES):
                    to_x[j, i] += from_y[s, j, i]
            scatter(to_x, row, grad_v)
        weight_sums(sums_1[group], to_hidden, x, tiles)
        weight_sums(sums_2[group], from_y, hidden, tiles)
