"""Every architecture against numbers from its authors' own code: see golden/README.md."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.catalog.registry import find_model, model_names
from models.fru import FRU
from models.shared.authors_weights import PREFIX, AuthorsWeights
from tests.papers.golden import (
    BEFORE_GELU,
    CASES,
    DIFFERS,
    GATED,
    NO_SETTING,
    RESIDUAL,
    Arrays,
    build,
    line_of,
    load,
    marks,
)
from tests.papers.golden_networks import settle

FILES = [pytest.param(name, marks=marks(name)) for name in CASES]

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""The largest difference, relative to the largest number.

In float32, the FRU authors' cosine takes arguments up to 2π·24, where the last digit is worth 1e-5; ours are reduced to
one turn first.
"""
LOOSER = {"exprnn": 1e-7, "hyena": 1e-7}
"""Where the authors compute in single precision: the exponential of the one, the windows' times and rates of the other.

With their rounded times and rates, our Hyena differs by 1e-16.
"""


ZERO = {"indrnn_bn_before:DIs.*.fc.bias": True}
"""Gradients that are zero, of which a file has the rounding. They are compared in absolute numbers."""


class Golden:
    """A file and our model with its weights."""

    def __init__(self, name: str, arrays: Arrays) -> None:
        self.name, self.arrays, self.model = name, arrays, build(name, arrays)
        self.x_BTD = torch.from_numpy(arrays["x"])
        self.tolerance = LOOSER.get(name, TOLERANCE[arrays["x"].dtype.name])
        self.theirs = {key: torch.from_numpy(v).requires_grad_() for key, v in arrays.items() if key.startswith(PREFIX)}

    def output(self, y_H: Tensor, x_D: Tensor) -> Tensor:
        """Return what the file calls y from what our layer returns, (…, H), and from the layer's input."""
        if self.name in RESIDUAL:
            return self.residual_block(y_H + x_D)
        if self.name not in GATED:
            return y_H
        weight, bias = (self.theirs[f"{PREFIX}output_linear.0.{name}"] for name in ("weight", "bias"))
        return F.glu(F.linear(y_H, weight.flatten(1), bias))

    def residual_block(self, v_H: Tensor) -> Tensor:
        weight, bias, *norm = (
            self.theirs[f"{PREFIX}{part}.{name}"] for part in ("linear", "norm") for name in ("weight", "bias")
        )
        return F.layer_norm(v_H + torch.tanh(F.linear(v_H, weight, bias)), v_H.shape[-1:], *norm)

    def assert_close(self, ours: Tensor, theirs: np.ndarray) -> None:
        assert difference(ours, theirs) < self.tolerance


