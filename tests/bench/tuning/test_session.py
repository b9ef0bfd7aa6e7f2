"""Tuning: what a trial may see, what a study keeps through every kind of stop, and that its winner can be used."""

import json
import signal
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

import bench.catalog.suites
import bench.runs.presets
import bench.training.attempt
from bench.catalog.registry import FoundModel, find_model, find_model_or_file, find_task, model_names
from bench.catalog.suites import SUITES, Suite
from bench.runs.commands import run_command
from bench.runs.request import SettingFlags, build_request
from bench.tuning.random_numbers import training_seed
from bench.tuning.search import Tuning
from bench.tuning.space import Unset
from datamodules.digits import Digits
from models.shared.training import Training
from tests.conftest import Bench
from tests.support.trials import states, trials_of

SMALL = ("--task", "digits", "--set", "max_steps=20", "--set", "hidden_size=4")
GRU = ("tune", "--model", "gru", *SMALL, "--wrapper", "plain")
RANDOM = ("--sampler", "random", "--pruner", "none")
Writer = Callable[[str, str], Path]


def proposals(bench: Bench) -> list[dict[str, Any]]:
    return [trial.params for trial in trials_of(bench) if trial.state == optuna.trial.TrialState.COMPLETE]


# What a trial is


def test_a_study_is_kept_beside_the_results_and_no_run_is_recorded(bench: Bench) -> None:
    done = bench.json(*GRU, "--trials", "3")
    assert sum(done["trials"].values()) == 3
    assert done["best"]["config"]["model"] == {"hidden_size": 4}
    assert done["best"]["params"]["total"] == 84 + 50
    assert 0 < done["best"]["value"] <= 1
    assert not bench.db.exists()
    (study,) = bench.json("studies")
    assert (study["study"], study["trials"], study["best"]) == (done["study"], done["trials"], done["best"]["value"])


