"""A made-up run and a made-up trial. Nothing here imports torch: a process that records runs starts at once."""

from datetime import UTC, datetime
from typing import Any

from db.schema import Run, Trial

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_run(run_id: str = "0123456789abcdef", **changes: Any) -> Run:
    values: dict[str, Any] = {
        "run_id": run_id, "attempt": 1, "protocol": 1, "model": "fru", "wrapper": "plain", "seed": 0, "budget": None,
        "task": "digits", "task_version": 1, "chance": 0.1, "solved": 1.0, "metric_name": "accuracy",
        "config": {"model": {"size": 3}}, "config_source": {}, "status": "finished", "reason": None,
        "metric_value": 0.5, "metrics": {"test": {"accuracy": 0.5}}, "best_epoch": 1, "epochs": 2, "steps": 3,
        "params_total": 10, "params_core": 6, "params_embedding": 0, "params_readout": 4, "params_buffers": 0,
        "state_bytes": None, "samples_per_second": 5.0, "train_seconds": 1.0, "wall_seconds": 2.0,
        "peak_memory_host": 2**40, "peak_memory_device": None, "facts": {},
        "environment": {}, "source_hash": "x", "command": "c", "started_at": NOON, "finished_at": NOON,
    }  # fmt: skip
    return Run(**values | changes)


def make_trial(number: int = 0, **changes: Any) -> Trial:
    values: dict[str, Any] = {
        "study": "gru · residual · digits v1 · 10k", "protocol": 2, "model": "gru", "wrapper": "residual",
        "task": "digits", "task_version": 1, "budget": "10k", "metric_name": "accuracy", "higher_is_better": True,
        "number": number, "state": "finished", "reason": None, "value": 0.5 + number / 7, "steps": 1_000,
        "settings": {"lr": 1 / 3, "clip_norm": None}, "params_total": 9_999, "finished_at": NOON,
    }  # fmt: skip
    return Trial(**values | changes)
