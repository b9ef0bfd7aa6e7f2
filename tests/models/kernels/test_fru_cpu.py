"""The FRU's fused CPU kernel against the authors' numbers, the eager loop, and everything a user may throw at it."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.fru import FRU
from tests.conftest import CHECKOUT
from tests.papers.test_golden import build, load

pytest.importorskip("numba")
SMALL = {"num_freqs": 6, "stat_size": 5, "recur_size": 7, "output_size": 8}
SHAPES = {  # batch, time, input width, training length, configuration
    "the paper's sizes": (70, 300, 1, 300, {}),
    "statistics and features in several tiles": (33, 50, 2, 50, {**SMALL, "stat_size": 23, "recur_size": 61}),
    "one sequence": (1, 20, 3, 20, SMALL),
    "one step": (3, 1, 2, 20, SMALL),
    "shorter than trained at": (4, 13, 2, 40, SMALL),
    "longer than trained at, several chunks": (5, 530, 2, 200, SMALL),
    "one frequency, 0, which accumulates": (31, 40, 2, 40, {**SMALL, "num_freqs": 1}),
    "two frequencies, one masked": (6, 40, 2, 40, {**SMALL, "num_freqs": 2, "max_freq": 0.25}),
    "no frequency 0": (37, 40, 2, 40, {**SMALL, "freqs": (0.5, 1.0, 7.0)}),
    "frequency 0 twice, not first": (3, 40, 2, 40, {**SMALL, "freqs": (2.0, 0.0, 0.0)}),
    "all sizes one": (2, 9, 1, 9, {"num_freqs": 1, "stat_size": 1, "recur_size": 1, "output_size": 1}),
    "a wide input": (9, 20, 45, 20, SMALL),
}


def make(input_size: int = 2, seq_len: int = 40, backend: str = "fused", **sizes: Any) -> FRU:
    torch.manual_seed(0)
    model = FRU(FRU.Config(backend=backend, **{**SMALL, **sizes}), input_size=input_size, seq_len=seq_len)
    with torch.no_grad():
        for parameter in model.parameters():  # the small initial weights would hide an error in the recurrence
            parameter.normal_(std=0.3)
    return model


def results(model: FRU, x_BTD: Tensor, lengths_B: Tensor | None, which: str) -> list[Tensor]:
    """The output, then the gradient of the input and of every parameter."""
    x_BTD = x_BTD.detach().requires_grad_()
    y = model.last(x_BTD, lengths_B) if which == "last" else model(x_BTD, lengths_B)
    if which == "all" and lengths_B is not None:  # the rest has no meaning
        y = y * (torch.arange(x_BTD.shape[1]) < lengths_B[:, None])[..., None]
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), [x_BTD, *model.parameters()], materialize_grads=True)]


def assert_near(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm()


@pytest.mark.parametrize("which", ["last", "all"])
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_eager_loop(shape: str, with_lengths: bool, which: str) -> None:
    batch, steps, input_size, seq_len, sizes = SHAPES[shape]
    model = make(input_size, seq_len, **sizes)
    x_BTD = torch.randn(batch, steps, input_size)
    lengths_B = torch.randint(1, steps + 1, (batch,)) if with_lengths else None
    fused = results(model, x_BTD, lengths_B, which)
    model.backend = "eager"
    assert_near(fused, results(model, x_BTD, lengths_B, which))


@pytest.mark.parametrize("backend", ["eager", "fused"])
@pytest.mark.parametrize("which", ["last", "all"])
@pytest.mark.parametrize("name", ["fru_k6", "fru_k1"])
def test_equals_the_authors_code(name: str, which: str, backend: str) -> None:
    arrays = load(name)
    model = build(name, arrays)
    model.backend = backend
    x_BTD = torch.from_numpy(arrays["x"]).requires_grad_()
    y = model.last(x_BTD) if which == "last" else model(x_BTD)
    (y * torch.from_numpy(arrays[f"w_{which}"])).sum().backward()
    prefix = f"grad_{which}/rnn/FRUCell"
    pairs = [(y, arrays["y"][:, -1] if which == "last" else arrays["y"]), (x_BTD.grad, arrays[f"grad_{which}/x"])]
    pairs += [(model.phase.grad, arrays[f"{prefix}/phase"])]
    for part in ("recur_feats", "stats", "output"):
        linear = getattr(model, part)
        pairs += [(linear.weight.grad.T, arrays[f"{prefix}/{part}/Matrix"])]
        pairs += [(linear.bias.grad, arrays[f"{prefix}/{part}/Bias"])]
    assert_near([ours for ours, _ in pairs], [torch.from_numpy(theirs) for _, theirs in pairs])


def test_gradients_of_the_eager_loop_in_float64() -> None:
    model = make(backend="auto").double()
    x_BTD = torch.randn(2, 6, 2, dtype=torch.float64, requires_grad=True)
    lengths_B = torch.tensor([6, 3])
    values = (x_BTD, *model.parameters())

    def call(x_BTD: Tensor, *parameters: Tensor) -> Tensor:
        names = [name for name, _ in model.named_parameters()]
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x_BTD, lengths_B))

    assert torch.autograd.gradcheck(call, values)


def test_fused_gradients_against_float64() -> None:
    """At the paper's sizes and initial weights."""
    model = FRU(FRU.Config(backend="fused"), input_size=1, seq_len=784)
    x_BTD = torch.randn(8, 784, 1)
    fused = results(model, x_BTD, None, "last")
    model.backend = "eager"
    truth = results(model.double(), x_BTD.double(), None, "last")
    assert_near([tensor.double() for tensor in fused], truth)


