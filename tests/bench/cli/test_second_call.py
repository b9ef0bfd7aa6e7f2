"""From the second call on, listings, rankings, typos and recorded runs are answered without torch, and never stale."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bench.common import kept_answers
from db.store import Store
from tests.conftest import QUICK, ROOT, Bench, needs_checkout
from tests.support.runs import make_run

COMMANDS = [
    ["run", "--model", "gru", *QUICK],
    ["models", "--json"],
    ["models", "--task", "copy", "--budget", "3k"],
    ["tasks"],
    ["suites"],
    ["runs", "--model", "gru", "--task", "digits"],
    ["leaderboard"],
    ["leaderboard", "--task", "digits", "--csv"],
    ["leaderboard", "--suite", "quick-v2", "--budget", "10k"],
    ["leaderboard", "--suite", "quick-v1", "--latex"],
    ["studies"],
    ["studies", "--published"],
    ["run", "--model", "gruu"],
    ["run", "--model", "gru", "--task", "adding-20"],
    ["suite", "--models", "fru,gruu"],
    ["tune", "--model", "gru", "--task", "digitz"],
    ["compare", "gruu"],
    ["run", "--modle", "gru"],
    ["runz"],
]
CALL_EACH = """
import json, sys
from bench.__main__ import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["bench", *words]
    try:
        main()
    except SystemExit as end:
        print(f"\\n>>> {end.code or 0}", [name for name in ("torch", "lightning", "scipy") if name in sys.modules])
"""


class Copy:
    """A copy of the project with a database and a cache of its own, whose commands run in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder = folder / "project", folder
        for name in ("bench", "datamodules", "db", "models", "leaderboard_app"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("published", "*.sqlite*"))

    def call(self, *commands: list[str]) -> list[tuple[str, int, list[str]]]:
        """Return what each command printed, its exit code, and which heavy packages had been imported by then."""
        env = os.environ | {
            "PYTHONPATH": str(self.root), "BENCH_DB": str(self.folder / "board.sqlite"), "BENCH_PUBLISHED": "",
            "BENCH_CACHE_DIR": str(self.folder / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        }  # fmt: skip
        words = [sys.executable, "-c", CALL_EACH, json.dumps(commands)]
        done = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, check=True)
        parts = done.stdout.split("\n>>> ")
        ends = [part.partition("\n")[0].partition(" ") for part in parts[1:]]
        texts = [parts[0], *(part.partition("\n")[2] for part in parts[1:-1])]
        return [
            (text, int(code), json.loads(names.replace("'", '"')))
            for text, (code, _, names) in zip(texts, ends, strict=True)
        ]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("second"))


@needs_checkout
def test_the_second_call_imports_no_torch_and_says_the_same(copy: Copy) -> None:
    first = copy.call(*COMMANDS)
    for path in copy.folder.glob("board*.sqlite"):
        os.utime(path, (1_500_000_000, 1_500_000_000))  # not changed just now, so that what they hold is trusted
    copy.call(["leaderboard"], *COMMANDS[5:12])
    second = copy.call(*COMMANDS)
    for words, (text, code, _), (again, code_again, imported) in zip(COMMANDS, first, second, strict=True):
        assert imported == [], words
        assert (again, code_again) == (text, code), words
    assert [code for _, code, _ in first] == [0] * 12 + [2] * 7

    path = copy.root / "models" / "gru.py"
    path.write_text(path.read_text().replace('display_name = "GRU"', 'display_name = "Another"'))
    (shown, _, imported), *_ = copy.call(["models", "--json"])
    assert [row["display_name"] for row in json.loads(shown) if row["name"] == "gru"] == ["Another"]
    assert "torch" in imported


@pytest.fixture
def keeping(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A command line that keeps its answers."""
    monkeypatch.setattr(kept_answers, "folder", lambda: bench.folder / "answers")
    return bench


def test_a_new_run_is_on_the_board_at_once(keeping: Bench) -> None:
    store = Store(str(keeping.db))
    for number in range(1, 4):
        store.record(make_run(f"{number:016x}", seed=number))
        os.utime(keeping.db, (1_500_000_000 + number,) * 2)
        for _ in range(2):
            rows = keeping.json("leaderboard", "--task", "digits")
            assert [row["seeds"] for row in rows] == [[*range(1, number + 1)]]
    store.add_event(store.runs()[0], "retracted", "for a test")
    assert [row["seeds"] for row in keeping.json("leaderboard", "--task", "digits")] == [[2, 3]]


def test_another_database_of_as_many_runs_has_its_own_board(keeping: Bench) -> None:
    for name, value in (("one", 0.25), ("two", 0.75)):
        path = keeping.folder / f"{name}.sqlite"
        Store(str(path)).record(make_run(metric_value=value))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(keeping.db)) as target:
            source.backup(target)
        for file in keeping.folder.glob("board.sqlite*"):
            os.utime(file, (1_500_000_000, 1_500_000_000 + value))
        for _ in range(2):
            assert keeping.json("leaderboard")[0]["metric_value"] == value


def test_files_of_the_user_are_read_each_time(keeping: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("mine", "")
    run = keeping.json("run", "--model", str(path), "--epochs", "1")
    assert [row["run_id"] for row in keeping.json("runs", "--model", str(path))] == [run["run_id"]]
    path.write_text(path.read_text() + "# edited\n")
    assert keeping.json("runs", "--model", str(path)) == []
    assert keeping.json("run", "--model", str(path), "--epochs", "1")["run_id"] != run["run_id"]


def test_a_recorded_run_is_not_shown_for_other_data(keeping: Bench, tmp_path: Path) -> None:
    """The data are compared again where their files have changed, though their hashes were kept."""
    keeping.env["BENCH_CACHE_DIR"] = str(tmp_path / "cache")
    words = ("run", "--model", "gru", "--task", "parity", "--set", "max_steps=2", "--set", "hidden_size=4")
    keeping(*words)
    folder = tmp_path / "cache" / "generated" / "parity-40" / "v1" / "test"
    for path in folder.iterdir():
        os.utime(path, (1_500_000_000, 1_500_000_000))
    for _ in range(2):
        assert "it is shown, not repeated" in keeping(*words).stderr
    content = bytearray((folder / "x.npy").read_bytes())
    content[-1] ^= 1
    (folder / "x.npy").write_bytes(content)
    assert "recorded, but with other data: test of parity-40" in keeping.refused(*words)
