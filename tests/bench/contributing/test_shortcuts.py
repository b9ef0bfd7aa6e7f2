"""No predictor without a memory of order scores on a generated task, unless the task says so.

`bench/reports/shortcuts.json` and the table in `docs/tasks.md` have what was measured. To measure and record again:
`python -m tests.bench.contributing.test_shortcuts TASK…`. Without a name it measures all, slowly.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.catalog.names import numerically
from bench.catalog.registry import find_task, task_names
from bench.contributing import order_blind
from bench.contributing.order_blind import asked, seen
from bench.contributing.shortcuts import VIEWS, _metric_at, _value, shortcuts
from bench.ranking.utility import utility
from bench.reports.shortcuts import RECORDED, reached_text
from datamodules._base import Samples
from datamodules._generated import GeneratedTask
from datamodules._spec import IGNORED, Label, TokenPerStep, Tokens
from datamodules.adding import Adding
from datamodules.parity import Parity
from datamodules.temporal_order import TemporalOrder
from tests.conftest import ROOT, Bench

PAGE = ROOT / "docs" / "tasks.md"
BEGIN, END = "<!-- shortcuts -->\n", "<!-- end of shortcuts -->"
GENERATED = sorted((n for n in task_names() if isinstance(find_task(n).build(), GeneratedTask)), key=numerically)
FAST = ("copy-50", "parity-40", "recall-32", "s3-64", "selective-copy-64", "subtract-100")
TOKENS = replace(Parity().spec, seq_len=20, input=Tokens(5), output=Label(2), variable_lengths=True)


def record(words: list[str]) -> None:
    """Measure some tasks, by the names of variants or of families, and write what they reach; all unless given."""
    chosen = [name for name in GENERATED if not words or any(f"{name}-".startswith(f"{word}-") for word in words)]
    held = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    for name in chosen:
        held[name] = measured(name)
        print(name, flush=True)
        ordered = {name: held[name] for name in GENERATED if name in held}
        RECORDED.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")


def measured(name: str) -> dict[str, Any]:
    task = find_task(name).build()
    assert isinstance(task, GeneratedTask)
    rows = [each.row() for each in shortcuts(task)]
    for row in rows:
        del row["too_good"], row["declared"]
        row |= {"value": float(f"{row['value']:.4g}"), "error": float(f"{row['error']:.2g}")}
        row["score"] = round(row["score"], 1)
    return {"version": task.version, "reached": rows}


def with_table(text: str) -> str:
    """Return the page with the table of what was recorded: each metric, and the score in brackets."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [f"| task | 0 points | {' | '.join(VIEWS)} |", f"| --- | --- |{' --- |' * len(VIEWS)}"]
    for name, found in json.loads(RECORDED.read_text("utf-8")).items():
        spec = find_task(name).build().spec
        reached = {row["name"]: reached_text(spec.metric, row) for row in found["reached"]}
        cells = [reached.get(view, "–") for view in VIEWS]
        lines.append(f"| {name} | {float(f'{spec.chance:.4g}')} | {' | '.join(cells)} |")
    return f"{before}{BEGIN}{chr(10).join(lines)}\n{END}{after}"


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in GENERATED])
def test_nothing_without_a_memory_of_order_scores_beyond_what_the_task_states(name: str) -> None:
    task = find_task(name).build()
    assert isinstance(task, GeneratedTask)
    found = list(shortcuts(task))
    assert [each for each in found if each.too_good] == []
    assert set(task.shortcuts) <= {each.name for each in found}
    held = {row["name"]: row for row in json.loads(RECORDED.read_text("utf-8"))[name]["reached"]}
    assert held.keys() == {each.name for each in found}
    for each in found:
        assert each.score == pytest.approx(held[each.name]["score"], abs=3), f"{each.name}: record again"


def test_every_generated_task_is_recorded_and_on_the_page() -> None:
    held = json.loads(RECORDED.read_text("utf-8"))
    assert list(held) == GENERATED
    assert {name: each["version"] for name, each in held.items()} == {n: find_task(n).build().version for n in held}
    assert PAGE.read_text("utf-8") == with_table(PAGE.read_text("utf-8"))


class Undeclared(Parity):
    """States nothing of the count of ones."""

    shortcuts = {}


class TooLow(TemporalOrder):
    """States less than a bag reaches."""

    shortcuts = {"bag": 20, "hidden-bag": 67, "first-16": 21}


class Longer(Adding):
    """Says that a bag solves it."""

    shortcuts = {"hidden-bag": 100}