def test_the_test_split_is_not_built_and_seeds_are_tunings(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    splits, seeds, make, seed_all = set(), [], Digits.make, bench_seed_everything()
    monkeypatch.setattr(Digits, "make", lambda self, split: splits.add(split) or make(self, split))

    def note(seed: int, **options: Any) -> int:
        seeds.append(seed)
        return seed_all(seed, **options)

    monkeypatch.setattr("bench.training.attempt.seed_everything", note)
    name = bench.json(*GRU, "--trials", "2", *RANDOM)["study"]
    assert splits == {"train", "validation"}
    assert seeds == [training_seed(name, number) for number in range(2)]


def bench_seed_everything() -> Callable[..., int]:
    return bench.training.attempt.seed_everything


def test_a_task_without_test_splits_has_none_to_give() -> None:
    task = Digits(with_tests=False)
    task.prepare_data()
    assert task.split_names == ("train", "validation")
    with pytest.raises(AssertionError, match="no split 'test'"):
        task.test_dataloader()


def test_the_first_trial_has_the_defaults(bench: Bench) -> None:
    bench(*GRU, "--trials", "1")
    (trial,) = trials_of(bench)
    assert trial.params == {"lr": 3e-3, "weight_decay": 0.0, "chrono": False}


@pytest.mark.parametrize("name", model_names())
def test_defaults_lie_in_the_search_space_and_proposals_are_legal(name: str) -> None:
    base = build_request(find_model(name), find_task("digits"), SettingFlags(budget="100k"), seed=0)
    tuning = Tuning(base=base, trials=1)
    flat = base.settings.flat()
    for given in (flat, {}):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        study.enqueue_trial(given)
        trial = study.ask()
        chosen = Training.search_space(trial) | base.model.cls.search_space(trial)
        assert trial.params == chosen
        assert chosen.items() <= flat.items() or not given
        tuning.settings(chosen, None)


def test_given_settings_are_held(bench: Bench) -> None:
    bench(*GRU, "--trials", "2", "--set", "lr=0.001", *RANDOM)
    assert all("lr" not in trial.params for trial in trials_of(bench))
    assert {trial.user_attrs["config"]["training"]["lr"] for trial in trials_of(bench)} == {0.001}


def test_unset_asks_the_trial_for_the_rest() -> None:
    trial = optuna.create_study().ask()
    unset = Unset(trial, {"lr": 1.0})
    assert unset.suggest_float("lr", 0, 0.1) == 1.0
    assert unset.suggest_int("size", 3, 3) == trial.params["size"] == 3


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_samplers(bench: Bench, sampler: str) -> None:
    done = bench.json("tune", "--model", "last-values", "--trials", "8", "--set", "max_steps=2", "--sampler", sampler)
    assert sum(done["trials"].values()) == 8


def test_trials_are_fitted_to_the_tier(bench: Bench) -> None:
    bench("tune", "--model", "fru", "--budget", "10k", "--trials", "2", "--set", "max_steps=2")
    for trial in trials_of(bench):
        assert 9_000 < trial.user_attrs["params"]["total"] <= 10_000


# Pruning and two objectives


def test_pruning_saves_steps(bench: Bench, write_model: Writer) -> None:
    path = str(write_model("mine", "pass"))
    words = ("tune", "--model", path, "--set", "max_steps=51", "--trials", "8", "--sampler", "random")
    done = bench.json(*words)
    assert done["trials"]["pruned"] > 0
    assert sum(done["trials"].values()) == 8
    assert done["steps"] < 8 * 51
    for trial in trials_of(bench):
        pruned = trial.state == optuna.trial.TrialState.PRUNED
        assert trial.user_attrs["steps"] == 17 * len(trial.intermediate_values)
        assert pruned == (len(trial.intermediate_values) < 3)


def test_two_objectives_give_a_front_and_prune_nothing(bench: Bench) -> None:
    words = ["tune", "--model", "gru", "--set", "max_steps=20", "--trials", "5"]
    done = bench.json(*words, "--objectives", "metric,params", "--max-params", "2000")
    assert done["trials"] == {"finished": 5, "pruned": 0, "failed": 0}
    front = [(each["value"], each["params"]["total"]) for each in done["front"]]
    assert front == sorted(front, reverse=True), "better ones are larger"
    assert max(size for _, size in front) <= 2000
    assert min(trial.user_attrs["config"]["model"]["hidden_size"] for trial in trials_of(bench)) >= 4
    assert done["best"] == done["front"][0]
    words = done["command"].split()
    run = bench.json(*words[words.index("run") :])
    assert bench.json("show", run["run_id"])["config"] == done["best"]["config"]


# What ends a trial or a study


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("x_BTD = x_BTD * float('nan')", "diverged: "),
        ("raise MemoryError('no more')", "oom: MemoryError: no more"),
        ("raise KeyError('mine')", "failed: KeyError: 'mine'"),
    ],
)
def test_a_failed_trial_has_its_reason_and_is_not_repeated(
    bench: Bench, write_model: Writer, body: str, reason: str
) -> None:
    words = ("tune", "--model", str(write_model("mine", body)), "--set", "max_steps=20", "--trials", "2")
    done = bench.json(*words, code=1)
    assert done["trials"] == {"finished": 0, "pruned": 0, "failed": 2}
    assert done["best"] is None
    assert all(trial.user_attrs["reason"].startswith(reason) for trial in trials_of(bench))
    assert bench.json(*words, "--resume", code=1)["trials"]["failed"] == 2


INFINITE = """
    @classmethod
    def search_space(cls, trial):
        return {"clip_norm": float("inf")}
"""


