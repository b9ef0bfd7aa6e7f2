"""Conversion between a row of the database and a bundle's documents."""

from typing import TYPE_CHECKING, Any

from bench.bundle.read import Claim
from bench.bundle.schema import SCHEMA, Params
from bench.common.text import one_line
from db.schema import Run

if TYPE_CHECKING:
    from bench.runs.request import RunRequest

SAME = (
    "run_id", "protocol", "model", "wrapper", "task", "task_version", "seed", "budget", "status", "best_epoch",
    "epochs", "steps", "state_bytes", "samples_per_second", "train_seconds", "wall_seconds", "peak_memory_host",
    "peak_memory_device", "source_hash",
)  # fmt: skip
"""Fields that both have in the same form."""
NO_FACTS: dict[str, Any] = {"splits": {}, "task": {}, "model": {}}
"""The facts of a run that failed before it had any."""


def record_of(run: Run) -> dict[str, Any]:
    """Return a run as the document of a `Record`."""
    return {
        "schema": SCHEMA,
        **{name: getattr(run, name) for name in SAME},
        "config_source": run.config_source,
        "reason": None if run.reason is None else one_line(run.reason),
        "metrics": {
            split: {"name": run.metric_name, "value": values[run.metric_name], "loss": values["loss"]}
            for split, values in run.metrics.items()
        },
        "params": {part: getattr(run, f"params_{part}") for part in Params.model_fields},
        "facts": {name: fact for name, fact in (NO_FACTS | run.facts).items() if name != "predictions"},
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat(),
    }


def row_of(claim: Claim, request: "RunRequest", *, attempt: int) -> Run:
    """Build the row of an accepted claim. Everything that follows from the request is taken from the request."""
    from bench.runs.commands import run_command  # needs torch, which writing a bundle does not

    record, spec = claim.record, request.spec
    predictions = {"predictions": claim.fingerprints} if record.finished else {}
    return Run(
        **{name: getattr(record, name) for name in SAME},
        attempt=attempt,
        config=request.config,
        config_source=dict(request.sources),
        reason=record.reason,
        metric_name=spec.metric,
        metric_value=record.metrics["test"].value if record.finished else None,
        chance=spec.chance,
        solved=spec.solved,
        metrics={split: {"loss": metric.loss, metric.name: metric.value} for split, metric in record.metrics.items()},
        **{f"params_{part}": count for part, count in record.params.model_dump().items()},
        facts=record.facts.model_dump(exclude_unset=True) | predictions,
        environment=claim.environment,
        command=run_command(request),
        started_at=record.started_at,
        finished_at=record.finished_at,
    )
