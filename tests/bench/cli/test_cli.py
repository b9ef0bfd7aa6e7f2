"""The command line as its users meet it: one JSON document, exit codes, and no traceback for a mistake."""

import csv
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bench.catalog.moved import MOVED
from bench.catalog.names import numerically
from bench.catalog.registry import find_model_or_file
from bench.cli.app import app
from bench.common.errors import RequestError
from db.store import Store
from tests.conftest import QUICK, ROOT, Bench
from tests.support.runs import make_run


def test_a_run_is_recorded_and_the_lists_agree(shared_bench: Bench) -> None:
    run = shared_bench.json("run", "--model", "gru", "--seed", "1", *QUICK)
    assert (run["model"], run["task"], run["seed"], run["status"]) == ("gru", "digits", 1, "finished")
    assert run["metric"]["name"] == "accuracy"
    assert 0 < run["metric"]["value"] <= 1
    # GRU(8): 3·8·(1 + 8) weights and two biases of 24; readout 8·10 + 10
    assert run["params"] == {"total": 354, "core": 264, "embedding": 0, "readout": 90, "buffers": 0}
    assert run["train_seconds"] > 0
    assert run in shared_bench.json("runs")
    (row,) = [row for row in shared_bench.json("leaderboard") if row["model"] == "gru"]
    values = [each["metric"]["value"] for each in shared_bench.json("runs", "--model", "gru")]
    assert run["run_id"] in row["run_ids"]
    assert row["metric_value"] == pytest.approx(sum(values) / 2)
    assert row["score"] == pytest.approx(sum(100 * max(0, value - 0.1) / 0.9 for value in values) / 2)
    assert (row["seeds"], row["params"], row["failures"]) == ([0, 1], 354, 0)


def test_asked_again_a_run_is_returned_not_repeated(shared_bench: Bench) -> None:
    done = shared_bench("run", "--model", "gru", *QUICK)
    assert "it is shown, not repeated" in done.stderr
    assert len(shared_bench.json("runs", "--model", "gru")) == 2


def test_a_failed_run_is_kept_and_scores_zero(shared_bench: Bench) -> None:
    (row,) = [row for row in shared_bench.json("leaderboard") if row["model"] == "fru"]
    assert (row["score"], row["failures"], row["statuses"], row["metric_value"]) == (0, 1, {"diverged": 1}, None)


def test_show_has_everything(shared_bench: Bench) -> None:
    run = shared_bench.json("runs")[-1]
    record = shared_bench.json("show", run["run_id"][:6])
    assert run.items() <= record.items()
    assert record["config"]["training"]["epochs"] == 2
    assert record["config_source"] == {"epochs": "flag", "hidden_size": "flag"}
    assert set(record["metrics"]) == {"train", "validation", "test"}
    assert set(record["facts"]["splits"]) == {"train", "validation", "test"}
    assert {"git_commit", "git_dirty", "packages", "cpu", "threads", "deterministic"} <= record["environment"].keys()
    assert record["environment"]["threads"] == 1
    assert {p["name"] for p in record["curves"]} == {"train/loss", "validation/loss", "validation/accuracy", "lr"}
    assert [p["epoch"] for p in record["curves"] if p["name"] == "train/loss"] == [1, 2]
    assert run["run_id"] in shared_bench("show", run["run_id"]).stdout


def test_the_recorded_command_repeats_the_run(shared_bench: Bench) -> None:
    record = shared_bench.json("show", shared_bench.json("runs")[-1]["run_id"])
    words = record["command"].split()
    assert words[:3] == ["python", "-m", "bench"]
    assert shared_bench.json(*words[3:])["run_id"] == record["run_id"]


def test_tables_and_csv(shared_bench: Bench) -> None:
    for command in ("runs", "leaderboard", "models", "tasks"):
        rows = shared_bench.json(command)
        assert len(list(csv.DictReader(io.StringIO(shared_bench(command, "--csv").stdout)))) == len(rows)
        table = shared_bench(command).stdout
        assert all((row.get("model") or row["name"]) in table for row in rows)


