"""How long a run trained, so that runs can be compared."""

from typing import NamedTuple

from bench.ranking.hardware import hardware
from db.schema import Run
from db.standing import Standing


class TrainingTime(NamedTuple):
    seconds: float
    samples_per_second: float | None
    hardware: str
    """A name of what it was measured on."""


def training_time(run: Run, standing: Standing) -> TrainingTime:
    """Return the time of a run's training: its steps times that of a step, where `bench time` measured one alone.

    Otherwise it is what the run took. Runs that share a processor slow one another down, so that time depends on their
    neighbours.
    """
    step = standing.step_times.get(run.run_id)
    if step is None:
        return TrainingTime(run.train_seconds, run.samples_per_second, hardware(run.environment))
    return TrainingTime(run.steps * step.seconds, run.config["training"]["batch_size"] / step.seconds, step.hardware)
