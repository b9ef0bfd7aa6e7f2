"""FRU and SRU against numbers from the FRU authors' own code: see golden/README.md."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.fru import FRU
from models.recurrences.statistical import StatisticalRecurrence
from models.sru import SRU

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = {"fru_k6": FRU, "fru_k1": FRU, "sru": SRU}
PARAMETERS = ("recur_feats", "stats", "output")
Arrays = dict[str, np.ndarray]


def load(name: str) -> Arrays:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def build(name: str, arrays: Arrays) -> StatisticalRecurrence:
    cls = FILES[name]
    prefix = f"param/rnn/{cls.authors_cell}"
    sizes = {
        "stat_size": len(arrays[f"{prefix}/stats/Bias"]),
        "recur_size": len(arrays[f"{prefix}/recur_feats/Bias"]),
        "output_size": len(arrays[f"{prefix}/output/Bias"]),
    }
    fixed = {"freqs": arrays["freqs"]} if cls is FRU else {"decays": arrays["alphas"]}
    config = cls.Config(**sizes, **{key: tuple(values.tolist()) for key, values in fixed.items()})
    _, seq_len, input_size = arrays["x"].shape
    model = cls(config, input_size=input_size, seq_len=seq_len)
    model.load_authors_weights(arrays)
    return model


@pytest.fixture(params=FILES)
def golden(request: pytest.FixtureRequest) -> tuple[StatisticalRecurrence, Arrays]:
    arrays = load(request.param)
    return build(request.param, arrays), arrays


def assert_close(ours: Tensor, theirs: np.ndarray) -> None:
    """Equal to float32 rounding, relative to the largest number.

    The authors' cosine takes arguments up to 2π·24 in float32, where the last digit is worth 1e-5; ours are reduced
    to one turn first.
    """
    assert ours.shape == theirs.shape
    scale = max(np.abs(theirs).max(), 1e-6)
    assert np.abs(ours.detach().numpy() - theirs).max() / scale < 1e-5


def test_outputs_at_every_step(golden: tuple[StatisticalRecurrence, Arrays]) -> None:
    model, arrays = golden
    assert_close(model(torch.from_numpy(arrays["x"])), arrays["y"])
    assert_close(model.last(torch.from_numpy(arrays["x"])), arrays["y"][:, -1])


def test_final_state_step_by_step(golden: tuple[StatisticalRecurrence, Arrays]) -> None:
    model, arrays = golden
    state = model.initial_state(len(arrays["x"]))
    for t, x_BD in enumerate(torch.from_numpy(arrays["x"]).unbind(1)):
        y_BH, state = model.step(x_BD, state)
        assert_close(y_BH, arrays["y"][:, t])
    assert_close(state[0].flatten(1), arrays["state"])


@pytest.mark.parametrize("which", ["last", "all"])
def test_every_gradient(golden: tuple[StatisticalRecurrence, Arrays], which: str) -> None:
    model, arrays = golden
    x_BTD = torch.from_numpy(arrays["x"]).requires_grad_()
    y = model.last(x_BTD) if which == "last" else model(x_BTD)
    (y * torch.from_numpy(arrays[f"w_{which}"])).sum().backward()
    assert_close(x_BTD.grad, arrays[f"grad_{which}/x"])
    prefix = f"grad_{which}/rnn/{model.authors_cell}"
    for name in PARAMETERS:
        linear = getattr(model, name)
        assert_close(linear.weight.grad.T, arrays[f"{prefix}/{name}/Matrix"])
        assert_close(linear.bias.grad, arrays[f"{prefix}/{name}/Bias"])
    if isinstance(model, FRU):
        assert_close(model.phase.grad, arrays[f"{prefix}/phase"])


@pytest.mark.parametrize("name", FILES)
def test_wrong_weights_are_refused(name: str) -> None:
    arrays = load(name)
    model = build(name, arrays)
    key = f"param/rnn/{model.authors_cell}/stats/Bias"
    with pytest.raises(ValueError, match=r"stats/Bias.*shape \(9,\).*needs"):
        model.load_authors_weights(arrays | {key: np.zeros(9)})
    with pytest.raises(ValueError, match=f"no entry '{key}'"):
        model.load_authors_weights({k: v for k, v in arrays.items() if k != key})


def test_default_frequencies_are_the_authors() -> None:
    arrays = load("fru_k6")
    config = FRU.Config(num_freqs=6)
    assert np.allclose(config.frequencies(arrays["x"].shape[1]), arrays["freqs"])
