"""Say how long training will take, before a command begins with it."""

from bench.cli.output import stderr
from bench.common.text import duration

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
