"""`bench speed`: its figures are of the right kind, wrong requests are refused. No test says how fast anything is."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import RequestError
from bench.speed import Setup, measure
from bench.speed_report import chart, table
from tests.conftest import Bench

SETUP = Setup(seq_len=20, batch=4, width=8, repeats=2)


def test_report() -> None:
    report = measure(["rnn", "gru"], SETUP)
    json.dumps(report, allow_nan=False)
    assert report["model"] == "rnn"
    assert set(report["ratios"]) == {"gru"}
    for key in ("forward", "train_step"):
        ratio = report["measured"]["gru"][key]["median"] / report["measured"]["rnn"][key]["median"]
        assert report["ratios"]["gru"][key] == pytest.approx(ratio)
    assert report["measured"]["gru"]["step"] > 0
    console = Console(width=200, record=True)
    console.print(table(report))
    text = console.export_text()
    assert "gru" in text
    assert f"{report['measured']['gru']['step']:.3f} ms" in text


def test_what_keeps_no_state_has_no_step() -> None:
    assert measure(["tcn"], SETUP)["measured"]["tcn"]["step"] is None


def test_chart(tmp_path: Path) -> None:
    figures = {"train_step": {"median": 2.0}}
    reports = [{"setup": {"seq_len": T}, "measured": {"rnn": figures}} for T in (8, 16)]
    chart(reports).save(str(tmp_path / "chart.png"))
    assert (tmp_path / "chart.png").stat().st_size > 1_000


@pytest.mark.parametrize("models", [["nosuch"], ["lstm:fused"], ["fru:nosuch"]])
def test_wrong_models_are_refused(models: list[str]) -> None:
    with pytest.raises(RequestError):
        measure(models, SETUP)


def test_wrong_setups_are_refused() -> None:
    with pytest.raises(RequestError, match="batch"):
        Setup(batch=0)
    with pytest.raises(RequestError, match="abacus"):
        Setup(device="abacus")


SMALL = ("--batch", "4", "--width", "8", "--repeats", "1")


def test_the_command(bench: Bench) -> None:
    report = bench.json("speed", "--model", "rnn", "--against", "gru,lstm", "--seq-len", "20", *SMALL)
    assert set(report["ratios"]) == {"gru", "lstm"}
    assert set(report["ratios"]["gru"]) == {"forward", "train_step", "peak_memory"}
    assert report["setup"]["seq_len"] == 20


def test_a_chart_of_several_lengths(bench: Bench) -> None:
    words = ("speed", "--model", "rnn", "--against", "gru", "--seq-len", "16,32", "--plot", "time.svg")
    done = bench(*words, *SMALL)
    assert "T=16" in done.stdout
    assert "T=32" in done.stdout
    assert "<svg" in (bench.folder / "time.svg").read_text()


def test_settings_reach_the_models_that_have_them(bench: Bench) -> None:
    words = ("speed", "--model", "fru:eager", "--against", "gru", "--seq-len", "8", "--set", "num_freqs=3")
    measured = bench.json(*words, *SMALL)["measured"]
    assert measured["fru:eager"]["config"]["num_freqs"] == 3
    assert "no setting named 'num_freq'" in bench.refused(*words[:-1], "num_freq=3")
    assert "give whole numbers" in bench.refused("speed", "--seq-len", "8,x")
