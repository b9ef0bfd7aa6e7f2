"""What other launchers leave in the environment, and how a process of our own launcher is told from theirs.

torchrun, SLURM's tools and notebooks say there which share of a job a process is, and Lightning and torch believe it.
None of their jobs is a run of ours. A process that our launcher started carries the id of its parent as well.
"""

import os

TOKEN = "BENCH_HELPER_OF"  # noqa: S105, not a secret
PARENT = os.getppid()  # when this process began: an orphan gets another parent
NAMES = (
    "LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "STANDALONE_PORT",
)  # fmt: skip
LIGHTNING_PREFIX = "PL_"
"""Lightning takes settings from the environment: PL_TRAINER_LIMIT_TRAIN_BATCHES would shorten every training."""


def was_started_by_us() -> bool:
    return os.environ.get(TOKEN) == str(PARENT)


def forget_other_launchers() -> None:
    """Remove what other launchers left. Call it before Lightning is imported, which reads it at once."""
    if not was_started_by_us():
        take_variables()


def take_variables() -> dict[str, str]:
    """Remove a launcher's variables from the environment, and return them."""
    names = [name for name in os.environ if name in NAMES or name.startswith(LIGHTNING_PREFIX)]
    return {name: os.environ.pop(name) for name in names}
