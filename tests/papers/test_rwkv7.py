import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from models.recurrences.delta_rule import diagonal_delta_rule
from tests.papers.reference import agrees, build, loop, sigmoid

HEADS, SIZE = 2, 4
CHANNELS, RANKS = HEADS * SIZE, (3, 3, 5)


def noisy(**settings):
    """A model none of whose parameters is at the special point of its start."""
    ranks = dict(zip(("decay_rank", "rate_rank", "gate_rank"), RANKS, strict=True))
    model, p = build("rwkv7", hidden_size=CHANNELS, head_size=SIZE, **ranks, **settings)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(torch.randn_like(each), alpha=0.3)
    return model, p


@pytest.mark.parametrize("steps", [1, 16, 35])
def test_rwkv7(steps):
    model, p = noisy()
    maps = np.split(np.concatenate([p["rkv.weight"], p["low.weight"]]), np.cumsum([CHANNELS] * 3 + list(RANKS))[:-1])

    def advance(x, state):
        s_NSS, before = state
        r, k, v, w, a, g = (m @ (x + mu * (before - x)) for m, mu in zip(maps, p["mu"], strict=True))
        w = p["decay.bias"] + p["decay.weight"] @ np.tanh(w)
        w = np.exp(-np.exp(-np.log1p(np.exp(-w)) - 0.5))
        a = sigmoid(p["rate.bias"] + p["rate.weight"] @ a)
        g = p["gate.weight"] @ sigmoid(g)
        xi_k, k, y = p["removal_key"] * k, k * (1 + (a - 1) * p["replacement_rate"]), []
        for h in range(HEADS):
            here = slice(h * SIZE, (h + 1) * SIZE)
            kappa = xi_k[here] / np.linalg.norm(xi_k[here])
            turn = np.diag(w[here]) - np.outer(kappa, a[here] * kappa)
            s_NSS = [*s_NSS[:h], s_NSS[h] @ turn + np.outer(v[here], k[here]), *s_NSS[h + 1 :]]
            o = s_NSS[h] @ r[here]
            normed = (o - o.mean()) / np.sqrt(o.var() + 64e-5) * p["norm.weight"][here] + p["norm.bias"][here]
            y.append(normed + (r[here] * k[here] * p["bonus"][h]).sum() * v[here])
        return p["leave.weight"] @ (np.concatenate(y) * g), (s_NSS, x)

    agrees(model, loop(advance, ([np.zeros((SIZE, SIZE))] * HEADS, np.zeros(3))), steps=steps)


def test_the_strongest_decays_of_a_chunk_lose_no_digits():
    """Each row decays by e^−0.6065 a step at most. A chunk is computed with the inverse of its decay."""
    torch.manual_seed(0)
    given = [torch.randn(1, 64, 2, 4, dtype=torch.float64) for _ in range(6)]
    given[3] = torch.full_like(given[3], -0.6065)
    given[4:] = [torch.nn.functional.normalize(given[4], dim=-1)] * 2
    s_BNdd, outputs = torch.zeros(1, 2, 4, 4, dtype=torch.float64), []
    for q, k, v, log, read, write in zip(*(each.unsqueeze(-1).unbind(1) for each in given), strict=True):
        s_BNdd = log.exp() * s_BNdd + k @ v.mT - write @ (read.mT @ s_BNdd)
        outputs.append((s_BNdd.mT @ q).squeeze(-1))
    torch.testing.assert_close(diagonal_delta_rule(*given), torch.stack(outputs, dim=1), rtol=1e-9, atol=1e-9)


def test_large_inputs_have_finite_gradients():
    torch.manual_seed(0)
    cls = find_model("rwkv7").cls
    model = cls(cls.Config.at_width(8), input_size=3, seq_len=40)
    for dtype in (torch.float32, torch.float64):
        x_BTD = (100 * torch.randn(2, 40, 3)).to(dtype).requires_grad_()
        model.to(dtype).zero_grad()
        model(x_BTD).sum().backward()
        assert all(each.grad.isfinite().all() for each in (x_BTD, *model.parameters()))


def test_the_start_depends_on_the_layer():
    """RWKV-v7's training code: later layers mix less of the step before, and forget later."""
    cls = find_model("rwkv7").cls
    first, last = (cls(cls.Config.at_width(16), input_size=16, seq_len=9, layer=k, layers=3) for k in (0, 2))
    assert (first.mu[:, 1:] > last.mu[:, 1:]).all()
    np.testing.assert_allclose(last.mu[0].detach(), 1 - (np.arange(16) / 16) ** (0.2 / 3), rtol=1e-5)
    assert (first.decay.bias >= last.decay.bias - 1e-6).all()
    assert last.norm.weight.unique().item() == 1
    assert first.norm.weight.unique().item() == pytest.approx((1 / 3) ** 0.7)


def test_w_0_learns_twice_as_fast_and_only_matrices_decay():
    cls = find_model("rwkv7").cls
    model = cls(cls.Config.at_width(8), input_size=8, seq_len=9)
    (w_0, spared), names = model.optimizer_groups(), {id(each): name for name, each in model.named_parameters()}
    assert ([names[id(each)] for each in w_0["params"]], w_0["lr_scale"]) == (["decay.bias"], 2.0)
    rest = set(names.values()) - {names[id(each)] for group in (w_0, spared) for each in group["params"]}
    assert rest == {"rkv.weight", "leave.weight"}
    assert w_0["weight_decay"] == spared["weight_decay"] == 0
