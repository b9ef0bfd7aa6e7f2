"""`import bench`: the command line's answers, networks that compute what was recorded, and no torch too early."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bench as package
from bench.catalog.registry import find_task
from bench.common.errors import RequestError
from bench.submissions.scoring import score, targets
from db.errors import StoreError
from tests.conftest import ROOT, Bench

SMALL = {"hidden_size": 8, "max_steps": 30}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> package.RecordedRun:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BENCH_PUBLISHED", "")
        db = tmp_path_factory.mktemp("python") / "board.sqlite"
        return package.run("gru", seed=3, settings=SMALL, db=db)


def database(run: package.RecordedRun) -> Path:
    return run._store.artifacts.parent / "board.sqlite"


def same(cell: Any, value: Any) -> bool:
    """Whether a cell holds a value of JSON."""
    return pd.isna(cell) if value is None else cell == value


# Tables


def test_results_are_those_of_the_command(shared_bench: Bench) -> None:
    table = package.load_results(db=shared_bench.db)
    for row, expected in zip(table.to_dict("records"), reversed(shared_bench.json("runs")), strict=True):
        assert (row["metric"], row["params_core"]) == (expected["metric"]["name"], expected["params"]["core"])
        assert row["finished_at"].isoformat() == expected["finished_at"]
        for name in expected.keys() & row.keys() - {"metric", "finished_at"}:
            assert same(row[name], expected[name]), name
        assert row["config"] == shared_bench.json("show", row["run_id"])["config"]
    assert set(table.model) == {"gru", "fru"}
    assert list(package.load_results(model="fru", db=shared_bench.db).status) == ["diverged"]
    assert len(package.load_results(task="copy-50", db=shared_bench.db)) == 0


def test_missing_values_keep_the_types_of_columns(shared_bench: Bench) -> None:
    table = package.load_results(db=shared_bench.db)
    assert table.value.isna().sum() == 1
    empty = package.load_results(model="nobody", db=shared_bench.db)
    assert dict(empty.dtypes) == dict(table.dtypes)
    assert {str(table.dtypes[name]) for name in ("seed", "score", "budget")} == {"Int64", "Float64", "string"}
    assert str(table.finished_at.dt.tz) == "UTC"


def test_leaderboard_is_that_of_the_command(small_db: Path, bench: Bench) -> None:
    with pytest.warns(UserWarning, match="quick-v1 is superseded"):
        table = package.leaderboard("quick-v1", "100k", db=small_db)
    expected = bench.json("leaderboard", "--suite", "quick-v1", "--budget", "100k", "--db", str(small_db))
    assert len(expected) > 2
    assert list(table.model) == [row["model"] for row in expected]
    for row, known in zip(table.to_dict("records"), expected, strict=True):
        for name in ("score", "score_low", "params", "rank_low", "failures", "verification"):
            assert same(row[name], known[name]), name
        assert all(same(row[f"score {each['task']}"], each["score"]) for each in known["tasks"])
    assert table.rank_low.dtype == "Int64"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"suite": "quick-v3"}, "no suite named 'quick-v3'. Did you mean"),
        ({"suite": "quick-v2", "budget": "1M"}, "quick-v2 has no tier '1M'; it has 10k, 3k, 30k."),
        ({"suite": "quick-v2", "wrapper": "none"}, "no wrapper named 'none'"),
    ],
)
def test_a_wrong_question(small_db: Path, words: dict[str, str], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        package.leaderboard(**words, db=small_db)


def test_pandas_is_asked_for(small_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.common.errors.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"needs pandas: pip install -e '\.\[app\]'"):
        package.load_results(db=small_db)


def test_the_database_of_the_environment(small_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DB", str(small_db))
    assert len(package.load_results()) == len(package.load_results(db=small_db)) > 0
    monkeypatch.setenv("BENCH_DB", str(small_db.with_name("none.sqlite")))
    with pytest.raises(StoreError, match="there is no database at"):
        package.load_results()


# A run


def test_a_run_is_recorded_once(trained: package.RecordedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PUBLISHED", "")
    again = package.run("gru", "digits", seed=3, settings=SMALL, db=database(trained))
    assert again.record == trained.record
    assert trained.status == "finished"
    assert trained.record["attempt"] == 1
    assert repr(trained).startswith(f"<run {trained.id}: gru on digits, seed 3, accuracy 0.")
    assert package.load_run(trained.id[:6], db=database(trained)).record == trained.record


def test_settings_are_those_of_the_command(trained: package.RecordedRun) -> None:
    """As `--set` takes them: none, too."""
    from bench.from_python.networks import request

    words = {"clip_norm": None, "lr": 0.02}
    made = request("fru", "digits", seed=1, budget="10k", wrapper="residual", settings=words).settings.training
    assert (made.clip_norm, made.lr) == (None, 0.02)
    assert trained.record["command"].endswith("--set hidden_size=8 --set max_steps=30")


def test_curves(trained: package.RecordedRun) -> None:
    points = trained.curves().to_dict("records")
    assert points == trained.record["curves"]
    assert {"train/loss", "validation/accuracy"} <= {point["name"] for point in points}


def test_predictions_are_what_the_recorded_metric_says(trained: package.RecordedRun) -> None:
    task = find_task("digits").build()
    (split,) = trained.predictions()
    found = score(task.spec, trained.predictions()[split], targets(task, task.split(split)))
    assert found.value == pytest.approx(trained.record["metric"]["value"])


def test_the_network_predicts_what_was_recorded(trained: package.RecordedRun) -> None:
    network, task = trained.network(), find_task("digits").build()
    assert not network.training
    test = task.split("test")
    with torch.inference_mode():
        batch = task.decode(test.gather(torch.arange(len(test.y))))
        found = network(batch.x).argmax(-1).numpy()
    assert np.array_equal(found, trained.predictions()["test"])
    assert not np.array_equal(found, np.full_like(found, found[0]))


def test_what_is_not_on_this_machine(small_db: Path) -> None:
    run = package.load_run(package.load_results(db=small_db).run_id[0], db=small_db)
    for ask in (run.predictions, run.network):
        with pytest.raises(RequestError, match=r"does not exist.*\n  BENCH_PUBLISHED= python -m bench run"):
            ask()


def test_no_run_of_that_name(small_db: Path) -> None:
    with pytest.raises(RequestError, match="no run begins with 'zz'"):
        package.load_run("zz", db=small_db)


def test_a_run_of_a_file(
    tmp_path: Path, write_model: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network needs the file again: a name from a record is never taken for a path."""
    monkeypatch.setenv("BENCH_PUBLISHED", "")
    path = write_model("mine", "pass")
    run = package.run(path, settings={"max_steps": 2}, db=tmp_path / "board.sqlite")
    assert run.network(model=path).name == "plain"
    with pytest.raises(RequestError, match=rf"is of a file, {run.record['model']}: give its path, network\(model=…\)"):
        run.network()
    with pytest.raises(RequestError, match=f"other@.* but run {run.id} is of mine@"):
        run.network(model=write_model("other", "pass"))