def test_steps_and_a_state_to_start_from() -> None:
    model, x_BTD = make(), torch.randn(3, 9, 2)
    every = model(x_BTD)
    state = model.initial_state(3)
    for t in range(5):
        y_BH, state = model.step(x_BTD[:, t], state)
        torch.testing.assert_close(y_BH, every[:, t])
    torch.testing.assert_close(model(x_BTD[:, 5:], state=state), every[:, 5:])
    torch.testing.assert_close(model.last(x_BTD[:, 5:], torch.tensor([4, 1, 2]), state), every[[0, 1, 2], [8, 5, 6]])


def test_what_follows_the_end_of_a_sequence_may_be_anything() -> None:
    model, x_BTD, lengths_B = make(), torch.randn(4, 20, 2), torch.tensor([20, 3, 1, 17])
    clean = results(model, x_BTD, lengths_B, "last")
    for row, length in zip(x_BTD, lengths_B, strict=True):
        row[length:] = torch.nan
    assert_near(clean, results(model, x_BTD, lengths_B, "last"))


def test_nan_and_infinity_come_out_where_they_went_in() -> None:
    model, x_BTD = make(), torch.randn(40, 20, 2)
    x_BTD[3, 5], x_BTD[35, 19] = torch.nan, torch.inf
    fused = model.last(x_BTD)
    model.backend = "eager"
    torch.testing.assert_close(fused, model.last(x_BTD), equal_nan=True)


def test_views_of_any_kind() -> None:
    model = make()
    base = torch.randn(20, 7, 4, requires_grad=True)
    view_BTD = base.transpose(0, 1)[:, ::2, 1:3]
    model.last(view_BTD).sum().backward()
    ours, base.grad = base.grad, None
    model.last(view_BTD.contiguous()).sum().backward()
    torch.testing.assert_close(ours, base.grad)
    expanded = torch.randn(1, 9, 2).expand(6, 9, 2)
    torch.testing.assert_close(model(expanded), model(expanded.contiguous()))
    lengths_B = torch.tensor([9, 0] * 6)[::2]
    torch.testing.assert_close(model(expanded, lengths_B), model(expanded))