def difference(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest difference, relative to the largest number."""
    assert ours.shape == theirs.shape
    return np.abs(ours.detach().numpy() - theirs).max() / max(np.abs(theirs).max(), 1e-6)


@pytest.fixture
def golden(name: str, golden_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Golden:
    if name in BEFORE_GELU:
        monkeypatch.setattr(F, "gelu", lambda y_H, **_: y_H)
    return Golden(name, load(name, golden_folder))


@pytest.mark.parametrize("name", FILES)
def test_outputs_at_every_step(golden: Golden) -> None:
    golden.assert_close(golden.output(golden.model(golden.x_BTD), golden.x_BTD), golden.arrays["y"])
    last_BH = golden.output(golden.model.last(golden.x_BTD), golden.x_BTD[:, -1])
    golden.assert_close(last_BH, golden.arrays["y"][:, -1])


@pytest.mark.parametrize("name", FILES)
def test_step_by_step(golden: Golden) -> None:
    if not golden.model.is_recurrent():
        pytest.skip("needs the whole sequence")
    settle(golden.model, golden.x_BTD)
    state = golden.model.initial_state(len(golden.x_BTD))
    for t, x_BD in enumerate(golden.x_BTD.unbind(1)):
        y_BH, state = golden.model.step(x_BD, state)
        golden.assert_close(golden.output(y_BH, x_BD), golden.arrays["y"][:, t])
    if "state" in golden.arrays:
        golden.assert_close(state[0].flatten(1), golden.arrays["state"])


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("indrnn_")])
def test_running_averages_replace_a_batchs_own_statistics(golden: Golden) -> None:
    settle(golden.model, golden.x_BTD)
    golden.assert_close(golden.model(golden.x_BTD), golden.arrays["y"])
    golden.assert_close(golden.model.last(golden.x_BTD), golden.arrays["y"][:, -1])
    one_BTD = golden.x_BTD[:1, :5]
    golden.assert_close(golden.model(one_BTD), golden.arrays["y"][:1, :5])


@pytest.mark.parametrize("name", FILES)
def test_every_gradient(golden: Golden) -> None:
    present = [which for which in ("last", "all") if f"w_{which}" in golden.arrays]
    assert present
    for which in present:
        for key, ours in gradients(golden, which).items():
            zero = 1 if line_of(f"{golden.name}:{key}", ZERO) else 0
            golden.assert_close(zero + ours, zero + golden.arrays[f"grad_{which}/{key}"])


def gradients(golden: Golden, which: str) -> dict[str, Tensor]:
    """Return the gradient of the input and of each of the authors' parameters.

    Ours are functions of theirs, so that the chain rule leads from the gradients of ours to those of theirs.
    """
    x_BTD, model = golden.x_BTD.clone().requires_grad_(), golden.model
    for tensor in (*model.parameters(), *golden.theirs.values()):
        tensor.grad = None
    y = golden.output(model.last(x_BTD), x_BTD[:, -1]) if which == "last" else golden.output(model(x_BTD), x_BTD)
    (y * torch.from_numpy(golden.arrays[f"w_{which}"])).sum().backward()
    ours = model.from_authors(AuthorsWeights(golden.theirs, x_BTD.device))
    for name, parameter in model.named_parameters():
        if ours[name].requires_grad:
            ours[name].backward(parameter.grad, retain_graph=True)
    names = [key.removeprefix(f"grad_{which}/") for key in golden.arrays if key.startswith(f"grad_{which}/")]
    return {name: x_BTD.grad if name == "x" else golden.theirs[PREFIX + name].grad for name in names}


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in NO_SETTING if ":" not in name])
def test_what_we_have_no_setting_for(name: str) -> None:
    raise AssertionError(f"{name} is in NO_SETTING, so that it is skipped")


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"indrnn_residual"}))  # its network has other names
def test_wrong_weights_are_refused(name: str, golden_folder: Path) -> None:
    arrays = load(name, golden_folder)
    model = build(name, arrays)
    around = tuple(PREFIX + part for part in ("output_linear.", *(("linear.", "norm.") if name in RESIDUAL else ())))
    for key in (key for key in arrays if key.startswith(PREFIX) and not key.startswith(around)):
        with pytest.raises(ValueError, match=rf"^{re.escape(key)} has shape \(9, 9, 9, 9, 9\); .* needs \("):
            model.load_authors_weights(arrays | {key: np.zeros((9,) * 5)})
        # Without a B, S4D takes the file to be of the authors' other code.
        other = CASES[name][0] == "s4d" and key == f"{PREFIX}kernel.B"
        missing = f"{PREFIX}kernel.log_A_real" if other else key
        with pytest.raises(ValueError, match=f"^no entry '{re.escape(missing)}'; entries: "):
            model.load_authors_weights({k: v for k, v in arrays.items() if k != key})


def test_sizes_that_the_authors_layer_lacks_are_refused() -> None:
    lru = find_model("lru").cls
    model = lru(lru.Config(hidden_size=6, state_size=5), input_size=4, seq_len=12)
    with pytest.raises(ValueError, match=r"nothing for encoder\.bias, encoder\.weight: build LRU in their sizes"):
        model.load_authors_weights(load("lru"))


@pytest.mark.parametrize("name", model_names())
def test_what_differs_is_declared(name: str) -> None:
    """A model with a line in DIFFERS says so on its page."""
    deviations = find_model(name).cls.deviations
    assert all(what and why for what, why in deviations.items())
    differing = {key.partition(":")[0].partition("_")[0] for key in DIFFERS}
    assert deviations or name not in differing


def test_default_frequencies_are_the_authors(golden_folder: Path) -> None:
    arrays = load("fru_k6", golden_folder)
    config = FRU.Config(num_freqs=len(arrays["freqs"]))
    assert np.allclose(config.frequencies(arrays["x"].shape[1]), arrays["freqs"])
