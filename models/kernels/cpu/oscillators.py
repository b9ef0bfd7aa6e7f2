"""LinOSS's oscillators on a CPU, compiled: a pass over time by itself, and tiles for one inside the whole layer
(shared_states.py). The equations are those of models/linoss.py.

    v_t = a ⊙ v_{t−1} − k ⊙ x_{t−1} + b_t,    x_t = x_{t−1} + v_t

Only x is stored. The reverse pass takes v_t = x_t − x_{t−1} from it.

Shapes: B batch, T time, N oscillators, L steps of a tile, P oscillators whose real and imaginary parts lie side by
side. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.vector import LANES, WIDTH, Code, index, tile


class Oscillators(torch.autograd.Function):
    """Maps b (B, T, N), a (N) and k (N) to x (B, T, N), from v = x = 0."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, b_BTN: Tensor, a_N: Tensor, k_N: Tensor) -> Tensor:
        b_BTN, a_N, k_N = b_BTN.contiguous(), a_N.contiguous(), k_N.contiguous()
        x_BTN = torch.empty_like(b_BTN)
        run(oscillate_forward, b_BTN, a_N, k_N, x_BTN)
        ctx.save_for_backward(x_BTN, a_N, k_N)
        return x_BTN

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_x_BTN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_BTN, a_N, _ = ctx.saved_tensors
        grad_b, grad_a = torch.empty_like(x_BTN), a_N.new_zeros(len(x_BTN), len(a_N))
        grad_k = torch.zeros_like(grad_a)
        run(oscillate_backward, *ctx.saved_tensors, grad_x_BTN.contiguous(), grad_b, grad_a, grad_k)
        return grad_b, grad_a.sum(0), grad_k.sum(0)


@kernel
def oscillate_forward(first: int, last: int, b: Any, a: Any, k: Any, x: Any) -> None:
    start, v = np.zeros(len(a), FLOAT), np.empty(len(a), FLOAT)
    for i in range(first, last):
        v[:] = FLOAT(0)
        for t in range(b.shape[1]):
            before, now = x[i, t - 1] if t else start, x[i, t]
            for n in range(len(v)):
                v[n] = a[n] * v[n] - k[n] * before[n] + b[i, t, n]
                now[n] = before[n] + v[n]


@kernel
def oscillate_backward(
    first: int, last: int, x: Any, a: Any, k: Any, grad_x: Any, grad_b: Any, grad_a: Any, grad_k: Any
) -> None:
    start, to_v, to_x = np.zeros(len(a), FLOAT), np.empty(len(a), FLOAT), np.empty(len(a), FLOAT)
    for i in range(first, last):
        to_v[:] = FLOAT(0)
        to_x[:] = FLOAT(0)
        for t in range(x.shape[1] - 1, -1, -1):
            before, earlier = x[i, t - 1] if t else start, x[i, t - 2] if t > 1 else start
            for n in range(len(to_v)):
                # x_t reaches the loss itself, through x_{t+1} and through v_{t+1}; v_t through x_t and v_{t+1}.
                to_x[n] += grad_x[i, t, n] - k[n] * to_v[n]
                to_v[n] = to_x[n] + a[n] * to_v[n]
                grad_b[i, t, n] = to_v[n]
                grad_a[i, n] += to_v[n] * (before[n] - earlier[n])
                grad_k[i, n] -= to_v[n] * before[n]


@tile
def advance(code: Code, x: Any, v: Any, a: Any, parts: Any) -> None:
    """Turn the drives of a tile's steps into x. The first row of x, (L + 1, 2P), is x before them.

    Args:
        v: the velocities, (2P,), before the tile, which become those after it.
        a: a and k, (2, P).
    """
    size = code.builder.udiv(parts, index(2))

    def some(n: Any) -> None:
        keep, pull = code.load_pair(a, n, size)

        def step(t: Any, before: list[Any]) -> list[Any]:
            here = code.at(x, (code.plus(t, 1), parts))
            driven = code.add_to_each(code.load_pair(here, n, size), before[2:], code.negative(pull))
            v_now = code.add_to_each(driven, before[:2], keep)
            x_now = code.add(before[2:], v_now)
            code.store_pair(x_now, here, n, size)
            return [*v_now, *x_now]

        after = code.loop(LANES, [*code.load_pair(v, n, size), *code.load_pair(x, n, size)], step)
        code.store_pair(after[:2], v, n, size)

    code.every(size, WIDTH, some)


@tile
def retreat(code: Code, g: Any, x: Any, to_x: Any, to_v: Any, a: Any, to_a: Any, parts: Any) -> None:
    """Run the adjoint. g, (L, 2P), the gradients of x from outside, become those of the drives.

    Args:
        x: from the state before the tile on, (L + 1, 2P), with the one before that in front.
        to_x, to_v: what reaches the tile's last x and v from later steps, (2P,). They become those of the last before
            the tile.
        to_a: the gradients of a and k, (2, P), which are added to.
    """
    size = code.builder.udiv(parts, index(2))

    def some(n: Any) -> None:
        keep, pull = code.load_pair(a, n, size)

        def step(done: Any, carried: list[Any]) -> list[Any]:
            here = code.minus(index(LANES - 1), done), parts
            before = code.load_pair(code.at(x, here), n, size)
            earlier = code.load_pair(code.at(x, here, (-1, parts)), n, size)
            outside = code.add(code.load_pair(code.at(g, here), n, size), carried[:2])
            from_x = code.add_to_each(outside, carried[2:4], code.negative(pull))
            from_v = code.add_to_each(from_x, carried[2:4], keep)
            code.store_pair(from_v, code.at(g, here), n, size)
            v = [code.difference(*pair) for pair in zip(before, earlier, strict=True)]
            to_keep = code.add_up(from_v, v, carried[4])
            to_pull = code.add_up([code.negative(each) for each in from_v], before, carried[5])
            return [*from_x, *from_v, to_keep, to_pull]

        start = [vectors for place in (to_x, to_v, to_a) for vectors in code.load_pair(place, n, size)]
        after = code.loop(LANES, start, step)
        for place, pair in zip((to_x, to_v, to_a), (after[:2], after[2:4], after[4:]), strict=True):
            code.store_pair(pair, place, n, size)

    code.every(size, WIDTH, some)
