"""A task given by the path of its file: its name follows from the file and its data, which are looked at first."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.common.root import ROOT
from tests.conftest import Bench

SHORT = ("--set", "max_steps=4", "--set", "hidden_size=4")
TASK = '''
"""Rising and falling series, from a table of rows: label, values."""

from pathlib import Path

import numpy as np
import torch

from datamodules._base import Samples, SequenceDataModule
from datamodules._spec import Continuous, Label, TaskSpec

SHARES = {"train": slice(20), "validation": slice(20, 30), "test": slice(30, None)}


class Series(SequenceDataModule):
    """Tell rising from falling series."""

    variants = {"series": {"steps": 6}, "series-short": {"steps": 4}}
    tiny = {}
    steps: int

    def describe(self):
        return TaskSpec(
            name=self.variant, summary="rising or falling", seq_len=self.steps, input=Continuous(1), output=Label(2),
            metric="accuracy", chance=0.5, source="drawn", license="CC0", citation="none",
        )

    def make(self, split):
        rows = np.loadtxt(Path(__file__).with_name("series.csv"), delimiter=",", dtype=np.float32)[SHARES[split]]
        x_BTD = torch.from_numpy(rows[:, 1 : 1 + self.steps])[..., None]
        return Samples(x_BTD, torch.from_numpy(rows[:, 0]).long())
'''


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "my_series.py"
    path.parent.mkdir()
    path.write_text(TASK)
    write_rows(path)
    return path


def write_rows(
    task: Path, row: Callable[[int], str] = lambda i: f"{i % 2},{','.join(str(i * t) for t in range(6))}"
) -> None:
    task.with_name("series.csv").write_text("\n".join(map(row, range(40))))


def test_a_run_is_made_once_and_found_by_path_and_by_name(bench: Bench, task: Path) -> None:
    words = ("run", "--model", "gru", "--task", str(task), *SHORT)
    first = bench.json(*words)
    name, _, digest = first["task"].partition("@")
    assert (name, len(digest)) == ("series", 8)
    assert f"--task {task}:series " in bench.json("show", first["run_id"])["command"]
    again = bench(*words)
    assert "it is shown, not repeated" in again.stderr
    for given in (str(task), first["task"]):
        assert [run["run_id"] for run in bench.json("runs", "--task", given)] == [first["run_id"]]
        assert [row["model"] for row in bench.json("leaderboard", "--task", given)] == ["gru"]


def test_a_variant_is_named_after_the_file(bench: Bench, task: Path) -> None:
    assert bench.json("run", "--model", "gru", "--task", f"{task}:series-short", *SHORT)["task"].startswith(
        "series-short@"
    )
    said = bench.refused("run", "--model", "gru", "--task", f"{task}:series-shrt", *SHORT)
    assert "no variant named 'series-shrt'. Did you mean 'series-short'?" in said


def test_edited_data_and_an_edited_file_give_other_runs(bench: Bench, task: Path) -> None:
    words = ("run", "--model", "gru", "--task", str(task), *SHORT)
    names = {bench.json(*words)["task"]}
    write_rows(task, lambda i: f"{i % 2},{','.join(str(i + t) for t in range(6))}")
    names.add(bench.json(*words)["task"])
    task.write_text(TASK.replace("rising or falling", "falling or rising"))
    names.add(bench.json(*words)["task"])
    assert len(names) == 3
    assert len(bench.json("runs", "--model", "gru", "--task", str(task))) == 1


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (".long())", ".long()[:, None])", "series, train: y has shape (B, 1); expected (B)."),
        (".long())", ")", "series, train: y is of torch.float32; expected torch.int64."),
        (".long())", ".long()[1:])", "series, train: the parts differ in their number of samples: x has 20, y has 19."),
        ("[..., None]", "", "series, train: x has shape (B, 6); expected (B, 6, 1)."),
        ('"train": slice(20)', '"train": slice(0)', "series: the split train has no samples."),
        ("Label(2)", "Label(1)", "series, train, sample 1: a label is 1; legal: 0 to 0."),
        ("series.csv", "absent.csv", "my_series.py, line 29 can't make its data: FileNotFoundError: "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_task_is_said_before_anything_is_recorded(
    bench: Bench, task: Path, before: str, after: str, said: str
) -> None:
    assert before in TASK
    task.write_text(TASK.replace(before, after))
    assert said in bench.refused("run", "--model", "gru", "--task", str(task), *SHORT)
    assert not list(bench.folder.glob("*.sqlite*"))


def test_a_number_that_is_not_finite_is_named(bench: Bench, task: Path) -> None:
    write_rows(task, lambda i: f"{i % 2},{','.join('nan' if (i, t) == (23, 2) else '1' for t in range(6))}")
    said = bench.refused("run", "--model", "gru", "--task", str(task), *SHORT)
    assert "series, validation, sample 3: x has numbers that are not finite. Nothing is recorded." in said


def test_it_is_tuned(bench: Bench, task: Path) -> None:
    document = bench.json("tune", "--model", "gru", "--task", str(task), "--trials", "2", "--set", "max_steps=4")
    assert document["task"].startswith("series@")
    said = bench.refused("tune", "--model", "gru", "--task", str(task), "--trials", "2", "--save-preset")
    assert "--save-preset is for tasks in datamodules/" in said


def test_a_recorded_run_of_a_registered_task_is_no_answer_once_its_data_have_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datamodules.digits import Digits

    words = ("run", "--model", "gru", "--task", "digits", *SHORT)
    run_id = bench.json(*words)["run_id"]
    make = Digits.make
    monkeypatch.setattr(Digits, "make", lambda task, split: make(task, split)._replace(x=make(task, split).x.flip(0)))
    said = bench.refused(*words)
    assert f"run {run_id} is recorded, but with other data: train, validation, test of digits has changed since" in said


def test_broken_data_of_a_registered_task_are_no_failure_of_a_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datamodules.digits import Digits

    make = Digits.make
    monkeypatch.setattr(Digits, "make", lambda task, split: make(task, split)._replace(y=make(task, split).y + 1))
    said = bench.refused("run", "--model", "gru", "--task", "digits", *SHORT)
    assert "digits, train, sample " in said
    assert ": a label is 10; legal: 0 to 9. Nothing is recorded." in said
    assert 4 not in [run["steps"] for run in bench.json("runs", "--task", "digits")]


def test_a_draft_can_be_trained_again_and_then_never_counts(bench: Bench, task: Path) -> None:
    words = ("run", "--model", "gru", "--task", str(task), *SHORT)
    first = bench.json(*words, "--again")  # nothing is repeated yet
    assert first["withdrawn"] is None
    assert len(bench.json("leaderboard", "--task", first["task"])) == 1
    repeated = bench.json(*words, "--again")
    assert (repeated["run_id"], repeated["withdrawn"]) == (first["run_id"], "repeated")
    assert bench.json(*words, "--again")["metric"] == first["metric"]
    assert [run["withdrawn"] for run in bench.json("runs", "--task", first["task"])] == ["repeated"]
    assert bench.json("leaderboard", "--task", first["task"]) == []
    assert "No repeated run counts" in bench.refused("retract", first["run_id"], "--undo", "--reason", "please")
    assert bench.json(*words)["withdrawn"] == "repeated"


def test_an_architecture_by_path_is_a_draft_and_a_registered_one_is_not(bench: Bench, tmp_path: Path) -> None:
    draft = tmp_path / "my_gru.py"
    draft.write_text((ROOT / "models" / "gru.py").read_text())
    for _ in range(2):
        made = bench.json("run", "--model", str(draft), *SHORT, "--again")
    assert made["withdrawn"] == "repeated"
    bench("run", "--model", "gru", *SHORT)
    assert "--again is for drafts" in bench.refused("run", "--model", "gru", *SHORT, "--again")


def test_a_repeated_run_that_was_stopped_goes_on(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    marker = bench.folder / "marker"
    body = f"if os.path.exists('{marker}'): os.remove('{marker}'); os.kill(os.getpid(), signal.SIGINT)"
    words = ("run", "--model", str(write_model("mine", body)), "--set", "max_steps=4", "--again")
    bench.json(*words)
    marker.touch()
    stopped = bench.json(*words, code=130)
    assert "can only be resumed" in (refusal := bench.refused(*words))
    assert " --resume --again" in refusal
    done = bench.json(*words, "--resume")
    assert (stopped["attempt"], done["attempt"], done["withdrawn"]) == (2, 3, "repeated")


def test_a_slowly_drawn_draft_draws_in_its_own_process(bench: Bench, tmp_path: Path) -> None:
    task = tmp_path / "my_parity.py"
    text = (ROOT / "datamodules" / "parity_var.py").read_text().replace('"parity-var"', '"my-parity"')
    counts = '    counts = {"train": 128, "validation": 64, "test": 64}\n    parallel = True\n'
    task.write_text(text.replace('    asks = "', f'{counts}    asks = "'))
    document = bench.json("run", "--model", "gru", "--task", str(task), *SHORT)
    assert (document["status"], document["task"].startswith("my-parity@")) == ("finished", True)
