"""What is asked for: a run's identity and the way it is carried out."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from bench import PROTOCOL
from bench.budget import fit
from bench.errors import RequestError
from bench.presets import Preset, load
from bench.registry import FoundModel, FoundTask, find_wrapper
from bench.settings import Settings
from bench.sources import BUDGET, FLAG, from_preset, is_preset
from bench.text import assignments
from datamodules._spec import TaskSpec
from db import identity
from models._wrappers import Wrapper

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
    def run_id(self) -> str:
        return identity.run_id({
            "protocol": self.protocol,
            "model": self.model.name,
            "wrapper": self.wrapper.name,
            "task": self.spec.name,
            "task_version": self.spec.version,
            "config": self.settings.to_dict(),
            "budget": self.budget,
            "seed": self.seed,
        })  # fmt: skip

    @property
    def command(self) -> str:
        """The command that repeats this run, its settings from where they came from if they would come from there."""
        model = self.model.name.partition("@")[0]
        words = ["python", "-m", "bench", "run", "--model", str(self.model.path) if "@" in self.model.name else model]
        words += ["--task", self.spec.name, "--seed", str(self.seed)]
        words += ["--wrapper", self.wrapper.name] * (self.wrapper is not self.model.cls.wrapper)
        words += ["--budget", str(self.budget)] * (self.budget is not None)
        chosen = [name for name, source in self.sources.items() if source != BUDGET]
        by_flag = [name for name in chosen if not is_preset(self.sources[name])]
        if self._follows_from_preset(by_flag):
            words, chosen = [*words, "--preset"], by_flag
        return shlex.join(words + [part for each in self._assignments(chosen) for part in ("--set", each)])

    def _assignments(self, names: Iterable[str]) -> list[str]:
        config = self.settings.flat()
        return assignments({name: config[name] for name in names})

    def _follows_from_preset(self, by_flag: Iterable[str]) -> bool:
        """Whether `--preset`, and these settings by flag, make this very run today, of the same sources.

        They do not where what tuning found is not saved, or where a preset of more trials was saved since.
        """
        if not any(map(is_preset, self.sources.values())):
            return False
        given = SettingFlags(assignments=self._assignments(by_flag), budget=self.budget, wrapper=self.wrapper.name)
        try:
            again = build_request(self.model, self.task, given.starting_from(load(self)), self.seed)
        except RequestError:  # no preset, or none that fits
            return False
        return (again.run_id, again.sources) == (self.run_id, self.sources)


class TrialRequest(RunRequest):
    """What a tuning trial trains: as a run, with a seed of tuning's. It is never recorded as one."""

    seeds = range(TUNING_SEEDS, 2**32)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out; none of it is part of what the run is. Lightning's own words, where it has them."""

    accelerator: str = "auto"
    devices: str = "1"
    logger: Literal["csv", "tensorboard", "wandb", "none"] = "none"
    compile: bool = False
    data_dir: str | None = None
    resume: bool = False
    beside: int = 0
    """Other runs that the same command trains on this machine meanwhile: they share its time."""


@dataclass(frozen=True, kw_only=True)
class SettingFlags:
    """What the command line says of a run's settings."""

    assignments: list[str] = field(default_factory=list)
    epochs: int | None = None
    precision: str | None = None
    budget: str | None = None
    wrapper: str | None = None
    preset: Mapping[str, Any] = field(default_factory=dict)
    """What tuning chose; the rest overrides it."""
    spent: str | None = None
    """On the preset, in words."""

    def starting_from(self, preset: Preset) -> "SettingFlags":
        return replace(self, preset=preset.settings, spent=preset.tuning)


def build_request(model: FoundModel, task: FoundTask, flags: SettingFlags, seed: int) -> RunRequest:
    """Resolve the flags against the defaults and the budget.

    Raises:
        RequestError: a setting, its value, the wrapper or the budget is not legal, or the model does not fit.
    """
    wrapper = model.cls.wrapper if flags.wrapper is None else find_wrapper(flags.wrapper)
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
    recorded = {name for part in settings.to_dict().values() for name in part}
    sources = {name: source for name, source in sources.items() if name in recorded}
    return RunRequest(
        model=model, wrapper=wrapper, task=task, spec=spec, settings=settings, sources=sources, seed=seed,
        budget=flags.budget,
    )  # fmt: skip


def _fitted(defaults: Settings, settings: Settings) -> dict[str, str]:
    before, after = defaults.flat(), settings.flat()
    return {name: BUDGET for name in after if after[name] != before[name]}
