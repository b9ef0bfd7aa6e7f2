"""Tuning: Optuna proposes settings, trials train on train and validation alone, the best settings stay in the study.

A trial is not a run: its seed is one of tuning's, its network never sees the test split, and no result is recorded.
"""

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bench import PROTOCOL
from bench.attempt import Attempt, Ending, forget
from bench.budget import fit
from bench.callbacks import ProgressBar
from bench.errors import RequestError, unknown
from bench.network import count_on_meta
from bench.request import TUNING_SEEDS, Execution, RunRequest, TrialRequest
from bench.run import alone
from bench.settings import Settings
from bench.studies import Studies
from models._training import Training

STARTUP = 6  # trials before a sampler or pruner trusts what it has seen
SMALLEST = 100  # with a limit on parameters in place of a tier, networks from a hundredth of it on are tried
REPLACED = ("killed", "interrupted")  # reasons for which a trial is tried again, and counts once
STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}

TrialListener = Callable[["Tuning", Study, FrozenTrial], None]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is tuned, and for how many trials.

    Args:
        base: a run of what is tuned. The settings that were given for it are held; tuning chooses others.
        objectives: "metric", or "metric,params" for the front of the two.
        pruner: hyperband for one objective and none for two, unless given.
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
            name: value for name, value in _flat(self.base.settings).items() if self.base.sources.get(name) == "flag"
        }

    @property
    def name(self) -> str:
        """The study's: what has another name is never mixed with this."""
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

    @cached_property
    def steps_per_epoch(self) -> int:
        """Between one evaluation on validation and the next."""
        train = self.base.task.build(with_tests=False).split("train")
        return -(-len(train.y) // self.base.settings.training.batch_size)

    @property
    def steps(self) -> int:
        """What a trial takes unless it is pruned."""
        training = self.base.settings.training
        return training.max_steps or training.epochs * self.steps_per_epoch

    @property
    def evaluations(self) -> int:
        return -(-self.steps // self.steps_per_epoch)

    @cached_property
    def smallest(self) -> int:
        """Parameters of the smallest network that is tried where there is no tier."""
        base = self.base
        narrow = Settings.at_width(base.model.cls, base.wrapper, 1).updated(self.fixed)
        least = count_on_meta(base.model.cls, base.wrapper, narrow, base.spec).budgeted
        return max(least, (self.max_params or 0) // SMALLEST)

    def settings(self, chosen: Mapping[str, Any], max_params: int | None) -> Settings:
        """The complete settings of a trial, fitted to the budget."""
        base, changes = self.base, {**chosen, **self.fixed}
        limit = base.budget or max_params
        if limit is None:
            return base.settings.updated(changes)
        return fit(base.model.cls, base.wrapper, base.spec, limit, changes)


class Unset:
    """An Optuna trial that is asked only for what the user has left open."""

    def __init__(self, trial: Trial, fixed: Mapping[str, Any]) -> None:
        self._trial, self._fixed = trial, fixed

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def suggest(name: str, *args: Any, **options: Any) -> Any:
            return self._fixed[name] if name in self._fixed else getattr(self._trial, method)(name, *args, **options)

        return suggest


class ReportAndPrune(Callback):
    """Tells the study the validation metric at every evaluation, and ends training where the study says so."""

    def __init__(self, trial: Trial, tuning: Tuning) -> None:
        self.trial, self.tuning = trial, tuning
        self.values: list[float] = []
        self.pruned = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.values.append(float(trainer.callback_metrics[f"validation/{self.tuning.base.spec.metric}"]))
        if self.tuning.has_front:
            return  # Optuna takes reports for one objective only
        self.trial.report(self.values[-1], step=len(self.values))
        if len(self.values) < self.tuning.evaluations and self.trial.should_prune():
            self.pruned = trainer.should_stop = True

    @property
    def best(self) -> float:
        return (max if self.tuning.base.spec.higher_is_better else min)(self.values)

    def bar(self) -> list[Callback]:
        """A progress bar, where there is a terminal to draw it on."""
        base = self.tuning.base
        bar = ProgressBar(self.tuning.steps, base.spec.metric, f"{base.model.name} · {base.spec.name}, tuning")
        return [bar] if bar.console.is_terminal else []


def tune(
    tuning: Tuning, studies: Studies, execution: Execution, *, resume: bool, timeout: float, listener: TrialListener
) -> tuple[Study, bool]:
    """Carry out trials until the study has as many as asked for, or no new one may begin.

    Args:
        timeout: seconds after which no trial begins.
        listener: told of each trial that has ended.

    Returns:
        The study, and whether it was interrupted.

    Raises:
        RequestError: the study exists and `resume` was not asked for, or another process is at it.
    """
    deadline = time.monotonic() + timeout
    folder = studies.folder(tuning.name)
    with alone(folder, f"study '{tuning.name}'"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study = _open(tuning, studies, resume=resume)
        try:
            while (number := len(settled(study))) < tuning.trials and time.monotonic() < deadline:
                study.sampler = build_sampler(tuning.sampler, seed=TUNING_SEEDS + number)
                trial = study.ask()
                ending = _carry_out(tuning, study, trial, TUNING_SEEDS + number, execution, folder)
                if ending.status == "interrupted":
                    return study, True
                listener(tuning, study, settled(study)[-1])
        except KeyboardInterrupt:
            return study, True
        finally:
            _put_back(study, studies, "interrupted")
            forget(folder)
    return study, False


def _open(tuning: Tuning, studies: Studies, *, resume: bool) -> Study:
    base = tuning.base
    better = StudyDirection.MAXIMIZE if base.spec.higher_is_better else StudyDirection.MINIMIZE
    study = optuna.create_study(
        storage=studies.storage,
        study_name=tuning.name,
        directions=[better, StudyDirection.MINIMIZE] if tuning.has_front else [better],
        pruner=build_pruner("none" if tuning.has_front else tuning.pruner or "hyperband", tuning.evaluations),
        load_if_exists=True,
    )
    if study.trials and not resume:
        raise RequestError(
            f"the study '{tuning.name}' has {len(settled(study))} trials already. "
            "Add --resume to go on to the number asked for, or give another --db."
        )
    if not study.trials:
        study.enqueue_trial(_flat(base.settings))  # the first trial has the defaults: tuning must not be worse
    _put_back(study, studies, "killed")
    return study


def _put_back(study: Study, studies: Studies, reason: str) -> None:
    """Mark a trial that was cut off as failed, and have its settings tried again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        studies.storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def settled(study: Study) -> list[FrozenTrial]:
    """The trials that have ended, each once however often it was tried, in the order in which they began."""
    ended = study.get_trials(deepcopy=False, states=tuple(STATES))
    return [trial for trial in ended if trial.user_attrs.get("reason") not in REPLACED]


def _carry_out(tuning: Tuning, study: Study, trial: Trial, seed: int, execution: Execution, folder: Path) -> Ending:
    """Carry out a trial, and tell the study its value or the reason why it has none."""
    watcher = ReportAndPrune(trial, tuning)
    try:
        request = _suggested(tuning, trial, seed)
    except Exception as error:  # settings in conflict or that can't be fitted, or a mistake in a model's search space
        ending = Ending("failed", f"{type(error).__name__}: {error}")
    else:
        ending = _train(request, watcher, execution, folder)
    if ending.status == "finished" and watcher.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    elif ending.status == "finished":
        study.tell(trial, [watcher.best, trial.user_attrs["params"]["total"]][: len(study.directions)])
    elif ending.status != "interrupted":
        trial.set_user_attr("reason", f"{ending.status}: {ending.reason}")
        study.tell(trial, state=TrialState.FAIL)
    return ending


def _suggested(tuning: Tuning, trial: Trial, seed: int) -> TrialRequest:
    """What the study proposes to train; the trial remembers what was chosen and what follows from it."""
    base, unset = tuning.base, cast(Trial, Unset(trial, tuning.fixed))
    chosen = Training.search_space(unset) | base.model.cls.search_space(unset)
    limit = tuning.max_params and trial.suggest_int("max_params", tuning.smallest, tuning.max_params, log=True)
    settings = tuning.settings(chosen, limit)
    counts = count_on_meta(base.model.cls, base.wrapper, settings, base.spec)
    trial.set_user_attr("chosen", chosen)
    trial.set_user_attr("config", settings.to_dict())
    trial.set_user_attr("params", asdict(counts) | {"total": counts.total})
    return TrialRequest(**vars(base) | {"settings": settings, "seed": seed})


def _train(request: TrialRequest, watcher: ReportAndPrune, execution: Execution, folder: Path) -> Ending:
    forget(folder)
    attempt = Attempt(request, execution, folder, watchers=[watcher, *watcher.bar()])
    ending = attempt.train()
    watcher.trial.set_user_attr("steps", attempt.steps)
    return ending


def build_sampler(name: str, seed: int) -> BaseSampler:
    match name:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP)
        case "random":
            return RandomSampler(seed=seed)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=2 * STARTUP)
        case _:
            raise unknown("sampler", name, ("tpe", "gp", "random", "nsga2"))


def build_pruner(name: str, evaluations: int) -> BasePruner:
    match name:
        case "hyperband":
            return HyperbandPruner(min_resource=max(1, evaluations // 27), max_resource=evaluations)
        case "median":
            return MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=evaluations // 9)
        case "none":
            return NopPruner()
        case _:
            raise unknown("pruner", name, ("hyperband", "median", "none"))


def _flat(settings: Settings) -> dict[str, Any]:
    return {name: value for part in settings.to_dict().values() for name, value in part.items()}


def report(tuning: Tuning, study: Study) -> dict[str, Any]:
    """What `bench tune` prints: the best of the study and the count of its trials."""
    front = [_result(trial) for trial in best_trials(study)]
    return {
        **overview(study),
        "model": tuning.base.model.name,
        "wrapper": tuning.base.wrapper.name,
        "task": tuning.base.spec.name,
        "budget": tuning.base.budget,
        "metric": tuning.base.spec.metric,
        "best": front[0] if front else None,
        "command": best_request(tuning, study).command if front else None,
        **({"front": front} if tuning.has_front else {}),
    }


def best_trials(study: Study) -> list[FrozenTrial]:
    """The best trial, or for two objectives those that no other dominates; the best metric first."""
    if not any(trial.state == TrialState.COMPLETE for trial in settled(study)):
        return []
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    return sorted(study.best_trials, key=lambda trial: (sign * trial.values[0], trial.number))


def _result(trial: FrozenTrial) -> dict[str, Any]:
    return {"value": trial.values[0], "config": trial.user_attrs["config"], "params": trial.user_attrs["params"]}


def overview(study: Study) -> dict[str, Any]:
    """What `bench studies` prints: the count of trials, their training steps and the best value."""
    trials, best = settled(study), best_trials(study)
    states = Counter(STATES[trial.state] for trial in trials)
    return {
        "study": study.study_name,
        "trials": {state: states[state] for state in STATES.values()},
        "steps": sum(trial.user_attrs.get("steps", 0) for trial in trials),
        "best": best[0].values[0] if best else None,
    }


def best_settings(tuning: Tuning, study: Study) -> dict[str, Any]:
    """The settings of the best trial that somebody or the study chose; the rest are defaults or the budget's doing."""
    return best_trials(study)[0].user_attrs["chosen"] | tuning.fixed


def best_request(tuning: Tuning, study: Study) -> RunRequest:
    """The run of seed 0 with the best settings."""
    best, base = best_trials(study)[0], tuning.base
    changes = best_settings(tuning, study)
    settings = tuning.settings(changes, best.params.get("max_params"))
    sources = dict.fromkeys(changes, "preset") | base.sources
    return replace(base, settings=settings, sources=sources)
