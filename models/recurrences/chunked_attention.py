"""Linear attention whose memory fades, one chunk of time after another.

    S_t = exp(a_t) S_{t−1} + w_t v_t k_tᵀ,    y_t = S_t q_t        for each head, a state S (P × N), a_t ≤ 0 and w_t ≥ 0
        = Σ_{s≤t} exp(a_{s+1} + … + a_t) w_s (q_t · k_s) v_s

A chunk's own steps contribute by the sum, in matrices of CHUNK × CHUNK. All steps before the chunk contribute by the
state that it begins with. These states follow from one another by a scan. No sum of a is positive and nothing is
divided, so that the strongest decays stay finite (Dao & Gu 2024, §6). w is part of the exponents, which are fewer than
the numbers in v.

Shapes: B batch, T time, C chunks, Q steps of a chunk, G groups of heads with the same keys, R heads of a group,
H = G R heads, N size of keys and queries, P size of values.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.recurrences.scan import linear_scan
from models.recurrences.stepwise import full_precision

CHUNK = 16  # fastest on a CPU between 8 and 64, with 16 state numbers
LEAST_LOG_DECAY = -50.0
"""A step that forgets more forgets this much: exp(−50) is below the rounding even of float64. Without the bound, sums
of large numbers would lose the digits of small ones."""
LEAST_WEIGHT = 1e-20
"""A smaller weight becomes this one, so that it has a logarithm."""


def decayed_attention(
    q_BTGN: Tensor, k_BTGN: Tensor, v_BTHP: Tensor, log_decay_BTH: Tensor, weight_BTH: Tensor, *, own: bool = True
) -> Tensor:
    """Return y of every step, (B, T, H, P).

    Args:
        q_BTGN: queries. The heads of a group are neighbours and share them.
        k_BTGN: keys.
        v_BTHP: values.
        log_decay_BTH: a ≤ 0.
        weight_BTH: w ≥ 0.
        own: whether a step sees its own value, s = t.
    """
    groups, steps = k_BTGN.shape[2], v_BTHP.shape[1]
    q_BCGQN, k_BCGQN = (in_chunks(x).transpose(2, 3) for x in (q_BTGN, k_BTGN))
    v_BCGQRP = in_chunks(v_BTHP.unflatten(2, (groups, -1))).transpose(2, 3)
    log_decay_BTH, log_weight_BTH = log_decay_BTH.clamp(min=LEAST_LOG_DECAY), weight_BTH.clamp(min=LEAST_WEIGHT).log()
    log_decay_BCGRQ, log_weight_BCGRQ = (
        in_chunks(x.unflatten(2, (groups, -1))).movedim(2, -1) for x in (log_decay_BTH, log_weight_BTH)
    )
    total_BCGRQ = log_decay_BCGRQ.cumsum(-1)
    source_BCGRQ = log_weight_BCGRQ - total_BCGRQ
    with full_precision(v_BTHP):
        y_BCGQRP = within(q_BCGQN, k_BCGQN, v_BCGQRP, total_BCGRQ, source_BCGRQ, own)
        if steps > CHUNK:
            y_BCGQRP = add_from_before(y_BCGQRP, q_BCGQN, k_BCGQN, v_BCGQRP, total_BCGRQ, source_BCGRQ)
    return y_BCGQRP.transpose(2, 3).flatten(1, 2).flatten(2, 3)[:, :steps]


def in_chunks(x_BT: Tensor) -> Tensor:
    """Return (B, C, Q, …) for (B, T, …), with zeros after the last step where it ends inside a chunk."""
    size = min(CHUNK, x_BT.shape[1])
    missing = -x_BT.shape[1] % size
    if missing:
        x_BT = F.pad(x_BT, (0, 0) * (x_BT.dim() - 2) + (0, missing))
    return x_BT.unflatten(1, (-1, size))


def within(
    q_BCGQN: Tensor, k_BCGQN: Tensor, v_BCGQRP: Tensor, total_BCGRQ: Tensor, source_BCGRQ: Tensor, own: bool
) -> Tensor:
    """Return what the steps of a chunk contribute to one another, (B, C, G, Q, R, P)."""
    size = total_BCGRQ.shape[-1]
    hidden_QQ = total_BCGRQ.new_full((size, size), -torch.inf).triu(1 if own else 0)
    decay_BCGRQQ = (total_BCGRQ.unsqueeze(-1) + source_BCGRQ.unsqueeze(-2)).add_(hidden_QQ).exp_()
    scores_BCGQQ = q_BCGQN @ k_BCGQN.mT
    y_BCGRQP = (decay_BCGRQQ * scores_BCGQQ.unsqueeze(3)) @ v_BCGQRP.transpose(3, 4)
    return y_BCGRQP.transpose(3, 4)


def add_from_before(
    y_BCGQRP: Tensor, q_BCGQN: Tensor, k_BCGQN: Tensor, v_BCGQRP: Tensor, total_BCGRQ: Tensor, source_BCGRQ: Tensor
) -> Tensor:
    """Add what all earlier chunks contribute, (B, C, G, Q, R, P)."""
    chunks, heads = y_BCGQRP.shape[1], v_BCGQRP.shape[4:]
    left_BCGQR1 = (total_BCGRQ[..., -1:] + source_BCGRQ).exp().mT.unsqueeze(-1)
    added_BCGNRP = (k_BCGQN.mT @ (v_BCGQRP * left_BCGQR1).flatten(4)).unflatten(-1, heads)
    faded_BCGQR1 = total_BCGRQ.exp().mT.unsqueeze(-1)
    state_BCGNRP = linear_scan(faded_BCGQR1[:, :-1, :, -1:], added_BCGNRP[:, :-1])
    read_BCGQRP = (q_BCGQN[:, 1:] @ state_BCGNRP.flatten(4)).unflatten(-1, heads)
    first, others = y_BCGQRP.split([1, chunks - 1], dim=1)
    return torch.cat([first, torch.addcmul(others, read_BCGQRP, faded_BCGQR1[:, 1:])], dim=1)


def attention_step(
    q_BGN: Tensor, k_BGN: Tensor, v_BHP: Tensor, log_decay_BH: Tensor, weight_BH: Tensor, state_BHPN: Tensor
) -> tuple[Tensor, Tensor]:
    """Return y of one step, (B, H, P), and the next state, (B, H, P, N). The arguments are those of the whole."""
    heads = v_BHP.shape[1] // k_BGN.shape[1]
    q_BHN, k_BHN = (x.repeat_interleave(heads, dim=1) for x in (q_BGN, k_BGN))
    decay_BH11 = log_decay_BH.exp()[..., None, None]
    with full_precision(v_BHP):
        state_BHPN = decay_BH11 * state_BHPN + (weight_BH.unsqueeze(-1) * v_BHP).unsqueeze(-1) * k_BHN.unsqueeze(-2)
        return (state_BHPN @ q_BHN.unsqueeze(-1)).squeeze(-1), state_BHPN
