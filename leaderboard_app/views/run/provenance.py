"""A run's provenance: code, data, machine, packages."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.common.text import metric_text
from bench.reports.run_document import PARTS
from db.schema import Run
from leaderboard_app.widgets.figures import bytes_text, count_text, duration_text
from leaderboard_app.widgets.tables import code
from leaderboard_app.widgets.text import plain

Rows = dict[str, str]


def sections(run: Run) -> dict[str, Rows]:
    """Return heading → name → value as Markdown. Everything that is stored is under one of the headings."""
    facts, environment = dict(run.facts), dict(run.environment)
    splits, packages = facts.pop("splits", {}), environment.pop("packages", {})
    step = facts.pop("step_seconds", None)
    return {
        "Result": _metrics(run),
        "Size and cost": _cost(run, step),
        "Data": {"task version": str(run.task_version), **_hashes(splits), **_flat(facts)},
        "Code": {
            "protocol version": str(run.protocol),
            "model's file, SHA-256": code(run.source_hash),
            **{f"package {plain(name)}": plain(found) for name, found in packages.items()},
        },
        "Machine and code's state": dict(_flat(environment)),
        "Time": {
            "started": f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC",
            "finished": f"{run.finished_at:%Y-%m-%d %H:%M:%S} UTC",
            "attempt": str(run.attempt),
        },
    }


def _metrics(run: Run) -> Rows:
    found = {
        f"{plain(split)} {plain(name)}": plain(metric_text(name, value))
        for split, values in run.metrics.items()
        for name, value in values.items()
    }
    return found | {
        "trivial predictor": metric_text(run.metric_name, run.chance),
        "counts as solved": metric_text(run.metric_name, run.solved),
        "epoch of the checkpoint, best on validation": count_text(run.best_epoch),
        "epochs": count_text(run.epochs),
        "training steps": count_text(run.steps),
    }


def _cost(run: Run, step_seconds: float | None) -> Rows:
    return {
        **{f"parameters, {part}": count_text(getattr(run, f"params_{part}")) for part in PARTS},
        "state of a sequence": "none" if run.state_bytes is None else bytes_text(run.state_bytes),
        "one step of a stream": duration_text(step_seconds),
        "training": duration_text(run.train_seconds),
        "training and evaluation": duration_text(run.wall_seconds),
        "samples per second": count_text(run.samples_per_second),
        "peak memory, host": bytes_text(run.peak_memory_host),
        "peak memory, device": bytes_text(run.peak_memory_device),
    }


def _hashes(splits: Mapping[str, Any]) -> Rows:
    return {f"{plain(split)} split, SHA-256": code(digest) for split, digest in splits.items()}


def _flat(values: Mapping[str, Any]) -> Rows:
    return {plain(name.replace("_", " ")): plain(value) for name, value in _leaves(values)}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", "–" if value is None else value
