"""The Fourier recurrence on a GPU, as torch operators with gradients: the summaries at the end, or every output.

In the low-rank form (docs/fru-kernel.md) two things go through time: the statistics φ, whose kernel carries R numbers a
sequence, and the running sums Σ_{τ≤t} A_τᵀ φ_τ, from which the outputs are read. Both are operators here, opaque to
torch.compile. Everything else is matrix products for the whole batch, whose gradients torch knows. Only φ and a state
in every SEGMENT steps are kept for the backward pass. It computes r again from there, chunk by chunk.

The kernels need S, R and H to be powers of two. They are padded with weights of zero, which change nothing else.

Shapes: B batch, T time, D input, k frequencies, S statistics, R recurrent features, Z = D + R, H output, C states kept,
c steps of a chunk. Gains are (1/T) cos(2π f t/T + 2π θ_f); keep is 0 where a frequency shows the present step only.
"""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn import functional as F

from models.kernels.gpu import fru as kernels
from models.kernels.gpu.launch import FUSED, launch

LEAST = 4
"""The smallest power of two that statistics, features and outputs are padded to: as many as a thread reads at once."""
TILE = 1024
"""About how many numbers of one matrix a warp keeps in registers, next to those of the other matrices."""
AHEAD_BYTES = 2**16
"""About how many bytes of shared memory the tiles that are being loaded may take. A program may have 99 KB, on an H100
227 KB."""
NUMBERS = 64
"""Numbers of an output's gradient that one program sums up."""
SEGMENT = 32
"""Steps between two kept states."""
CHUNK_BYTES = 2**26
"""About how many bytes the states of a chunk may take in the backward pass."""


def last_summaries(
    x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor, weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor,
    bias_S: Tensor, lengths_B: Tensor | None,
) -> Tensor:  # fmt: skip
    """Return u at each sequence's last step, (B, k, S).

    Args:
        x_BTD: the input, float32 or a half type; the rest is float32, on the same GPU.
        gain_Tk, keep_k: g and m.
        weight_kSR, bias_R: W_r by frequency, b_r.
        weight_SZ, bias_S: W, whose first D columns belong to x, and b_φ.
        lengths_B: each sequence's number of steps. None means T.
    """
    with torch.autocast(x_BTD.device.type, enabled=False):
        phi_TBS = _phi(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B)
        u_kBS = ((gain_Tk * keep_k).T @ phi_TBS.flatten(1)).unflatten(1, phi_TBS.shape[1:])
        last_BS = (
            phi_TBS[-1] if lengths_B is None else phi_TBS[lengths_B - 1, torch.arange(len(x_BTD), device=x_BTD.device)]
        )
        return (u_kBS + ((1 - keep_k) * gain_Tk[0])[:, None, None] * last_BS)[..., : len(bias_S)].transpose(0, 1)


def every_output(
    x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor, weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor,
    bias_S: Tensor, weight_kSH: Tensor, bias_H: Tensor, lengths_B: Tensor | None,
) -> Tensor:  # fmt: skip
    """Return y at every step, (B, T, H). The first operands are those of `last_summaries`.

    y_t = σ(b + Dᵀ φ_t + Σ_{τ≤t} A_τᵀ φ_τ), where A and D are those of W_y (weight_kSH).
    """
    with torch.autocast(x_BTD.device.type, enabled=False):
        phi_TBS = _phi(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B)
        y_TBH = running(phi_TBS, *_low_rank(gain_Tk, keep_k, _padded(weight_kSH, 1, 2)), _padded(bias_H, 0))
        return y_TBH[..., : len(bias_H)].transpose(0, 1)


def _phi(
    x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor, weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor,
    bias_S: Tensor, lengths_B: Tensor | None,
) -> Tensor:  # fmt: skip
    """Return φ, (T, B, S) with S padded."""
    x_TBD = x_BTD.to(weight_SZ.dtype).transpose(0, 1)
    if lengths_B is not None:  # the padding may be anything, and 0 · NaN is NaN
        after_TB = torch.arange(len(x_TBD), device=x_BTD.device)[:, None] >= lengths_B
        x_TBD = x_TBD.masked_fill(after_TB[..., None], 0)
    weight_SD, weight_SR = _padded(weight_SZ, 0).split((x_BTD.shape[2], len(bias_R)), dim=1)
    z_TBS = F.linear(x_TBD, weight_SD, _padded(bias_S, 0))
    a_TRS, d_RS = _low_rank(gain_Tk, keep_k, _padded(weight_kSR, 1, 2))
    return statistics(z_TBS, a_TRS, d_RS, _padded(weight_SR, 1).T.contiguous(), _padded(bias_R, 0), lengths_B)[0]


def _padded(weight: Tensor, *dims: int) -> Tensor:
    """Return a weight whose dimensions `dims` are padded with zeros to a power of two."""
    added = [0, 0] * weight.dim()
    for dim in dims:
        size = weight.shape[dim]
        added[2 * (weight.dim() - dim) - 1] = max(LEAST, triton.next_power_of_2(size)) - size
    return F.pad(weight, added)


