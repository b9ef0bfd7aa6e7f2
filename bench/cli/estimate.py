"""Say how long training will take, before a command begins with it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.cli.output import stderr
from bench.common.text import duration

if TYPE_CHECKING:
    from bench.runs.request import Execution, RunRequest

LEAST_SECONDS = 60  # shorter commands say nothing


def say_estimate(what: str, *seconds: float | None) -> None:
    """Print the estimate of a whole command.

    Args:
        what: what is trained, such as "12 trials".
        seconds: estimates of its parts; None is nothing to speak of.
    """
    total = sum(filter(None, seconds))
    if total > LEAST_SECONDS:
        stderr.print(f"{what} to train: about {duration(total)} here, less where training ends early.")


def seconds_of_trials(
    counts: "Iterable[tuple[RunRequest, int]]", execution: "Execution", workers: int = 1
) -> float | None:
    """Estimate how long trials take, each on one thread.

    Args:
        counts: a trial, and how many there are of its kind.
    """
    from bench.training.process_settings import one_thread
    from bench.training.time_estimate import estimated_seconds, planned

    with one_thread():
        return estimated_seconds(planned(counts, execution.data_dir), execution, workers=workers)
