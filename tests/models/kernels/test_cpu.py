"""The kernels for CPUs, which compute in float32, against torch, which computes in float64.

That torch's form is right is for tests/papers to say. Shapes: B batch, T time, D input.
"""

import ast
import math
import shutil
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from bench.catalog.registry import find_model
from models.kernels.cpu.s4d import sequences_together
from models.kernels.cpu.toolkit import compile as toolkit
from models.kernels.cpu.toolkit.vector import WIDTH
from models.shared.linear import ROWS, in_blocks, linear
from tests.conftest import ROOT

BATCH, STEPS, INPUT = 19, 23, 3  # more sequences than one share
MODELS = ROOT / "models"
NAMES = (
    "bag", "cornn", "exprnn", "gated-deltanet", "gla", "gru", "hippo", "indrnn", "lem", "linoss", "lmu", "lru", "lstm",
    "mamba", "mamba2", "mamba3", "mingru", "minlstm", "mlstm", "rg-lru", "rnn", "rwkv7", "s4d", "s5", "slice", "sru",
)  # fmt: skip
SETTINGS = {
    "cornn": {"dt": 0.3, "gamma": 1.7, "epsilon": 0.9},
    "gated-deltanet": {"householders": 2, "head_size": 9},
    "gla": {"head_size": 18, "expand_k": 2.0, "expand_v": 4.0},  # values in two vectors, and tiles of several sizes
    "lem": {"dt": 0.3},
    "lmu": {"order": 9},
    "hippo": {"order": 9, "max_length": 17},
    "minlstm": {"expansion": 1.5},
    "mamba": {"state_size": 7},  # as many states at a time as a power of two allows
    "mlstm": {"expansion": 3.0},  # values and n in two vectors
    "mamba3": {"state_size": 20, "head_size": 6},  # tiles of several sizes, and a vector that is not full
    "rg-lru": {"block_size": 9, "conv_size": 40},  # no whole tiles of gradients, and more than a tile of steps
    "s5": {"state_size": 6},
    "slice": {"step_size": 0.1},
    "s4d": {"state_size": 6, "init": "legs", "discretisation": "bilinear"},  # with a B of its own
}
# More than a chunk, tile or group of tiles of its kernel.
LONGER = {"s4d": 150, "mingru": 75, "s5": 75, "lru": 300, "gla": 300, "rg-lru": 300}
WIDER = {"indrnn": 130, "mingru": 130}  # more units than a block


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def build(name):
    torch.manual_seed(0)
    cls, steps = find_model(name).cls, LONGER.get(name, STEPS)
    config = replace(cls.Config.at_width(WIDER.get(name, 13)), **SETTINGS.get(name, {}))
    x_BTD = torch.randn(steps, BATCH, INPUT).transpose(0, 1)  # not contiguous
    return cls(config, input_size=INPUT, seq_len=steps).eval(), x_BTD


def results(model, x_BTD):
    """All outputs, the last ones of sequences of several lengths, and the gradients of both."""
    generator = torch.Generator().manual_seed(1)
    lengths_B = torch.randint(1, x_BTD.shape[1] + 1, (BATCH,), generator=generator)
    x_BTD = x_BTD.detach().requires_grad_()
    outputs = [model(x_BTD), model.last(x_BTD, lengths_B), model.last(x_BTD)]
    weights = [torch.randn(y.shape, generator=generator) for y in outputs]
    loss = sum((y * weight.to(y.dtype)).sum() for y, weight in zip(outputs, weights, strict=True))
    return [tensor.detach() for tensor in (*outputs, *torch.autograd.grad(loss, [x_BTD, *model.parameters()]))]


