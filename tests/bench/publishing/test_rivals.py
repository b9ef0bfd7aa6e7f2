"""One entry beside the others, in numbers and as a table."""

from pathlib import Path

import numpy as np
import pytest

from bench.common.errors import RequestError
from bench.publishing.doc_tables import render
from bench.publishing.rivals import rivals
from bench.ranking.cells import Cells, EntryKey
from bench.ranking.one_against_rest import against
from db.store import Store
from tests.support.synthetic import fill

KEYS = [EntryKey(model, "plain", "10k", "defaults", "") for model in ("low", "middle", "high")]


def table(*entries: list[float]) -> Cells:
    """Scores on one task, by entry and seed."""
    values_E1N = np.array(entries)[:, None, :]
    whole_E1 = np.ones((len(entries), 1), dtype=bool)
    return Cells(entries=KEYS[: len(entries)], results=[[] for _ in entries], values=values_E1N, whole=whole_E1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "board.sqlite"))


def test_its_own_comparisons_alone_are_corrected_for() -> None:
    """Each pair is apart in 2 of the 252 dealings of five seeds each; of the three pairs two are its own."""
    low, middle, high = [1.0, 2, 3, 4, 5], [11.0, 12, 13, 14, 15], [31.0, 32, 33, 34, 35]
    found = against(table(low, middle, high), ("a",), KEYS[0])
    assert [rival.entry for rival in found] == KEYS[1:]
    assert [rival.above.score for rival in found] == [10, 30]
    assert [rival.p for rival in found] == pytest.approx([2 * 2 / 252] * 2)
    (alone,) = against(table(low, middle), ("a",), KEYS[0])
    assert alone.p == pytest.approx(2 / 252)
    assert alone.above == found[0].above
    assert against(table(low), ("a",), KEYS[0]) == []


def test_the_ranked_entries_of_the_tier_are_the_rivals(store: Store) -> None:
    fill(store, models=("fru", "gru", "lstm"), tiers=("10k", "100k"))
    fill(store, models=("s5",), seeds=4)
    found = rivals(store, "quick-v1", "10k", "gru")
    assert {(row.model, row.budget) for row, _ in found} == {("fru", "10k"), ("lstm", "10k")}
    assert all(row.key == rival.entry for row, rival in found)
    scores = [row.score for row, _ in found]
    assert scores == sorted(scores, reverse=True)
    assert found[0].rival.above.score - found[1].rival.above.score == pytest.approx(scores[0] - scores[1])


def test_the_table(store: Store) -> None:
    fill(store, models=("fru", "gru"))
    ((row, rival),) = rivals(store, "quick-v1", "10k", "gru")
    heading, _, line = render(store, ["against", "quick-v1", "10k", "gru"]).splitlines()
    assert heading == "| architecture | above GRU | 95% | p, of 1 |"
    assert line.startswith(f"| FRU ({row.wrapper}) | {rival.above.score:+.1f} | {rival.above.low:+.1f} to ")
    assert line.endswith("< 0.001 |" if rival.p < 0.001 else f"{rival.p:.3f} |")
    assert render(store, ["against", "quick-v1", "10k", "s5"]).startswith("*No runs yet:*")


def test_rivals_are_those_of_the_same_wrapper(store: Store) -> None:
    """Suites after protocol 1: the main contest in which it is ranked, or the one that is asked for."""
    fill(store, models=("fru", "gru"), suite="quick-v2", wrapper="residual")
    fill(store, models=("fru", "gru", "lstm"), suite="quick-v2", wrapper="plain")
    asked = {None: ("gru", {"residual"}), "plain": ("gru", {"plain"})}
    for wrapper, (model, wrappers) in asked.items():
        found = rivals(store, "quick-v2", "10k", model, wrapper)
        assert {row.wrapper for row, _ in found} == wrappers
        assert len(found) == (1 if wrapper is None else 2)
    assert {row.wrapper for row, _ in rivals(store, "quick-v2", "10k", "lstm")} == {"plain"}


def test_tables_of_one_wrapper(store: Store) -> None:
    fill(store, models=("fru", "gru"), suite="quick-v2", wrapper="residual")
    fill(store, models=("fru", "gru", "lstm"), suite="quick-v2", wrapper="plain")
    for name in ("board", "scores", "training-time"):
        counts = {
            words: render(store, [name, "quick-v2", "10k", *words]).count("\n| ") - 1
            for words in ((), ("plain",), ("residual",))
        }
        assert counts == {(): 5, ("plain",): 3, ("residual",): 2}, name
    assert "(plain)" not in render(store, ["top", "quick-v2", "10k", "5"])
    assert render(store, ["top", "quick-v2", "10k", "2", "plain"]).count("(plain) |") == 2
    assert "| learned |" in render(store, ["top", "quick-v2", "10k", "5"])
    with pytest.raises(RequestError, match="no wrapper named 'plan'"):
        render(store, ["board", "quick-v2", "10k", "plan"])