def test_a_search_space_without_bounds_fails_before_training(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", "pass")
    path.write_text(path.read_text() + INFINITE)
    bench("tune", "--model", str(path), "--set", "max_steps=20", "--trials", "1", code=1)
    (trial,) = trials_of(bench)
    assert trial.user_attrs["steps"] == 0
    assert "clip_norm=inf is not legal: expected float | none, and finite" in trial.user_attrs["reason"]


def test_a_study_is_resumed_to_the_number_asked_for(bench: Bench) -> None:
    bench(*GRU, "--trials", "2", *RANDOM)
    assert "has 2 trials already. Add --resume" in bench.refused(*GRU, "--trials", "4")
    assert bench.json(*GRU, "--trials", "4", "--resume", *RANDOM)["trials"]["finished"] == 4
    assert bench.json(*GRU, "--trials", "4", "--resume", *RANDOM)["trials"]["finished"] == 4
    assert len(trials_of(bench)) == 4


INTERRUPT = (
    "open('{log}', 'a').write('.')\n        if os.path.getsize('{log}') == 60: os.kill(os.getpid(), signal.SIGINT)"
)


def test_after_control_c_a_study_goes_on_as_if_it_had_not_been(
    tmp_path: Path, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tune", "--model", str(write_model("mine", INTERRUPT.format(log=tmp_path / "log"))))
    words += ("--wrapper", "plain", "--set", "max_steps=20", "--trials", "4", *RANDOM)
    stopped, whole = Bench(tmp_path / "stopped"), Bench(tmp_path / "whole")
    stopped.folder.mkdir()
    whole.folder.mkdir()
    done = stopped.json(*words, code=130)
    assert done["trials"]["finished"] in (1, 2)
    (retries,) = (trial.user_attrs["retries"] for trial in trials_of(stopped) if trial.state.name == "WAITING")
    assert [reason.partition(" in ")[0] for reason in retries] == ["stopped by SIGINT"]
    assert stopped.json(*words, "--resume")["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    assert whole.json(*words)["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    assert proposals(stopped) == proposals(whole)
    assert len(trials_of(stopped)) == 4, "a trial tried again is the same trial"


def test_a_killed_command_is_resumed_to_the_exact_number(bench: Bench, write_model: Writer) -> None:
    marker = bench.folder / "fast"
    body = f"time.sleep(0 if os.path.exists('{marker}') else 0.01)"
    words = ("tune", "--model", str(write_model("mine", body)), "--set", "max_steps=20", "--trials", "4", *RANDOM)
    process = bench.start(*words)
    deadline = time.monotonic() + 120
    while states(bench)[1:] != ["RUNNING"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert states(bench) == ["COMPLETE", "RUNNING"]
    params = trials_of(bench)[1].params
    marker.touch()
    assert "Add --resume" in bench.refused(*words)
    assert bench.json(*words, "--resume")["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    assert states(bench) == ["COMPLETE"] * 4
    assert [trial.user_attrs.get("retries") for trial in trials_of(bench)] == [None, ["killed"], None, None]
    assert params.items() <= trials_of(bench)[1].params.items()


def test_no_trial_begins_after_the_timeout(bench: Bench) -> None:
    done = bench(*GRU, "--trials", "3", "--timeout", "0s", code=1)
    assert "the time is over after 0 of 3 trials; --resume goes on" in done.stderr
    assert "gru on digits: no trials" in done.stdout


# What is done with the best


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench.runs.presets, "FOLDER", tmp_path / "presets")
    return tmp_path / "presets"


def test_a_preset_is_written_when_asked_for_and_used_when_asked_for(bench: Bench, presets: Path) -> None:
    words = ("tune", "--model", "gru", "--budget", "10k", "--wrapper", "plain", "--set", "max_steps=5", "--trials", "2")
    assert "for that, add --save-preset" in bench(*words).stdout
    assert not presets.exists()
    best = bench.json(*words, "--resume", "--save-preset")["best"]
    saved = bench(*words, "--resume", "--save-preset").stdout
    assert "--seed 0 --budget 10k --preset --set max_steps=5" in saved
    assert "add --save-preset" not in saved
    kept = tomllib.loads((presets / "gru.toml").read_text())["plain"]["digits"]["10k"]["2 trials of 5 steps"]
    assert kept["lr"] == best["config"]["training"]["lr"]
    run = bench.json("run", "--model", "gru", "--budget", "10k", "--preset", "--set", "weight_decay=0.5")
    record = bench.json("show", run["run_id"])
    best["config"]["training"]["weight_decay"] = 0.5
    assert record["config"] == best["config"]
    assert record["config_source"]["lr"] == "preset: 2 trials of 5 steps"
    assert record["config_source"]["weight_decay"] == "flag"
    assert record["command"].endswith("--budget 10k --preset --set weight_decay=0.5")
    words = record["command"].split()
    assert bench.json(*words[words.index("run") :])["run_id"] == run["run_id"]
    plain = bench.json("run", "--model", "gru", "--budget", "10k", "--set", "max_steps=5")
    assert plain["run_id"] != run["run_id"]


@pytest.mark.usefixtures("presets")
def test_a_command_says_preset_only_where_that_gives_the_same_run_of_the_same_sources() -> None:
    gru, digits, flags = find_model("gru"), find_task("digits"), SettingFlags(budget="10k", assignments=["epochs=2"])
    base = build_request(gru, digits, flags, seed=3)
    bench.runs.presets.save(base, "5 trials of 2 epochs", {"lr": 0.1, "clip_norm": None, "epochs": 2})
    kept = bench.runs.presets.load(base)
    request = build_request(gru, digits, kept.applied_to(flags), seed=3)
    assert run_command(request).endswith("--seed 3 --budget 10k --preset --set epochs=2")
    unsaved = build_request(gru, digits, replace(flags, preset={"lr": 0.2}, spent=kept.tuning), seed=3)
    assert run_command(unsaved).endswith("--seed 3 --budget 10k --set lr=0.2 --set epochs=2")
    spelled = "--seed 3 --budget 10k --set lr=0.1 --set clip_norm=none --set epochs=2"
    assert run_command(replace(request, sources=request.sources | {"lr": "preset"})).endswith(spelled)
    bench.runs.presets.save(base, "6 trials of 2 epochs", {"lr": 0.1, "clip_norm": None, "epochs": 2})
    assert run_command(request).endswith(spelled), "--preset would take the one of six trials"


def test_the_command_of_another_seed_is_of_what_was_asked_for(bench: Bench, presets: Path) -> None:
    """Also where the run is recorded already, with a command that spells its settings out."""
    spelled = ("run", "--model", "gru", "--budget", "10k", "--set", "lr=0.02", "--set", "max_steps=5")
    assert "--seed 1 --budget 10k --set lr=0.02 --set max_steps=5" in bench(*spelled).stdout
    presets.mkdir()
    (presets / "gru.toml").write_text(
        '[plain.digits.10k."2 trials of 5 steps"]\nlr = 0.02\nmax_steps = 5\nprotocol = 2\n'
    )
    done = bench("run", "--model", "gru", "--budget", "10k", "--preset")
    assert "it is shown, not repeated" in done.stderr
    assert "--seed 1 --budget 10k --preset\n" in done.stdout


def test_what_was_chosen_by_hand_is_no_preset(bench: Bench, presets: Path) -> None:
    words = ("tune", "--model", "gru", "--set", "max_steps=5", "--set", "lr=0.02", "--trials", "1", "--save-preset")
    assert "lr=0.02 was given by hand" in bench.refused(*words)
    assert (presets.exists(), bench.json("studies")) == (False, [])


def test_presets_stand_side_by_side_in_a_readable_file(presets: Path) -> None:
    base = build_request(find_model("gru"), find_task("digits"), SettingFlags(budget="10k"), seed=0)
    bench.runs.presets.save(base, "20 trials of 60 epochs", {"lr": 1e-5, "clip_norm": None})
    bench.runs.presets.save(base, "100 trials of 60 epochs", {"lr": 0.1, "lr_schedule": "cosine"})
    assert (presets / "gru.toml").read_text() == (
        "# Written by `bench tune --save-preset`, read by --preset.\n"
        '\n[plain.digits.10k."100 trials of 60 epochs"]\nlr = 0.1\nlr_schedule = "cosine"\nprotocol = 2\n'
        '\n[plain.digits.10k."20 trials of 60 epochs"]\nclip_norm = "none"\nlr = 1e-05\nprotocol = 2\n'
    )
    newest = bench.runs.presets.load(base)
    assert (newest.tuning, newest.settings) == ("100 trials of 60 epochs", {"lr": 0.1, "lr_schedule": "cosine"})
    kept = bench.runs.presets.load(base, "20 trials of 60 epochs")
    flags = kept.applied_to(SettingFlags(budget="10k"))
    assert build_request(base.model, base.task, flags, seed=0).settings.training.clip_norm is None


def test_a_preset_that_was_written_by_hand_is_checked(bench: Bench, presets: Path) -> None:
    presets.mkdir()
    (presets / "gru.toml").write_text('[plain.digits.none."2 trials of 5 steps"]\nlr = inf\nprotocol = 2\n')
    assert "lr=inf is not legal: expected float, and finite" in bench.refused("run", "--model", "gru", "--preset")


def test_the_shown_command_repeats_the_best_configuration(bench: Bench) -> None:
    done = bench.json(*GRU, "--trials", "2", *RANDOM)
    words = done["command"].split()
    run = bench.json(*words[words.index("run") :])
    assert bench.json("show", run["run_id"])["config"] == done["best"]["config"]


# Suites and wrong requests


@pytest.fixture
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = Suite(
        name="tiny-v1", summary="", tasks={"digits": {"max_steps": 5}}, tiers=("10k", "100k"), trials=2, seeds=2
    )  # fmt: skip
    monkeypatch.setitem(bench.catalog.suites.SUITES, "tiny-v1", suite)


@pytest.mark.usefixtures("tiny_suite")
def test_every_cell_of_a_suite_gets_the_same_budget(bench: Bench) -> None:
    done = bench.json("tune", "--suite", "tiny-v1", "--models", "gru,last-values")
    assert sorted((each["model"], each["budget"]) for each in done) == [("gru", "10k"), ("last-values", "10k")]
    assert all(sum(each["trials"].values()) == 2 for each in done)
    assert all(each["best"]["config"]["training"]["max_steps"] == 5 for each in done)
    assert "Add --resume" in bench.refused("tune", "--suite", "tiny-v1", "--models", "bag,gru")
    assert len(bench.json("studies")) == 2, "refused before anything is begun"


@pytest.mark.usefixtures("tiny_suite")
def test_a_newcomer_is_compared_with_no_withdrawn_run(bench: Bench) -> None:
    for model in ("rnn", "bag"):
        run = bench.json("run", "--model", model, "--budget", "10k", "--set", "max_steps=5")
    bench("retract", run["run_id"], "--reason", "for a test")
    words = ("compare", "last-values", "--suite", "tiny-v1", "--trials", "1", "--seeds", "2", "--record")
    assert {row["model"] for row in bench.json(*words)["rows"]} == {"rnn", "last-values"}
    (*_, seed) = bench.json("runs", "--model", "last-values")
    bench("retract", seed["run_id"], "--reason", "for a test")
    (own,) = [row for row in bench.json(*words)["rows"] if row["model"] == "last-values"]
    assert own["run_ids"] == [run["run_id"] for run in bench.json("runs", "--model", "last-values")[:-1]]


@pytest.mark.usefixtures("tiny_suite")
def test_a_task_whose_data_can_not_be_had_costs_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = SUITES["tiny-v1"]
    tasks = {"fashion": {"max_steps": 1, "batch_size": 8}, **tiny.tasks}
    monkeypatch.setitem(SUITES, "tiny-v1", replace(tiny, tasks=tasks))
    (bench.folder / "train-images-idx3-ubyte").write_text("damaged")
    bench.env["BENCH_DATA_DIR"] = str(bench.folder)
    done = bench("tune", "--suite", "tiny-v1", "--models", "bag,last-values", "--json", code=2)
    assert [(each["task"], sum(each["trials"].values())) for each in json.loads(done.stdout)] == [("digits", 2)] * 2
    (told,) = (line for line in done.stderr.splitlines() if "left out" in line)
    assert told.startswith("left out: fashion: ")
    assert "is damaged or another file" in told
    assert "4 of 4 trials ended" in done.stderr
    assert "is damaged or another file" in bench.refused(
        "tune", "--model", "bag", "--task", "fashion", "--trials", "1", "--set", "max_steps=1"
    )


@pytest.mark.usefixtures("tiny_suite")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "gru"], "--trials says how many"),
        (["--trials", "2"], "say what to tune"),
        (["--suite", "tiny-v1"], "--models fru,lstm says which"),
        (["--suite", "tiny-v1", "--models", "gru", "--epochs", "3"], "--epochs can't be given with --suite"),
        (["--models", "gru", "--epochs", "3"], "--epochs can't be given with --suite"),
        (["--suite", "tiny"], "no suite named 'tiny'. Did you mean 'tiny-v1'?"),
        (["--model", "gru", "--trials", "2", "--objectives", "metric,params"], "--max-params"),
        (["--model", "gru", "--trials", "2", "--max-params", "100"], "--objectives metric,params and --max-params"),
        (["--model", "gru", "--trials", "2", "--timeout", "soon"], "'soon' is not a length of time"),
        (["--model", "gru", "--trials", "2", "--set", "lrr=1"], "no setting named 'lrr'"),
        (["--model", "gru", "--trials", "2", "--budget", "1k"], "no budget named '1k'"),
    ],
)
def test_wrong_requests(bench: Bench, words: list[str], told: str) -> None:
    assert told in bench.refused("tune", *words)
    assert bench.json("studies") == []