@pytest.fixture
def three_runs(bench: Bench) -> Bench:
    """Runs of three days, the newest recorded first and imported."""
    store = Store(str(bench.db))
    for day, name in ((3, "newest"), (1, "oldest"), (2, "middle")):
        ended = datetime(2026, 1, day, 12, 30, tzinfo=UTC)
        store.record(make_run(name, finished_at=ended, seed=day, params_total=12_345, metric_value=1 / 3))
    store.add_event(store.find("newest")[0], "imported", "from a bundle", {"bundle": "x"})
    return bench


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        ([], ["newest", "middle", "oldest"]),
        (["--limit", "2"], ["newest", "middle"]),
        (["--mine"], ["middle", "oldest"]),
        (["--since", "2026-01-02"], ["newest", "middle"]),
        (["--since", "2026-01-02T12:31"], ["newest"]),
        (["--since", "2026-01-02", "--mine", "--limit", "5"], ["middle"]),
        (["--since", "2026-02-01"], []),
    ],
)
def test_runs_are_listed_newest_first(three_runs: Bench, words: list[str], listed: list[str]) -> None:
    assert [run["run_id"] for run in three_runs.json("runs", *words)] == listed


def test_runs_show_when_they_ended_and_how_they_were_chosen(three_runs: Bench) -> None:
    heading, first, *_ = (line.split() for line in three_runs("runs").stdout.splitlines())
    shown = dict(zip(heading, [*first[:6], " ".join(first[6:8]), "", *first[8:]], strict=False))
    assert (shown["status"], shown["value"], shown["date"]) == ("finished", "0.3333", "2026-01-03 12:30")
    assert (shown["wrapper"], shown["tuning"], shown["params"]) == ("plain", "defaults", "12,345")
    said = three_runs("runs", "--mine", "--since", "2026-02-01").stderr
    assert said == "No run with --since 2026-02-01 --mine is recorded yet.\n"
    assert "'soon' is not a date: give one such as 2026-01-31" in three_runs.refused("runs", "--since", "soon")


def test_csv_has_numbers_as_numbers(three_runs: Bench) -> None:
    row, *_ = csv.DictReader(io.StringIO(three_runs("runs", "--csv").stdout))
    assert {name: float(row[name]) for name in ("params", "value", "seed", "seconds")} == {
        "params": 12_345, "value": 1 / 3, "seed": 3, "seconds": 1
    }  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(three_runs("leaderboard", "--csv").stdout))
    assert (float(row["params"]), float(row["value"]), row["learned"]) == (12_345, pytest.approx(1 / 3), "0.0")


def test_errors_of_any_size_are_told_apart_and_settings_are_as_set_takes_them(bench: Bench) -> None:
    run = {"task": "mix-sin", "metric_name": "mse", "metric_value": 1.2345e-06, "chance": 0.1, "solved": 1e-4}
    for clip, schedule in ((None, "cosine"), (1.0, "constant")):
        training = {"clip_norm": clip, "lr_schedule": schedule, "lr": 0.1}
        made = make_run(
            f"{schedule:0>16}", **run, config={"training": training}, config_source=dict.fromkeys(training, "flag")
        )
        Store(str(bench.db)).record(made)
    assert "1.23e-06" in bench("runs").stdout
    rows = bench("leaderboard", "--task", "mix-sin").stdout.splitlines()[1:]
    assert all(" 1.23e-06 " in row for row in rows)
    assert sorted(row.split("self-reported")[1].strip() for row in rows) == [
        "clip_norm=1.0 lr_schedule=constant",
        "clip_norm=none lr_schedule=cosine",
    ]


