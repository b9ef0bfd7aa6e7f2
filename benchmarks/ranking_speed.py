"""Measure how long it takes to rank 10,000 runs: ten boards of 20 entries × 10 tasks × 5 seeds.

    python benchmarks/ranking_speed.py

Seconds are processor seconds, which other programs on the machine affect less. Every turn has new tables, of which
nothing is cached. At the end the last tables are ranked again.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.ranking.suite import rank_suite
from db.schema import Run

TASKS = [f"task-{index}" for index in range(10)]
BOARDS, ENTRIES, SEEDS = 10, 20, 5
BLANK: dict[str, Any] = {column.key: None for column in Run.__table__.columns if column.key != "id"} | {
    "run_id": "", "wrapper": "residual", "budget": "10k", "config": {}, "config_source": {}, "environment": {},
    "train_seconds": 60.0, "chance": 0.1, "solved": 1.0, "state_bytes": 512,
    "params_core": 8_000, "params_embedding": 0, "params_readout": 1_000,
}  # fmt: skip


def board(rng: np.random.Generator) -> list[Run]:
    """Return the runs of one board: entries that differ a little, tasks that some solve, and a few failed runs."""
    shift_ET = 0.1 * rng.standard_normal((ENTRIES, 1)) + 0.1 * rng.standard_normal((ENTRIES, len(TASKS))) + 0.6
    accuracy_ETN = np.clip(shift_ET[..., None] + 0.04 * rng.standard_normal((*shift_ET.shape, SEEDS)), 0.1, 1)
    failed_ETN = rng.random(accuracy_ETN.shape) < 0.02
    return [
        Run(**BLANK | {
            "model": f"model-{e}", "task": TASKS[t], "seed": n, "metric_value": float(accuracy),
            "status": "failed" if failed_ETN[e, t, n] else "finished", "params_total": 9_000 + 40 * e,
        })
        for (e, t, n), accuracy in np.ndenumerate(accuracy_ETN)
    ]  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rank_suite(board(rng), TASKS, "10k")  # warm up
    fresh = []
    for _ in range(options.turns):
        boards = [board(rng) for _ in range(BOARDS)]
        fresh.append(seconds(lambda: [rank_suite(runs, TASKS, "10k") for runs in boards]))  # noqa: B023
    again = seconds(lambda: [rank_suite(runs, TASKS, "10k") for runs in boards])
    count = BOARDS * ENTRIES * len(TASKS) * SEEDS
    print(f"{count:,} runs in {BOARDS} boards: median {statistics.median(fresh):.3f} s", end=" ")
    print(f"(from {min(fresh):.3f} to {max(fresh):.3f} s in {len(fresh)} turns); asked again: {again:.3f} s")


if __name__ == "__main__":
    main()
