"""Recurrences of a matrix that each step corrects by what it holds already, in chunks of time.

    u_t = known_t + read_tᵀ S_{t−1},    S_t = diag(kept_t) S_{t−1} + write_t u_tᵀ + added_t

Within a chunk, u depends on the state before it and on earlier u, u = known + Read S + (strictly lower matrix) u. A
triangular system gives u = U + W S (the WY form of Yang et al. 2024, arXiv 2406.06484, §3). So a whole chunk maps S to
(diag(kept) + Write W) S + (Write U + added). Python's loop runs over these maps, one for each chunk.

Shapes: B batch, T time, N heads, d key size, e value size; M chunks of C steps, G = B N M; R = n C writes of a chunk.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels.backend import runs_compiled
from models.recurrences.chunks import STRONGEST, from_chunks, in_chunks

CHUNK = 16
"""Steps of a chunk. At the sizes of small budgets, 16 is fastest on a CPU."""


def gated_delta_rule(q_BTNd: Tensor, k_BSNd: Tensor, v_BSNe: Tensor, beta_BSN: Tensor, log_decay_BTN: Tensor) -> Tensor:
    """Return o_t = S_tᵀ q_t at every step, (B, T, N, e). A step first decays S, then makes its n writes in turn:

        S ← exp(log_decay_t) S,    then n times S ← S + β k (v − Sᵀ k)ᵀ

    Args:
        k_BSNd, v_BSNe, beta_BSN: S = n T writes, those of a step side by side.
    """
    if runs_compiled(q_BTNd, k_BSNd, v_BSNe):
        return write_by_write(q_BTNd, k_BSNd, v_BSNe, beta_BSN.unsqueeze(-1), log_decay_BTN)
    steps, writes = q_BTNd.shape[1], k_BSNd.shape[1] // q_BTNd.shape[1]
    log_GC1 = in_chunks(log_decay_BTN.clamp(min=STRONGEST).unsqueeze(-1), CHUNK).cumsum(1)
    q_GCd = in_chunks(q_BTNd, CHUNK)
    k_GRd, v_GRe, beta_GR1 = (in_chunks(each, writes * CHUNK) for each in (k_BSNd, v_BSNe, beta_BSN.unsqueeze(-1)))
    since_GCR = decay_since(log_GC1).repeat_interleave(writes, dim=2)
    log_GR1, last_G11 = log_GC1.repeat_interleave(writes, dim=1), log_GC1[:, -1:]
    gated_GRd = beta_GR1 * k_GRd
    s_Gde, u_GRe = through_chunks(
        lower_GRR=gated_GRd @ k_GRd.mT * since_GCR.repeat_interleave(writes, dim=1),
        read_GRd=-gated_GRd * log_GR1.exp(),
        known_GRe=beta_GR1 * v_GRe,
        write_GdR=(k_GRd * (last_G11 - log_GR1).exp()).mT,
        kept_Gd1=last_G11.exp().expand(-1, q_GCd.shape[2], 1),
        added_Gde=None,
        heads=len(q_BTNd) * q_BTNd.shape[2],
    )
    o_GCe = (q_GCd @ k_GRd.mT * since_GCR) @ u_GRe + (q_GCd * log_GC1.exp()) @ s_Gde
    return from_chunks(o_GCe, len(q_BTNd), steps)


def write_by_write(q_BTNd: Tensor, k_BSNd: Tensor, v_BSNe: Tensor, beta_BSN1: Tensor, log_decay_BTN: Tensor) -> Tensor:
    """Return o of `gated_delta_rule` by a compiled loop over all writes, where only a step's first one decays S."""
    from models.kernels.cpu.matrix_state import MatrixState  # numba takes a second to import

    n = k_BSNd.shape[1] // q_BTNd.shape[1]
    kept_BSN1 = F.pad(log_decay_BTN.unsqueeze(2), (0, 0, 0, n - 1)).flatten(1, 2).exp().unsqueeze(-1)
    read_BSNd = beta_BSN1 * kept_BSN1 * k_BSNd
    q_BSNd = q_BTNd.repeat_interleave(n, dim=1) if n > 1 else q_BTNd
    o_BSNe: Tensor = MatrixState.apply(q_BSNd, k_BSNd, beta_BSN1 * v_BSNe, kept_BSN1, read_BSNd, k_BSNd)
    return o_BSNe[:, n - 1 :: n]