def _low_rank(gain_Tk: Tensor, keep_k: Tensor, weight_kSR: Tensor) -> tuple[Tensor, Tensor]:
    """Return A_t = Σ_f m_f g_t[f] W^{(f)}, (T, R, S), and D = Σ_f (1 − m_f) g[f] W^{(f)}, (R, S)."""
    _, S, R = weight_kSR.shape
    weight_kRS = weight_kSR.mT.flatten(1)
    a_TRS = ((gain_Tk * keep_k) @ weight_kRS).unflatten(1, (R, S))
    return a_TRS, ((gain_Tk[0] * (1 - keep_k)) @ weight_kRS).view(R, S)


@torch.library.custom_op("fru::statistics", mutates_args=())
def statistics(
    z_TBS: Tensor, a_TRS: Tensor, d_RS: Tensor, weight_RS: Tensor, bias_R: Tensor, lengths_B: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return φ, (T, B, S), and the kept states, (C, B, R)."""
    T, B, S = z_TBS.shape
    R = len(bias_R)
    phi_TBS = z_TBS.new_empty(T, B, S) if lengths_B is None else z_TBS.new_zeros(T, B, S)
    kept_CBR = z_TBS.new_zeros(T // SEGMENT + 1, B, R)
    lengths = bias_R if lengths_B is None else lengths_B.contiguous()
    given = (x.contiguous() for x in (z_TBS, a_TRS, d_RS, weight_RS, bias_R))
    launch(
        kernels.statistics_forward, (B,), *given, lengths, phi_TBS, kept_CBR, T, B, HAS_LENGTHS=lengths_B is not None,
        SEGMENT=SEGMENT, S=S, R=R, **resources(R * S),
    )  # fmt: skip
    return phi_TBS, kept_CBR


@torch.library.custom_op("fru::statistics_backward", mutates_args=())
def statistics_backward(
    g_TBS: Tensor, phi_TBS: Tensor, kept_CBR: Tensor, a_TRS: Tensor, d_RS: Tensor, weight_RS: Tensor, bias_R: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of z, A, D, W and b."""
    T, B, S = phi_TBS.shape
    R = len(bias_R)
    g_TBS, a_TRS, d_RS, weight_RS = (x.contiguous() for x in (g_TBS, a_TRS, d_RS, weight_RS))
    dz_TBS, da_TRS = torch.empty_like(phi_TBS), torch.empty_like(a_TRS)
    dd_RS, dweight_RS, carry_2BR = torch.zeros_like(d_RS), torch.zeros_like(weight_RS), g_TBS.new_zeros(2, B, R)
    # Chunk by chunk from the last: compute r again, go back through time, then take the sums over the batch by matrix
    # products. So r, ds and dr exist for one chunk at a time.
    for chunk in reversed(_chunks(T, 3 * B * R)):
        r_cBR, ds_cBR, dr_cBR = g_TBS.new_empty(3, chunk.stop - chunk.start, B, R)
        _recurrent_features(r_cBR, chunk, phi_TBS, kept_CBR, a_TRS, d_RS, bias_R)
        launch(
            kernels.statistics_backward, (B,), g_TBS[chunk], phi_TBS[chunk], r_cBR, a_TRS[chunk], d_RS, weight_RS,
            dz_TBS[chunk], ds_cBR, dr_cBR, carry_2BR, len(r_cBR), B, S=S, R=R, **resources(R * S),
        )  # fmt: skip
        torch.bmm(ds_cBR.mT, phi_TBS[chunk], out=da_TRS[chunk])
        dd_RS.addmm_(dr_cBR.flatten(0, 1).T, phi_TBS[chunk].flatten(0, 1))
        dweight_RS.addmm_(r_cBR.flatten(0, 1).T, dz_TBS[chunk].flatten(0, 1))
    return dz_TBS, da_TRS, dd_RS, dweight_RS, carry_2BR[0].sum(0)


def _recurrent_features(
    r_cBR: Tensor, chunk: slice, phi_TBS: Tensor, kept_CBR: Tensor, a_TRS: Tensor, d_RS: Tensor, bias_R: Tensor
) -> None:
    """Compute r again at the steps of a chunk, from the kept states, all segments at once."""
    segments = -(-len(r_cBR) // SEGMENT)
    _run(phi_TBS, a_TRS, d_RS, bias_R, kept_CBR[chunk.start // SEGMENT :], r_cBR, chunk.start - 1, (SEGMENT, segments))


def _run(
    phi_TBS: Tensor, a_THS: Tensor, d_HS: Tensor, bias_H: Tensor, start_CBH: Tensor | None, out: Tensor, before: int,
    segments: tuple[int, int],
) -> None:  # fmt: skip
    """Launch `running_forward`. `segments` is the steps of a segment and the number of segments."""
    _, B, S = phi_TBS.shape
    steps, count = segments
    H, width = len(bias_H), min(len(bias_H), 64)
    launch(
        kernels.running_forward, (B, H // width, count), phi_TBS, a_THS, d_HS, bias_H,
        bias_H if start_CBH is None else start_CBH, out, len(out), B, H, before, steps,
        HAS_START=start_CBH is not None, S=S, WIDTH=width, **resources(width * S),
    )  # fmt: skip


@torch.library.custom_op("fru::running", mutates_args=())
def running(phi_TBS: Tensor, a_THS: Tensor, d_HS: Tensor, bias_H: Tensor) -> Tensor:
    """Return σ(b + Dᵀ φ_t + Σ_{τ≤t} A_τᵀ φ_τ), (T, B, H)."""
    T, B, _ = phi_TBS.shape
    y_TBH = phi_TBS.new_empty(T, B, len(bias_H))
    phi_TBS, a_THS, d_HS, bias_H = (x.contiguous() for x in (phi_TBS, a_THS, d_HS, bias_H))
    _run(phi_TBS, a_THS, d_HS, bias_H, None, y_TBH, 0, (T, 1))
    return y_TBH


@torch.library.custom_op("fru::running_backward", mutates_args=())
def running_backward(
    dy_TBH: Tensor, y_TBH: Tensor, phi_TBS: Tensor, a_THS: Tensor, d_HS: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of φ, A, D and b."""
    T, B, H = y_TBH.shape
    dy_TBH, dphi_TBS, da_THS = dy_TBH.contiguous(), torch.empty_like(phi_TBS), torch.empty_like(a_THS)
    dd_HS, dbias_H, carry_BH = torch.zeros_like(d_HS), dy_TBH.new_zeros(H), dy_TBH.new_zeros(B, H)
    for chunk in reversed(_chunks(T, 2 * B * H)):
        open_cBH, sum_cBH = dy_TBH.new_empty(2, chunk.stop - chunk.start, B, H)
        launch(
            kernels.running_backward, (triton.cdiv(B * H, NUMBERS),), dy_TBH[chunk], y_TBH[chunk], open_cBH, sum_cBH,
            carry_BH, len(open_cBH), B * H, BLOCK=NUMBERS, **resources(NUMBERS),
        )  # fmt: skip
        # A_t acts on every output from t on, so its products take the sum; D acts on its own step's output alone.
        phi_cBS = phi_TBS[chunk]
        torch.bmm(sum_cBH, a_THS[chunk], out=dphi_TBS[chunk])
        dphi_TBS[chunk] += open_cBH @ d_HS
        torch.bmm(sum_cBH.mT, phi_cBS, out=da_THS[chunk])
        dd_HS.addmm_(open_cBH.flatten(0, 1).T, phi_cBS.flatten(0, 1))
        dbias_H += open_cBH.sum((0, 1))
    return dphi_TBS, da_THS, dd_HS, dbias_H


def resources(numbers: int) -> dict[str, Any]:
    """Return the warps of a program whose tiles have this many numbers, and the steps that are in its loop at once.

    Shared memory holds the tiles that are being loaded, two at most, because memory answers within two steps.
    """
    ahead = min(2, AHEAD_BYTES // (4 * numbers))
    return {"num_warps": min(16, max(1, numbers // TILE)), "STAGES": 1 + ahead, **FUSED}


def _chunks(T: int, numbers: int) -> list[slice]:
    """Return chunks of whole segments whose steps, of `numbers` numbers each, fit into CHUNK_BYTES."""
    size = max(1, CHUNK_BYTES // (4 * SEGMENT * max(1, numbers))) * SEGMENT
    return [slice(t, min(t + size, T)) for t in range(0, T, size)]


# Register the operators' shapes and gradients with torch.


@statistics.register_fake
def _(z_TBS, a_TRS, d_RS, weight_RS, bias_R, lengths_B):  # type: ignore[no-untyped-def]
    return z_TBS.new_empty(z_TBS.shape), z_TBS.new_empty(len(z_TBS) // SEGMENT + 1, z_TBS.shape[1], len(bias_R))


@statistics_backward.register_fake
def _(g_TBS, phi_TBS, kept_CBR, a_TRS, d_RS, weight_RS, bias_R):  # type: ignore[no-untyped-def]
    return tuple(x.new_empty(x.shape) for x in (phi_TBS, a_TRS, d_RS, weight_RS, bias_R))


@running.register_fake
def _(phi_TBS, a_THS, d_HS, bias_H):  # type: ignore[no-untyped-def]
    return phi_TBS.new_empty(*phi_TBS.shape[:2], len(bias_H))


@running_backward.register_fake
def _(dy_TBH, y_TBH, phi_TBS, a_THS, d_HS):  # type: ignore[no-untyped-def]
    return *(x.new_empty(x.shape) for x in (phi_TBS, a_THS, d_HS)), d_HS.new_empty(d_HS.shape[1])


def _save_statistics(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output, *inputs[1:5])


def _pull_statistics(ctx: Any, g_TBS: Tensor, _: Tensor) -> tuple[Any, ...]:
    return *statistics_backward(g_TBS, *ctx.saved_tensors), None


def _save_running(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(output, *inputs[:3])


def _pull_running(ctx: Any, dy_TBH: Tensor) -> tuple[Any, ...]:
    return running_backward(dy_TBH, *ctx.saved_tensors)


statistics.register_autograd(_pull_statistics, setup_context=_save_statistics)
running.register_autograd(_pull_running, setup_context=_save_running)
