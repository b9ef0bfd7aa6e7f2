"""Many processes that record at once lose nothing and meet no lock."""

import subprocess
import sys
from collections import Counter

from db.store import Store
from tests.conftest import CHECKOUT

PROCESSES, RUNS, POINTS = 8, 200, 5

WRITER = """
import sys
from db.schema import CurvePoint
from db.store import Store
from tests.support.runs import make_run

store, number = Store(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for index in range(int(sys.argv[3])):
    curve = [CurvePoint(name="train/loss", epoch=step, step=step, value=index) for step in range(int(sys.argv[4]))]
    store.record(make_run(f"{number:08x}{index:08x}", seed=index), curve)
"""


def start_writer(url: str, number: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, url, str(number), str(RUNS), str(POINTS)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=CHECKOUT, text=True, **pipes)  # type: ignore[call-overload]


def test_eight_processes_record_two_hundred_runs_each(url: str) -> None:
    Store(url)
    writers = [start_writer(url, number) for number in range(PROCESSES)]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n"] * PROCESSES
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outcomes = [writer.communicate(timeout=300) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * PROCESSES, outcomes
    store = Store(url, read_only=True)
    runs = store.runs()
    assert Counter(run.run_id[:8] for run in runs) == {f"{number:08x}": RUNS for number in range(PROCESSES)}
    assert all([point.value for point in store.curves(run)] == [run.seed] * POINTS for run in runs[::50])
