"""`bench check FILE.py --sandbox`: a stranger's file is checked and graded, a hostile one contained and reported."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bench.contributing.inside_sandbox import BATCH, TRAINING
from bench.contributing.rules import RULES
from bench.contributing.sandbox import Limits
from bench.contributing.sandboxed_check import grade, read_report, read_splits
from bench.contributing.task_rules import TASK_RULES, split_hashes
from datamodules.adding import Adding
from datamodules.digits import Digits
from tests.bench.contributing.test_sandbox import BOMB
from tests.conftest import MODEL, ROOT, Bench

ANSWERS = Digits().split("test").y


def checked(bench: Bench, path: Path, *words: str, code: int = 1) -> Any:
    return bench.json("check", str(path), "--sandbox", *words, code=code)


@pytest.mark.slow
def test_an_honest_file_passes_and_is_graded_outside(bench: Bench, sandbox: None) -> None:
    done = bench("check", str(ROOT / "models" / "mingru.py"), "--sandbox", "--json")
    document = json.loads(done.stdout)
    assert (document["passed"], document["findings"], document["problem"]) == (True, [], None)
    assert document["metric"]["name"] == "accuracy"
    assert 0.2 < document["metric"]["value"] <= 1
    assert all(f"ok      {name}" in done.stderr for name in (*RULES, TRAINING))


def test_an_honest_task_passes_and_its_hashes_come_out(bench: Bench, sandbox: None) -> None:
    path = str(ROOT / "datamodules" / "adding.py")
    done = bench("check", path, "--sandbox", "--json")
    assert json.loads(done.stdout) == {
        "task": path, "passed": True, "findings": [], "problem": None, "splits": split_hashes(Adding),
    }  # fmt: skip
    assert all(f"ok      {name}" in done.stderr for name in TASK_RULES)


HOSTILE = '''
"""Tries everything at once, when it is imported."""
import os, pathlib, socket
import numpy as np

def attempt(name, act):
    try:
        print("REACHED", name, repr(act())[:200])
    except Exception as error:
        print("stopped", name, type(error).__name__)

def labels():
    found = [str(path) for path in pathlib.Path("/").rglob("*digits*") if path.suffix in (".csv", ".gz", ".npz")]
    found += [name for name in np.load("/check/data.npz") if name.startswith("test") and name != "test_x"]
    return found or 1 / 0

def sklearn_labels():
    from sklearn.datasets import load_digits
    return load_digits()

def write(path):
    pathlib.Path(path).write_text("x")

def home():
    return list(pathlib.Path({home!r}).glob(".ssh")) + list(pathlib.Path({home!r}).glob(".bash*")) or 1 / 0

attempt("network", lambda: socket.create_connection(("192.0.2.1", 80), 5))
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("home", home)
attempt("the project's results", lambda: list(pathlib.Path({root!r}).rglob("*.sqlite")) or 1 / 0)
attempt("labels", labels)
attempt("scikit-learn's labels", sklearn_labels)
for path in ({marker!r}, "/project/models/fru.py", {root!r} + "/models/evil.py", "/check/more"):
    attempt("write " + path, lambda: write(path))
raise RuntimeError("\\x1b[2J that was all")
'''


def test_a_hostile_file_reaches_nothing(bench: Bench, tmp_path: Path, sandbox: None) -> None:
    path, marker = tmp_path / "hostile.py", tmp_path / "marker"
    values = {"home": str(Path.home()), "root": str(ROOT), "marker": str(marker)}
    code = HOSTILE
    for name, value in values.items():
        code = code.replace(f"{{{name}!r}}", repr(value))
    path.write_text(code)
    done = bench("check", str(path), "--sandbox", "--json", code=1)
    document = json.loads(done.stdout)
    assert "REACHED" not in done.stderr
    assert done.stderr.count("stopped") == 10
    assert document["problem"] == document["findings"][0]["problem"]
    assert "hostile.py does not import: RuntimeError: � that was all" in document["findings"][0]["problem"].replace(
        "[2J", ""
    )
    assert not marker.exists()
    assert document["metric"]["value"] is None


FORGED = """
import os, json, pickle
import numpy as np
from bench.contributing.rules import RULES

class Evil:
    def __reduce__(self):
        return (os.system, ("touch {marker}",))

with open("/check/report.jsonl", "w") as report:
    for name in ("import", *RULES, "training"):
        report.write(json.dumps([name, None, None]) + "\\n")
with open("/check/predictions.npy", "wb") as file:
    {forge}
