"""The tables. Triggers in the database refuse to change or remove a row."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, column_property, mapped_column

STATUSES = ("finished", "diverged", "failed", "oom", "timeout", "interrupted")
OPEN = "interrupted"  # the only status from which a run can be resumed
FIRST_RESULT = f"status != '{OPEN}' AND corrects IS NULL"
LADDER = ("self-reported", "rescored", "reproduced")
"""How far a run has been verified."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC, also where the database keeps no time zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcDateTime, float: Double}


class Run(Base):
    """One attempt at a run, with all that is needed to trust it. `run_id` is the hash of the run's identity."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("run_id", "attempt"),
        # A run has one result, after any number of interrupted attempts. A correction replaces the result, or the
        # earlier correction, that it names. Each is corrected at most once, so exactly one row counts.
        Index("one_result_per_run", "run_id", unique=True,
              sqlite_where=text(FIRST_RESULT), postgresql_where=text(FIRST_RESULT)),
        Index("one_correction_per_result", "run_id", "corrects", unique=True),
        Index(None, "task", "model"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    protocol: Mapped[int]

    model: Mapped[str]
    wrapper: Mapped[str]
    task: Mapped[str]
    task_version: Mapped[int]
    seed: Mapped[int]
    budget: Mapped[str | None]
    config: Mapped[dict[str, Any]]
    """{"model": {…}, "wrapper": {…}, "training": {…}}, complete."""
    config_source: Mapped[dict[str, Any]]
    """Where each setting that is not a default came from: "flag", "budget" or "preset: 12 trials of 1000 steps"."""

    status: Mapped[str]
    reason: Mapped[str | None]
    metric_name: Mapped[str]
    metric_value: Mapped[float | None]
    """On the test split; null unless the run finished."""
    chance: Mapped[float]
    solved: Mapped[float]
    metrics: Mapped[dict[str, Any]]
    """{split: {metric: value}} of the chosen checkpoint."""
    best_epoch: Mapped[int | None]
    epochs: Mapped[int]
    steps: Mapped[int]

    params_total: Mapped[int]
    params_core: Mapped[int]
    params_embedding: Mapped[int]
    params_readout: Mapped[int]
    params_buffers: Mapped[int]
    state_bytes: Mapped[int | None]
    """Bytes of recurrent state for one sequence; null for models without such a state."""

    samples_per_second: Mapped[float | None]
    train_seconds: Mapped[float]
    wall_seconds: Mapped[float]
    peak_memory_host: Mapped[int] = mapped_column(BigInteger)
    """In bytes, like `peak_memory_device`."""
    peak_memory_device: Mapped[int | None] = mapped_column(BigInteger)

    facts: Mapped[dict[str, Any]]
    """{"splits": {split: SHA-256}, "task": {…}, "model": {…}, "step_seconds": of one step of one sequence, or null}."""
    environment: Mapped[dict[str, Any]]
    source_hash: Mapped[str]
    """SHA-256 of the model's file."""
    command: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    corrects: Mapped[int | None] = mapped_column(default=None)
    """The attempt at the same run that this one replaces."""

    @property
    def is_comparable(self) -> bool:
        """Whether it can be compared with others: by a protocol of ours. A paper's protocol has a negative number."""
        return self.protocol > 0

    @property
    def params_budgeted(self) -> int:
        """What a parameter tier limits: all learned numbers but token embedding tables."""
        return self.params_total - self.params_embedding

    @property
    def flat_config(self) -> dict[str, Any]:
        """Setting → value, for all parts of `config`."""
        return {name: value for part in self.config.values() for name, value in part.items()}


class CurvePoint(Base):
    """One point of a learning curve, at an evaluation. Its value is null if it was not finite."""

    __tablename__ = "curves"

    run_row: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True, init=False)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    value: Mapped[float | None]


class Event(Base):
    """Something that happened to a run after it was recorded."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    run_row: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True, init=False)
    kind: Mapped[str]
    """One of EVENT_KINDS."""
    reason: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    run_id: Mapped[str] = column_property(select(Run.run_id).where(Run.id == run_row).scalar_subquery())


class Trial(Base):
    """A trial of a published tuning study. Where a study is made, Optuna's own tables have it; these are copies.

    A trial sees train and validation only. It is not a run, and no board shows it.
    """

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("study", "number"),)

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    study: Mapped[str]
    """The study's name: all that its trials have in common, in words."""
    protocol: Mapped[int]
    model: Mapped[str]
    wrapper: Mapped[str]
    task: Mapped[str]
    task_version: Mapped[int]
    budget: Mapped[str]
    metric_name: Mapped[str]
    higher_is_better: Mapped[bool]

    number: Mapped[int]
    """From 0, which has the defaults."""
    state: Mapped[str]
    """One of TRIAL_STATES."""
    reason: Mapped[str | None]
    """Why the trial failed."""
    value: Mapped[float | None]
    """The metric on validation: the best of a finished trial, the last of a pruned one, null for a failed one."""
    steps: Mapped[int]
    settings: Mapped[dict[str, Any]]
    """Setting → what the study chose. All other settings were fixed, defaults, or followed from the budget."""
    params_total: Mapped[int | None]
    finished_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of the file that the trial came from."""


TRIAL_STATES = ("finished", "pruned", "failed")

EVENT_KINDS = {
    "imported": 'from a bundle or a published file; data: {"bundle": its identity, …}',
    "audit": 'what `bench audit --measure` found; data: {"dead": share of dead networks, "starts": of how many}',
    "verified": 'data: {"rung": a rung of LADDER, …}',
    "registered": 'the run was made before its model was; data: {"draft": the run_id that it was made under}',
    "superseded": 'by a correction, or by the run of the registered model; data: {"by": its run_id, …}',
    "asked": 'for again, with the same settings chosen in another way; data: {"config_source": as of a run}',
    "retracted": "it no longer counts, for the reason given",
    "reinstated": "it counts again, for the reason given, where it was retracted",
    "repeated": "made again, as only a draft may be, so the run no longer counts",
    "timed": 'a train step measured alone by `bench time`; data: {"seconds": of a step, "hardware": its name}',
    "probe": 'a measurement of the trained network; data: {"probe": its name, …}',
}
