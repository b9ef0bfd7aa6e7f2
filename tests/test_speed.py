"""`bench.speed`: figures of the right kind, wrong requests refused. How fast anything is, no test says."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import RequestError
from bench.speed import Setup, chart, measure, table

SETUP = Setup(seq_len=20, batch=4, width=8, repeats=2)


def test_report() -> None:
    report = measure(["rnn", "gru"], SETUP)
    json.dumps(report, allow_nan=False)
    assert report["model"] == "rnn"
    assert set(report["ratios"]) == {"gru"}
    for key in ("forward", "train_step"):
        ratio = report["measured"]["gru"][key]["median"] / report["measured"]["rnn"][key]["median"]
        assert report["ratios"]["gru"][key] == pytest.approx(ratio)
    console = Console(width=200, record=True)
    console.print(table(report))
    assert "gru" in console.export_text()


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