@pytest.mark.parametrize(
    ("task", "found"),
    [(Undeclared("parity-40"), {"hidden-bag"}), (TooLow(), {"bag"}), (Longer("adding-25"), set())],
)
def test_a_shortcut_beyond_what_is_stated_is_found(task: GeneratedTask, found: set[str]) -> None:
    assert {each.name for each in shortcuts(task) if each.too_good} == found


def test_the_views_are_what_they_say() -> None:
    """Against loops over sequences of different lengths."""
    generator = torch.Generator().manual_seed(0)
    x_NT = torch.randint(5, (7, 20), generator=generator)
    lengths = torch.tensor([20, 3, 17, 16, 1, 9, 20])
    batch = Samples(x_NT, torch.zeros(7, dtype=torch.long), lengths)
    answers = asked(TOKENS, batch)
    task = Parity()
    task.spec = TOKENS
    views = {name: seen(view, task, batch, answers) for name, view in VIEWS.items()}
    for row, size in enumerate(lengths.tolist()):
        inputs = x_NT[row, :size].tolist()
        counts = [inputs.count(token) for token in range(5)]
        assert views["bag"][row, :5].mul(20**0.5).round().tolist() == counts
        assert views["bag"][row, 5:].mul(size).round().tolist() == counts
        for name, window, at in (("first-16", inputs[:16], 0), ("last-16", inputs[-16:], 16 - min(size, 16))):
            slots = views[name][row].view(16, 5)
            assert [slot.argmax().item() for slot in slots[at : at + len(window)]] == window
            assert slots.sum() == len(window)
        assert views["length"][row].argmax() == (size * 16) // 21
    assert views["majority"].shape == (7, 0)


def test_an_answer_at_a_step_sees_nothing_later() -> None:
    spec = replace(TOKENS, output=TokenPerStep(5), variable_lengths=False)
    task = Parity()
    task.spec = spec
    x_NT = torch.randint(5, (6, 20), generator=torch.Generator().manual_seed(0))
    y_NT = torch.full_like(x_NT, IGNORED)
    y_NT[:, 12] = 1
    changed = x_NT.clone()
    changed[:, 13:] = (changed[:, 13:] + 1) % 5
    for name in ("bag", "hidden-bag", "first-16", "last-16"):
        one, other = (seen(VIEWS[name], task, Samples(x, y_NT), asked(spec, Samples(x, y_NT))) for x in (x_NT, changed))
        assert torch.equal(one, other), name
        assert one.shape[0] == 6
        before = x_NT.clone()
        before[:, 12] = (before[:, 12] + 1) % 5
        assert not torch.equal(one, seen(VIEWS[name], task, Samples(before, y_NT), asked(spec, Samples(before, y_NT))))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Adding("adding-25")
    batch = task.decode(task.draw(50, task.rng("test")))
    answers = asked(task.spec, batch)
    whole = seen(order_blind.hidden_bag, task, batch, answers)
    monkeypatch.setattr(order_blind, "CHUNK", 25 * 2 * order_blind.HIDDEN * 7)
    assert torch.allclose(seen(order_blind.hidden_bag, task, batch, answers), whole)


def test_the_standard_error_is_that_of_the_mean() -> None:
    spec = Parity().spec
    rng = np.random.default_rng(0)
    y = torch.zeros(20_000, dtype=torch.long)
    batch = Samples(torch.zeros(20_000, 2), y)
    said = torch.from_numpy((rng.random(20_000) < 0.3).astype(np.int64))
    value, error = _value(spec, said, asked(spec, batch))
    assert value == pytest.approx(0.7, abs=0.02)
    assert error == pytest.approx((0.3 * 0.7 / 20_000) ** 0.5, rel=0.5)


@pytest.mark.parametrize("spec", [Parity().spec, Adding().spec])
@pytest.mark.parametrize("score", [0, 37, 100])
def test_a_stated_score_is_a_metric(spec, score) -> None:
    assert 100 * utility(_metric_at(spec, score), chance=spec.chance, solved=spec.solved) == pytest.approx(score)


def test_the_command_shows_them(bench: Bench) -> None:
    shown = bench("check", "--task", "parity-40", "--json")
    document = json.loads(shown.stdout)
    assert document["passed"]
    (counted,) = [each for each in document["shortcuts"] if each["name"] == "hidden-bag"]
    assert (counted["declared"], counted["score"], counted["too_good"]) == (100, pytest.approx(100, abs=3), False)
    assert json.loads(bench("check", "--task", "digits", "--json").stdout)["shortcuts"] == []


def test_the_command_takes_a_file_or_a_task(bench: Bench) -> None:
    assert "either a file" in bench.refused("check")
    assert "either a file" in bench.refused("check", "models/gru.py", "--task", "digits")


if __name__ == "__main__":
    record(sys.argv[1:])
