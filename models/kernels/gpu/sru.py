"""The SRU's statistics on a GPU, by Triton kernels. Two of the equations in models/sru.py wait for one another:

    r_t = σ(W_r μ_{t−1} + b_r),    φ_t = σ(z_t + W_h r_t)

They see μ only through W_r. So the kernels carry p[α] = W_r[α] μ[α], R numbers a decay, instead of μ:
p_t[α] = α p_{t−1}[α] + (1 − α) W_r[α] φ_t, and W_r μ is Σ_α p[α]. A program takes one sequence through all steps, with
both matrices in registers. μ itself is a linear scan of φ.

Shapes: B batch, T time, k decays, S statistics, R recurrent features. float32 only.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import FUSED, launch, relu

NUMBERS = 8_192
"""The largest tile of W_r, in numbers, that stays in registers."""


@triton.jit
def both(to_r_kRS, to_phi_RS, decay_k, f, j, i, k, R, S):
    """Load the matrices' tiles, W_r times 1 − α, and the decays, a column."""
    in_RS = (j < R)[:, None] & (i < S)[None, :]
    to_phi = tl.load(to_phi_RS + j[:, None] * S + i[None, :], in_RS, 0.0)
    decay = tl.load(decay_k + f, f < k, 0.0)
    tile = (f[:, None, None] * R + j[None, :, None]) * S + i[None, None, :]
    to_r = tl.load(to_r_kRS + tile, (f < k)[:, None, None] & in_RS[None, :, :], 0.0)
    return to_r * (1 - decay)[:, None, None], to_phi, decay[:, None]