def test_agrees_with_torch(name, monkeypatch):
    monkeypatch.setattr("models.mamba.CHUNK", 7)
    model, x_BTD = build(name)
    given = results(model, x_BTD)
    expected = results(model.double(), x_BTD.double())
    for got, want in zip(given, expected, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-5 * max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_costs_precision_only(name, dtype):
    """Memory that holds bfloat16 is never read as float32, forward or backward."""
    model, x_BTD = build(name)
    x_BTD = x_BTD.bfloat16().to(dtype)
    expected = results(model, x_BTD.float())
    with torch.autocast("cpu", torch.bfloat16):
        given = results(model, x_BTD)
    for got, want in zip(given, expected, strict=True):
        assert (got.float() - want).norm() <= 0.1 * want.norm()


def test_second_derivatives_are_refused(name):
    model, x_BTD = build(name)
    x_BTD.requires_grad_()
    y_H = model.last(x_BTD) if name == "bag" else model(x_BTD)  # a bag's other outputs are torch's
    (grad_BTD,) = torch.autograd.grad(y_H.square().sum(), x_BTD, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad_BTD.sum().backward()


def test_keeps_what_is_not_finite(name):
    model, x_BTD = build(name)
    x_BTD[0, 5, 0] = math.nan
    y_BTH = model(x_BTD)
    assert y_BTH[0, 5:].isnan().any(1).all()
    assert y_BTH[0, :5].isfinite().all()
    assert y_BTH[1:].isfinite().all()
    assert model.last(x_BTD)[0].isnan().any()


@pytest.mark.parametrize("name", ["bag", "gru", "indrnn", "lstm", "mingru", "rnn"])
def test_lengths_beyond_the_input_are_refused(name):
    model, x_BTD = build(name)
    for length in (0, STEPS + 1):
        with pytest.raises(ValueError, match="lengths must be from 1 to 23"):
            model.last(x_BTD[:, :STEPS], torch.full((BATCH,), length))


def test_s4ds_sequences_lie_side_by_side_where_that_leaves_fewer_lanes_empty():
    model, x_BTD = build("s4d")
    assert sequences_together(len(x_BTD), 13) == 1
    assert WIDTH != 16 or sequences_together(64, 34) == 8
    assert sequences_together(16, 13) * 13 % WIDTH == 0
    whole_BTH, single_BTH = model(x_BTD[:16]), torch.cat([model(x_1TD) for x_1TD in x_BTD[:16].split(1)])
    torch.testing.assert_close(whole_BTH, single_BTH, rtol=1e-6, atol=1e-6)
    weight_BTH = torch.randn(whole_BTH.shape, generator=torch.Generator().manual_seed(1))
    for got, want in zip(
        *(torch.autograd.grad((y * weight_BTH).sum(), model.parameters()) for y in (whole_BTH, single_BTH)), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * want.abs().max().item())


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="float64"):
        toolkit.run(None, torch.zeros(2, dtype=torch.float64))


def test_an_edit_of_any_source_is_noticed(tmp_path):
    """Also of a helper that a kernel calls, at which numba itself does not look."""
    copy = shutil.copytree(toolkit.SOURCES, tmp_path / "cpu", ignore=shutil.ignore_patterns("__pycache__"))
    sources = sorted(copy.rglob("*.py"))
    assert {"product.py", "toolkit/functions.py", "fru/chunks.py"} <= {str(path.relative_to(copy)) for path in sources}
    digests = {toolkit.digest(copy)}
    for source in sources:
        with source.open("a") as file:
            file.write("# an edit\n")
        toolkit.digest.cache_clear()
        digests.add(toolkit.digest(copy))
    assert len(digests) == 1 + len(sources)


def test_a_folder_without_sources_makes_no_key(tmp_path):
    with pytest.raises(AssertionError, match="no sources"):
        toolkit.digest(tmp_path)


def test_the_sources_are_all_that_numba_compiles():
    compiled = {path for path in MODELS.rglob("*.py") if compiles(path)}
    assert toolkit.SOURCES / "diagonal_cells.py" in compiled
    assert [path for path in compiled if not path.is_relative_to(toolkit.SOURCES)] == []


def compiles(path):
    """Whether the file takes a decorator of numba, or one of ours that stands for it."""
    ours = {"kernel", "helper", "part", "tile"}
    imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = {
        alias.name
        for node in imports
        if (node.module or "").startswith("models.kernels.cpu.toolkit")
        for alias in node.names
    }
    return bool(ours & names) or any((node.module or "").startswith("numba") for node in imports)


@pytest.mark.parametrize(("inputs", "outputs"), [(9, 7), (2, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_in_blocks_is_torchs(inputs, outputs, bias):
    x_MK = torch.randn(8 * ROWS + 5, inputs, requires_grad=True)
    weight_NK = torch.randn(outputs, inputs, requires_grad=True)
    bias_N = torch.randn(outputs, requires_grad=True) if bias else None
    assert in_blocks(x_MK, weight_NK)
    given, expected = linear(x_MK, weight_NK, bias_N), F.linear(x_MK, weight_NK, bias_N)
    torch.testing.assert_close(given, expected)
    learned, grad_MN = [x_MK, weight_NK, *[bias_N] * bias], torch.randn_like(expected)
    for got, want in zip(
        torch.autograd.grad(given, learned, grad_MN), torch.autograd.grad(expected, learned, grad_MN), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
        assert got.stride() == want.stride(), "DDP's buckets want gradients laid out as their parameters"
