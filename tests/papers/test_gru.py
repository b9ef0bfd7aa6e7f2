import math

import numpy as np
import pytest

from bench.catalog.registry import find_model
from bench.runs.settings import Settings
from models.shared.wrappers import Plain
from tests.papers.reference import agrees, build, loop, sigmoid


def test_gru():
    model, p = build("gru", hidden_size=5)

    def advance(x, h):
        r_x, z_x, n_x = np.split(p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"], 3)
        r_h, z_h, n_h = np.split(p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"], 3)
        z = sigmoid(z_x + z_h)
        h = (1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + z * h
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


def test_chrono_biases_are_logarithms_of_memory_times():
    _, p = build("gru", hidden_size=2000, seq_len=500, chrono=True)
    bias_r, bias_z, _ = np.split(p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"], 3)
    memory = np.exp(bias_z)
    assert memory.min() >= 1
    assert memory.max() <= 499
    assert memory.mean() == pytest.approx(250, abs=4 * 498 / math.sqrt(12 * 2000))
    assert np.abs(bias_r).max() <= 2 / math.sqrt(2000)  # two of torch's own


def test_a_unit_that_starts_with_a_memory_of_100_steps_keeps_it():
    model, p = build("gru", hidden_size=1, chrono=True)
    for name in p:
        p[name][...] = 0  # shares the model's memory: neither input nor state is seen
    p["rnn.bias_ih_l0"][1] = math.log(100)
    state = model.initial_state(1) + 1
    for _ in range(100):
        _, state = model.step(model.initial_state(1).expand(1, 3), state)
    assert state.item() == pytest.approx(math.exp(-1), rel=0.01)


def test_the_default_is_what_older_records_mean():
    defaults = Settings.defaults(find_model("gru").cls, Plain)
    assert defaults.to_dict()["model"] == {"hidden_size": 200}
    assert defaults.updated({"chrono": True}).to_dict()["model"] == {"hidden_size": 200, "chrono": True}
