"""`bench check MODEL.py --sandbox`: a stranger's file is checked and graded, a hostile one contained and reported."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.common.errors import RequestError
from bench.contributing.inside_sandbox import TRAINING
from bench.contributing.rules import RULES
from bench.contributing.sandbox import check_available
from bench.contributing.sandboxed_check import grade, read_report
from datamodules.digits import Digits
from tests.bench.contributing.test_sandbox import BOMB
from tests.conftest import ROOT, Bench

ANSWERS = Digits().split("test").y


@pytest.fixture
def sandbox() -> None:
    try:
        check_available()
    except RequestError as error:
        pytest.skip(str(error))


def checked(bench: Bench, path: Path, *words: str, code: int = 1) -> Any:
    return bench.json("check", str(path), "--sandbox", *words, code=code)


def test_an_honest_file_passes_and_is_graded_outside(bench: Bench, sandbox: None) -> None:
    done = bench("check", str(ROOT / "models" / "mingru.py"), "--sandbox", "--json")
    document = json.loads(done.stdout)
    assert (document["passed"], document["findings"], document["problem"]) == (True, [], None)
    assert document["metric"]["name"] == "accuracy"
    assert 0.2 < document["metric"]["value"] <= 1
    assert all(f"ok      {name}" in done.stderr for name in (*RULES, TRAINING))


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
    assert document["problem"] == "it did not go through all checks"
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
    for name in (*RULES, "training"):
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


ENDLESS, GREEDY = "while True: pass", "kept = [bytes(2**28) for _ in range(99)]"


@pytest.mark.parametrize(
    ("code", "limit", "problem"),
    [
        (BOMB, "10m", "it started more than 16 processes"),
        pytest.param(ENDLESS, "20s", "it ran for more than 20 s", marks=pytest.mark.slow),
        pytest.param(GREEDY, "10m", "MemoryError", marks=pytest.mark.slow),
    ],
    ids=["forks", "never ends", "eats memory"],
)
def test_what_takes_too_much_is_reported(
    bench: Bench, tmp_path: Path, sandbox: None, code: str, limit: str, problem: str
) -> None:
    path = tmp_path / "greedy.py"
    path.write_text(code)
    document = checked(bench, path, "--time-limit", limit)
    assert problem in json.dumps(document)
    assert document["passed"] is False


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
