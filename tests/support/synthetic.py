"""Databases full of made-up but plausible results, written through the store, for tests and benchmarks of the board."""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from bench.catalog.registry import find_model
from bench.catalog.suites import find_suite
from bench.catalog.tiers import TIERS
from db.schema import CurvePoint, Run
from db.store import Store

MACHINES = (
    {"cpu": "AMD EPYC 7B13", "threads": 2, "gpu": None},
    {"cpu": "Intel Xeon 8481C", "threads": 16, "gpu": "NVIDIA H100 80GB HBM3"},
)
SPEED = (1_000.0, 20_000.0)
"""Samples a second of a model of 10,000 parameters, for each machine."""
ERRORS = ("adding", "mix")
"""Tasks whose metric is an error."""
START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(
    store: Store,
    *,
    models: Sequence[str] = ("fru", "gru", "lstm", "s5", "mamba"),
    suite: str = "quick-v1",
    tiers: Sequence[str] = ("10k",),
    seeds: int = 5,
    curves: int = 0,
    machine: int = 0,
    **changes: Any,
) -> list[Run]:
    """Record runs of every model on every task of a suite, trained as the suite says. Equal calls make equal rows.

    Args:
        models: earlier ones are better, on the whole; 2% of all runs diverge.
        curves: how many of the runs, from the first, get learning curves.
        machine: an index of MACHINES.
        changes: columns of `Run` that are given.
    """
    rows = synthetic_runs(models, suite, tiers, seeds, machine)
    recorded = []
    for index, values in enumerate(rows):
        if "wrapper" in changes:
            values["run_id"] = f"{random.Random(values['run_id'] + changes['wrapper']).getrandbits(64):016x}"
        run = Run(**values | changes)
        recorded.append(store.record(run, learning_curves(run) if index < curves else ()))
    return recorded


def synthetic_runs(
    models: Sequence[str], suite: str, tiers: Sequence[str], seeds: int, machine: int = 0
) -> Iterator[dict[str, Any]]:
    tasks = find_suite(suite).tasks
    for (place, model), tier, task, seed in product(enumerate(models), tiers, tasks, range(seeds)):
        rng = random.Random(f"{model} {tier} {suite} {task} {seed} {machine}")
        yield _values(rng, model, 1 - place / max(10, len(models)), tier, suite, task, seed, machine)


def _values(
    rng: random.Random, model: str, skill: float, tier: str, suite: str, task: str, seed: int, machine: int
) -> dict[str, Any]:
    size = int(TIERS[tier] * random.Random(f"{model} {tier}").uniform(0.9, 1))
    ease = random.Random(task).uniform(0.4, 0.9)
    reached = min(1, max(0, ease * (0.4 + 0.6 * skill) * (1 + 0.1 * math.log10(size / 1e4)) + rng.gauss(0, 0.04)))
    is_error, diverged = task.startswith(ERRORS), rng.random() < 0.02
    chance, solved = (1 / 6, 1e-3) if is_error else (0.1, 1.0)
    value = chance * (solved / chance) ** reached if is_error else chance + (solved - chance) * reached
    metric = "mse" if is_error else "accuracy"
    training = dict(find_suite(suite).tasks[task])
    steps = training.get("max_steps", 1_000)
    speed = SPEED[machine] * (1e4 / size) ** 0.4 * rng.uniform(0.8, 1.2)
    seconds = steps * training["batch_size"] / speed
    started = START + timedelta(minutes=7 * seed)
    return {
        "run_id": f"{random.Random(f'{model} {suite} {task} {tier} {seed} {machine}').getrandbits(64):016x}",
        "attempt": 1, "protocol": find_suite(suite).protocol, "model": model, "wrapper": wrapper_of(model),
        "task": task, "task_version": find_suite(suite).version_of(task), "seed": seed, "budget": tier,
        "config": {"model": {"hidden_size": size // 100}, "wrapper": {"depth": 2}, "training": training},
        "config_source": dict.fromkeys(["hidden_size", *training], "flag") | {"hidden_size": "budget"},
        "status": "diverged" if diverged else "finished",
        "reason": f"the training loss is nan at step {steps // 2}" if diverged else None,
        "metric_name": metric, "metric_value": None if diverged else value, "chance": chance, "solved": solved,
        "metrics": {} if diverged else {split: {metric: value} for split in ("train", "validation", "test")},
        "best_epoch": None if diverged else 10, "epochs": 10, "steps": steps,
        "params_total": size, "params_core": int(0.9 * size), "params_embedding": 0,
        "params_readout": size - int(0.9 * size), "params_buffers": 0, "state_bytes": 4 * (size // 100),
        "samples_per_second": speed, "train_seconds": seconds, "wall_seconds": 1.05 * seconds,
        "peak_memory_host": 2**30, "peak_memory_device": None,
        "facts": {"splits": dict.fromkeys(("train", "validation", "test"), f"{seed:064x}"), "task": {}, "model": {}},
        "environment": {**MACHINES[machine], "python": "3.11.2", "platform": "Linux", "git_commit": "0" * 40,
                        "git_dirty": False, "packages": {"torch": "2.13.0", "lightning": "2.6.6"},
                        "deterministic": True, "execution": {"accelerator": "auto", "devices": "1"}},
        "source_hash": "0" * 64, "command": f"python -m bench run --model {model} --task {task} --seed {seed}",
        "started_at": started, "finished_at": started + timedelta(seconds=seconds),
    }  # fmt: skip


def wrapper_of(model: str) -> str:
    """The wrapper of an architecture's paper; a model that is not ours gets one too."""
    return "plain" if "@" in model or model.startswith("model-") else find_model(model).cls.wrapper


def learning_curves(run: Run, points: int = 10) -> list[CurvePoint]:
    """Loss and metric of both splits, at every epoch."""
    rng = random.Random(run.run_id)
    end = run.metric_value if run.metric_value is not None else run.chance
    curves = []
    for epoch in range(1, points + 1):
        step, left = run.steps * epoch // points, math.exp(-4 * epoch / points)
        for split in ("train", "validation"):
            loss = 2 * left + 0.1 + rng.gauss(0, 0.02)
            value = run.chance * left + end * (1 - left)
            for name, each in ((f"{split}/loss", loss), (f"{split}/{run.metric_name}", value)):
                curves.append(CurvePoint(name=name, step=step, epoch=epoch, value=each))
    return curves


def by_finish(runs: Iterable[Run]) -> list[Run]:
    """In the order in which the app lists them, from the end."""
    return sorted(runs, key=lambda run: (run.finished_at, run.id))
