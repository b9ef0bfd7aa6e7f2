"""HiPPO-LegS's loop over time on a GPU, by Triton kernels. The equations are those of models/hippo.py.

A program takes one sequence through all steps, with the gates' matrices in registers. models/kernels/cpu/hippo.py
solves the memory's triangular system row by row. Here the sum left of the diagonal is a scan over the order: with
α = 1/2t, v = c + α B f and p_n = 1 + α (n + 1),

    y_n = (v_n − α B_n S_n) / p_n,    S_{n+1} = S_n + B_n y_n = (1 − α n) / p_n S_n + B_n v_n / p_n,    c ← 2 y − c

Going back, from the last row, it is the same with τ in place of S:

    w_n = (2 g_n + B_n τ_n) / p_n,    τ_{n−1} = τ_n − α B_n w_n,    g ← w − g

Shapes: B batch, T time, H hidden, N order. float32 only.
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
    x_BT2H, w_K2H, to_f_H, bias_f, b_N, gates_BT2H, h_BTH, c_BTN, T, H, N,
    UNITS: tl.constexpr, ORDER: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute h and c of every step, from zeros, and the gates' values."""
    # W_g and W_h are cut into four tiles, from h and from c to either gate, so that a sum over rows leaves each gate's
    # product without moving h and c into one vector.
    row, k, n = tl.program_id(0).to(tl.int64) * T, tl.arange(0, UNITS), tl.arange(0, ORDER)
    in_H, in_N = k < H, n < N
    h_to_g, h_to_new = matrix(w_K2H, 2 * H, 1, H, H, k, k), matrix(w_K2H + H, 2 * H, 1, H, H, k, k)
    w_N2H = w_K2H + 2 * H * H
    c_to_g, c_to_new = matrix(w_N2H, 2 * H, 1, N, H, n, k), matrix(w_N2H + H, 2 * H, 1, N, H, n, k)
    to_f, b, f_0 = tl.load(to_f_H + k, in_H, 0.0), tl.load(b_N + n, in_N, 0.0), tl.load(bias_f)
    h, c = tl.full([UNITS], 0.0, tl.float32), tl.full([ORDER], 0.0, tl.float32)
    for t in tl.range(T, num_stages=STAGES):
        two = (row + t) * 2 * H + k
        from_h, from_c = tl.sum(h_to_g * h[:, None], 0), tl.sum(c_to_g * c[:, None], 0)
        g = tl.sigmoid(tl.load(x_BT2H + two, in_H, 0.0) + from_h + from_c)
        from_h, from_c = tl.sum(h_to_new * h[:, None], 0), tl.sum(c_to_new * c[:, None], 0)
        new = tanh(tl.load(x_BT2H + two + H, in_H, 0.0) + from_h + from_c)
        h += g * (new - h)
        # The memory: `merge` composes S ← a S + b over the rows in log₂ N rounds. The scan ends at S_{n+1}, and row n
        # needs S_n: its left neighbour's.
        f = f_0 + tl.sum(to_f * h, 0)
        alpha = 0.5 / tl.cast(t + 1, tl.float32)
        pivot, v = 1 + alpha * (n + 1), c + alpha * b * f
        _, sums = tl.associative_scan(((1 - alpha * n) / pivot, b * v / pivot), 0, merge)
        left = tl.where(n > 0, tl.gather(sums, tl.maximum(n - 1, 0), 0), 0.0)
        c = 2 * (v - alpha * b * left) / pivot - c
        tl.store(gates_BT2H + two, g, in_H)
        tl.store(gates_BT2H + two + H, new, in_H)
        tl.store(h_BTH + (row + t) * H + k, h, in_H)
        tl.store(c_BTN + (row + t) * N + n, c, in_N)


