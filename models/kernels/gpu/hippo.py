"""HiPPO-LegS's loop over time on a GPU, by Triton kernels. The equations are those of models/hippo.py.

A program takes one sequence through all steps, with the gates' matrices in registers. models/kernels/cpu/hippo.py
solves the memory's triangular system row by row. Here the sum left of the diagonal is a scan over the order: with
α = 1/2k, v = c + α B u and p_n = 1 + α (n + 1),

    y_n = (v_n − α B_n S_n) / p_n,    S_{n+1} = S_n + B_n y_n = (1 − α n) / p_n S_n + B_n v_n / p_n,    c ← 2 y − c

Going back, from the last row, it is the same with τ in place of S:

    w_n = (2 g_n + B_n τ_n) / p_n,    τ_{n−1} = τ_n − α B_n w_n,    g ← w − g

Shapes: B batch, T time, H hidden, N order, K = 2H + 1: gate, candidate and u side by side. float32 only.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import FUSED, launch, matrix, tanh
from models.kernels.gpu.scan import merge


@triton.jit
def loop_forward(
    x_BTK, w_N2H, from_h_H, b_N, gates_BT2H, h_BTH, c_BTN, T, H, N, CAP,
    UNITS: tl.constexpr, ORDER: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute h and c of every step, from zeros, and the gates' values."""
    row, k, n = tl.program_id(0).to(tl.int64) * T, tl.arange(0, UNITS), tl.arange(0, ORDER)
    in_H, in_N = k < H, n < N
    to_g, to_new = matrix(w_N2H, 2 * H, 1, N, H, n, k), matrix(w_N2H + H, 2 * H, 1, N, H, n, k)
    from_h, b = tl.load(from_h_H + k, in_H, 0.0), tl.load(b_N + n, in_N, 0.0)
    h, c = tl.full([UNITS], 0.0, tl.float32), tl.full([ORDER], 0.0, tl.float32)
    for t in tl.range(T, num_stages=STAGES):
        x, two = (row + t) * (2 * H + 1) + k, (row + t) * 2 * H + k
        # The memory: `merge` composes S ← a S + b over the rows in log₂ N rounds. The scan ends at S_{n+1}, and row n
        # needs S_n: its left neighbour's.
        u = tl.load(x_BTK + (row + t) * (2 * H + 1) + 2 * H) + tl.sum(from_h * h, 0)
        alpha = 0.5 / tl.cast(tl.minimum(tl.maximum(t, 1), CAP), tl.float32)
        pivot, v = 1 + alpha * (n + 1), c + alpha * b * u
        _, sums = tl.associative_scan(((1 - alpha * n) / pivot, b * v / pivot), 0, merge)
        left = tl.where(n > 0, tl.gather(sums, tl.maximum(n - 1, 0), 0), 0.0)
        later = 2 * (v - alpha * b * left) / pivot - c
        c = tl.where(t > 0, later, tl.where(n == 0, u, 0.0))
        g = tl.sigmoid(tl.load(x_BTK + x, in_H, 0.0) + tl.sum(to_g * c[:, None], 0))
        new = tanh(tl.load(x_BTK + x + H, in_H, 0.0) + tl.sum(to_new * c[:, None], 0))
        h += g * (new - h)
        tl.store(gates_BT2H + two, g, in_H)
        tl.store(gates_BT2H + two + H, new, in_H)
        tl.store(h_BTH + (row + t) * H + k, h, in_H)
        tl.store(c_BTN + (row + t) * N + n, c, in_N)


