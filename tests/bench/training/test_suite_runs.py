"""Suites and comparisons: only what is missing is run, within the time, and nothing is kept that was not asked for."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

import bench.catalog.suites
from bench.catalog.registry import find_model
from bench.catalog.suites import SUITES, Suite
from bench.training.suite_runs import cost, first_requests
from db.store import Store
from tests.conftest import Bench
from tests.support.runs import make_run

Writer = Callable[[str, str], Path]
TINY = Suite(
    name="tiny-v1",
    summary="for tests",
    tasks={"digits": {"max_steps": 5, "batch_size": 32}},
    tiers=("10k", "100k"),
    trials=2,
    seeds=2,
)
SUITE = ("suite", "--suite", "tiny-v1", "--models")


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.catalog.suites.SUITES, "tiny-v1", TINY)


def test_only_missing_runs_are_made(bench: Bench) -> None:
    one = bench.json(*SUITE, "gru", "--seeds", "1")
    assert [(run["model"], run["seed"], run["budget"], run["steps"]) for run in one["runs"]] == [("gru", 0, "10k", 5)]
    done = bench(*SUITE, "gru,last-values", "--json")
    assert done.stderr.split("\n\n")[0] == "1 of 3: gru on digits, seed 1"
    two = json.loads(done.stdout)
    assert len(two["runs"]) == len(bench.json("runs")) == 4
    assert one["runs"][0] in two["runs"]
    assert two["missing"] == two["impossible"] == []
    assert "of 4" not in bench(*SUITE, "gru,last-values").stderr


def test_a_suite_may_set_what_held_before_a_setting_existed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs count on its board, and tuning leaves the setting alone."""
    tasks = {"digits": {"max_steps": 5, "end_when_solved": False, "warmup": 0.0}}
    monkeypatch.setitem(SUITES, "tiny-v1", replace(TINY, tasks=tasks))
    bench(*SUITE, "gru")
    (row,) = bench.json("leaderboard", "--suite", "tiny-v1")
    assert (row["model"], row["seeds"]) == ("gru", 2)
    (tuned,) = bench.json("tune", "--suite", "tiny-v1", "--models", "gru")
    assert tasks["digits"].items() <= tuned["best"]["config"]["training"].items()


def test_the_time_limit_falls_between_runs(bench: Bench) -> None:
    done = bench(*SUITE, "gru", "--time-limit", "0s")
    assert "0 runs recorded" in done.stdout
    assert "2 runs missing: gru on digits (2)." in done.stdout
    assert "The same command goes on from here." in done.stdout
    assert bench.json(*SUITE, "gru", "--time-limit", "0s")["missing"] == [
        {"model": "gru", "task": "digits", "seed": 0, "stopped": None},
        {"model": "gru", "task": "digits", "seed": 1, "stopped": None},
    ]


def test_pairs_that_cannot_fit_are_reported(bench: Bench, write_model: Writer) -> None:
    path = write_model("huge", "pass")
    path.write_text(path.read_text().replace("self.linear = nn", "self.table = nn.Linear(200, 200); self.linear = nn"))
    done = bench.json(*SUITE, f"{path},last-values", "--seeds", "1")
    (pair,) = done["impossible"]
    assert (pair["model"].partition("@")[0], pair["task"]) == ("huge", "digits")
    assert "does not fit digits in 10k" in pair["reason"]
    assert [run["model"] for run in done["runs"]] == ["last-values"]
    assert "left out: Mine does not fit" in bench(*SUITE, str(path)).stdout


def test_a_cell_that_failed_is_kept_and_shown(bench: Bench, write_model: Writer) -> None:
    path = str(write_model("mine", "raise KeyError('mine')"))
    done = bench(*SUITE, f"{path},last-values", "--seeds", "1", code=1)
    assert "2 runs recorded, 1 failed" in done.stdout
    assert "The board:  python -m bench leaderboard --suite tiny-v1 --budget 10k --wrapper residual\n" in done.stdout
    assert "seed 0: failed: KeyError: 'mine'" in done.stdout