@pytest.mark.parametrize("backend", ["auto", "eager", "fused"])
@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (torch.zeros(3, 5), None, r"\(3, 5\)"),
        (torch.zeros(3, 5, 4), None, r"\(3, 5, 4\)"),
        (torch.zeros(3, 0, 2), None, r"\(3, 0, 2\)"),
        (torch.zeros(3, 5, 2, dtype=torch.int64), None, "int64"),
        (torch.zeros(3, 5, 2, dtype=torch.float64), None, "float64"),
        (torch.zeros(3, 5, 2), torch.tensor([1, 2, 6]), "from 1 to 5"),
        (torch.zeros(3, 5, 2), torch.tensor([1, 2, 0]), "from 1 to 5"),
        (torch.zeros(3, 5, 2), torch.tensor([1, 2]), "3 lengths"),
        (torch.zeros(3, 5, 2), torch.tensor([[1, 2, 3]]), "3 lengths"),
        (torch.zeros(3, 5, 2), torch.tensor([1.0, 2.0, 3.0]), "float32"),
    ],
)
def test_bad_input_is_refused(x: Tensor, lengths: Tensor | None, message: str, backend: str) -> None:
    model = make(backend=backend)
    for call in (model, model.last):
        with pytest.raises(ValueError, match=message):
            call(x, lengths)


def test_an_empty_batch() -> None:
    model = make()
    y, *gradients = results(model, torch.zeros(0, 5, 2), None, "last")
    assert y.shape == (0, 8)
    assert not any(gradient.any() for gradient in gradients)
    assert model(torch.zeros(0, 5, 2), torch.zeros(0, dtype=torch.long)).shape == (0, 5, 8)


def test_auto_takes_the_loop_where_the_kernel_cannot() -> None:
    model = make(backend="auto")
    assert model.facts() == {"backend": "fused"}
    assert model.double().facts() == {"backend": "eager"}
    assert model.last(torch.zeros(2, 5, 2, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(ValueError, match="float64"):
        make().double().last(torch.zeros(2, 5, 2, dtype=torch.float64))


def test_second_derivatives_are_refused_by_the_kernel_and_computed_by_the_loop() -> None:
    x_BTD = torch.randn(2, 5, 2, requires_grad=True)
    for backend in ("eager", "fused"):
        model = make(backend=backend)
        (slope,) = torch.autograd.grad(model.last(x_BTD).square().sum(), x_BTD, create_graph=True)
        if backend == "eager":
            slope.square().sum().backward()
        else:
            with pytest.raises((RuntimeError, NotImplementedError)):
                slope.square().sum().backward()


@pytest.mark.parametrize("with_lengths", [False, True])
def test_registered_as_torch_wants_it(with_lengths: bool) -> None:
    from models.kernels.cpu.fru import operators

    model, x_BTD = make(), torch.randn(3, 20, 2, requires_grad=True)
    lengths_B = torch.tensor([20, 1, 7]) if with_lengths else None
    operands = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in model.operands(x_BTD)]
    weight_kSH = model.by_frequency(model.output.weight).detach().requires_grad_()
    torch.library.opcheck(operators.summaries, (*operands, lengths_B))
    torch.library.opcheck(operators.outputs, (*operands, weight_kSH, model.output.bias, lengths_B))


@pytest.mark.parametrize("which", ["last", "all"])
def test_compiles_without_a_break(which: str) -> None:
    model, x_BTD = make(), torch.randn(5, 20, 2)
    call = model.last if which == "last" else model.forward
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x_BTD), call(x_BTD))
    ours, theirs = (torch.autograd.grad(f(x_BTD).sum(), list(model.parameters()), allow_unused=True)
                    for f in (compiled, call))  # fmt: skip
    torch.testing.assert_close(ours, theirs)


def test_exports_with_any_batch_size() -> None:
    model = make()
    batch = torch.export.Dim("batch", min=2, max=4096)
    program = torch.export.export(model, (torch.randn(5, 20, 2),), dynamic_shapes=({0: batch},))
    x_BTD = torch.randn(70, 20, 2)
    torch.testing.assert_close(program.module()(x_BTD), model(x_BTD))