@triton.jit
def loop_backward(
    grad_BTH, gates_BT2H, h_BTH, w_K2H, to_f_H, b_N, dx_BT2H, df_BT, T, H, N,
    UNITS: tl.constexpr, ORDER: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the drive and of f. The order is reversed, so that the scan goes the usual way."""
    # The same four tiles, transposed, with the memory's rows reversed: n counts down where `place` counts up.
    row, k, place = tl.program_id(0).to(tl.int64) * T, tl.arange(0, UNITS), tl.arange(0, ORDER)
    n = ORDER - 1 - place
    in_H = k < H
    g_to_h, new_to_h = matrix(w_K2H, 1, 2 * H, H, H, k, k), matrix(w_K2H + H, 1, 2 * H, H, H, k, k)
    w_N2H = w_K2H + 2 * H * H
    g_to_c, new_to_c = matrix(w_N2H, 1, 2 * H, H, N, k, n), matrix(w_N2H + H, 1, 2 * H, H, N, k, n)
    to_f, b = tl.load(to_f_H + k, in_H, 0.0), tl.load(b_N + n, n < N, 0.0)
    gh, gc = tl.full([UNITS], 0.0, tl.float32), tl.full([ORDER], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        t = T - 1 - passed
        two, here = (row + t) * 2 * H + k, (row + t) * H + k
        g, new = tl.load(gates_BT2H + two, in_H, 0.0), tl.load(gates_BT2H + two + H, in_H, 0.0)
        h = tl.load(h_BTH + here - H, in_H & (t * H + k >= H), 0.0)
        # In reverse order: through the memory's system, through f to h, then through h's relaxation to the gates.
        alpha = 0.5 / tl.cast(t + 1, tl.float32)
        pivot = 1 + alpha * (n + 1)
        _, sums = tl.associative_scan(((1 - alpha * n) / pivot, -2 * alpha * b * gc / pivot), 0, merge)
        right = tl.where(place > 0, tl.gather(sums, tl.maximum(place - 1, 0), 0), 0.0)
        w = (2 * gc + b * right) / pivot
        gc, df = w - gc, alpha * tl.sum(b * w, 0)
        gh += tl.load(grad_BTH + here, in_H, 0.0) + df * to_f
        dg, dnew = gh * (new - h) * g * (1 - g), gh * g * (1 - new * new)
        tl.store(df_BT + row + t, df)
        tl.store(dx_BT2H + two, dg, in_H)
        tl.store(dx_BT2H + two + H, dnew, in_H)
        gh = (1 - g) * gh + tl.sum(g_to_h * dg[:, None] + new_to_h * dnew[:, None], 0)
        gc += tl.sum(g_to_c * dg[:, None] + new_to_c * dnew[:, None], 0)


@torch.library.custom_op("hippo::loop", mutates_args=())
def hippo_loop(
    x_BT2H: Tensor, w_K2H: Tensor, to_f_H: Tensor, bias_f: Tensor, b_N: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return h (B, T, H), c (B, T, N) and the gates' values (B, T, 2H), from states at zero.

    Args:
        x_BT2H: the drive of both gates.
        w_K2H: W_g and W_h side by side, their H rows for h above their N rows for c.
        to_f_H, bias_f, b_N: L_f, b_f (1) and B.
    """
    B, T, H, N = *x_BT2H.shape[:2], len(to_f_H), len(b_N)
    h_BTH, c_BTN, gates_BT2H = x_BT2H.new_empty(B, T, H), x_BT2H.new_empty(B, T, N), x_BT2H.new_empty(B, T, 2 * H)
    given = (x.contiguous() for x in (x_BT2H, w_K2H, to_f_H, bias_f, b_N))
    launch(loop_forward, (B,), *given, gates_BT2H, h_BTH, c_BTN, T, H, N, **resources(H, N))
    return h_BTH, c_BTN, gates_BT2H


@torch.library.custom_op("hippo::loop_backward", mutates_args=())
def backward(
    grad_BTH: Tensor, h_BTH: Tensor, c_BTN: Tensor, gates_BT2H: Tensor, w_K2H: Tensor, to_f_H: Tensor, b_N: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of the drive, W_g and W_h, L_f and b_f."""
    (B, T, H), N = h_BTH.shape, len(b_N)
    dx_BT2H, df_BT = torch.empty_like(gates_BT2H), h_BTH.new_empty(B, T)
    given = (x.contiguous() for x in (grad_BTH, gates_BT2H, h_BTH, w_K2H, to_f_H, b_N))
    launch(loop_backward, (B,), *given, dx_BT2H, df_BT, T, H, N, **resources(H, N))
    later = dx_BT2H[:, 1:].flatten(0, 1)
    dw_K2H = torch.cat([state[:, :-1].flatten(0, 1).T @ later for state in (h_BTH, c_BTN)])
    return dx_BT2H, dw_K2H, h_BTH.flatten(0, 1).T @ df_BT.flatten(), df_BT.sum().reshape(1)


def resources(H: int, N: int) -> dict[str, Any]:
    """Return what is fixed when the kernels are compiled for H units and N coefficients."""
    units, order = triton.next_power_of_2(H), triton.next_power_of_2(N)
    warps = min(16, max(4, 2 * units * (units + order) // 1024))
    return {"UNITS": units, "ORDER": order, "STAGES": 3, "num_warps": warps, **FUSED}


# Register the operators' shapes and gradients with torch.


@hippo_loop.register_fake
def _(x_BT2H, w_K2H, to_f_H, bias_f, b_N):
    sizes = (len(to_f_H), len(b_N), x_BT2H.shape[2])
    return tuple(x_BT2H.new_empty(*x_BT2H.shape[:2], size) for size in sizes)


@backward.register_fake
def _(grad_BTH, h_BTH, c_BTN, gates_BT2H, w_K2H, to_f_H, b_N):
    given = (gates_BT2H, w_K2H, to_f_H)
    return *(tensor.new_empty(tensor.shape) for tensor in given), to_f_H.new_empty(1)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, w_K2H, to_f_H, _, b_N = inputs
    ctx.save_for_backward(*output, w_K2H, to_f_H, b_N)


def _pull(ctx: Any, grad_BTH: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *backward(grad_BTH, *ctx.saved_tensors), None


hippo_loop.register_autograd(_pull, setup_context=_save)
