"""The theorem of the FRU paper against exact Jacobians, and gradient flow against automatic differentiation."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.utils._pytree import tree_map

from bench.catalog.registry import find_model, find_task, model_names
from bench.probe.gradient_flow import measure, steps_back
from bench.runs.network import build
from bench.runs.settings import Settings
from datamodules._generated import GeneratedTask
from models.fru import FRU
from models.shared.lightning_module import SequenceModule, scored
from models.shared.training import Training
from models.shared.wrappers import WRAPPERS

STATS, RECUR, INPUT = 4, 5, 2


class LinearFRU(FRU):
    """The unit of the theorem: σ is the identity."""

    def update(self, u_BkS: Tensor, x_BD: Tensor, decay_k: Tensor, gain_k: Tensor) -> Tensor:
        r_BR = self.recur_feats(u_BkS.flatten(1))
        phi_BS = self.stats(torch.cat([x_BD, r_BR], dim=-1))
        return decay_k[:, None] * u_BkS + gain_k[..., None] * phi_BS[:, None]


def unit(cls: type[FRU], freqs: tuple[float, ...], seq_len: int, seed: int, scale: float) -> FRU:
    """Random weights in double precision, the recurrent ones `scale` times as large as at the start of training."""
    torch.manual_seed(seed)
    config = cls.Config(freqs=freqs, stat_size=STATS, recur_size=RECUR, output_size=3)
    mixer = cls(config, input_size=INPUT, seq_len=seq_len).double()
    with torch.no_grad():
        mixer.recur_feats.weight.mul_(scale)
        mixer.recur_feats.bias.normal_()
        mixer.stats.weight[:, INPUT:].mul_(scale)
    return mixer


def exact_gains(mixer: FRU, steps: int) -> Tensor:
    """All singular values of ∂u_T/∂u_0, largest first, at a random initial state."""
    x_1TD = torch.randn(1, steps, INPUT, dtype=torch.float64)
    shape = (1, mixer.num_summaries, STATS)

    def final_state(u: Tensor) -> Tensor:
        state = u.view(shape), torch.zeros(1, dtype=torch.long)
        *_, last = mixer.summaries(x_1TD, state)
        return last.flatten()

    start = 0.1 * torch.randn(math.prod(shape), dtype=torch.float64)
    return torch.linalg.svdvals(jacobian(final_state, start))


@pytest.mark.parametrize("seq_len", [8, 64])
@pytest.mark.parametrize("freq", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_theorem_holds_for_the_linear_unit_with_one_frequency(seed: int, freq: float, seq_len: int) -> None:
    """e^{−2σ} ≤ σ_min(∂u_T/∂u_0) ≤ σ_max(∂u_T/∂u_0) ≤ e^{σ} with σ = σ_max(W_h W_r), and so for every gradient."""
    mixer = unit(LinearFRU, (freq,), seq_len, seed, scale=2)
    sigma = torch.linalg.matrix_norm(mixer.stats.weight[:, INPUT:] @ mixer.recur_feats.weight, 2).item()
    gains = exact_gains(mixer, seq_len)
    assert math.exp(-2 * sigma) <= gains[-1] <= gains[0] <= math.exp(sigma)
    if freq < 1:  # over whole turns a cosine adds up to little
        assert gains[0] / gains[-1] > 1.01
    bounds = mixer.gain_bounds(seq_len)
    assert bounds.sigma >= sigma  # two maps in a row stretch no more than each apart
    assert bounds.lower is not None
    assert bounds.lower <= math.exp(-2 * sigma)


@pytest.mark.parametrize("steps", [16, 32, 96])
@pytest.mark.parametrize("freqs", [(0.5,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_the_bounds_hold_with_relus_with_more_frequencies_and_beyond_the_training_length(
    seed: int, freqs: tuple[float, ...], steps: int
) -> None:
    mixer = unit(FRU, freqs, 32, seed, scale=3)
    gains, bounds = exact_gains(mixer, steps), mixer.gain_bounds(steps)
    assert bounds.lower is not None
    assert bounds.upper is not None
    assert bounds.lower <= gains[-1] <= gains[0] <= bounds.upper
    assert bounds.upper == pytest.approx(math.exp(bounds.sigma * steps / 32))


def test_the_bounds_do_not_grow_with_the_training_length() -> None:
    short, long = (unit(FRU, (0.5,), seq_len, 0, scale=3) for seq_len in (64, 8192))
    assert short.gain_bounds(64) == long.gain_bounds(8192)


def test_a_frequency_that_does_not_accumulate_has_no_lower_bound() -> None:
    """Beside others the frequency 0 shows the present step only: the Jacobian loses its S dimensions at once."""
    mixer = unit(FRU, (0.0, 1.0), 32, 0, scale=1)
    gains, bounds = exact_gains(mixer, 32), mixer.gain_bounds(32)
    assert gains[-STATS:].max() < 1e-12
    assert bounds.lower is None
    assert "does not accumulate" in bounds.note
    assert bounds.upper is not None
    assert gains[0] <= bounds.upper


def test_large_recurrent_maps_need_long_sequences() -> None:
    bounds = unit(FRU, (0.5,), 8, 0, scale=30).gain_bounds(8)
    assert bounds.lower is None
    assert "T = 2σ" in bounds.note


def small(name: str, task: str, seq_len: int):
    found = find_task(task).build()
    assert isinstance(found, GeneratedTask)
    model = find_model(name).cls
    spec, samples = found.fresh(3, seq_len)
    torch.manual_seed(0)
    settings = Settings.at_width(model, WRAPPERS[model.wrapper], 6)
    return build(model, WRAPPERS[model.wrapper], settings, spec), spec, samples


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("task", ["copy", "adding"])
def test_every_architecture_has_input_gradients_and_recurrent_ones_a_states(name: str, task: str) -> None:
    network, spec, samples = small(name, task, 30)
    found = measure(network, spec, samples)
    assert found["length"] == 30
    assert found["steps_back"] == list(range(30))
    assert len(found["input"]) == 30
    assert all(math.isfinite(norm) and norm >= 0 for norm in found["input"])
    mixer = network.mixers()[0]
    has_state = mixer.is_recurrent() and mixer.mixes
    assert (found["initial_state"] is not None) == (found["state_gain"] is not None) == has_state


@pytest.mark.parametrize("name", ["fru", "lstm", "lru", "mingru", "transformer"])
def test_the_input_gradients_are_those_of_each_samples_own_loss(name: str) -> None:
    network, spec, samples = small(name, "adding", 20)
    found = measure(network, spec, samples)
    module, norms = SequenceModule(network, spec, Training()), []
    for index in range(len(samples.y)):
        x_1TD = samples.x[index : index + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(module.loss(network(x_1TD), samples.y[index : index + 1]), x_1TD)
        norms.append(gradient[0].norm(dim=1))
    expected_T = torch.stack(norms).mean(0).flip(0)
    torch.testing.assert_close(torch.tensor(found["input"]), expected_T, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("task", ["copy", "adding"])
@pytest.mark.parametrize("name", ["fru", "sru", "lstm"])
def test_the_initial_states_gradient_is_that_of_the_unrolled_network(name: str, task: str) -> None:
    """Against one graph over all steps, from an initial state that needs a gradient."""
    network, spec, samples = small(name, task, 25)
    found, mixer, norms = measure(network, spec, samples), network.mixers()[0], []
    module = SequenceModule(network, spec, Training())
    for index in range(len(samples.y)):
        one = samples.gather(torch.tensor([index]))
        state = tree_map(torch.clone, mixer.initial_state(1))
        leaves = [leaf.requires_grad_() for leaf in state if leaf.is_floating_point()]
        outputs = []
        for x_1D in (one.x if network.embedding is None else network.embedding(one.x)).unbind(1):
            y_1H, state = mixer.step(x_1D, state)
            outputs.append(y_1H)
        y_1TH = torch.stack(outputs, dim=1)
        predicted = network.readout(y_1TH if task == "copy" else y_1TH[:, -1])
        loss = module.loss(predicted, scored(module.spec, one.y) if task == "copy" else one.y)
        norms.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, leaves)]).norm())
    assert found["initial_state"] == pytest.approx(torch.stack(norms).mean().item(), rel=1e-3)


def test_the_measured_gain_lies_within_the_exact_and_the_bounds() -> None:
    found_task = find_task("adding").build()
    assert isinstance(found_task, GeneratedTask)
    spec, samples = found_task.fresh(2, 40)
    torch.manual_seed(0)
    model = find_model("fru").cls
    settings = Settings.defaults(model, WRAPPERS[model.wrapper]).updated({"freqs": [0.5], "stat_size": 3})
    network = build(model, WRAPPERS[model.wrapper], settings, spec)
    gain, bounds = (measure(network, spec, samples)[name] for name in ("state_gain", "bounds"))
    assert bounds["lower"] <= gain["low"] <= gain["mean"] <= gain["high"] <= bounds["upper"]
    assert gain["low"] < gain["high"]


def test_a_vanishing_gradient_is_seen() -> None:
    """An RNN whose state shrinks to a third at each step: in 40 steps by 3^40."""
    network, spec, samples = small("rnn", "adding", 40)
    rnn = network.mixers()[0].rnn
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.eye(len(rnn.weight_hh_l0)) / 3)
        for bias in (rnn.bias_ih_l0, rnn.bias_hh_l0, rnn.weight_ih_l0):
            bias.mul_(1e-6)
    found = measure(network, spec, samples)
    assert found["state_gain"]["mean"] == pytest.approx(3.0**-40, rel=1e-3)
    back = np.array(found["input"])
    assert np.allclose(back[1:] / back[:-1], 1 / 3, rtol=1e-2)


def test_a_gradient_that_explodes_is_no_number() -> None:
    """A state that grows tenfold at each step, 10^60 in all: more than single precision holds, and than JSON says."""
    network, spec, samples = small("rnn", "adding", 60)
    rnn = network.mixers()[0].rnn
    rnn.mode = "RNN_RELU"
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(10 * torch.eye(len(rnn.weight_hh_l0)))
        rnn.bias_ih_l0.fill_(1)
    found = measure(network, spec, samples)
    assert found["state_gain"]["high"] is None
    assert None in found["input"]
    json.dumps(found, allow_nan=False)


def test_the_steps_that_are_kept_include_both_ends() -> None:
    assert steps_back(5) == [0, 1, 2, 3, 4]
    for length in (128, 129, 8192):
        kept = steps_back(length)
        assert kept == sorted(set(kept))
        assert (kept[0], kept[-1]) == (0, length - 1)
        assert len(kept) <= 128
    assert len(steps_back(8192)) > 90
