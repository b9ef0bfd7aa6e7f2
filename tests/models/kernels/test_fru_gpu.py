"""The FRU's GPU kernel against the authors' numbers and the eager loop: on a GPU, or interpreted without one."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from models.fru import FRU
from tests.models.kernels.test_fru_cpu import SMALL, assert_near, make, results
from tests.papers.test_golden import build, load

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("empty_is_nan")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = {  # batch, time, input width, training length, configuration
    "several programs and segments": (4, 37, 2, 37, SMALL),
    "one sequence, one step": (1, 1, 3, 20, SMALL),
    "a whole number of segments": (3, 32, 1, 32, SMALL),
    "longer than trained at": (5, 24, 2, 10, SMALL),
    "one frequency, 0, which accumulates": (4, 12, 2, 12, {**SMALL, "num_freqs": 1}),
    "frequency 0 twice, not first": (3, 20, 2, 20, {**SMALL, "freqs": (2.0, 0.0, 0.0)}),
    "statistics, features and outputs beyond a tile": (
        2, 9, 2, 9, {**SMALL, "stat_size": 18, "recur_size": 17, "output_size": 70},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def kernel() -> ModuleType:
    """The kernel's module; without a GPU, its programs run in Triton's interpreter (conftest.py asks for it)."""
    from models.kernels.gpu import fru_operators

    return fru_operators


@pytest.fixture(autouse=True)
def chosen(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = FRU.kernel
    monkeypatch.setattr(FRU, "kernel", lambda self, x: kernel if self.backend == "fused" else choose(self, x))


def both(model: FRU, x_BTD: Tensor, lengths_B: Tensor | None, which: str) -> tuple[list[Tensor], list[Tensor]]:
    model, x_BTD = model.to(DEVICE), x_BTD.to(DEVICE)
    lengths_B = None if lengths_B is None else lengths_B.to(DEVICE)
    model.backend = "fused"
    fused = results(model, x_BTD, lengths_B, which)
    model.backend = "eager"
    return fused, results(model, x_BTD, lengths_B, which)


@pytest.mark.parametrize("which", ["last", "all"])
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_eager_loop(shape: str, with_lengths: bool, which: str) -> None:
    batch, steps, input_size, seq_len, sizes = SHAPES[shape]
    lengths_B = torch.randint(1, steps + 1, (batch,)) if with_lengths else None
    assert_near(*both(make(input_size, seq_len, **sizes), torch.randn(batch, steps, input_size), lengths_B, which))


@pytest.mark.parametrize("which", ["last", "all"])
def test_chunks_on_the_way_back(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setattr(kernel, "SEGMENT", 8)
    monkeypatch.setattr(kernel, "CHUNK_BYTES", 1)
    assert len(kernel._chunks(27, 1)) == 4
    assert_near(*both(make(), torch.randn(3, 27, 2), torch.tensor([27, 11, 16]), which))


@pytest.mark.parametrize("which", ["last", "all"])
@pytest.mark.parametrize("name", ["fru_k6", "fru_k1"])
def test_equals_the_authors_code(name: str, which: str) -> None:
    arrays = load(name)
    model = build(name, arrays).to(DEVICE)
    model.backend = "fused"
    x_BTD = torch.from_numpy(arrays["x"]).to(DEVICE).requires_grad_()
    y = model.last(x_BTD) if which == "last" else model(x_BTD)
    (y * torch.from_numpy(arrays[f"w_{which}"]).to(DEVICE)).sum().backward()
    prefix = f"grad_{which}/rnn/FRUCell"
    pairs = [(y, arrays["y"][:, -1] if which == "last" else arrays["y"]), (x_BTD.grad, arrays[f"grad_{which}/x"])]
    pairs += [(model.phase.grad, arrays[f"{prefix}/phase"])]
    for part in ("recur_feats", "stats", "output"):
        linear = getattr(model, part)
        pairs += [(linear.weight.grad.T, arrays[f"{prefix}/{part}/Matrix"])]
        pairs += [(linear.bias.grad, arrays[f"{prefix}/{part}/Bias"])]
    assert_near([ours.cpu() for ours, _ in pairs], [torch.from_numpy(theirs) for _, theirs in pairs])


@pytest.mark.parametrize("which", ["last", "all"])
def test_what_follows_the_end_of_a_sequence_may_be_anything(which: str) -> None:
    x_BTD, lengths_B = torch.randn(4, 20, 2), torch.tensor([20, 3, 1, 17])
    clean, _ = both(make(), x_BTD, lengths_B, which)
    for row, length in zip(x_BTD, lengths_B, strict=True):
        row[length:] = torch.nan
    dirty, _ = both(make(), x_BTD, lengths_B, which)
    if which == "all":  # the outputs there have no meaning
        before_BT = torch.arange(20) < lengths_B[:, None]
        clean[0], dirty[0] = clean[0][before_BT], dirty[0][before_BT]
    assert_near(dirty, clean)


def test_nan_comes_out_where_it_went_in() -> None:
    model, x_BTD = make(), torch.randn(20, 20, 2)
    x_BTD[3, 5], x_BTD[18, 19] = torch.nan, torch.nan
    fused, eager = (found[0] for found in both(model, x_BTD, None, "last"))
    torch.testing.assert_close(fused, eager, equal_nan=True)


def test_an_empty_batch() -> None:
    for which in ("last", "all"):
        fused, eager = both(make(), torch.zeros(0, 5, 2), None, which)
        assert [tensor.shape for tensor in fused] == [tensor.shape for tensor in eager]
        assert not any(gradient.any() for gradient in fused[1:])


def test_half_precision_keeps_the_state_in_float32() -> None:
    model, x_BTD = make().to(DEVICE), torch.randn(3, 10, 2).bfloat16().to(DEVICE)
    exact = model.last(x_BTD.float())
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        u_BkS = model.kernel(x_BTD).last_summaries(*model.operands(x_BTD), None)
    assert u_BkS.dtype == torch.float32
    torch.testing.assert_close(model.read_out(u_BkS), exact)


def test_runs_are_equal_to_the_last_bit() -> None:
    x_BTD = torch.randn(17, 10, 2)
    (first, _), (second, _) = both(make(), x_BTD, None, "all"), both(make(), x_BTD, None, "all")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_operators_satisfy_torch(kernel: ModuleType) -> None:
    def tensor(*shape: int) -> Any:
        return torch.randn(*shape, device=DEVICE, requires_grad=True)

    lengths_B = torch.tensor([6, 3], device=DEVICE)
    arguments = (tensor(6, 2, 4), tensor(6, 8, 4), tensor(8, 4), tensor(8, 4), tensor(8))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(kernel.statistics, (*arguments, lengths_B), test_utils=checks)
    torch.library.opcheck(kernel.running, arguments[:3] + arguments[4:], test_utils=checks)


def test_tiles_too_large_for_shared_memory_are_not_asked_for_ahead(kernel: ModuleType) -> None:
    for numbers in (64, 2**12, 2**13, 2**14, 2**15, 2**20):
        ahead = kernel.resources(numbers)["STAGES"] - 1
        assert 4 * numbers * ahead <= 64 * 1024  # bytes; the smallest GPUs have 99 KB, and g, φ and r need some