@triton.jit
def loop_backward(
    grad_BTH, gates_BT2H, h_BTH, w_N2H, from_h_H, b_N, dx_BTK, T, H, N, CAP,
    UNITS: tl.constexpr, ORDER: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of the drive. The order is reversed, so that the scan goes the usual way."""
    # The same tiles, transposed, with the memory's rows reversed: n counts down where `place` counts up.
    row, k, place = tl.program_id(0).to(tl.int64) * T, tl.arange(0, UNITS), tl.arange(0, ORDER)
    n = ORDER - 1 - place
    in_H = k < H
    from_g, from_new = matrix(w_N2H, 1, 2 * H, H, N, k, n), matrix(w_N2H + H, 1, 2 * H, H, N, k, n)
    from_h, b = tl.load(from_h_H + k, in_H, 0.0), tl.load(b_N + n, n < N, 0.0)
    gh, gc = tl.full([UNITS], 0.0, tl.float32), tl.full([ORDER], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        t = T - 1 - passed
        x, two, here = (row + t) * (2 * H + 1) + k, (row + t) * 2 * H + k, (row + t) * H + k
        g, new = tl.load(gates_BT2H + two, in_H, 0.0), tl.load(gates_BT2H + two + H, in_H, 0.0)
        h = tl.load(h_BTH + here - H, in_H & (t * H + k >= H), 0.0)
        # In reverse order: through h's relaxation to the gates, to the memory, through its system to u, and to h.
        gh += tl.load(grad_BTH + here, in_H, 0.0)
        dg, dnew = gh * (new - h) * g * (1 - g), gh * g * (1 - new * new)
        gc += tl.sum(from_g * dg[:, None] + from_new * dnew[:, None], 0)
        alpha = 0.5 / tl.cast(tl.minimum(tl.maximum(t, 1), CAP), tl.float32)
        pivot = 1 + alpha * (n + 1)
        _, sums = tl.associative_scan(((1 - alpha * n) / pivot, -2 * alpha * b * gc / pivot), 0, merge)
        right = tl.where(place > 0, tl.gather(sums, tl.maximum(place - 1, 0), 0), 0.0)
        w = (2 * gc + b * right) / pivot
        du = tl.sum(tl.where(t > 0, alpha * b * w, tl.where(n == 0, gc, 0.0)), 0)
        gc = w - gc
        gh = (1 - g) * gh + du * from_h
        tl.store(dx_BTK + x, dg, in_H)
        tl.store(dx_BTK + x + H, dnew, in_H)
        tl.store(dx_BTK + (row + t) * (2 * H + 1) + 2 * H, du)


@torch.library.custom_op("hippo::loop", mutates_args=())
def hippo_loop(x_BTK: Tensor, w_N2H: Tensor, from_h_1H: Tensor, b_N: Tensor, cap: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return h (B, T, H), c (B, T, N) and the gates' values (B, T, 2H), from states at zero.

    Args:
        x_BTK: the drive of gate, candidate and u.
        w_N2H: what of W_g and W_h reads c, side by side.
        from_h_1H: what of W_u reads h.
        b_N: B.
        cap: the step from which on the time stands still.
    """
    B, T, H, N = *x_BTK.shape[:2], from_h_1H.shape[1], len(b_N)
    h_BTH, c_BTN, gates_BT2H = x_BTK.new_empty(B, T, H), x_BTK.new_empty(B, T, N), x_BTK.new_empty(B, T, 2 * H)
    given = (x.contiguous() for x in (x_BTK, w_N2H, from_h_1H, b_N))
    launch(loop_forward, (B,), *given, gates_BT2H, h_BTH, c_BTN, T, H, N, cap, **resources(H, N))
    return h_BTH, c_BTN, gates_BT2H


@torch.library.custom_op("hippo::loop_backward", mutates_args=())
def backward(
    grad_BTH: Tensor,
    h_BTH: Tensor,
    c_BTN: Tensor,
    gates_BT2H: Tensor,
    w_N2H: Tensor,
    from_h_1H: Tensor,
    b_N: Tensor,
    cap: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the drive, of what reads c and of what reads h."""
    (B, T, H), N = h_BTH.shape, len(b_N)
    dx_BTK = h_BTH.new_empty(B, T, 2 * H + 1)
    given = (x.contiguous() for x in (grad_BTH, gates_BT2H, h_BTH, w_N2H, from_h_1H, b_N))
    launch(loop_backward, (B,), *given, dx_BTK, T, H, N, cap, **resources(H, N))
    to_gates, to_u = dx_BTK.tensor_split((2 * H,), dim=2)
    dw_N2H = c_BTN.flatten(0, 1).T @ to_gates.flatten(0, 1)
    return dx_BTK, dw_N2H, to_u[:, 1:].flatten(0, 1).T @ h_BTH[:, :-1].flatten(0, 1)


def resources(H: int, N: int) -> dict[str, Any]:
    """Return what is fixed when the kernels are compiled for H units and N coefficients."""
    units, order = triton.next_power_of_2(H), triton.next_power_of_2(N)
    warps = min(16, max(4, units * order // 256))
    return {"UNITS": units, "ORDER": order, "STAGES": 2, "num_warps": warps, **FUSED}


# Register the operators' shapes and gradients with torch.


@hippo_loop.register_fake
def _(x_BTK, w_N2H, from_h_1H, b_N, cap):
    sizes = (from_h_1H.shape[1], len(b_N), w_N2H.shape[1])
    return tuple(x_BTK.new_empty(*x_BTK.shape[:2], size) for size in sizes)


@backward.register_fake
def _(grad_BTH, h_BTH, c_BTN, gates_BT2H, w_N2H, from_h_1H, b_N, cap):
    B, T, H = h_BTH.shape
    return h_BTH.new_empty(B, T, 2 * H + 1), w_N2H.new_empty(w_N2H.shape), from_h_1H.new_empty(from_h_1H.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, w_N2H, from_h_1H, b_N, ctx.cap = inputs
    ctx.save_for_backward(*output, w_N2H, from_h_1H, b_N)


def _pull(ctx: Any, grad_BTH: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *backward(grad_BTH, *ctx.saved_tensors, ctx.cap), None, None


hippo_loop.register_autograd(_pull, setup_context=_save)