os._exit(0)
"""


@pytest.mark.slow
def test_a_forged_report_is_graded_all_the_same(bench: Bench, tmp_path: Path, sandbox: None) -> None:
    path = tmp_path / "forger.py"
    path.write_text(FORGED.replace("{forge}", f"np.save(file, np.full({len(ANSWERS)}, 3))"))
    assert checked(bench, path, code=0)["metric"]["value"] == pytest.approx((ANSWERS == 3).double().mean().item())


def test_forged_predictions_execute_nothing(bench: Bench, tmp_path: Path, sandbox: None) -> None:
    path, marker = tmp_path / "forger.py", tmp_path / "marker"
    forge = f"np.save(file, np.array([Evil()] * {len(ANSWERS)}, dtype=object), allow_pickle=True)"
    path.write_text(FORGED.replace("{forge}", forge).replace("{marker}", str(marker)))
    document = checked(bench, path)
    assert document["problem"].startswith("it left no predictions")
    assert not marker.exists()


MIB = 2**20
LOW = partial(Limits, memory=1200 * MIB, processes=4)
# What a hostile file does where {act} stands, and the end of the one line that says so. MARKER is a file outside.
ACTS = {
    "never ends": ("while True: pass", "it ran for more than 20 s"),
    "forks": ("exec(" + repr(BOMB) + ")", "it started more than 4 processes"),
    "eats memory": ("kept = [b'x' * 2**26 for _ in range(99)]", "MemoryError"),
    "writes outside": ("open('MARKER', 'w')", "No such file or directory: 'MARKER'"),
    "writes to the project": ("open('/project/bench/x.py', 'w')", "Read-only file system: '/project/bench/x.py'"),
    "calls out": ("import socket; socket.create_connection(('127.0.0.1', PORT), 5)", "Connection refused"),
    "calls a host by name": ("import urllib.request; urllib.request.urlopen('http://example.org')", "URLError"),
}
TASK = (ROOT / "datamodules" / "adding.py").read_text()
DRAW = "    def places(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:\n"
assert DRAW in TASK
CODE = {  # kind of file → the moment at which it acts → its code
    "model": {"imported": MODEL.format(body="pass") + "\n{act}\n", "used": MODEL.format(body="{act}")},
    "task": {"imported": TASK + "\n{act}\n", "used": TASK.replace(DRAW, f"{DRAW}        {{act}}\n")},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CODE)
@pytest.mark.parametrize("moment", ["imported", "used"])
@pytest.mark.parametrize("act", ACTS)
def test_each_hostile_act_ends_in_one_line(
    bench: Bench, tmp_path: Path, sandbox: None, monkeypatch: pytest.MonkeyPatch, kind: str, moment: str, act: str
) -> None:
    monkeypatch.setattr("bench.contributing.sandboxed_check.Limits", LOW)
    path, marker = tmp_path / "hostile.py", tmp_path / "marker"
    code, problem = (text.replace("MARKER", str(marker)) for text in ACTS[act])
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = code.replace("PORT", str(server.getsockname()[1]))
        path.write_text(CODE[kind][moment].replace("{act}", code))
        said = bench("check", str(path), "--sandbox", "--time-limit", "20s", code=1).stderr
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    *before, last = said.splitlines()
    assert last.startswith(f"{path} did not pass: ")
    where = last if moment == "imported" or act in ("never ends", "forks") else "\n".join(before)
    assert problem in where, said
    assert not marker.exists()


@pytest.mark.slow
def test_too_many_processes_are_reported(bench: Bench, tmp_path: Path, sandbox: None) -> None:
    path = tmp_path / "greedy.py"
    path.write_text(BOMB)
    document = checked(bench, path)
    assert document["problem"] == "it started more than 16 processes"
    assert document["passed"] is False


# Goes through all that Python's collector knows and the variables of all frames, looking for rows of labels. It holds
# each row with 1 added, so that it does not find its own.
SEARCH = """
import gc, os, sys
import numpy as np
import torch

ROWS = {rows}
FOUND = set()

def things():
    left, seen = list(gc.get_objects()), set()
    for frame in sys._current_frames().values():
        while frame:
            left += [*frame.f_locals.values(), *frame.f_globals.values()]
            frame = frame.f_back
    while left:
        thing = left.pop()
        if id(thing) not in seen:
            seen.add(id(thing))
            yield thing
            left += gc.get_referents(thing)

def numbers(thing):
    try:
        if isinstance(thing, (bytes, bytearray)):
            return np.frombuffer(thing, np.uint8)
        if isinstance(thing, (torch.Tensor, np.ndarray, list, tuple)) and len(thing) >= 40:
            row = np.asarray(thing).ravel()
            return row if row.dtype.kind in "iuf" else None
    except Exception:
        return None

def contains(row, labels):
    places = np.flatnonzero(row[: len(row) - len(labels) + 1] + 1.0 == labels[0])
    for step, label in enumerate(labels):
        places = places[row[places + step] + 1.0 == label]
    return len(places) > 0

def search():
    for thing in things():
        row = numbers(thing)
        if row is not None and len(row) >= 40:
            FOUND.update(name for name, labels in ROWS.items() if contains(row, labels))

def tell():
    search()
    print("SEARCHED", sorted(FOUND), flush=True)
    os._exit(3)

