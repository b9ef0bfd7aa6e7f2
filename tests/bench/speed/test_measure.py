"""`bench speed`: its figures are of the right kind, wrong requests are refused. No test says how fast anything is."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.common.errors import RequestError
from bench.speed.measure import Contender, Setup, measure, raised_peak_of_gpu
from bench.speed.table import chart, rows
from tests.conftest import Bench

SETUP = Setup(seq_len=20, batch=4, width=8, repeats=2)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the memory, which takes a fresh process for each contender."""
    monkeypatch.setattr("bench.speed.measure.peak_memory", lambda name, setup: 1)


@pytest.mark.slow
def test_report() -> None:
    report = measure(["rnn", "gru"], replace(SETUP, seq_len=200, batch=32, width=32))
    json.dumps(report, allow_nan=False)
    assert report["model"] == "rnn"
    assert set(report["ratios"]) == {"gru"}
    assert all(figures["peak_memory"] > 0 for figures in report["measured"].values())
    for key in ("forward", "train_step"):
        ratio = report["measured"]["gru"][key]["median"] / report["measured"]["rnn"][key]["median"]
        assert report["ratios"]["gru"][key] == pytest.approx(ratio)
    parameters = [report["measured"][name]["parameters"] for name in ("rnn", "gru")]
    per_parameter = report["ratios"]["gru"]["train_step"] * parameters[0] / parameters[1]
    assert report["ratios"]["gru"]["per_parameter"] == pytest.approx(per_parameter)
    assert 1e-4 < report["measured"]["gru"]["step"] < 1e3  # milliseconds
    _, gru = rows(report)
    assert (gru["model"], gru["stream step"]) == ("gru", f"{report['measured']['gru']['step']:.3f} ms")
    assert gru["× train step"] == f"{report['ratios']['gru']['train_step']:.2f}"


@pytest.mark.usefixtures("no_memory")
def test_what_keeps_no_state_has_no_step() -> None:
    assert measure(["tcn"], SETUP)["measured"]["tcn"]["step"] is None


@pytest.mark.usefixtures("no_memory")
def test_networks_are_fitted_to_a_budget_in_the_wrapper_of_the_paper() -> None:
    setup = Setup(seq_len=20, batch=4, repeats=1, budget="10k")
    measured = measure(["gru", "mingru"], setup)["measured"]
    assert measured["gru"]["wrapper"]["name"] == "plain"
    assert measured["mingru"]["wrapper"] | {"name": "residual", "depth": 2} == measured["mingru"]["wrapper"]
    assert all(9_300 < figures["parameters"] <= 10_000 for figures in measured.values())
    plain = measure(["mingru"], replace(setup, wrapper="plain"))["measured"]["mingru"]
    assert plain["wrapper"]["name"] == "plain"
    assert 9_300 < plain["parameters"] <= 10_000


def test_chart(tmp_path: Path) -> None:
    figures = {"train_step": {"median": 2.0}}
    reports = [{"setup": {"seq_len": T}, "measured": {"rnn": figures}} for T in (8, 16)]
    chart(reports).save(str(tmp_path / "chart.png"))
    assert (tmp_path / "chart.png").stat().st_size > 1_000


@pytest.mark.parametrize("models", [["nosuch"], ["tcn:torch"], ["lstm:fused"], ["fru:nosuch"]])
def test_wrong_models_are_refused(models: list[str]) -> None:
    with pytest.raises(RequestError):
        measure(models, SETUP)


def test_wrong_setups_are_refused() -> None:
    with pytest.raises(RequestError, match="batch"):
        Setup(batch=0)
    with pytest.raises(RequestError, match="abacus"):
        Setup(device="abacus")
    with pytest.raises(RequestError, match="not both"):
        Setup(width=8, budget="10k")
    with pytest.raises(RequestError, match="needs a --budget"):
        Setup(wrapper="plain")
    for changes in ({"budget": "11k"}, {"budget": "10k", "wrapper": "nosuch"}):
        with pytest.raises(RequestError, match=r"11k|nosuch"):
            measure(["gru"], Setup(**changes))


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Setup(device="cuda:1").device == "cuda:1"
    with pytest.raises(RequestError, match=r"no device 'cuda:2' here\. Devices: cpu, cuda, cuda:0, cuda:1"):
        Setup(device="cuda:2")


SMALL = ("--batch", "4", "--width", "8", "--repeats", "1")


