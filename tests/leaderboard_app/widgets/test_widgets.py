"""What the pages share: numbers, links, docstrings, curves' axes."""

import inspect
import re
import xml.etree.ElementTree as ET

import pytest
import streamlit

from bench.catalog.registry import find_model, model_names
from bench.common.text import metric_text
from leaderboard_app.views.architecture import gradient_flow
from leaderboard_app.widgets import docstrings, figures, grid
from leaderboard_app.widgets.grid import Column, Line, Link, Score
from leaderboard_app.widgets.tables import code, outside_link
from tests.conftest import ROOT
from tests.support.pages import HOSTILE, probes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.0, "0 µs"), (2e-6, "2 µs"), (1.5e-3, "1.50 ms"), (45.0, "45 s"), (61.2, "1.02 min"),
     (7_200.0, "2 h"), (200_000.0, "2.31 d")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert figures.duration_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (372, "372 B"), (3_840, "3.75 KiB"), (2**30, "1 GiB")])
def test_sizes(size: int, text: str) -> None:
    assert figures.bytes_text(size) == text


def test_all_pages_write_sizes_by_the_same_units() -> None:
    for path in (ROOT / "leaderboard_app").rglob("*.py"):
        written = re.findall(r"\b(?:[kKMG]i?B)\b", path.read_text(encoding="utf-8"))
        assert not written or path.name == "figures.py", path


def test_metrics() -> None:
    assert metric_text("accuracy", 0.98765) == "0.9877"
    assert metric_text("mse", 0.00123456) == "0.00123"
    assert metric_text("macro-f1", 0.98765) == "0.9877"
    assert metric_text("mse", None) == "–"
    assert figures.counted(1, "run") == "1 run"
    assert figures.counted(2_000, "run") == "2,000 runs"


def test_a_cell_that_may_be_cut_can_be_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(streamlit, "html", sent.append)
    columns = [Column(name, heads_row=name == "a") for name in "abcd"]
    for text in ("short", 'x="1" ' * 20):
        grid.show(columns, [Line([Link("a", "./"), text, Link(text, "./"), Score(1, 0, 2)])], caption="")
    titles = [[cell.get("title") for cell in ET.fromstring(f"<div>{html}</div>").iter("td")] for html in sent]
    assert titles == [[None] * 3, [text, text, None]]


@pytest.mark.parametrize(
    "url", ["http://a.org", "javascript:alert(1)", "https://a.org/)![x](", "data:text/html,x", "https://"]
)
def test_only_https_is_a_link(url: str) -> None:
    assert outside_link("a paper", url) == "a paper"


def test_a_link_outside() -> None:
    assert outside_link("a [paper]", "https://arxiv.org/abs/1803.06585") == (
        "[a \\[paper\\]](https://arxiv.org/abs/1803.06585)"
    )


def test_code_ends_where_it_should() -> None:
    assert code("a`b``c\nd") == "`a'b''c d`"
    assert code(HOSTILE).count("`") == 2
    assert code("") == ""


def test_docstrings_keep_equations_and_let_prose_flow() -> None:
    text = "Title: of\na thing.\n\n    y_t = x_t\n      + 1\n\nUse `a_b` *not* that."
    assert list(docstrings.blocks(text)) == [
        (False, "Title: of a thing."), (True, "y_t = x_t\n  + 1"), (False, "Use `a_b` *not* that."),
    ]  # fmt: skip
    assert docstrings.prose("Use `a_b` *not* that.") == "Use `a_b` \\*not\\* that\\."


@pytest.mark.parametrize("name", model_names())
def test_every_model_says_its_state_and_its_cost(name: str) -> None:
    module = inspect.getmodule(find_model(name).cls)
    assert module is not None
    assert module.__doc__ is not None
    assert docstrings.sentence(module.__doc__, "State:")
    assert (docstrings.sentence(module.__doc__, "Time") or "").startswith("O(")


def test_gradients_of_zero_are_not_drawn() -> None:
    (measured, *_) = next(probes("x"))["measured"]
    points = gradient_flow.frame([measured | {"input": [0.5, 0.0, None, *measured["input"][3:]]}])
    assert points["steps"].tolist() == [1, 5, 9, 17, 33, 65, 120]
    assert points["gradient"].gt(0).all()
