"""A request for a run: the run's identity and the way it is executed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from bench.catalog.registry import FoundModel, FoundTask, find_wrapper
from bench.catalog.setting_sources import BUDGET, FLAG, from_preset
from bench.common.errors import RequestError
from bench.common.protocol import PROTOCOL
from bench.common.text import assignments
from bench.runs.parameter_budget import fit
from bench.runs.settings import Settings
from datamodules._spec import TaskSpec
from db import identity
from models.shared.wrappers import Wrapper

TUNING_SEEDS = 10_000  # seeds from here on belong to tuning; a run's are below


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A run: (model, wrapper, config, task, seed, protocol version). Equal requests have one `run_id`.

    Raises:
        RequestError: the seed is out of range.
    """

    model: FoundModel
    wrapper: type[Wrapper]
    task: FoundTask
    spec: TaskSpec
    settings: Settings
    sources: dict[str, str]
    """Where each setting that is not a default came from."""
    seed: int = 0
    budget: str | None = None
    seeds: ClassVar[range] = range(TUNING_SEEDS)
    protocol: ClassVar[int] = PROTOCOL

    def __post_init__(self) -> None:
        if self.seed not in self.seeds:
            raise RequestError(f"seed={self.seed} must be from 0 to {TUNING_SEEDS - 1}; higher ones belong to tuning.")

    @property
    def is_draft(self) -> bool:
        """Whether the architecture or the task is given by path. The names of both then hold a hash."""
        return "@" in self.model.name + self.task.name

    @property
    def model_name(self) -> str:
        return self.model.name

    @property
    def source_hash(self) -> str:
        return self.model.source_hash

    @property
    def config(self) -> dict[str, Any]:
        """Part → settings, as they are recorded."""
        return self.settings.to_dict()

    @property
    def run_id(self) -> str:
        return identity.run_id({
            "protocol": self.protocol,
            "model": self.model.name,
            "wrapper": self.wrapper.name,
            "task": self.spec.name,
            "task_version": self.spec.version,
            "config": self.config,
            "budget": self.budget,
            "seed": self.seed,
        })  # fmt: skip


class TrialRequest(RunRequest):
    """A tuning trial: like a run, but with a seed that belongs to tuning. It is never recorded as a run."""

    seeds = range(TUNING_SEEDS, 2**32)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is executed. None of it is part of the run's identity. Values are Lightning's where it has them."""

    accelerator: str = "auto"
    devices: str = "1"
    logger: Literal["csv", "tensorboard", "wandb", "none"] = "none"
    compile: bool = False
    data_dir: str | None = None
    resume: bool = False
    again: bool = False
    """Train a draft's run that has a result already. The new result takes the old one's place and does not count."""
    beside: int = 0
    """Number of other runs that the same command trains on this machine at the same time. They share its time."""


@dataclass(frozen=True, kw_only=True)
class SettingFlags:
    """The settings of a run that the command line gives."""

    assignments: list[str] = field(default_factory=list)
    epochs: int | None = None
    precision: str | None = None
    budget: str | None = None
    wrapper: str | None = None
    preset: Mapping[str, Any] = field(default_factory=dict)
    """Settings that tuning chose; the other fields override them."""
    spent: str | None = None
    """What was spent on the preset, as `setting_sources.spent` writes it; None where nobody tuned it."""


def build_request(model: FoundModel, task: FoundTask, flags: SettingFlags, seed: int) -> RunRequest:
    """Resolve the flags against the defaults and the budget.

    Raises:
        RequestError: a setting, its value, the wrapper or the budget is not legal, or the model does not fit.
    """
    wrapper = find_wrapper(flags.wrapper or model.cls.wrapper)
    if wrapper.name not in model.cls.wrappers:
        raise RequestError(f"{model.name} runs in {' or '.join(model.cls.wrappers)}, and not in {wrapper.name}.")
    spec = task.build().spec
    defaults = Settings.defaults(model.cls, wrapper)
    words = list(flags.assignments)
    words += [f"epochs={flags.epochs}"] * (flags.epochs is not None)
    words += [f"precision={flags.precision}"] * (flags.precision is not None)
    preset = defaults.parse(assignments(flags.preset))
    flagged = defaults.parse(words)
    changes = preset | flagged
    sources = dict.fromkeys(preset, from_preset(flags.spent)) | dict.fromkeys(flagged, FLAG)
    if flags.budget is None:
        settings = defaults.updated(changes)
    else:
        settings = fit(model.cls, wrapper, spec, flags.budget, changes)
        sources = _fitted(defaults, settings) | sources
    return RunRequest(
        model=model, wrapper=wrapper, task=task, spec=spec, settings=settings,
        sources=recorded_sources(settings.to_dict(), sources), seed=seed, budget=flags.budget,
    )  # fmt: skip


def recorded_sources(config: Mapping[str, Mapping[str, Any]], sources: Mapping[str, str]) -> dict[str, str]:
    """Return the sources of those settings that a record has.

    Args:
        config: part → settings, as they are recorded.
    """
    recorded = {name for part in config.values() for name in part}
    return {name: source for name, source in sources.items() if name in recorded}


def _fitted(defaults: Settings, settings: Settings) -> dict[str, str]:
    before, after = defaults.flat(), settings.flat()
    return {name: BUDGET for name in after if after[name] != before[name]}
