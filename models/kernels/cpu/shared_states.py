"""A state behind all channels on a CPU, compiled, from its input to the activation:

    y_t = GELU(Re(C x_t) + D ⊙ u_t)                                               B̄, C and x complex
    x_t = Λ̄ ⊙ x_{t−1} + B̄ u_t                                                     Λ̄ complex (S5, LRU)
    or v_t = S ⊙ v_{t−1} − K ⊙ x_{t−1} + B̄ u_t, x_t = x_{t−1} + v_t               S and K real (LinOSS)

A tile of steps passes through both products, the recurrence and GELU before the next one comes. The products have a
step in each lane of a vector, the recurrence a state in each. The states and the slope of GELU are kept. v follows from
the states.

Shapes: B batch, T time, H channels, N complex states, P ≥ N whole vectors of them, K tiles of a sequence, L steps of a
tile, R = 2 + K L steps with the two before the first, S tiles of a group. A leading 2 is the real and the imaginary
part, or S and K. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.kernels.cpu import oscillators
from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.rows import (
    TILES,
    gather,
    groups_of_sequences,
    layer,
    scatter,
    sequences_of_group,
    sums_of,
    to_lanes,
    to_rows,
    untiled,
    weight_sums,
)
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, OUTPUTS, VECTORS, WIDTH, ZERO, Code, index, tile

EARLIER = 2
"""Steps before the first, at which the state is 0: v of a step is the difference of two states."""


def diagonal_states(u_BTH: Tensor, a_N: Tensor, b_NH: Tensor, c_HN: Tensor, d_H: Tensor) -> Tensor:
    """Return y, (B, T, H), from a state at zero.

    Args:
        u_BTH, d_H: u and D, float32.
        a_N, b_NH, c_HN: Λ̄, B̄ and C, complex.
    """
    y_BTH: Tensor = SharedStates.apply(u_BTH, parts(a_N), parts(b_NH), parts(c_HN.conj()), d_H, False)
    return y_BTH


def oscillating_states(
    u_BTH: Tensor, keep_N: Tensor, pull_N: Tensor, b_NH: Tensor, c_HN: Tensor, d_H: Tensor
) -> Tensor:
    """Return y, (B, T, H), from oscillators at rest.

    Args:
        u_BTH, keep_N, pull_N, d_H: u, S, K and D, float32.
        b_NH, c_HN: B̄ and C, complex.
    """
    a_2N = torch.stack([keep_N, pull_N])
    y_BTH: Tensor = SharedStates.apply(u_BTH, a_2N, parts(b_NH), parts(c_HN.conj()), d_H, True)
    return y_BTH


def parts(z: Tensor) -> Tensor:
    """Return the real and the imaginary part, (2, …)."""
    return torch.stack([z.real, z.imag])


class SharedStates(torch.autograd.Function):
    """Maps u (B, T, H), Λ̄ (2, N), B̄ (2, N, H), conjugate C (2, H, N) and D (H) to y (B, T, H).

    C's conjugate, since Re(C x) = Re C Re x − Im C Im x. The last argument says that Λ̄ is S and K of oscillators.
    """

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, u_BTH: Tensor, a_2N: Tensor, b_2NH: Tensor, c_2HN: Tensor, d_H: Tensor, oscillate: bool
    ) -> Tensor:
        u_BTH, (batch, steps, channels) = u_BTH.contiguous(), u_BTH.shape
        a_2P = pad(a_2N, (0, -a_2N.shape[1] % WIDTH))
        tiles = -(-steps // LANES)
        x_BR2P = u_BTH.new_empty(batch, EARLIER + tiles * LANES, a_2P.numel())
        slope_BKHL = u_BTH.new_empty(batch, tiles, channels, LANES)
        y_BTH = torch.empty_like(u_BTH)
        weights, oscillates = (b_2NH.mT.contiguous(), c_2HN.mT.contiguous(), d_H.contiguous()), torch.tensor(oscillate)
        run(states_forward, u_BTH, a_2P, *weights, x_BR2P, slope_BKHL, oscillates, y_BTH)
        kept = x_BR2P, slope_BKHL, oscillates
        ctx.save_for_backward(u_BTH, a_2P, b_2NH.contiguous(), c_2HN.contiguous(), d_H, *kept)
        return y_BTH

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTH: Tensor) -> tuple[Tensor | None, ...]:
        u_BTH, a_2P, b_2NH, _, d_H, *_ = ctx.saved_tensors
        channels, states, parts = u_BTH.shape[2], b_2NH.shape[1], a_2P.numel()
        groups = groups_of_sequences(u_BTH)
        sums = sums_of(groups, parts, channels, u_BTH), sums_of(groups, channels, parts, u_BTH)
        grad_a, grad_d = a_2P.new_zeros(groups, *a_2P.shape), d_H.new_zeros(groups, channels, WIDTH)
        grad_u = torch.empty_like(u_BTH)
        run(states_backward, *sums, grad_a, grad_d, *ctx.saved_tensors, grad_y_BTH.contiguous(), grad_u, share=1)
        grad_b = untiled(sums[0], parts, channels).unflatten(0, (2, -1))[:, :states]
        grad_c = untiled(sums[1], channels, parts).unflatten(1, (2, -1)).transpose(0, 1)[..., :states]
        return grad_u, grad_a.sum(0)[:, :states], grad_b, grad_c, grad_d.sum((0, 2)), None


@tile
def advance(code: Code, x: Any, a: Any, parts: Any) -> None:
    """Turn the drives of a tile's steps into the states. The first row of x, (L + 1, 2P), is the state before them."""
    size = code.builder.udiv(parts, index(2))

    def some(n: Any) -> None:
        decay = code.load_pair(a, n, size)

        def step(t: Any, before: list[Any]) -> list[Any]:
            here = code.at(x, (code.plus(t, 1), parts))
            now = code.complex_fma(decay, before, code.load_pair(here, n, size))
            code.store_pair(now, here, n, size)
            return now

        code.loop(LANES, code.load_pair(x, n, size), step)

    code.every(size, WIDTH, some)