def several_fru(bench: Bench) -> None:
    """Rows of one model on one task: of the suite, eight times as long, by default, and two with a rate by hand."""
    suite = {"max_steps": 3000, "batch_size": 64, "patience": None}
    fixed, tuned = dict.fromkeys(suite, "flag"), {"lr": "preset: 12 trials of 3000 steps"}
    for number, (changes, source) in enumerate([
        ({"lr": 0.2}, tuned), ({"lr": 0.2, "max_steps": 24_000}, tuned), ({}, {}), ({"lr": 0.5}, {"lr": "flag"}),
        ({"lr": 0.25, "weight_decay": 0.5}, {"lr": "flag", "weight_decay": "flag"}),
    ]):  # fmt: skip
        training = suite | {"lr": 0.1, "lr_schedule": "cosine", "epochs": 60} | changes
        run = make_run(f"{number:016x}", task="adding-200", budget="10k", config={"model": {}, "training": training})
        run.config_source = fixed | source
        Store(str(bench.db)).record(run)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_rows_of_one_model_are_told_apart_at_any_width(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    several_fru(bench)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    done = bench("leaderboard", "--task", "adding-200")
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).split())
    rows = [row.split() for row in text.split("adding-200")[1:]]
    told = sorted(" ".join(row[row.index("10k") :]) for row in rows)
    assert len(set(told)) == 5
    assert "10k 24000 tuned" in text
    assert "10k 3000 defaults" in text
    assert all(setting in text for setting in ("lr=0.5", "lr=0.25", "weight_decay=0.5"))
    assert not any(shared in text for shared in ("batch_size", "patience", "lr_schedule"))


def test_json_and_csv_have_all_settings_and_say_how_they_were_chosen(bench: Bench) -> None:
    several_fru(bench)
    rows = bench.json("leaderboard")
    assert {(row["length"], row["tuning"]) for row in rows} == {
        ("3000 steps", "tuned"), ("24000 steps", "tuned"), ("3000 steps", "defaults"), ("3000 steps", "by hand")
    }  # fmt: skip
    assert all(row["settings"]["patience"] is None for row in rows)
    lines = list(csv.DictReader(io.StringIO(bench("leaderboard", "--csv").stdout)))
    assert all("batch_size=64" in line["settings"] for line in lines)


def test_models_and_tasks_are_described(bench: Bench) -> None:
    models = {row["name"]: row for row in bench.json("models")}
    assert models["fru"]["paper"] == {
        "title": "Learning Long Term Dependencies via Fourier Recurrent Units",
        "year": 2018,
        "url": "https://arxiv.org/abs/1803.06585",
    }
    assert models["fru"]["default_params"] == 106_930
    tasks = {row["name"]: row for row in bench.json("tasks")}
    assert [tasks[name]["seq_len"] for name in tasks if name.startswith("adding")] == [
        25,
        50,
        100,
        200,
        400,
        2000,
        5000,
    ]
    assert (tasks["digits"]["seq_len"], tasks["digits"]["chance"], tasks["digits"]["available"]) == (64, 0.1, True)


def test_numbers_in_names_are_compared_as_numbers() -> None:
    names = ["a", "b-25", "b-25-3", "b-200", f"b-{'9' * 5000}", "³", "٣"]
    assert sorted(set(names), key=numerically) == names