def without_fashion(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite gets a second task, whose data is damaged here."""
    tasks = {"fashion": {"max_steps": 1, "batch_size": 8}, **TINY.tasks}
    monkeypatch.setitem(SUITES, "tiny-v1", replace(TINY, tasks=tasks))
    (bench.folder / "train-images-idx3-ubyte").write_text("damaged")
    bench.env["BENCH_DATA_DIR"] = str(bench.folder)


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_task_whose_data_can_not_be_had_costs_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    without_fashion(bench, monkeypatch)
    words = (*SUITE, "bag,last-values", "--workers", workers)
    done = bench.json(*words, code=2)
    assert [(run["task"], run["status"]) for run in done["runs"]] == [("digits", "finished")] * 4
    assert [cell["task"] for cell in done["missing"]] == ["fashion"] * 4
    assert "is damaged or another file" in done["unavailable"]["fashion"]
    told = bench(*words, code=2)
    assert "4 runs recorded" in told.stdout
    assert "  no data of fashion: " in told.stdout
    if workers == "1":
        assert "2 of 4" not in told.stderr, "tried once"


def test_control_c_stops_a_suite_and_the_same_command_goes_on(bench: Bench, write_model: Writer) -> None:
    marker = bench.folder / "marker"
    body = f"if not os.path.exists('{marker}'): open('{marker}', 'w'); os.kill(os.getpid(), signal.SIGINT)"
    path = str(write_model("mine", body))
    stopped = bench.json(*SUITE, path, code=130)
    assert (stopped["runs"], len(stopped["missing"])) == ([], 2)
    done = bench.json(*SUITE, path)
    assert [(run["seed"], run["attempt"]) for run in done["runs"]] == [(0, 2), (1, 1)]


def test_cheapest_first() -> None:
    requests, _ = first_requests(SUITES["quick-v2"], map(find_model, ("lstm", "last-values")), "10k", "plain")
    assert len(requests) == 16
    assert [cost(request) for request in requests] == sorted(map(cost, requests))
    assert requests[0].spec.name == "digits-by-writer"
    assert {request.spec.name for request in requests[-4:]} == {"fashion-14", "subtract-100"}
    assert {request.settings.training.max_steps for request in requests} == {1_000, 1_500, 2_000}


def test_presets_of_the_suites_own_tuning(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runs.presets.FOLDER", tmp_path / "presets")
    (pair,) = bench.json(*SUITE, "gru", "--preset")["impossible"]
    assert "no preset for gru (residual) on digits at budget 10k from 2 trials of 5 steps" in pair["reason"]
    (tuned,) = bench.json("tune", "--suite", "tiny-v1", "--models", "gru", "--save-preset")
    (run,) = bench.json(*SUITE, "gru", "--preset", "--seeds", "1")["runs"]
    assert bench.json("show", run["run_id"])["config"] == tuned["best"]["config"]


def test_a_preset_of_protocol_1_is_not_used(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were saved before presets named their protocol."""
    monkeypatch.setattr("bench.runs.presets.FOLDER", tmp_path)
    (tmp_path / "gru.toml").write_text('[residual.digits.10k."2 trials of 5 steps"]\nlr = 0.002\n')
    (pair,) = bench.json(*SUITE, "gru", "--preset")["impossible"]
    assert "(there is one of protocol 1, which is not used)" in pair["reason"]
    bench("tune", "--suite", "tiny-v1", "--models", "gru", "--save-preset")
    assert bench.json(*SUITE, "gru", "--preset", "--seeds", "1")["impossible"] == []


SPENT = {"1 trials of 5 steps": True, "2 trials of 5 steps": True,
         "3 trials of 5 steps": False, "2 trials of 9 steps": False}  # fmt: skip


@pytest.mark.parametrize(("tuning", "counts"), SPENT.items())
def test_who_spends_more_than_a_suite_allows_is_not_in_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning: str, counts: bool
) -> None:
    monkeypatch.setattr("bench.runs.presets.FOLDER", tmp_path)
    (tmp_path / "gru.toml").write_text(f'[plain.digits.10k."{tuning}"]\nlr = 0.002\nprotocol = 2\n')
    bench("run", "--model", "gru", "--budget", "10k", "--preset", "--set", "max_steps=5", "--set", "batch_size=32")
    rows = bench.json("leaderboard", "--suite", "tiny-v1", "--budget", "10k")
    assert [row["tuning"] for row in rows] == ["tuned"] * counts


def test_a_comparison_spends_no_more_than_the_suite_allows(bench: Bench) -> None:
    refused = bench.refused("compare", "gru", "--suite", "tiny-v1", "--trials", "3")
    assert "--trials 3: an entry of tiny-v1 may spend 2 on a task" in refused


def test_suites_are_listed(bench: Bench) -> None:
    (row,) = [row for row in bench.json("suites") if row["name"] == "quick-v1"]
    assert row["tasks"]["digits"]["max_steps"] == 1_000
    assert "no suite named 'quick-v3'. Did you mean 'quick-v2'?" in bench.refused(
        "suite", "--suite", "quick-v3", "--models", "gru"
    )


