"""Linear attention whose memory fades, one chunk of time after another.

    S_t = exp(a_t) S_{t−1} + w_t v_t k_tᵀ,    y_t = S_t q_t + D v_t        for each head, S (P × N), a_t ≤ 0 and w_t ≥ 0
        = D v_t + Σ_{s≤t} exp(a_{s+1} + … + a_t) w_s (q_t · k_s) v_s

A chunk's own steps contribute by the sum, in matrices of CHUNK × CHUNK. All steps before the chunk contribute by the
state that it begins with. These states follow from one another by a scan. No sum of a is positive and nothing is
divided, so that the strongest decays stay finite (Dao & Gu 2024, §6). w is part of the exponents, which are fewer than
the numbers in v. In single precision on a CPU, a compiled loop over time replaces the chunks.

Shapes: B batch, T time, C chunks, Q steps of a chunk, G groups of heads with the same keys, R heads of a group,
H = G R heads, Z = B G, N size of keys and queries, P size of values.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels.backend import runs_compiled
from models.recurrences.chunks import cut
from models.recurrences.scan import linear_scan
from models.recurrences.stepwise import full_precision

CHUNK = 16  # fastest on a CPU between 8 and 64, with 16 state numbers
LEAST_LOG_DECAY = -50.0
"""A step that forgets more forgets this much: exp(−50) is below the rounding even of float64. Without the bound, sums
of large numbers would lose the digits of small ones."""
LEAST_WEIGHT = 1e-20
"""A smaller weight becomes this one, so that it has a logarithm."""


def ssd(
    q_BTGN: Tensor,
    k_BTGN: Tensor,
    v_BTHP: Tensor,
    log_decay_BTH: Tensor,
    weight_BTH: Tensor,
    skip_H: Tensor,
    own_weight_BTH: Tensor | None = None,
) -> Tensor:
    """Return y of every step, (B, T, H, P).

    Args:
        q_BTGN: queries. The heads of a group are neighbours and share them.
        k_BTGN: keys.
        v_BTHP: values.
        log_decay_BTH: a ≤ 0.
        weight_BTH: w ≥ 0.
        skip_H: D.
        own_weight_BTH: in place of w_t, the weight ≥ 0 of a step's value in its own output, s = t. None means w_t.
    """
    if runs_compiled(q_BTGN, k_BTGN, v_BTHP, log_decay_BTH, weight_BTH):
        from models.kernels.cpu.state_space_duality import WeightedAttention  # numba takes a second to import

        own_BTH = weight_BTH if own_weight_BTH is None else own_weight_BTH
        given = q_BTGN, k_BTGN, v_BTHP, log_decay_BTH.exp(), weight_BTH, own_BTH, skip_H
        compiled_BTHP: Tensor = WeightedAttention.apply(*given)
        return compiled_BTHP
    groups, steps = k_BTGN.shape[2], v_BTHP.shape[1]
    q_ZCQN, k_ZCQN = (in_chunks(by_group(x)) for x in (q_BTGN, k_BTGN))

    def by_head(x_BTH: Tensor) -> Tensor:
        return in_chunks(by_group(x_BTH.unflatten(2, (groups, -1))))

    v_ZCQRP = by_head(v_BTHP)
    total_ZCRQ = by_head(log_decay_BTH.clamp(min=LEAST_LOG_DECAY)).mT.cumsum(-1)
    source_ZCRQ = by_head(logarithm(weight_BTH)).mT - total_ZCRQ
    own_ZCRQ = None if own_weight_BTH is None else by_head(logarithm(own_weight_BTH)).mT
    with full_precision(v_BTHP):
        y_ZCQRP = within(q_ZCQN, k_ZCQN, v_ZCQRP, total_ZCRQ, source_ZCRQ, own_ZCRQ)
        if steps > CHUNK:
            y_ZCQRP = add_from_before(y_ZCQRP, q_ZCQN, k_ZCQN, v_ZCQRP, total_ZCRQ, source_ZCRQ)
    y_BGTRP = y_ZCQRP.flatten(1, 2).unflatten(0, (-1, groups))
    return torch.addcmul(y_BGTRP.transpose(1, 2).flatten(2, 3)[:, :steps], skip_H.unsqueeze(-1), v_BTHP)


def logarithm(weight: Tensor) -> Tensor:
    return weight.clamp(min=LEAST_WEIGHT).log()


def by_group(x_BTG: Tensor) -> Tensor:
    """Return (Z, T, …) for (B, T, G, …)."""
    return x_BTG.transpose(1, 2).flatten(0, 1)


def in_chunks(x_ZT: Tensor) -> Tensor:
    """Return (Z, C, Q, …) for (Z, T, …), with zeros after the last step where it ends inside a chunk."""
    return cut(x_ZT, min(CHUNK, x_ZT.shape[1]))


def within(
    q_ZCQN: Tensor,
    k_ZCQN: Tensor,
    v_ZCQRP: Tensor,
    total_ZCRQ: Tensor,
    source_ZCRQ: Tensor,
    own_ZCRQ: Tensor | None,
) -> Tensor:
    """Return what the steps of a chunk contribute to one another, (Z, C, Q, R, P)."""
    size = total_ZCRQ.shape[-1]
    hidden_QQ = total_ZCRQ.new_full((size, size), -torch.inf).triu(1)
    exponent_ZCRQQ = (total_ZCRQ.unsqueeze(-1) + source_ZCRQ.unsqueeze(-2)).add_(hidden_QQ)
    if own_ZCRQ is not None:
        exponent_ZCRQQ.diagonal(dim1=-2, dim2=-1).copy_(own_ZCRQ)
    decay_ZCRQQ = exponent_ZCRQQ.exp_()
    scores_ZCQQ = q_ZCQN @ k_ZCQN.mT
    return ((decay_ZCRQQ * scores_ZCQQ.unsqueeze(2)) @ v_ZCQRP.transpose(2, 3)).transpose(2, 3)


def add_from_before(
    y_ZCQRP: Tensor, q_ZCQN: Tensor, k_ZCQN: Tensor, v_ZCQRP: Tensor, total_ZCRQ: Tensor, source_ZCRQ: Tensor
) -> Tensor:
    """Return y and what all earlier chunks contribute, (Z, C, Q, R, P)."""
    left_ZCQR1 = (total_ZCRQ[..., -1:] + source_ZCRQ).exp().mT.unsqueeze(-1)
    faded_ZCQR1 = total_ZCRQ.exp().mT.unsqueeze(-1)
    added_ZCNRP = (k_ZCQN.mT @ (v_ZCQRP * left_ZCQR1).flatten(3)).unflatten(-1, v_ZCQRP.shape[3:])
    after_ZCNRP = linear_scan(faded_ZCQR1[:, :, -1:], added_ZCNRP)
    before_ZCNK = F.pad(after_ZCNRP.flatten(3), (0, 0, 0, 0, 1, -1))  # a chunk later, from zeros on
    return torch.addcmul(y_ZCQRP, (q_ZCQN @ before_ZCNK).view_as(y_ZCQRP), faded_ZCQR1)


def attention_step(
    q_BGN: Tensor,
    k_BGN: Tensor,
    v_BHP: Tensor,
    log_decay_BH: Tensor,
    weight_BH: Tensor,
    skip_H: Tensor,
    state_BHPN: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return y of one step, (B, H, P), and the next state, (B, H, P, N). The arguments are those of the whole."""
    heads = v_BHP.shape[1] // k_BGN.shape[1]
    q_BHN, k_BHN = (x.repeat_interleave(heads, dim=1) for x in (q_BGN, k_BGN))
    decay_BH11 = log_decay_BH.exp()[..., None, None]
    with full_precision(v_BHP):
        state_BHPN = decay_BH11 * state_BHPN + (weight_BH.unsqueeze(-1) * v_BHP).unsqueeze(-1) * k_BHN.unsqueeze(-2)
        read_BHP = (state_BHPN @ q_BHN.unsqueeze(-1)).squeeze(-1)
    return torch.addcmul(read_BHP, skip_H.unsqueeze(-1), v_BHP), state_BHPN