def test_fitted_models(bench: Bench) -> None:
    rows = {row["name"]: row for row in bench.json("models", "--budget", "10k")}
    assert 9_300 <= rows["fru"]["fitted_params"] <= 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--model", "fruu"], "no model named 'fruu'. Did you mean 'fru'? Models: "),
        (["run", "--model", "fru", "--task", "digts"], "no task named 'digts'. Did you mean 'digits'?"),
        (["run", "--model", "fru", "--set", "num_freq=3"], "no setting named 'num_freq'. Did you mean 'num_freqs'?"),
        (["run", "--model", "fru", "--set", "num_freqs"], "'num_freqs' is not of the form key=value. Settings: "),
        (["run", "--model", "fru", "--set", "num_freqs=many"], "num_freqs='many' is not legal: expected int (now 40)"),
        (["run", "--model", "fru", "--set", "num_freqs=0"], "num_freqs=0 must be positive"),
        (["run", "--model", "fru", "--set", "lr=-1"], "lr=-1.0 must be positive"),
        (["run", "--model", "gru", "--set", "clip_norm=inf"], "clip_norm=inf is not legal: expected float | none, and"),
        (["run", "--model", "gru", "--set", "lr=1e400"], "lr=inf is not legal: expected float, and finite"),
        (["run", "--model", "gru", "--set", "weight_decay=nan"], "weight_decay=nan is not legal: expected float"),
        (["run", "--model", "fru", "--set", "freqs=1,1e400"], "freqs=(1.0, inf) is not legal"),
        (["tune", "--model", "gru", "--trials", "1", "--set", "lr=inf"], "lr=inf is not legal"),
        (["run", "--model", "fru", "--set", "freqs=1,-2"], "must be one or more numbers ≥ 0"),
        (["run", "--model", "fru", "--set", "freqs=1,2", "--set", "max_freq=9"], "leave max_freq out"),
        (["run", "--model", "fru", "--set", "lr_schedule=linear"], "expected cosine or constant or staircase"),
        (["run", "--model", "fru", "--precision", "8"], "expected 32 or bf16-mixed or 16-mixed or 64"),
        (["run", "--model", "fru", "--budget", "10m"], "no budget named '10m'. Did you mean '10k'?"),
        (["run", "--model", "fru", "--wrapper", "plane"], "no wrapper named 'plane'. Did you mean 'plain'?"),
        (["run", "--model", "fru", "--seed", "10000"], "seed=10000 must be from 0 to 9999"),
        (["run", "--model", "fru", "--seed", "x"], "valid integer"),  # in the words of the installed typer
        (["run", "--model", "fru", "--devices", "0"], "--devices 0: "),
        (["run", "--model", "fru", "--accelerator", "abacus"], "--accelerator abacus --devices 1: "),
        (["run", "--model", "absent.py"], "no file 'absent.py'. Give a path to a .py file, or a model's name"),
        (["run"], "Missing option '--model'"),
        (["rum"], "No such command 'rum'. Did you mean 'run'"),
        (["runs", "--task", "digts"], "no task named 'digts'"),
        (["leaderboard", "--budget", "x"], "no budget named 'x'"),
        (["runs"], "there is no database at"),
        (["runs", "--db", "oracle://x/y"], "'oracle' is not supported; legal: sqlite, postgresql"),
        (["verify", "absent.zip", "--time-limit", "nanh"], "'nanh' is not a length of time: give a number, zero or m"),
        (["verify", "absent.zip", "--time-limit", "infh"], "'infh' is not a length of time"),
        (["verify", "absent.zip", "--time-limit=-5m"], "'-5m' is not a length of time"),
        (["verify", "absent.zip", "--time-limit", "5"], "'5' is not a length of time"),
        (["models", "--task", "digts"], "no task named 'digts'"),
    ],
)
def test_a_wrong_request_is_explained(bench: Bench, words: list[str], message: str) -> None:
    assert message in bench.refused(*words)
    assert not bench.db.exists() or sqlite3.connect(bench.db).execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_runs_of_a_model_that_has_none(shared_bench: Bench) -> None:
    assert "no run of a model 'fruu'; did you mean 'fru'?" in shared_bench.refused("runs", "--model", "fruu")
    assert "no run of a model 'q'. `bench runs` lists" in shared_bench.refused("runs", "--model", "q")
    done = shared_bench("runs", "--model", "last_values", "--task", "digits")
    assert (done.stdout, done.stderr) == ("", "No run with --task digits --model last-values is recorded yet.\n")
    assert shared_bench.json("runs", "--model", "lstm") == []
    assert "No run with --task mix-sin is recorded yet." in shared_bench("leaderboard", "--task", "mix-sin").stderr