def test_a_comparison_stands_beside_the_recorded_and_keeps_nothing(bench: Bench, write_model: Writer) -> None:
    bench(*SUITE, "gru", "--seeds", "1")
    bench("run", "--model", "rnn", "--budget", "10k", "--epochs", "1")  # trained otherwise: it can't stand beside
    path = str(write_model("mine", "pass"))
    done = bench.json("compare", path, "--suite", "tiny-v1", "--seeds", "2")
    rows = {row["model"].partition("@")[0]: row for row in done["rows"]}
    assert set(rows) == {"gru", "mine"}
    assert rows["mine"]["seeds"] == [0, 1]
    assert rows["mine"]["budget"] == "10k"
    assert len(bench.json("runs")) == 2
    assert bench.json("studies") == []


def test_a_comparison_is_recorded_when_asked_for(bench: Bench, write_model: Writer) -> None:
    words = ("compare", str(write_model("mine", "pass")), "--suite", "tiny-v1", "--seeds", "1", "--trials", "1")
    done = bench(*words, "--record")
    assert "mine" in done.stdout
    assert done.stderr.startswith("1 trial × 1 task, then 1 seed × 1, task by task.\ntask 1 of 1: digits\n")
    assert len(bench.json("runs")) == 1
    assert [study["trials"]["finished"] for study in bench.json("studies")] == [1]
    bench(*words, "--record")
    assert len(bench.json("runs")) == 1


def fill(bench: Bench, suite: Suite) -> None:
    """Entries of a suite: rnn with accuracies of nearly 1, gru below chance, both with five seeds."""
    for model, accuracy in (("rnn", 0.99), ("gru", 0.01)):
        for seed, (task, training) in product(range(5), suite.tasks.items()):
            values = {"model": model, "task": task, "seed": seed, "budget": "10k", "metric_value": accuracy,
                      "protocol": suite.protocol}  # fmt: skip
            run = make_run(f"{model}{seed}{task}", **values, config={"model": {}, "training": dict(training)})
            Store(str(bench.db)).record(run)


def test_a_comparison_ends_with_the_newcomers_place_on_the_suites_board(bench: Bench, write_model: Writer) -> None:
    fill(bench, TINY)
    words = ("compare", str(write_model("mine", "pass")), "--suite", "tiny-v1", "--trials", "1", "--seeds", "5",
             "--wrapper", "plain")  # fmt: skip
    done = bench(*words)
    assert "Nothing will be kept: --record keeps it" in done.stderr
    board = done.stdout.partition("tiny-v1 at 10k:\n")[2].splitlines()
    assert board[1].split()[:3] == ["1–1", "RNN", "(plain)"]
    (own,) = [line.split() for line in board if line.startswith("→")]
    assert own[1] == "2–3"
    assert own[2].startswith("mine@")
    assert own[3:5] == ["(plain,", "tuned)"]
    ranked = bench.json(*words)["suite_rows"]
    assert sorted((row["model"].partition("@")[0], row["rank_low"], row["seeds"]) for row in ranked) == [
        ("gru", 2, 5), ("mine", 2, 5), ("rnn", 1, 5)
    ]  # fmt: skip


def test_a_registered_newcomer_stands_once_as_it_was_tuned_now(bench: Bench) -> None:
    """Though the board has another tuned entry of that name: two results of one seed could not be ranked."""
    training = dict(TINY.tasks["digits"]) | {"lr": 0.5}
    source = dict.fromkeys(TINY.tasks["digits"], "flag") | {"lr": "preset: 2 trials of 5 steps"}
    run = make_run(
        model="gru", wrapper="residual", budget="10k", protocol=2, config={"model": {}, "training": training},
        config_source=source,
    )  # fmt: skip
    Store(str(bench.db)).record(run)
    done = bench.json("compare", "gru", "--suite", "tiny-v1", "--trials", "1", "--seeds", "1")
    (own,) = done["suite_rows"]
    assert (own["model"], own["tuning"], own["seeds"]) == ("gru", "tuned", 1)
    assert own["score"] != pytest.approx(100 * 0.4 / 0.9), "of the recorded run"


def test_a_comparison_that_was_stopped_says_what_it_lacks(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = replace(TINY, tasks=dict.fromkeys(("digits", "adding-25", "copy-25"), TINY.tasks["digits"]))
    monkeypatch.setitem(SUITES, "tiny-v1", suite)
    body = "if x_BTD.shape[1] == 25: os.kill(os.getpid(), signal.SIGINT)"
    words = ("compare", str(write_model("mine", body)), "--suite", "tiny-v1", "--trials", "1", "--seeds", "1")
    done = bench(*words, code=130)
    assert "task 2 of 3: adding-25" in done.stderr
    assert "task 3 of 3" not in done.stderr
    assert done.stderr.endswith("stopped; missing: adding-25, copy-25.\n")
    stopped = bench.json(*words, code=130)
    assert stopped["missing"] == ["adding-25", "copy-25"]
    assert stopped["suite_rows"][0]["score"] is None