@tile
def retreat(code: Code, g: Any, x: Any, to_x: Any, a: Any, to_a: Any, parts: Any) -> None:
    """Run the adjoint. g, (L, 2P), the gradients of the states through y, become those of the drives.

    Args:
        x: the states from the one before the tile on, (L + 1, 2P).
        to_x: what reaches the tile's last state from later ones. It becomes what reaches the one before the tile.
        to_a: Λ̄'s gradient, which is added to.
    """
    size = code.builder.udiv(parts, index(2))

    def some(n: Any) -> None:
        decay = code.load_pair(a, n, size)
        conjugate = [decay[0], code.negative(decay[1])]

        def step(done: Any, carried: list[Any]) -> list[Any]:
            here = code.minus(index(LANES - 1), done), parts
            now = code.add(code.load_pair(code.at(g, here), n, size), carried[:2])
            code.store_pair(now, code.at(g, here), n, size)
            re, im = code.load_pair(code.at(x, here), n, size)
            to_decay = code.complex_fma([re, code.negative(im)], now, carried[2:])
            return [*code.complex_fma(conjugate, now, [ZERO, ZERO]), *to_decay]

        carried = code.loop(LANES, [*code.load_pair(to_x, n, size), *code.load_pair(to_a, n, size)], step)
        code.store_pair(carried[:2], to_x, n, size)
        code.store_pair(carried[2:], to_a, n, size)

    code.every(size, WIDTH, some)


def of_both_parts(code: Code, sums: list[Any], m: Any, x: Any, states: Any, size: Any, channels: Any) -> list[Any]:
    """Return sums + Mᵀ x over the real and then the imaginary parts, from M (2, N, H) and x (2P, L)."""
    sums = code.product(sums, (m, channels), (x, LANES), states)
    return code.product(sums, (code.at(m, (states, channels)), channels), (code.at(x, (size, LANES)), LANES), states)


@tile
def read_out(
    code: Code, y: Any, slope: Any, x: Any, u: Any, c: Any, d: Any, states: Any, size: Any, channels: Any
) -> None:
    """y (H, L) = GELU(Re(C x) + D u), and GELU's slope, from x (2P, L) and C (2, N, H)."""

    def some(first: Any, n: int) -> None:
        sums = of_both_parts(code, [ZERO] * (n * VECTORS), code.at(c, first), x, states, size, channels)
        weights, given = code.spread_rows(code.at(d, first), n), code.load_rows(code.at(u, (first, LANES)), LANES, n)
        both = [code.gelu(code.fma(*three)) for three in zip(weights, given, sums, strict=True)]
        code.store_rows([value for value, _ in both], code.at(y, (first, LANES)), LANES)
        code.store_rows([steep for _, steep in both], code.at(slope, (first, LANES)), LANES)

    code.in_tiles(channels, OUTPUTS, some)


@tile
def through_gelu(code: Code, grad: Any, slope: Any, u: Any, to_d: Any, channels: Any) -> None:
    """Multiply grad (H, L) by GELU's slope, and add its products with u to D's gradient, (H, WIDTH)."""

    def some(j: Any) -> None:
        here, steep, given = (code.load_rows(code.at(p, (j, LANES)), 0, 1) for p in (grad, slope, u))
        here = [code.product_of(*pair) for pair in zip(here, steep, strict=True)]
        code.store_rows(here, code.at(grad, (j, LANES)), 0)
        code.add_products(here, given, code.at(to_d, (j, WIDTH)))

    code.every(channels, 1, some)


