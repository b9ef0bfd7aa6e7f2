import numpy as np
import pytest
import torch
from scipy.linalg import block_diag, hadamard

from models.slice import CHUNK
from tests.papers.reference import STEPS, agrees, build

STRUCTURES = {
    "block": {"block_size": 2},
    "diagonal": {"block_size": 1},
    "dense": {"structure": "dense"},
    "dplr": {"structure": "dplr", "rank": 3},
    "hadamard": {"structure": "hadamard"},
}


def dense_matrix(p, w, settings):
    """A(ω) as one matrix."""
    structure, size = settings.get("structure", "block"), len(p["initial.bias"])
    if structure == "hadamard":
        return hadamard(size) / np.sqrt(size) @ np.diag(w @ np.tanh(p["A"]))
    if structure == "dplr":
        u, v = ((w @ p[name]).reshape(size, -1) for name in "UV")
        return np.diag(w @ p["A"]) + u @ v.T
    b = size if structure == "dense" else settings["block_size"]
    return block_diag(*(w @ p["A"]).reshape(-1, b, b))


@pytest.mark.parametrize("steps", [1, 2, 3, STEPS, CHUNK, CHUNK + 1, CHUNK + 2, 2 * CHUNK + 9])
@pytest.mark.parametrize("settings", STRUCTURES.values(), ids=STRUCTURES)
def test_slice(settings, steps):
    model, p = build("slice", hidden_size=8, step_size=0.1, **settings)

    def reference(x_TD):
        h = p["initial.weight"] @ x_TD[0] + p["initial.bias"]
        outputs = [h]
        for x in x_TD[1:]:
            h = h + dense_matrix(p, 0.1 * np.array([1, *x]), settings) @ h
            outputs.append(h)
        return np.stack(outputs)

    agrees(model, reference, steps=steps)


def test_one_block_is_dense():
    dense, _ = build("slice", hidden_size=8, structure="dense")
    block, _ = build("slice", hidden_size=8, block_size=8, seed=1)
    block.load_state_dict(dense.state_dict())
    x_BTD = torch.randn(2, STEPS, 3, dtype=torch.float64)
    torch.testing.assert_close(block(x_BTD), dense(x_BTD))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("settings", STRUCTURES.values(), ids=STRUCTURES)
def test_a_diverging_state_stays_finite(settings, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("models.slice.runs_compiled", lambda *_: False)
    model, _ = build("slice", hidden_size=8, **settings)
    x_BTD = (100 * torch.randn(2, 300, 3)).requires_grad_()
    y_BTH = model.float()(x_BTD)
    assert y_BTH.abs().max() > 1e10  # it diverges indeed
    y_BTH.mean().backward()
    assert y_BTH.isfinite().all()
    assert all(tensor.grad.isfinite().all() for tensor in (x_BTD, *model.parameters()))


def test_the_compiled_bound_is_the_authors():
    """κ tanh(change/κ), forward and backward, where `step` computes it by torch."""
    model, _ = build("slice", hidden_size=8, step_size=1e11)
    model.float()
    x_BTD = torch.randn(2, 2, 3)
    (_, second_BH), state = model(x_BTD).unbind(1), model.initial_state(2)
    for x_BD in x_BTD.unbind(1):
        expected_BH, state = model.step(x_BD, state)
    torch.testing.assert_close(second_BH, expected_BH, rtol=1e-4, atol=1e5)
    given, expected = (torch.autograd.grad(y.sum() / 1e11, model.A)[0] for y in (second_BH, expected_BH))
    torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_size": 3}, "block_size=3 must divide hidden_size=128"),
        ({"structure": "hadamard", "hidden_size": 24}, "hidden_size=24 must be a power of two"),
        ({"structure": "sparse"}, "structure='sparse' must be one of"),
    ],
)
def test_conflicts_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build("slice", **settings)
