"""Attention in chunks against its recurrence. Sizes: B batch, T time, G groups, H heads, N keys, P values."""

import pytest
import torch

from models.recurrences.state_space_duality import CHUNK, attention_step, ssd

BATCH, GROUPS, HEADS, KEYS, VALUES = 2, 2, 6, 3, 4


def draw(steps, dtype=torch.float64):
    q_BTGN, k_BTGN = (torch.randn(BATCH, steps, GROUPS, KEYS, dtype=dtype) for _ in range(2))
    v_BTHP = torch.randn(BATCH, steps, HEADS, VALUES, dtype=dtype)
    log_decay_BTH = -torch.rand(BATCH, steps, HEADS, dtype=dtype)
    return q_BTGN, k_BTGN, v_BTHP, log_decay_BTH, torch.rand_like(log_decay_BTH), torch.randn(HEADS, dtype=dtype)


def looped(q_BTGN, k_BTGN, v_BTHP, log_decay_BTH, weight_BTH, skip_H, *own_BTH):
    """Each output, by the recurrence alone. What comes last, if anything, is the weight in a step's own output."""
    state_BHPN, outputs = v_BTHP.new_zeros(BATCH, HEADS, VALUES, KEYS), []
    steps = (tensor.unbind(1) for tensor in (q_BTGN, k_BTGN, v_BTHP, log_decay_BTH, weight_BTH, *own_BTH))
    for q, k, v, log_decay, weight, *own in zip(*steps, strict=True):
        before = state_BHPN
        y_BHP, state_BHPN = attention_step(q, k, v, log_decay, weight, skip_H, before)
        outputs.append(attention_step(q, k, v, log_decay, *own, skip_H, before)[0] if own else y_BHP)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("steps", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1, 3 * CHUNK])
def test_chunks_give_what_the_recurrence_gives(steps, own):
    given = draw(steps)
    given = [tensor.requires_grad_() for tensor in (*given, *([torch.rand_like(given[4])] if own else []))]
    y_BTHP, expected = ssd(*given), looped(*given)
    torch.testing.assert_close(y_BTHP, expected)
    grad_BTHP = torch.randn_like(y_BTHP)
    ours, theirs = (torch.autograd.grad(y, given, grad_BTHP, materialize_grads=True) for y in (y_BTHP, expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("compiled", [False, True])
def test_what_a_strong_decay_erased_takes_no_digits_from_the_rest(compiled, monkeypatch):
    monkeypatch.setattr("models.recurrences.state_space_duality.runs_compiled", lambda *tensors: compiled)
    q, k, v, log_decay, weight, skip = (tensor.requires_grad_() for tensor in draw(3 * CHUNK, torch.float32))
    erasing = torch.arange(3 * CHUNK) % 5 == 2
    log_decay = torch.where(erasing[:, None], -1e6, log_decay)
    y_BTHP = ssd(q, k, v, log_decay, weight, skip)
    torch.testing.assert_close(y_BTHP, looped(q, k, v, log_decay, weight, skip), rtol=1e-3, atol=1e-4)
    y_BTHP.sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (q, k, v, weight, skip))


def test_a_weight_of_zero_adds_nothing():
    q, k, v, log_decay, weight, skip = draw(2 * CHUNK)
    weight[:, 3:] = 0
    weight.requires_grad_()
    y_BTHP = ssd(q, k, v, log_decay, weight, skip)
    torch.testing.assert_close(y_BTHP, looped(q, k, v, log_decay, weight, skip))
    y_BTHP.sum().backward()
    assert torch.isfinite(weight.grad).all()