@pytest.mark.parametrize("which", ["last", "all"])
def test_autocast_leaves_the_kernel_in_float32(which: str) -> None:
    model, x_BTD = make(), torch.randn(33, 20, 2)
    exact = results(model, x_BTD, None, which)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = results(model, x_BTD, None, which)
    if which == "all":
        assert all(torch.equal(a, b) for a, b in zip(exact, mixed, strict=True))
    else:  # the readout of the last step is torch's
        assert all((a - b).norm() <= 0.05 * a.norm() for a, b in zip(exact, mixed, strict=True))


def test_same_bits_again() -> None:
    model, x_BTD = make(1, 300, **vars(FRU.Config(backend="fused"))), torch.randn(130, 300, 1)
    for which in ("last", "all"):
        first, second = (results(model, x_BTD, None, which) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_any_number_of_threads() -> None:
    model, x_BTD, before = make(), torch.randn(200, 20, 2), torch.get_num_threads()
    every = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        every.append(results(model, x_BTD, None, "last"))
    torch.set_num_threads(before)
    assert_near(every[0], every[1])
    assert_near(every[0], every[2])


def test_fading_gradients_are_flushed_and_the_callers_arithmetic_is_left_alone() -> None:
    from models.kernels.cpu.fru.thread_work import FLUSHED

    torch.set_flush_denormal(False)  # whatever ran before in this process
    tiny = torch.tensor(1e-38)
    model = make()
    with torch.no_grad():
        model.stats.weight.fill_(1e-20)
        model.recur_feats.weight.fill_(1e-20)
    model.last(torch.full((40, 20, 2), 1e-20)).sum().backward()
    assert tiny / 100 != 0
    assert FLUSHED


def test_long_sequences_need_linear_memory() -> None:
    from models.kernels.cpu.fru.chunks import Recurrence

    model = make(1, 65_536)
    for steps in (1_000, 64_000):
        recurrence = Recurrence(*model.operands(torch.zeros(1, steps, 1)), None)
        saved = sum(tensor.numel() for tensor in recurrence.storage())
        assert saved < 32 * steps * (5 + 7 / 16) + 32 * 7  # φ and a state in every 16 steps, for one block of lanes


def in_process(code: str, cache: Path | None, **environment: str) -> "subprocess.Popen[str]":
    program = "import torch; from tests.models.kernels.test_fru_cpu import *\n" + code
    variables = {**os.environ, **environment, **({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


CHECK = """
model, x_BTD = make(), torch.randn(40, 20, 2)
fused = results(model, x_BTD, None, "last")
model.backend = "eager"
assert_near(fused, results(model, x_BTD, None, "last"))
"""


@pytest.mark.slow
def test_processes_compile_at_once_and_later_ones_load(tmp_path: Path) -> None:
    both = [in_process(CHECK, tmp_path) for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        assert errors.count("compiling the CPU kernel") == 1
    later = in_process(CHECK, tmp_path)
    _, errors = later.communicate()
    assert (later.returncode, errors) == (0, "")


@pytest.mark.slow
def test_a_damaged_cache_is_replaced_by_compiling(tmp_path: Path) -> None:
    in_process(CHECK, tmp_path).communicate()
    next(tmp_path.rglob("*forward*.nbi")).write_bytes(b"damaged")
    repaired = in_process(CHECK, tmp_path)
    _, errors = repaired.communicate()
    assert repaired.returncode == 0, errors
    assert "not kept" in errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_works_after_a_fork() -> None:
    """Where the threads of OpenMP are gone and using them would wait for ever."""
    code = """
model, x_BTD = make(), torch.randn(70, 20, 2)
expected = model.last(x_BTD).tolist()
if (child := os.fork()) == 0:
    torch.set_num_threads(1)  # torch itself waits for ever with more
    one = model.last(x_BTD).tolist()
    torch.get_num_threads = lambda: 2
    os._exit(0 if one == expected == model.last(x_BTD).tolist() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    process = in_process(code, None)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.parametrize("features", ["+sse2,+sse4.2,+avx,+avx2,+fma", "+sse2,+fma,+avx"])
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86's extensions")
def test_narrower_vectors(features: str, tmp_path: Path) -> None:
    """Eight numbers a vector, and four, as on ARM."""
    process = in_process(CHECK, tmp_path, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