@triton.jit
def statistics_forward(
    z_BTS, to_r_kRS, bias_R, to_phi_RS, decay_k, phi_BTS, r_BTR, T, k, R, S,
    DECAYS: tl.constexpr, RECURRENT: tl.constexpr, STATS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * T
    f, j, i = tl.arange(0, DECAYS), tl.arange(0, RECURRENT), tl.arange(0, STATS)
    to_r, to_phi, decay = both(to_r_kRS, to_phi_RS, decay_k, f, j, i, k, R, S)
    bias = tl.load(bias_R + j, j < R, 0.0)
    # p stays in registers. A step's two products wait for one another, W_r φ for W_h r. z is loaded ahead.
    p = tl.full([DECAYS, RECURRENT], 0.0, tl.float32)
    for t in tl.range(T, num_stages=STAGES):
        r = relu(bias + tl.sum(p, 0))
        z = tl.load(z_BTS + (row + t) * S + i, i < S, 0.0)
        phi = relu(z + tl.sum(to_phi * r[:, None], 0))
        p = decay * p + tl.sum(to_r * phi[None, None, :], 2)
        tl.store(r_BTR + (row + t) * R + j, r, j < R)
        tl.store(phi_BTS + (row + t) * S + i, phi, i < S)


@triton.jit
def statistics_backward(
    g_BTS, phi_BTS, r_BTR, to_r_kRS, to_phi_RS, decay_k, dz_BTS, dr_BTR, dp_BTkR, T, k, R, S,
    DECAYS: tl.constexpr, RECURRENT: tl.constexpr, STATS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of z_t, of what σ makes r_t of, and of p_t."""
    row = tl.program_id(0).to(tl.int64) * T
    f, j, i = tl.arange(0, DECAYS), tl.arange(0, RECURRENT), tl.arange(0, STATS)
    to_r, to_phi, decay = both(to_r_kRS, to_phi_RS, decay_k, f, j, i, k, R, S)
    in_kR = (f < k)[:, None] & (j < R)[None, :]
    dp = tl.full([DECAYS, RECURRENT], 0.0, tl.float32)
    for passed in tl.range(T, num_stages=STAGES):
        t = row + T - 1 - passed
        phi, r = tl.load(phi_BTS + t * S + i, i < S, 0.0), tl.load(r_BTR + t * R + j, j < R, 0.0)
        g = tl.load(g_BTS + t * S + i, i < S, 0.0)
        dz = tl.where(phi <= 0, 0.0, g + tl.sum(tl.sum(to_r * dp[:, :, None], 1), 0))
        dr = tl.where(r <= 0, 0.0, tl.sum(to_phi * dz[None, :], 1))
        # dp of every step is stored, because W_r's gradient is a product of it with φ, outside, in a fixed order.
        tl.store(dp_BTkR + (t * k + f[:, None]) * R + j[None, :], dp, in_kR)
        tl.store(dz_BTS + t * S + i, dz, i < S)
        tl.store(dr_BTR + t * R + j, dr, j < R)
        dp = decay * dp + dr[None, :]


@torch.library.custom_op("sru::statistics", mutates_args=())
def statistics(
    z_BTS: Tensor, to_r_kRS: Tensor, bias_R: Tensor, to_phi_RS: Tensor, decay_k: Tensor
) -> tuple[Tensor, Tensor]:
    """Return φ, (B, T, S), and r, (B, T, R), from μ = 0, for z = W_x x + b_φ (B, T, S). float32, on a GPU.

    Args:
        to_r_kRS, bias_R: W_r by decay, b_r.
        to_phi_RS: W_h transposed.
        decay_k: the decays α.
    """
    (B, T, S), (k, R, _) = z_BTS.shape, to_r_kRS.shape
    phi_BTS, r_BTR = z_BTS.new_empty(B, T, S), z_BTS.new_empty(B, T, R)
    given = (x.contiguous() for x in (z_BTS, to_r_kRS, bias_R, to_phi_RS, decay_k))
    launch(statistics_forward, (B,), *given, phi_BTS, r_BTR, T, k, R, S, **resources(k, R, S))
    return phi_BTS, r_BTR


@torch.library.custom_op("sru::statistics_backward", mutates_args=())
def backward(
    g_BTS: Tensor, phi_BTS: Tensor, r_BTR: Tensor, to_r_kRS: Tensor, to_phi_RS: Tensor, decay_k: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of z, W_r, b_r and W_h."""
    (B, T, S), (k, R, _) = phi_BTS.shape, to_r_kRS.shape
    dz_BTS, dr_BTR, dp_BTkR = g_BTS.new_empty(B, T, S), g_BTS.new_empty(B, T, R), g_BTS.new_empty(B, T, k, R)
    given = (x.contiguous() for x in (g_BTS, phi_BTS, r_BTR, to_r_kRS, to_phi_RS, decay_k))
    launch(statistics_backward, (B,), *given, dz_BTS, dr_BTR, dp_BTkR, T, k, R, S, **resources(k, R, S))
    dw_kRS = (dp_BTkR.flatten(2).flatten(0, 1).T @ phi_BTS.flatten(0, 1)).view(k, R, S) * (1 - decay_k)[:, None, None]
    return dz_BTS, dw_kRS, dr_BTR.sum((0, 1)), r_BTR.flatten(0, 1).T @ dz_BTS.flatten(0, 1)


def fits_registers(k: int, R: int, S: int) -> bool:
    """Whether W_r's tile fits into registers. W_h's is small compared with it."""
    return _numbers(k, R, S) <= NUMBERS


def resources(k: int, R: int, S: int) -> dict[str, Any]:
    """Return what is fixed when the kernels are compiled for these sizes."""
    decays, recurrent, stats = (triton.next_power_of_2(size) for size in (k, R, S))
    warps = min(16, max(4, _numbers(k, R, S) // 512))
    return {"DECAYS": decays, "RECURRENT": recurrent, "STATS": stats, "STAGES": 3, "num_warps": warps, **FUSED}


def _numbers(*sizes: int) -> int:
    return math.prod(map(triton.next_power_of_2, sizes))


# Register the operators' shapes and gradients with torch.


@statistics.register_fake
def _(z_BTS, to_r_kRS, bias_R, to_phi_RS, decay_k):
    return z_BTS.new_empty(z_BTS.shape), z_BTS.new_empty(*z_BTS.shape[:2], len(bias_R))


@backward.register_fake
def _(g_BTS, phi_BTS, r_BTR, to_r_kRS, to_phi_RS, decay_k):
    dz_BTS, dw_kRS, dto_phi_RS = (x.new_empty(x.shape) for x in (phi_BTS, to_r_kRS, to_phi_RS))
    return dz_BTS, dw_kRS, r_BTR.new_empty(r_BTR.shape[2]), dto_phi_RS


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    _, to_r_kRS, _, to_phi_RS, decay_k = inputs
    ctx.save_for_backward(*output, to_r_kRS, to_phi_RS, decay_k)


def _pull(ctx: Any, g_BTS: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *backward(g_BTS, *ctx.saved_tensors), None


statistics.register_autograd(_pull, setup_context=_save)