def test_runs_of_a_file(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("mine", "pass")
    run = bench.json("run", "--model", str(path), "--epochs", "1")
    assert bench.json("runs", "--model", str(path)) == bench.json("runs", "--model", run["model"]) == [run]
    path.write_text(f"{path.read_text()}# edited\n")
    assert bench.json("runs", "--model", str(path)) == [], "an edited file is another model"


def test_show_wants_one_run(shared_bench: Bench) -> None:
    assert "no run begins with 'zzz'" in shared_bench.refused("show", "zzz")
    assert "3 runs begin with ''" in shared_bench.refused("show", "")


def test_a_broken_model_file_hides_no_other(bench: Bench, tmp_path: Path) -> None:
    """In a copy of the project, so that the real one stays whole."""
    for package in ("bench", "models", "datamodules", "db"):
        shutil.copytree(
            ROOT / package, tmp_path / "copy" / package, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite*")
        )
    (tmp_path / "copy" / "models" / "bad.py").write_text("import nothing_of_that_name")
    (tmp_path / "copy" / "models" / "gone.py").write_text("raise SystemExit(0)")
    (tmp_path / "copy" / "datamodules" / "worse.py").write_text("1 / 0")
    (tmp_path / "copy" / "datamodules" / "gone.py").write_text("raise SystemExit(0)")
    commands = (
        ("models", "--json"),
        ("tasks", "--json"),
        ("run", "--model", "bad"),
        ("run", "--model", "gru", *QUICK, "--json"),
        ("suite", "--suite", "quick-v2", "--models", "all", "--time-limit", "0s", "--json"),
    )
    env = os.environ | bench.env | {"PYTHONPATH": str(tmp_path / "copy")}
    call = [sys.executable, "-c", SEVERAL, json.dumps(commands)]
    done = subprocess.run(call, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    models, tasks, bad, gru, suite, rest = re.split(r"^exit code \d+\n", done.stderr, flags=re.MULTILINE)
    assert re.findall(r"^exit code (\d+)$", done.stderr, re.MULTILINE) == ["0", "0", "2", "0", "0"]
    assert "models/bad.py does not import: ModuleNotFoundError: No module named 'nothing_of_that_name'" in models
    assert "models/gone.py does not import: SystemExit: 0" in models
    assert "datamodules/worse.py does not import: ZeroDivisionError" in tasks
    assert "datamodules/gone.py does not import: SystemExit: 0" in tasks
    assert "models/bad.py does not import" in bad
    assert "does not import" not in gru
    assert "left out: models/bad.py does not import" in suite
    assert not rest
    assert '"fru"' in done.stdout
    assert '"finished"' in done.stdout


SEVERAL = """
import json, sys
from bench.__main__ import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["bench", *words]
    try:
        main()
    except SystemExit as stop:
        print("exit code", stop.code or 0, file=sys.stderr)
"""


def test_a_model_that_lacks_a_package_says_so(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("needy", "pass")
    path.write_text(
        path.read_text().replace('wrapper = "plain"', 'wrapper = "plain"\n    requires = ("nothing-of-that-name>=2",)')
    )
    reason = "needy.py needs nothing-of-that-name>=2, which is not installed: pip install 'nothing-of-that-name>=2'"
    assert reason in bench.refused("run", "--model", str(path))
    path.write_text(path.read_text().replace("nothing-of-that-name>=2", "numpy>=1"))
    assert bench.json("run", "--model", str(path), "--epochs", "1")["status"] == "finished"


def test_a_model_file_that_exits_is_refused(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("mine", "pass")
    path.write_text("raise SystemExit(0)\n" + path.read_text())
    assert "mine.py does not import: SystemExit: 0" in bench.refused("run", "--model", str(path))


@pytest.mark.parametrize("old", MOVED)
def test_a_file_that_imports_an_old_name_is_told_the_new_one(tmp_path: Path, old: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from {old} import Anything\n")
    with pytest.raises(RequestError, match="It is now models") as refusal:
        find_model_or_file(str(path))
    for new in re.findall(r"models\.[a-z_.]+\b", str(refusal.value).partition("It is now")[2]):
        assert importlib.util.find_spec(new), new


def test_a_wrapper_that_is_no_name_is_refused(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("mine", "pass")
    path.write_text(path.read_text().replace('wrapper = "plain"', "wrapper = dict"))
    assert "no wrapper named \"<class 'dict'>\"" in bench.refused("run", "--model", str(path))


def test_a_file_with_two_models_is_refused(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("two", "pass")
    path.write_text(path.read_text() + "\nclass Other(Mine): pass\n")
    assert "must define one public subclass of SequenceModel; it defines Mine, Other" in bench.refused(
        "run", "--model", str(path)
    )


def test_another_models_folder_in_the_working_directory_is_not_imported(bench: Bench) -> None:
    for package in ("models", "datamodules", "db"):
        (bench.folder / package).mkdir()
        (bench.folder / package / "__init__.py").write_text("raise SystemExit('the wrong one')")
    assert '"fru"' in bench.fresh("models", "--json").stdout


def test_the_database_is_created_and_brought_up_to_date(bench: Bench) -> None:
    assert "brought up to date" in bench("db", "upgrade").stderr
    assert "is up to date" in bench("db", "upgrade").stderr
    assert "No runs yet" in bench("runs").stderr
    assert bench.json("runs") == bench.json("leaderboard") == []


def test_help_has_examples(bench: Bench) -> None:
    assert "python -m bench run --model fru" in bench("--help").stdout
    assert "python -m bench run --model lstm --task fashion" in " ".join(bench("run", "--help").stdout.split())


def test_every_command_has_an_example_that_it_takes_and_every_option_a_help() -> None:
    for words, command in commands(get_command(app)):
        lines = re.findall(r"^  python -m bench (.+?)(?: > .*)?$", command.epilog or "", re.MULTILINE)
        assert lines, f"{words} has no example"
        for line in lines:
            given = shlex.split(line.partition("     ")[0])
            assert given[: len(words)] == words, line
            command.make_context(words[-1], given[len(words) :])
        assert not [each.name for each in command.params if not getattr(each, "help", None)], words


def commands(group: Any, *before: str) -> Iterator[tuple[list[str], Any]]:
    """The words of each command, and the command; those of groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield [*before, name], command


def test_the_names_of_all_settings_are_told_as_the_help_says(bench: Bench) -> None:
    said = bench.refused("run", "--model", "gru", "--set", "lr")
    assert "'lr' is not of the form key=value. Settings: backend, batch_size, " in said
    assert " hidden_size, " in said


def test_a_closed_pipe_is_no_error(shared_bench: Bench) -> None:
    reader = shared_bench.start("runs", "--json")
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.close()
    assert reader.wait(60) in (0, 1)
    assert "Traceback" not in reader.stderr.read()


def test_the_app_needs_its_extra(bench: Bench) -> None:
    (bench.folder / "sitecustomize.py").write_text(
        "import importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'streamlit' else f(name, *a)\n"
    )
    bench.env["PYTHONPATH"] = str(bench.folder)
    assert "the app needs Streamlit and Altair: pip install -e '.[app]'" in bench.fresh("app", code=2).stderr


def test_tables_are_cut_to_the_terminal(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shared_bench("runs").stdout
    assert "reason" in whole.splitlines()[0]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    cut = shared_bench("runs")
    assert "A wider terminal also shows: " in cut.stderr
    assert all(run["run_id"] in cut.stdout for run in shared_bench.json("runs"))
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", cut.stdout).splitlines())) <= 60