search()
"""
# A model searches when it is trained, and again and for the last time when it predicts. A task holds what is in /check.
LOOKS = {
    "model": """
        if x_BTD.shape[1] == 64 and self.training and not FOUND:
            search()
        if x_BTD.shape[1] == 64 and x_BTD.shape[0] == BATCH and not self.training:
            tell()
""",
    "task": """
        kept = dict(np.load("/check/data.npz"))
        tell()
""",
}


def labels() -> dict[str, list[int]]:
    splits = {name: Digits().split(name).y for name in ("train", "test")} | {"all": torch.tensor(load_digits().target)}
    return {name: (y[100:140] + 1).tolist() for name, y in splits.items()}


@pytest.mark.slow
def test_the_search_finds_labels_that_are_there(tmp_path: Path) -> None:
    kept = "from sklearn.datasets import load_digits\nkept = load_digits().target\ntell()"
    code = f"{SEARCH.replace('{rows}', repr(labels()))}\n{kept}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "SEARCHED ['all']" in done.stdout, done


@pytest.mark.slow
@pytest.mark.parametrize("kind", CODE)
def test_no_test_label_is_in_the_process(bench: Bench, tmp_path: Path, sandbox: None, kind: str) -> None:
    """What it finds are the training labels: the search works, and there are no others to be found."""
    path = tmp_path / "curious.py"
    code = CODE[kind]["used"].replace("{act}", LOOKS[kind].replace("BATCH", str(BATCH)))
    path.write_text(SEARCH.replace("{rows}", repr(labels())) + code)
    said = bench("check", str(path), "--sandbox", code=1).stderr
    assert "SEARCHED ['train']" in said
    assert said.splitlines()[-1] == f"{path} did not pass: it ended with exit code 3"


@pytest.mark.slow
def test_a_file_that_breaks_the_contract_fails(
    bench: Bench, write_model: Callable[[str, str], Path], sandbox: None
) -> None:
    document = checked(bench, write_model("mine", "x_BTD = x_BTD.flip(1)"))
    assert "causal" in [finding["check"] for finding in document["findings"]]
    assert document["metric"]["value"] is not None


def test_what_is_no_file_of_python_is_refused(bench: Bench, tmp_path: Path) -> None:
    large = tmp_path / "large.py"
    large.write_bytes(b"#" * (2**20 + 1))
    for path in ("absent.py", "fru", str(tmp_path), str(large)):
        assert "is not a .py file of at most 1 MiB" in bench.refused("check", path, "--sandbox")


def test_without_a_sandbox_the_file_is_not_touched(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, marker = tmp_path / "mine.py", tmp_path / "marker"
    path.write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "not installed: apt-get install bubblewrap" in bench.refused("check", str(path), "--sandbox")
    assert not marker.exists()


# The trusted side


def saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def test_grading() -> None:
    labels = torch.tensor([1, 2, 3, 4])
    assert grade(saved(np.array([1, 2, 3, 0])), labels) == 0.75


GOOD = saved(np.zeros(4, np.int64))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"junk", GOOD[:-1], GOOD + b"\0", GOOD[:64], saved(np.zeros(3, np.int64)),
        saved(np.zeros((4, 1), np.int64)), saved(np.zeros(4)), saved(np.zeros(4, np.int32)), saved(np.zeros(4, ">i8")),
        saved(np.array([None] * 4), allow_pickle=True), GOOD.replace(b"(4,)", b"(9,)"),
        GOOD.replace(b"'<i8'", b"'|O8'"),
        GOOD.replace(b"(4,), }      ", b"(99999999,),}"), GOOD.replace(b"\x01\x00", b"\x02\x00"),
    ],
)  # fmt: skip
def test_what_are_no_predictions_is_not_graded(data: bytes) -> None:
    with pytest.raises(ValueError, match="it left no predictions: 4 whole numbers"):
        grade(data, torch.tensor([1, 2, 3, 4]))


def test_a_report_is_read_line_by_line() -> None:
    lines = [
        '["causal", null, null]', '["last", "it \\u001b[2J", "mend"]', "[", "null", '["unknown", null, null]',
        '[["a"], 1, 2]',
        "[" * 10**5, '{"a": 1, "b": 2, "c": 3}', '["step", 7, {"a": []}]', "\udcff",
    ]  # fmt: skip
    findings = read_report("\n".join(lines).encode(errors="surrogateescape"))
    assert findings.keys() == {"causal", "last", "step"}
    assert findings["causal"] is None
    assert [(f.problem, f.mend) for f in findings.values() if f] == [("it �[2J", "mend"), ("7", "{'a': []}")]


def test_hashes_are_read_where_they_are_hashes() -> None:
    good = "a" * 64
    hashes = {"mine\x1b[2J test": good, "short": "a", "number": 7, "newline": good + "\n"}
    lines = ["[", "7", "{}", '{"splits": 3}', json.dumps({"splits": hashes}), json.dumps({"splits": {"late": good}})]
    assert read_splits("\n".join(lines).encode()) == {"mine\\x1b[2J test": good}
    assert read_splits(b"") == {}