def diagonal_delta_rule(
    q_BTNd: Tensor, k_BTNd: Tensor, v_BTNe: Tensor, log_decay_BTNd: Tensor, read_BTNd: Tensor, write_BTNd: Tensor
) -> Tensor:
    """Return o_t = S_tᵀ q_t at every step, (B, T, N, e), where every row of S has a decay of its own:

        S_t = diag(exp(log_decay_t)) S_{t−1} + k_t v_tᵀ − write_t (S_{t−1}ᵀ read_t)ᵀ

    Args:
        log_decay_BTNd: between −2 and 0, so that the decay of a whole chunk and its inverse are numbers.
    """
    given = q_BTNd, k_BTNd, v_BTNe, log_decay_BTNd, read_BTNd, write_BTNd
    if runs_compiled(*given):
        from models.kernels.cpu.matrix_state import MatrixState

        compiled_BTNe: Tensor = MatrixState.apply(*given[:3], log_decay_BTNd.exp(), read_BTNd, write_BTNd)
        return compiled_BTNe
    q, k, v, log_GCd, read, write = (in_chunks(each, CHUNK) for each in given)
    sum_GCd = log_GCd.cumsum(1)
    left_G1d, gain_GCd = sum_GCd[:, -1:].exp(), (-sum_GCd).exp()
    q, k, read, write = q * sum_GCd.exp(), k * gain_GCd, read * (sum_GCd - log_GCd).exp(), -write * gain_GCd
    s_Gde, u_GCe = through_chunks(
        lower_GRR=-(read @ write.mT),
        read_GRd=read,
        known_GRe=(read @ k.mT).tril(-1) @ v,
        write_GdR=(write * left_G1d).mT,
        kept_Gd1=left_G1d.mT,
        added_Gde=(k * left_G1d).mT @ v,
        heads=len(q_BTNd) * q_BTNd.shape[2],
    )
    o_GCe = (q @ write.mT).tril() @ u_GCe + (q @ k.mT).tril() @ v + q @ s_Gde
    return from_chunks(o_GCe, len(q_BTNd), q_BTNd.shape[1])


def decay_since(log_GC1: Tensor) -> Tensor:
    """Return how much of what step j wrote is left at step i, (G, C, C): exp(log_i − log_j) for j ≤ i, else 0."""
    later_CC = torch.ones(log_GC1.shape[1], log_GC1.shape[1], dtype=torch.bool, device=log_GC1.device).triu(1)
    return (log_GC1 - log_GC1.mT).masked_fill(later_CC, -torch.inf).exp()  # masked first: no infinity has a gradient


def through_chunks(
    *,
    lower_GRR: Tensor,
    read_GRd: Tensor,
    known_GRe: Tensor,
    write_GdR: Tensor,
    kept_Gd1: Tensor,
    added_Gde: Tensor | None,
    heads: int,
) -> tuple[Tensor, Tensor]:
    """Return the state before each chunk, (G, d, e), and u of all steps, (G, R, e). The first state is zero.

    Args:
        lower_GRR: how earlier u enter a later one, negated. Only what is below the diagonal is used.
        read_GRd: how the state before the chunk enters u.
        known_GRe: the part of u that no state enters.
        write_GdR: how u enters the state after the chunk.
        kept_Gd1: what is left of the state before the chunk.
        added_Gde: what is added to the state besides. None means nothing.
        heads: B N, the sequences of states.
    """
    d, e = read_GRd.shape[2], known_GRe.shape[2]
    right = torch.cat([read_GRd, known_GRe], dim=2)
    wu = torch.linalg.solve_triangular(lower_GRR, right, upper=False, unitriangular=True)
    turn_Gdd, input_Gde = (write_GdR @ wu).split([d, e], dim=2)
    turn_Gdd = turn_Gdd + torch.diag_embed(kept_Gd1.squeeze(2))
    input_Gde = input_Gde if added_Gde is None else input_Gde + added_Gde
    s_Gde = every_state(*(each.unflatten(0, (heads, -1)) for each in (turn_Gdd, input_Gde))).flatten(0, 1)
    w_GRd, u_GRe = wu.split([d, e], dim=2)
    return s_Gde, u_GRe + w_GRd @ s_Gde


def every_state(turn_HMdd: Tensor, input_HMde: Tensor) -> Tensor:
    """Return the state before each of M maps S ↦ turn S + input, (H, M, d, e), from zero."""
    states = [torch.zeros_like(input_HMde[:, 0])]
    for turn_Hdd, input_Hde in zip(turn_HMdd[:, :-1].unbind(1), input_HMde[:, :-1].unbind(1), strict=True):
        states.append(torch.baddbmm(input_Hde, turn_Hdd, states[-1]))
    return torch.stack(states, dim=1)
