"""Measure how soon commands answer, and with how much memory, on their first and on their second call.

    python benchmarks/command_latency.py

Each turn begins with an empty cache and a database of the published results, so the first call makes each answer and
the second one finds it. Of each command the least of the turns is printed: wall-clock seconds, processor seconds, which
other programs on the machine affect less, and the peak of memory; and whether it imported torch. The last command is a
run of one training step, its evaluation included. The second time it is recorded.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMANDS = (
    "--help",
    "models",
    "models --budget 10k",
    "tasks",
    "suites",
    "runs",
    "runs --model fru --task digits",
    "leaderboard",
    "leaderboard --task digits",
    "leaderboard --suite quick-v1 --budget 10k",
    "studies",
    "studies --published",
    "show RUN",
    "run --model fruu",
    "run --model gru --task digitz",
    "runz",
    "run --model gru --set max_steps=1",
)
CALL = """
import json, resource, sys
report = sys.argv.pop(1)
from bench.__main__ import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    facts = {"cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024, "torch": "torch" in sys.modules}
    with open(report, "w") as file:
        json.dump(facts, file)
"""
ROOT = Path(__file__).resolve().parents[1]


def call(command: str, folder: Path) -> dict[str, Any]:
    """Call a command in a process of its own. Return what it printed, what it took, and whether torch was imported."""
    report = folder / "report.json"
    env: Mapping[str, str] = os.environ | {
        "BENCH_DB": str(folder / "board.sqlite"), "BENCH_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    started = time.perf_counter()
    words = [sys.executable, "-c", CALL, str(report), *command.split()]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "stdout": done.stdout} | json.loads(report.read_text(encoding="utf-8"))


def turn() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Call each command, and then each once more."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        call("db upgrade", folder)
        run = json.loads(call("runs --json", folder)["stdout"])[0]["run_id"]
        commands = [command.replace("RUN", run) for command in COMMANDS]
        return [(call(command, folder), call(command, folder)) for command in commands]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    turns = [turn() for _ in range(parser.parse_args().turns)]
    print("| `python -m bench …` | first: s | processor s | MiB | torch | second: s | processor s | MiB | torch |")
    print("|---|---|---|---|---|---|---|---|---|")
    for number, command in enumerate(COMMANDS):
        cells = [f"`{command}`"]
        for calls in zip(*(each[number] for each in turns), strict=True):
            least = {name: min(each[name] for each in calls) for name in ("seconds", "cpu", "memory")}
            torch = "yes" if any(each["torch"] for each in calls) else "no"
            cells += [f"{least['seconds']:.2f}", f"{least['cpu']:.2f}", f"{least['memory']:.0f}", torch]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
