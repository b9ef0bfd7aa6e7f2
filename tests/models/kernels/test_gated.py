"""LSTM, GRU and RNN by the kernel for CPUs against torch's own layers in float64.

Shapes: B batch, T time, D input, H hidden.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.gru import GRU
from models.kernels.cpu.gated import CHUNK
from models.lstm import LSTM
from models.recurrences.torch_layers import TorchRecurrent
from models.rnn import RNN
from tests.conftest import ROOT

STEPS, HIDDEN = 2 * CHUNK + 5, 13
LAYERS = {"lstm": (LSTM, {}), "gru": (GRU, {}), "tanh": (RNN, {}), "relu": (RNN, {"nonlinearity": "relu"})}
BATCHES = (12, 16, 19, 33, 48)  # whole and broken blocks


def make(name: str, input_size: int = 3, hidden: int = HIDDEN, **settings: Any) -> TorchRecurrent:
    torch.manual_seed(0)
    cls, own = LAYERS[name]
    layer = cls(cls.Config(hidden_size=hidden, **own, **settings), input_size=input_size, seq_len=STEPS)
    for parameter in layer.parameters():  # the ReLU's start at the identity would hide errors
        nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
    return layer


def draw(layer: TorchRecurrent, batch: int, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x_TBD = torch.randn(steps, batch, layer.input_size, generator=generator)  # batch-first, it is not contiguous
    return x_TBD.transpose(0, 1), torch.randint(1, steps + 1, (batch,), generator=generator)


def results(layer: TorchRecurrent, x_BTD: Tensor, lengths_B: Tensor) -> list[Tensor]:
    """All outputs, the last ones with and without lengths, and the gradients through each."""
    outputs = []
    for call in (lambda x: layer(x), lambda x: layer.last(x), lambda x: layer.last(x, lengths_B)):
        x = x_BTD.detach().requires_grad_()
        y = call(x)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype)
        outputs += [y.detach(), *torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()])]
    return outputs


def assert_equals_torchs(layer: TorchRecurrent, batch: int, steps: int = STEPS) -> None:
    x_BTD, lengths_B = draw(layer, batch, steps)
    assert layer.takes_kernel(x_BTD)
    given = results(layer, x_BTD, lengths_B)
    layer.double()
    assert not layer.takes_kernel(x_BTD)  # the reference path
    for got, want in zip(given, results(layer, x_BTD.double(), lengths_B), strict=True):
        assert (got - want).abs().max() <= 1e-5 * max(1.0, want.abs().max().item())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch", BATCHES)
def test_values_and_gradients_are_torchs(name: str, batch: int) -> None:
    assert_equals_torchs(make(name), batch)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 4), (1, 47), (40, 22), (2, 1)])
def test_sizes(name: str, inputs: int, hidden: int) -> None:
    assert_equals_torchs(make(name, inputs, hidden), 20)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("steps", [1, CHUNK, CHUNK + 1])
def test_steps(name: str, steps: int) -> None:
    assert_equals_torchs(make(name), 20, steps)


@pytest.mark.parametrize("name", ["gru", "tanh", "relu"])
def test_one_sequence(name: str) -> None:
    assert_equals_torchs(make(name), 1)


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
def test_large_sums_saturate(name: str) -> None:
    """No exponential overflows, and the gates reach 0 and 1."""
    layer = make(name)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.rnn.weight_ih_l0.bernoulli_().mul_(2).sub_(1)  # type: ignore[operator,union-attr]
    x_BTD = 1e4 * torch.ones(16, STEPS, 3)
    y_BTH = layer(x_BTD).double()
    torch.testing.assert_close(y_BTH, layer.double()(x_BTD.double()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_the_state_dict_is_torchs(name: str) -> None:
    layer = make(name)
    other = layer.torch_layer(
        3, HIDDEN, batch_first=True, **layer.layer_options(LAYERS[name][0].Config(**LAYERS[name][1]))
    )
    assert [f"rnn.{key}" for key in other.state_dict()] == list(layer.state_dict())
    other.load_state_dict({key.removeprefix("rnn."): value for key, value in layer.state_dict().items()})
    x_BTD, _ = draw(layer, 20)
    torch.testing.assert_close(layer(x_BTD), other(x_BTD)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_agrees(name: str) -> None:
    layer = make(name)
    x_BTD, lengths_B = draw(layer, 20)
    state, outputs = layer.initial_state(20), []
    for x_BD in x_BTD.unbind(1):
        y_BH, state = layer.step(x_BD, state)
        outputs.append(y_BH)
    y_BTH = torch.stack(outputs, 1)
    torch.testing.assert_close(layer(x_BTD), y_BTH, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.last(x_BTD, lengths_B), y_BTH[range(20), lengths_B - 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_the_padding_may_be_anything(name: str) -> None:
    layer = make(name)
    x_BTD, lengths_B = draw(layer, 20)
    padded_BTD = x_BTD.clone()
    padded_BTD[torch.arange(STEPS) >= lengths_B[:, None]] = 7.0
    for got, want in zip(last(layer, padded_BTD, lengths_B), last(layer, x_BTD, lengths_B), strict=True):
        assert torch.equal(got, want)


def last(layer: TorchRecurrent, x_BTD: Tensor, lengths_B: Tensor) -> list[Tensor]:
    y_BH = layer.last(x_BTD, lengths_B)
    return [y_BH, *torch.autograd.grad(y_BH.square().sum(), list(layer.parameters()))]


@pytest.mark.parametrize("name", LAYERS)
def test_without_gradients_two_steps_take_turns(name: str) -> None:
    layer = make(name)
    x_BTD, lengths_B = draw(layer, 33)
    with torch.no_grad():
        given = layer(x_BTD), layer.last(x_BTD, lengths_B)
    for got, want in zip(given, (layer(x_BTD), layer.last(x_BTD, lengths_B)), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", LAYERS)
def test_same_bits_again_and_the_same_numbers_on_any_number_of_threads(name: str) -> None:
    layer, before = make(name), torch.get_num_threads()
    x_BTD, lengths_B = draw(layer, 70)
    every = {}
    for threads in (1, 3):
        torch.set_num_threads(threads)
        every[threads], again = (results(layer, x_BTD, lengths_B) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(every[threads], again, strict=True))
    torch.set_num_threads(before)
    for a, b in zip(every[1], every[3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_who_runs_the_loop() -> None:
    """The kernel takes float32 on the CPU up to a size. torch has the rest, and what it is asked to run."""
    layer = make("lstm")
    x_BTD, _ = draw(layer, 12)
    assert layer.takes_kernel(x_BTD)
    assert not layer.takes_kernel(x_BTD[:11])
    assert not layer.takes_kernel(x_BTD.to("meta"))
    assert not make("lstm", backend="torch").takes_kernel(x_BTD)
    assert not make("lstm", hidden=501).takes_kernel(x_BTD)
    assert make("gru").takes_kernel(x_BTD[:1])
    assert [make("gru", backend=backend).facts() for backend in ("auto", "torch")] == [
        {"loop": "numba"},
        {"loop": "torch"},
    ]
    with pytest.raises(ValueError, match="backend='numba'"):
        GRU.Config(backend="numba")  # type: ignore[arg-type]


CHECK = """
from tests.models.kernels.test_gated import *
for name in LAYERS:
    for batch in (12, 40):
        assert_equals_torchs(make(name), batch)
"""


@pytest.mark.slow
@pytest.mark.parametrize("features", ["+sse2,+sse4.2,+avx,+avx2,+fma", "+sse2,+fma,+avx"])
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86's extensions")
def test_narrower_vectors(features: str, tmp_path: Path) -> None:
    """Eight numbers a vector, and four, as on ARM."""
    chosen = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **chosen}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