def test_a_place_that_cannot_be_written_is_refused(bench: Bench) -> None:
    told = bench.refused(*GRU, "--trials", "1", "--db", str(bench.folder / "none" / "board.sqlite"))
    assert "none does not exist, so results can't be recorded" in told


def test_weights_that_can_not_be_kept_leave_a_study_to_resume(bench: Bench) -> None:
    first = Path(bench.json(*GRU, *RANDOM, "--trials", "1")["best"]["weights"])
    (first.parent / "trial-1.safetensors").mkdir()
    words = (*GRU, *RANDOM, "--trials", "2", "--resume")
    assert "trial-1.safetensors can't be written: Is a directory. Make room; --resume goes on" in bench.refused(*words)
    (first.parent / "trial-1.safetensors").rmdir()
    assert bench.json(*words)["trials"] == {"finished": 2, "pruned": 0, "failed": 0}


def test_a_file_outside_the_project_has_no_presets(bench: Bench, write_model: Writer) -> None:
    path = str(write_model("mine", "pass"))
    assert "only models there have presets" in bench.refused("tune", "--model", path, "--trials", "1", "--save-preset")
    assert "only models there have presets" in bench.refused("run", "--model", path, "--preset")


@pytest.mark.parametrize("words", [(*GRU, "--trials", "1"), ("studies",), ("compare", "gru")])
def test_without_optuna(bench: Bench, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.setattr("bench.common.errors.find_spec", lambda name: None)
    assert "this command needs optuna: pip install -e '.[tune]'" in bench.refused(*words)


def test_names_of_studies(write_model: Writer) -> None:
    def name(found: FoundModel, **flags: Any) -> str:
        return Tuning(base=build_request(found, find_task("digits"), SettingFlags(**flags), seed=0), trials=1).name

    gru = find_model("gru")
    assert name(gru, budget="10k") == "gru · plain · digits v1 · 10k · 60 epochs · protocol 2"
    others = [name(gru), name(gru, epochs=3), name(gru, assignments=["lr=1"]), name(gru, wrapper="residual")]
    others.append(name(find_model_or_file(str(write_model("mine", "pass")))))
    assert len({*others, name(gru, budget="10k")}) == 6
