"""What a bundle states about a run, in strict types: every number, text and collection is bounded. Version 1.

Nothing here is believed. These types say what is well-formed; `bench verify` checks what is true.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.types import StringConstraints

from datamodules._spec import Metric as TaskMetric

SCHEMA = 1
MOST_PARAMS = 16_000_000
LARGEST_SIZE = 100_000  # bounds every whole number among the settings of a model or a wrapper
MOST_LAYERS = 100
LONGEST_TEXT = 500  # characters
LONGEST_LIST = 1_000
LARGEST_NUMBER = 1e30
MOST_FACTS = 16
EARLIEST, LATEST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text has a character that can't be printed")
    return text


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a time is written as text, such as 2026-01-31T12:00:00+00:00")
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None or not EARLIEST <= instant <= LATEST:
        raise ValueError("a time has a time zone and is between 2020 and 2100")
    return instant


def _scalar(value: Any) -> Any:
    if isinstance(value, str) and len(value) <= LONGEST_TEXT:
        return _printable(value)
    if value is None or (isinstance(value, int | float) and abs(value) <= LARGEST_NUMBER):
        return value
    raise ValueError(f"neither null, true, false, a number nor a text of at most {LONGEST_TEXT} characters")


def _setting(value: Any) -> Any:
    if isinstance(value, list) and len(value) <= LONGEST_LIST:
        return [_scalar(each) for each in value]
    return _scalar(value)


def _circumstance(value: Any) -> Any:
    if isinstance(value, dict) and len(value) <= LONGEST_LIST:
        return {_printable(name): _scalar(each) for name, each in value.items()}
    return _scalar(value)


Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Field(ge=0, le=2**62)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=64)]
SPENT = r"[1-9]\d{0,5} trials of [1-9]\d{0,8} (steps|epochs)"
Source = Annotated[str, StringConstraints(pattern=rf"^(flag|budget|preset(: {SPENT})?)$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Instant = Annotated[datetime, BeforeValidator(_instant), PlainSerializer(datetime.isoformat)]
Setting = Annotated[Any, AfterValidator(_setting)]
Settings = Annotated[dict[Key, Setting], Field(max_length=64)]
Facts = Annotated[dict[Key, Text], Field(max_length=32)]
Splits = Annotated[dict[Name, Sha256], Field(max_length=16)]
Circumstance = Annotated[Any, AfterValidator(_circumstance)]
Environment = Annotated[dict[Key, Circumstance], Field(max_length=64)]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Metric(Strict):
    """The task's metric on a split, and the loss."""

    name: TaskMetric
    value: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
    loss: Number


class Params(Strict):
    """Learned numbers by part."""

    total: Annotated[int, Field(ge=0, le=MOST_PARAMS)]
    core: Count
    embedding: Count
    readout: Count
    buffers: Count

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.total != self.core + self.embedding + self.readout + self.buffers:
            raise ValueError(f"the parts do not add up to the total of {self.total:,}")
        return self


class RunFacts(BaseModel):
    """Hashes of the splits, notes of the task and the model, and other notes, such as measurements."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[Key, Circumstance]
    splits: Splits
    task: Facts
    model: Facts
    step_seconds: Seconds | None = None
    gpu_joules: Number | None = None

    @model_validator(mode="after")
    def _is_short(self) -> Self:
        if len(self.__pydantic_extra__) > MOST_FACTS:
            raise ValueError(f"more than {MOST_FACTS} other facts")
        return self


class Record(Strict):
    """`bundle.json`: a run, without its settings and environment, which are separate members."""

    version: Literal[1] = Field(alias="schema")
    run_id: RunId
    protocol: Count
    model: Name
    wrapper: Name
    task: Name
    task_version: Count
    seed: Annotated[int, Field(ge=0, le=9_999)]
    budget: Literal["3k", "10k", "30k", "100k", "1M"] | None
    config_source: Annotated[dict[Key, Source], Field(max_length=128)]
    status: Literal["finished", "diverged", "failed", "oom", "timeout"]
    reason: Text | None
    metrics: Annotated[dict[Name, Metric], Field(max_length=16)]
    """Split → metric; empty unless the run finished."""
    best_epoch: Count | None
    epochs: Count
    steps: Count
    params: Params
    state_bytes: Count | None
    samples_per_second: Seconds | None
    train_seconds: Seconds
    wall_seconds: Seconds
    peak_memory_host: Bytes
    peak_memory_device: Bytes | None
    facts: RunFacts
    source_hash: Sha256
    started_at: Instant
    finished_at: Instant

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def label(self) -> str:
        return f"{self.model} on {self.task}, seed {self.seed}"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.finished and not {"train", "validation", "test"} <= self.metrics.keys():
            raise ValueError("a finished run has metrics of train, validation and test")
        if self.finished and (self.best_epoch is None or self.reason is not None):
            raise ValueError("a finished run has a best epoch, and no reason")
        if not self.finished and (self.metrics or self.reason is None):
            raise ValueError("a run that did not finish has a reason, and no metrics")
        return self


class Config(Strict):
    """`config.json`: every setting of a run."""

    model: Settings
    wrapper: Settings
    training: Settings

    @model_validator(mode="after")
    def _is_of_a_size(self) -> Self:
        """Bound what is built from the settings, before anything is built."""
        for part in (self.model, self.wrapper):
            for name, value in part.items():
                _check_size(name, value)
        return self

    def flat(self) -> Mapping[str, Any]:
        return self.model | self.wrapper | self.training


def _check_size(name: str, value: Any) -> None:
    for number in value if isinstance(value, list) else [value]:
        limit = MOST_LAYERS if name in ("depth", "blocks") else LARGEST_SIZE
        if isinstance(number, int) and abs(number) > limit:
            raise ValueError(f"{name}={number} is beyond {limit:,}")
