"""What a study tunes: the settings of a run that the user left open and how many trials it may take."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from bench.common.errors import RequestError
from bench.common.protocol import PROTOCOL
from bench.runs.network import count_on_meta
from bench.runs.parameter_budget import fit
from bench.runs.request import RunRequest
from bench.runs.settings import Settings
from bench.training.attempt import evaluation_interval

SMALLEST = 100  # with max_params in place of a tier, networks from max_params / SMALLEST parameters on are tried


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is tuned, and for how many trials.

    Args:
        base: the run that is tuned. The settings that the user gave for it stay; tuning chooses others.
        objectives: "metric", or "metric,params" for the front of the two.
        pruner: by default "asha" for one objective and none for two.
        max_params: for two objectives, the largest network that is tried.

    Raises:
        RequestError: options that contradict one another.
    """

    base: RunRequest
    trials: int
    objectives: str = "metric"
    sampler: str = "tpe"
    pruner: str | None = None
    max_params: int | None = None

    def __post_init__(self) -> None:
        if self.has_front != (self.max_params is not None):
            raise RequestError("--objectives metric,params and --max-params N go together: N bounds what is tried.")
        if self.has_front and self.base.budget is not None:
            raise RequestError("with --objectives metric,params, --max-params takes the place of --budget.")
        if self.has_front and self.pruner not in (None, "none"):
            raise RequestError(f"--pruner {self.pruner} needs one objective: Optuna prunes by one value.")
        if self.max_params is not None:
            self.settings({}, self.max_params)

    @property
    def has_front(self) -> bool:
        return self.objectives == "metric,params"

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings that tuning leaves alone."""
        return {
            name: value for name, value in self.base.settings.flat().items() if self.base.sources.get(name) == "flag"
        }

    @property
    def name(self) -> str:
        """The study's name. Trials of studies with different names are never mixed."""
        base, training = self.base, self.base.settings.training
        size = base.budget or (f"at most {self.max_params} parameters" if self.max_params else "no tier")
        held = [
            f"{name}={json.dumps(value)}"
            for name, value in sorted(self.fixed.items())
            if name not in ("epochs", "max_steps")
        ]
        task = f"{base.spec.name} v{base.spec.version}"
        return " · ".join(
            [base.model.name, base.wrapper.name, task, size, training.length, f"protocol {PROTOCOL}", *held]
        )

    @property
    def about(self) -> dict[str, Any]:
        """What the study's table says of it where it is published; `held` is what tuning left alone."""
        base, spec = self.base, self.base.spec
        return {
            "protocol": PROTOCOL, "model": base.model.name, "wrapper": base.wrapper.name, "task": spec.name,
            "task_version": spec.version, "budget": base.budget, "metric_name": spec.metric,
            "higher_is_better": spec.higher_is_better, "held": self.fixed,
        }  # fmt: skip

    @cached_property
    def train_count(self) -> int:
        """Samples in the train split."""
        return len(self.base.task.build(with_tests=False).split("train").y)

    @property
    def steps(self) -> int:
        """Training steps of a trial, unless it is pruned."""
        return self.base.settings.training.total_steps(self.train_count)

    @property
    def evaluations(self) -> int:
        """How many times a trial is evaluated on validation unless it is pruned."""
        per_epoch = self.base.settings.training.steps_per_epoch(self.train_count)
        return -(-self.steps // evaluation_interval(per_epoch))

    @cached_property
    def smallest(self) -> int:
        """Parameters of the smallest network that is tried where there is no tier: its width is a sensible one."""
        base = self.base
        sizes = (Settings.at_width(base.model.cls, base.wrapper, width).updated(self.fixed) for width in count(1))
        narrow = next(settings for settings in sizes if not settings.absurd(asked=self.fixed))  # `fit` has found one
        least = count_on_meta(base.model.cls, base.wrapper, narrow, base.spec).budgeted
        return max(least, (self.max_params or 0) // SMALLEST)

    def settings(self, chosen: Mapping[str, Any], max_params: int | None) -> Settings:
        """The complete settings of a trial, fitted to the budget."""
        base, changes = self.base, {**chosen, **self.fixed}
        limit = base.budget or max_params
        if limit is None:
            return base.settings.updated(changes)
        return fit(base.model.cls, base.wrapper, base.spec, limit, changes)
