"""Suites: named lists of tasks, with the training that every model gets on them.

A suite's name ends in its version and its content is frozen: results stand side by side only if they were trained
alike, so a changed suite is a new one, `quick-v2`. A test holds the hash of each.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bench.catalog.setting_sources import FLAG, is_within, training_length
from bench.common.errors import unknown
from bench.common.protocol import PROTOCOL

if TYPE_CHECKING:
    from db.schema import Run

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is compared, and what each entry may spend on it."""

    name: str
    summary: str
    tasks: Mapping[str, Settings]
    """Task → the settings of training that differ from the defaults there, for every model."""
    tiers: tuple[str, ...]
    """Parameter tiers that are ranked."""
    trials: int
    """Tuning trials that an entry may spend on a task, each as long as a run."""
    seeds: int = 5
    """Runs of a cell that a ranked entry has at least, with seeds from 0 on."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Task → its version, where that is not the first."""

    def version_of(self, task: str) -> int:
        return self.versions.get(task, 1)

    def includes(self, run: "Run", sources: Mapping[str, str] | None = None) -> bool:
        """Whether a recorded run was trained as the suite says, on the suite's version of the task and by today's
        protocol, with settings on which no more trials were spent than it allows, so that it can be compared.

        What the suite leaves open is for defaults and tuning to say; a learning rate, say, that somebody gave by hand
        makes it a run that does not count.

        Args:
            sources: where its settings came from; as it was recorded, unless given.
        """
        sources = run.config_source if sources is None else sources
        wanted = self.tasks.get(run.task)
        if wanted is None or run.protocol != PROTOCOL or run.task_version != self.version_of(run.task):
            return False
        training = run.config["training"]
        by_hand = any(source == FLAG and name in training.keys() - wanted.keys() for name, source in sources.items())
        length = training_length(training)
        affordable = all(is_within(source, self.trials, length) for source in sources.values())
        return self.trains(run, run.task) and affordable and not by_hand

    def trains(self, run: "Run", task: str) -> bool:
        """Whether a run of any task had the training that the suite gives to this one."""
        return self.tasks[task].items() <= run.config["training"].items()

    @property
    def hash(self) -> str:
        """SHA-256 of all of it; of a suite of first versions, without `versions`, as when there were no others."""
        content = asdict(self)
        if not self.versions:
            del content["versions"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find_suite(name: str) -> Suite:
    """Raises RequestError: there is no suite of that name."""
    if name not in SUITES:
        raise unknown("suite", name, SUITES, "`bench suites`")
    return SUITES[name]


def steps(count: int, batch_size: int = 64) -> Settings:
    """Training for a number of steps, to the end."""
    return {"max_steps": count, "batch_size": batch_size, "patience": None}


def as_published(epochs: int, batch_size: int, lr: float, lr_decay: float) -> Settings:
    """Training as in the configurations that the FRU authors published: a staircase of a thousand steps a stair."""
    return {
        "epochs": epochs, "batch_size": batch_size, "lr": lr, "lr_schedule": "staircase", "lr_decay": lr_decay,
        "patience": None,
    }  # fmt: skip


QUICK_V1 = Suite(
    name="quick-v1",
    summary="four small tasks that a laptop trains in an evening",
    tasks={"digits": steps(1_000), "adding-200": steps(3_000), "copy-100": steps(3_000), "mix-sin": steps(2_000)},
    tiers=("10k", "100k"),
    trials=12,
)

# The settings of the FRU in limbo018/FRU, test/*/FRU*.json.
PAPER_V1 = Suite(
    name="paper-v1",
    summary="the tasks of the FRU paper, trained as there",
    tasks={
        "mix-sin": as_published(100, 32, 1e-3, 0.7),
        "mix-poly-5": as_published(100, 32, 1e-3, 0.9),
        "mix-poly-10": as_published(100, 32, 1e-3, 0.9),
        "mix-poly-15": as_published(100, 32, 1e-3, 0.9),
        "smnist": as_published(100, 256, 1e-3, 1.0),
        "psmnist": as_published(100, 256, 5e-3, 0.9),
        "imdb": as_published(20, 32, 1e-3, 0.2),
    },
    tiers=("100k",),
    trials=20,
)

LONG_V1 = Suite(
    name="long-v1",
    summary="ten tasks of 200 to 16,000 steps, one for each kind of long dependency",
    tasks={
        "adding-2000": steps(20_000),
        "copy-1000": steps(20_000),
        "selective-copy-1000": steps(20_000),
        "temporal-order-500": steps(20_000),
        "parity-200": steps(20_000),
        "mqar-256-16": steps(20_000),
        "psmnist": steps(40_000),
        "ncifar": steps(40_000),
        "listops": steps(40_000),
        "speech": steps(40_000, batch_size=32),
    },
    tiers=("10k", "100k", "1M"),
    trials=20,
)

LRA_V1 = Suite(
    name="lra-v1",
    summary="Long Range Arena without its retrieval task, on data of our own definition",
    tasks={
        "listops": steps(40_000, batch_size=32),
        "imdb-byte": steps(20_000, batch_size=32),
        "scifar-grey": steps(40_000),
        "pathfinder": steps(100_000),
        "path-x": steps(100_000, batch_size=32),
    },
    tiers=("100k", "1M"),
    trials=20,
)

# As many steps as seven models with five seeds each may take if one GPU is to make them in half an hour.
GPU_V1 = Suite(
    name="gpu-v1",
    summary="three tasks of 784 to 2,000 steps, for half an hour of one GPU",
    tasks={
        "fashion": steps(2_000, batch_size=128),
        "copy-1000": steps(2_000, batch_size=128),
        "adding-2000": steps(2_000, batch_size=128),
    },
    tiers=("100k",),
    trials=12,
)

SUITES = {suite.name: suite for suite in (QUICK_V1, PAPER_V1, LONG_V1, LRA_V1, GPU_V1)}