def test_weights_of_another_architecture(trained: package.RecordedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trained._run.config, "model", {**trained._run.config["model"], "hidden_size": 9})
    with pytest.raises(RequestError, match=f"today's gru is not the one of run {trained.id}"):
        trained.network()


def test_a_file_that_has_changed(trained: package.RecordedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained._run, "source_hash", "another")
    with pytest.warns(UserWarning, match=f"gru.py has changed since run {trained.id}"):
        trained.network()


# Networks


def test_a_network_of_a_tier() -> None:
    state = torch.get_rng_state()
    one, same, other = (
        package.network(model="fru", task="adding-200", budget="10k", seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert sum(p.numel() for p in package.network(model="fru", task="adding-200", budget="10k").parameters()) > 9_300
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers have moved"


# The package


def test_names_are_declared_alike() -> None:
    """To a type checker, at run time and for completion."""
    tree = ast.parse((ROOT / "bench" / "__init__.py").read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    declared = {
        alias.name: each.module for each in imports for alias in each.names if "from_python" in (each.module or "")
    }
    assert sorted(declared) == sorted(package._HOMES) == sorted(package.__all__)
    for name, module in declared.items():
        assert module == f"bench.from_python.{package._HOMES[name]}"
        assert getattr(package, name).__module__ == module
    assert set(package.__all__) <= set(dir(package))
    assert not hasattr(package, "nothing")


@pytest.mark.parametrize("folder", ["bench", "models", "datamodules", "db"])
def test_our_types_are_for_others_to_check_against(folder: str) -> None:
    assert (ROOT / folder / "py.typed").exists()


LAZY = """
import sys
before = set(sys.modules)
import bench
print(sorted(name for name in set(sys.modules) - before))
run = bench.load_run({run_id!r}, db={db!r})
run.record, run.curves(), run.predictions(), bench.load_results(db={db!r}), bench.leaderboard("quick-v2", db={db!r})
print("torch" in sys.modules)
run.network()
print("torch" in sys.modules)
"""


def test_torch_waits_until_a_network_is_wanted(trained: package.RecordedRun) -> None:
    code = LAZY.format(run_id=trained.id, db=str(database(trained)))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"BENCH_PUBLISHED": ""}
    )
    assert done.stdout.splitlines() == ["['bench']", "False", "True"], done.stderr


def test_a_folder_of_our_names(tmp_path: Path, small_db: Path) -> None:
    """A notebook beside a `models/` of its own gets ours; what was imported before is not taken for ours."""
    for name in ("models", "db"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "mine.py").write_text("answer = 42")

    def python(code: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=env)

    ask = f"import bench; print(len(bench.load_results(db={str(small_db)!r})) > 0)"
    assert python(f"{ask}; import mine; print(mine.answer)").stdout.split() == ["True", "42"]
    told = python(f"import models; {ask}").stderr
    assert f"ImportError: bench needs its package 'models', but {tmp_path / 'models'} was imported" in told