@tile
def to_input(code: Code, to_u: Any, g: Any, to_v: Any, b: Any, d: Any, states: Any, size: Any, channels: Any) -> None:
    """to_u (H, L) = Re(B̄ᴴ g) + D to_v, from g (2P, L), to_v (H, L) and B̄ (2, N, H)."""

    def some(first: Any, n: int) -> None:
        rows = code.load_rows(code.at(to_v, (first, LANES)), LANES, n)
        sums = [code.product_of(*pair) for pair in zip(code.spread_rows(code.at(d, first), n), rows, strict=True)]
        sums = of_both_parts(code, sums, code.at(b, first), g, states, size, channels)
        code.store_rows(sums, code.at(to_u, (first, LANES)), LANES)

    code.in_tiles(channels, OUTPUTS, some)


@kernel
def states_forward(
    first: int,
    last: int,
    u: Any,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    x: Any,
    slope: Any,
    oscillates: Any,
    y: Any,
) -> None:
    channels, states, size = u.shape[2], b.shape[2], a.shape[1]
    now, out = np.empty((channels, LANES), FLOAT), np.empty((channels, LANES), FLOAT)
    lanes = np.zeros((2, size, LANES), FLOAT)
    for i in range(first, last):
        v = np.zeros((2, size), FLOAT)
        x[i, :EARLIER] = FLOAT(0)
        for k in range(slope.shape[1]):
            t = k * LANES
            gather(u[i], t, now)
            layer(lanes[0], b[0], now, channels, states)
            layer(lanes[1], b[1], now, channels, states)
            to_rows(x[i], lanes, t + EARLIER, 2 * size)
            if oscillates.item():
                oscillators.advance(x[i, t + EARLIER - 1 :], v, a, 2 * size)
            else:
                advance(x[i, t + EARLIER - 1 :], a, 2 * size)
            to_lanes(lanes, x[i], t + EARLIER, 2 * size)
            read_out(out, slope[i, k], lanes, now, c, d, states, size, channels)
            scatter(out, t, y[i])


@kernel
def states_backward(
    first: int,
    last: int,
    sums_b: Any,
    sums_c: Any,
    grad_a: Any,
    grad_d: Any,
    u: Any,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    x: Any,
    slope: Any,
    oscillates: Any,
    grad_y: Any,
    grad_u: Any,
) -> None:
    (batch, steps, channels), states, (_, size) = u.shape, b.shape[1], a.shape
    together, room = sequences_of_group(steps), COLUMNS * sums_b.shape[2]
    parts, tiles = 2 * size, slope.shape[1]
    now, to_y = np.zeros((TILES, room, LANES), FLOAT), np.zeros((TILES, room, LANES), FLOAT)
    g, after = np.zeros((TILES, 2, size, LANES), FLOAT), np.empty((TILES, parts, LANES), FLOAT)
    rows, to_u = np.empty((LANES, parts), FLOAT), np.empty((channels, LANES), FLOAT)
    for group in range(first, last):
        s = 0
        for i in range(group * together, min((group + 1) * together, batch)):
            to_x, to_v = np.zeros((2, size), FLOAT), np.zeros((2, size), FLOAT)
            for k in range(tiles - 1, -1, -1):
                t = k * LANES
                gather(u[i], t, now[s])
                gather(grad_y[i], t, to_y[s])
                through_gelu(to_y[s], slope[i, k], now[s], grad_d[group], channels)
                layer(g[s, 0], c[0], to_y[s], channels, states)
                layer(g[s, 1], c[1], to_y[s], channels, states)
                to_rows(rows, g[s], 0, parts)
                before = x[i, t + EARLIER - 1 :]
                if oscillates.item():
                    oscillators.retreat(rows, before, to_x, to_v, a, grad_a[group], parts)
                else:
                    retreat(rows, before, to_x, a, grad_a[group], parts)
                to_lanes(g[s], rows, 0, parts)
                to_lanes(after[s], x[i], t + EARLIER, parts)
                to_input(to_u, g[s], to_y[s], b, d, states, size, channels)
                scatter(to_u, t, grad_u[i])
                s += 1
                if s == TILES or (k == 0 and i == min((group + 1) * together, batch) - 1):
                    weight_sums(sums_b[group], g, now, s)
                    weight_sums(sums_c[group], to_y, after, s)
                    s = 0
