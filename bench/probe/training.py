"""Training length: how many times the suite's training an architecture needs until it solves a task."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from bench.probe.rungs import reached
from bench.runs.request import SettingFlags
from db.schema import Run
from models.shared.training import Training

FACTORS = (1, 2, 4, 8)


def longer(flags: SettingFlags, training: Training, factor: int) -> SettingFlags:
    """Return the flags with `factor` times the training, counted in steps or in epochs as before."""
    name = "max_steps" if training.max_steps else "epochs"
    return replace(flags, assignments=[*flags.assignments, f"{name}={factor * getattr(training, name)}"])


def rung(factor: int, training: Training, runs: Sequence[Run]) -> dict[str, Any]:
    """Describe one length of training by means over its seeds."""
    seconds = fmean(run.train_seconds for run in runs)
    return {"factor": factor, "training": training.length, "seconds": seconds, **reached(runs)}


def ends(rungs: Sequence[dict[str, Any]]) -> dict[str, int | None]:
    """Say at which factor the task is first solved."""
    return {"solved_at": next((each["factor"] for each in rungs if each["solved"]), None)}