@pytest.mark.usefixtures("no_memory")
def test_the_command(bench: Bench) -> None:
    report = bench.json("speed", "--model", "rnn", "--against", "gru,lstm", "--seq-len", "20", *SMALL)
    assert set(report["ratios"]) == {"gru", "lstm"}
    assert set(report["ratios"]["gru"]) == {"forward", "train_step", "per_parameter", "peak_memory"}
    assert report["setup"]["seq_len"] == 20


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("terminal", [False, True])
def test_numbers_are_whole_piped_and_on_a_terminal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    done = bench("speed", "--model", "rnn", "--against", "gru,lstm", "--seq-len", "20", *SMALL)
    assert "…" not in done.stdout
    assert ("A wider terminal also shows: " in done.stderr) == terminal
    assert ("parameters" in done.stdout) == (not terminal)
    assert [line.partition(": its first")[0] for line in done.stderr.splitlines()[1:4]] == ["rnn", "gru", "lstm"]


@pytest.mark.usefixtures("no_memory")
def test_a_chart_of_several_lengths(bench: Bench) -> None:
    words = ("speed", "--model", "rnn", "--against", "gru", "--seq-len", "16,32", "--plot", "time.svg")
    done = bench(*words, *SMALL)
    assert "T=16" in done.stdout
    assert "T=32" in done.stdout
    assert "<svg" in (bench.folder / "time.svg").read_text()


def test_a_chart_that_can_not_be_written_is_refused_before_measuring(bench: Bench) -> None:
    done = bench("speed", "--model", "rnn", "--seq-len", "8", "--plot", "none/time.svg", *SMALL, code=2)
    assert "can't write none/time.svg: there is no folder none" in done.stderr
    assert "Measuring" not in done.stderr


@pytest.mark.usefixtures("no_memory")
def test_a_chart_that_could_not_be_written_after_all_is_explained(bench: Bench) -> None:
    (bench.folder / "time.svg").mkdir()
    words = ("speed", "--model", "rnn", "--against", "gru", "--seq-len", "8", "--plot", "time.svg")
    assert "can't write time.svg: Is a directory. Give another place." in bench.refused(*words, *SMALL)


@pytest.mark.usefixtures("no_memory")
def test_settings_reach_the_models_that_have_them(bench: Bench) -> None:
    words = ("speed", "--model", "fru:eager", "--against", "gru", "--seq-len", "8", "--set", "num_freqs=3")
    measured = bench.json(*words, *SMALL)["measured"]
    assert measured["fru:eager"]["config"]["num_freqs"] == 3
    assert "no setting named 'num_freq'" in bench.refused(*words[:-1], "num_freq=3")
    assert "give whole numbers" in bench.refused("speed", "--seq-len", "8,x")


@pytest.mark.usefixtures("no_memory")
def test_torchs_own_layers_are_rivals(bench: Bench) -> None:
    against = "lstm,gru:torch,rnn:torch"
    report = bench.json("speed", "--model", "lstm:torch", "--against", against, "--seq-len", "8", *SMALL)
    assert set(report["ratios"]) == set(against.split(","))
    measured = report["measured"]
    assert [measured[name]["config"]["backend"] for name in ("lstm:torch", "lstm")] == ["torch", "auto"]
    assert measured["lstm:torch"]["parameters"] == measured["lstm"]["parameters"]


def test_no_lengths_are_refused(bench: Bench) -> None:
    assert "--seq-len '': give whole numbers" in bench.refused("speed", "--seq-len", "")
    assert "--seq-len ' ,': give whole numbers" in bench.refused("speed", "--seq-len", " ,")


def test_memory_of_a_gpu_is_what_a_step_adds_to_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step, in which libraries take their working memory, does not count."""
    happened: list[str] = []

    def noted(name: str, answer: int | None = None) -> Callable[..., int | None]:
        return lambda *given: happened.append(name) or answer

    monkeypatch.setattr(Contender, "train_step", noted("step"))
    for name, answer in (("reset_peak_memory_stats", None), ("memory_allocated", 100), ("max_memory_allocated", 350)):
        monkeypatch.setattr(torch.cuda, name, noted(name, answer))
    assert raised_peak_of_gpu("bag", SETUP) == 250
    assert happened == ["step", "reset_peak_memory_stats", "memory_allocated", "step", "max_memory_allocated"]
