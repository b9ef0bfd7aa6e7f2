"""Linear attention with a decay, a matrix state for each head:

    S_t = diag(exp(log_decay_t)) S_{t−1} + k_t v_tᵀ,    o_t = S_tᵀ q_t

In chunks, what reaches o from before the chunk comes through the state at its end, and a scan runs over those. Within
a chunk, pairs of steps are split in halves again and again (`within`). All factors are decays from one time to a later
one, never above 1, so that nothing overflows however strong a decay is. In single precision on a CPU, a compiled loop
over time replaces the chunks.

Shapes: B batch, T time, N heads, d key size, e value size; M chunks of C steps, G = B N M.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels.backend import runs_compiled
from models.recurrences.chunks import STRONGEST, from_chunks, in_chunks
from models.recurrences.scan import linear_scan

CHUNK = 16


def decayed_attention(q_BTNd: Tensor, k_BTNd: Tensor, v_BTNe: Tensor, log_decay: Tensor) -> Tensor:
    """Return o, (B, T, N, e).

    Args:
        log_decay: the logarithm of the decay, at most 0, (B, T, N, d), or (B, T, N, 1) for all rows of S alike.
    """
    if runs_compiled(q_BTNd, k_BTNd, v_BTNe):
        from models.kernels.cpu.decayed_attention import DecayedAttention  # numba takes a second to import

        o_BTNe: Tensor = DecayedAttention.apply(q_BTNd, k_BTNd, v_BTNe, log_decay.exp())
        return o_BTNe
    batch, steps, heads, _ = q_BTNd.shape
    q_GCd, k_GCd, v_GCe = (in_chunks(each, CHUNK) for each in (q_BTNd, k_BTNd, v_BTNe))
    log_GC = in_chunks(log_decay.clamp(min=STRONGEST), CHUNK).cumsum(1)
    kept_G1d, written_GCd = log_GC[:, -1:].exp(), k_GCd * (log_GC[:, -1:] - log_GC).exp()
    maps = (each.unflatten(0, (batch * heads, -1)) for each in (kept_G1d.mT, written_GCd.mT @ v_GCe))
    before_Gde = F.pad(linear_scan(*maps)[:, :-1], (0, 0, 0, 0, 1, 0)).flatten(0, 1)
    o_GCe = within(q_GCd, k_GCd, v_GCe, log_GC) + (q_GCd * log_GC.exp()) @ before_Gde
    return from_chunks(o_GCe, batch, steps)


def within(q_GCd: Tensor, k_GCd: Tensor, v_GCe: Tensor, log_GC: Tensor) -> Tensor:
    """Return what reaches o from within its chunk, (G, C, e). C is a power of two.

    Two different steps lie in the two halves of one block of a power of two. The decay between them is that to the end
    of the first half times that from there.

    Args:
        log_GC: the sum of the decays' logarithms from the chunk's first step on, (G, C, d or 1).
    """
    o_GCe, half = (q_GCd * k_GCd).sum(-1, keepdim=True) * v_GCe, 1
    while half < q_GCd.shape[1]:
        q, k, v, log = (each.unflatten(1, (-1, 2, half)) for each in (q_GCd, k_GCd, v_GCe, log_GC))
        middle = log[:, :, 0, -1:]
        received, sent = q[:, :, 1] * (log[:, :, 1] - middle).exp(), k[:, :, 0] * (middle - log[:, :, 0]).exp()
        second = received @ sent.mT @ v[:, :, 0]
        o_GCe = o_GCe + torch.stack([torch.zeros_like(second), second], dim=2).flatten(1, 3)
        half *= 2
    return o_GCe
