"""The processes that Lightning starts for a run's further devices. Each runs the same command again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities import rank_zero_only

from bench.common.launchers import TOKEN, take_variables, was_started_by_us
from bench.runs.request import Execution


def is_helper_process(execution: Execution) -> bool:
    """Whether our own launcher started this process for a further device of a run."""
    return execution.devices != "1" and was_started_by_us()


@contextmanager
def own_launcher(execution: Execution) -> Iterator[None]:
    """Hide what other launchers left in the environment. Mark the processes that Lightning starts as ours.

    A helper process keeps its environment, which our launcher made.
    """
    if is_helper_process(execution):
        yield
        return
    before = take_variables()
    os.environ[TOKEN] = str(os.getpid())
    # Lightning read the rank from the environment when it was imported.
    rank_zero_only.rank = 0  # type: ignore[attr-defined]
    try:
        yield
    finally:
        take_variables()  # Lightning's own
        del os.environ[TOKEN]
        os.environ.update(before)
