"""A run as the JSON documents show it."""

from typing import Any

from bench.ranking.by_task import tuning_of
from bench.ranking.utility import score
from db.schema import CurvePoint, Event, Run
from db.standing import withdrawals

PARTS = ("total", "core", "embedding", "readout", "buffers")


def summary(run: Run, withdrawn: str | None = None) -> dict[str, Any]:
    """Return what `bench run` and `bench runs` print.

    Args:
        withdrawn: the kind of the event that withdrew the run, where it no longer counts.
    """
    return {
        "run_id": run.run_id,
        "model": run.model,
        "wrapper": run.wrapper,
        "task": run.task,
        "budget": run.budget,
        "tuning": tuning_of(run),
        "seed": run.seed,
        "status": run.status,
        "reason": run.reason,
        "withdrawn": withdrawn,
        "metric": {"name": run.metric_name, "value": run.metric_value},
        "score": score(run),
        "params": {part: getattr(run, f"params_{part}") for part in PARTS},
        "train_seconds": run.train_seconds,
        "samples_per_second": run.samples_per_second,
        "epochs": run.epochs,
        "steps": run.steps,
        "attempt": run.attempt,
        "finished_at": run.finished_at.isoformat(),
    }


def full(run: Run, curves: list[CurvePoint], events: list[Event]) -> dict[str, Any]:
    """Return what `bench show` prints: everything that is stored."""
    dropped = {"id", "corrects", "started_at", "finished_at", "metric_name", "metric_value"} | {
        f"params_{part}" for part in PARTS
    }
    stored = {column.key: getattr(run, column.key) for column in Run.__table__.columns if column.key not in dropped}
    points = [{"name": p.name, "epoch": p.epoch, "step": p.step, "value": p.value} for p in curves]
    happened = [{"kind": e.kind, "reason": e.reason, "at": e.at.isoformat(), "data": e.data} for e in events]
    withdrawn = withdrawals(run, events)
    lists = {"started_at": run.started_at.isoformat(), "events": happened, "curves": points}
    return summary(run, withdrawn[-1].kind if withdrawn else None) | stored | lists
