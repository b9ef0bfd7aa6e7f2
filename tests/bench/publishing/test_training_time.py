"""What entries have reached after so many seconds, from the curves of their runs."""

from pathlib import Path
from statistics import fmean

import pytest

from bench.catalog.suites import find_suite
from bench.publishing.doc_figures import draw
from bench.publishing.doc_tables import render
from bench.publishing.training_time import Progress, progress
from bench.ranking.utility import utility
from db.schema import Run
from db.store import Store
from tests.support.synthetic import fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "board.sqlite"))


def of_gru(store: Store, **changes: object) -> tuple[Progress, list[Run]]:
    """Trainings of 100 seconds with ten evaluations each."""
    runs = fill(store, models=("gru",), curves=100, train_seconds=100.0, **changes)
    (found,) = progress(store, "quick-v1", "10k")
    return found, runs


def last_utility(store: Store, run: Run) -> float:
    """What the last point of the made-up curve is worth; the curves only get better."""
    curve = [point for point in store.curves(run) if point.name == f"validation/{run.metric_name}"]
    return 100 * utility(curve[-1].value, chance=run.chance, solved=run.solved)


def test_the_best_evaluation_so_far_counts(store: Store) -> None:
    found, runs = of_gru(store, status="finished")
    assert found.after(9.9) == 0 < found.after(10)
    assert found.after(20) == found.after(29.9) < found.after(30)
    by_task = {task: [last_utility(store, run) for run in runs if run.task == task] for task in found.tasks}
    assert found.after(100) == found.after(1e6) == pytest.approx(fmean(map(fmean, by_task.values())))
    assert found.after(99.9) < found.after(100)


def test_a_run_that_diverged_has_nothing_at_any_time(store: Store) -> None:
    found, runs = of_gru(store, status="diverged")
    assert [len(each) for each in found.tasks.values()] == [5] * len(find_suite("quick-v1").tasks)
    assert any(store.curves(run) for run in runs)
    assert found.after(1e6) == 0


def test_an_entry_without_five_seeds_is_left_out(store: Store) -> None:
    fill(store, models=("gru",), curves=100, seeds=4)
    assert not progress(store, "quick-v1", "10k")
    assert render(store, ["training-time", "quick-v1", "10k"]).startswith("*No runs yet:*")
    assert render(store, ["figure", "training-time", "quick-v1", "10k"]).startswith("*No runs yet:*")


def test_the_table_has_a_column_for_each_time(store: Store) -> None:
    found, _ = of_gru(store, status="finished")
    assert f"| GRU (plain) | 0.0 | {found.after(10):.1f} | {found.after(20):.1f} |" in render(
        store, ["training-time", "quick-v1", "10k"]
    )


def test_the_figure_names_every_entry(store: Store, tmp_path: Path) -> None:
    fill(store, models=("fru", "gru"), curves=100)
    draw(store, ["training-time", "quick-v1", "10k"], tmp_path)
    drawn = (tmp_path / "training-time-quick-v1-10k.svg").read_text()
    for words in ("FRU (plain)", "GRU (plain)", "seconds of training a task", "score on validation"):
        assert words in drawn
