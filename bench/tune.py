"""Tuning: Optuna proposes settings, trials train on train and validation alone, the best settings stay in the study.

A trial is not a run: its seed is one of tuning's, its network never sees the test split, and no result is recorded.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bench.attempt import Attempt, forget
from bench.callbacks import ProgressBar
from bench.ending import Ending
from bench.errors import RequestError
from bench.network import count_on_meta
from bench.outcome import settled
from bench.request import TUNING_SEEDS, Execution, TrialRequest
from bench.run import alone
from bench.studies import Studies
from bench.tuning import Tuning, build_pruner, build_sampler
from models._training import Training

TrialListener = Callable[[Tuning, Study, FrozenTrial], None]


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
        if trainer.global_step < self.tuning.steps and self.trial.should_prune():
            self.pruned = trainer.should_stop = True

    @property
    def best(self) -> float:
        return (max if self.tuning.base.spec.higher_is_better else min)(self.values)


def tune(
    tuning: Tuning, studies: Studies, execution: Execution, *, timeout: float, listener: TrialListener
) -> tuple[Study, bool]:
    """Carry out trials until the study, new or begun earlier, has as many as asked for, or no new one may begin.

    Args:
        timeout: seconds after which no trial begins.
        listener: told of each trial that has ended.

    Returns:
        The study, and whether it was interrupted.

    Raises:
        BusyError: another process is at this study.
        StoreError: what is found could not be kept.
    """
    deadline = time.monotonic() + timeout
    studies.check_writable()
    folder = studies.folder(tuning.name)
    with alone(folder, f"study '{tuning.name}'"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study = _open(tuning, studies)
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


def refuse_begun(tunings: Iterable[Tuning], studies: Studies) -> None:
    """Raises RequestError: there are trials already, and nobody asked to go on with them."""
    begun = {study.study_name: len(settled(study)) for study in studies.all()}
    for tuning in tunings:
        if begun.get(tuning.name):
            raise RequestError(
                f"the study '{tuning.name}' has {begun[tuning.name]} trials already. "
                "Add --resume to go on to the number asked for, or give another --db."
            )


def _open(tuning: Tuning, studies: Studies) -> Study:
    base = tuning.base
    better = StudyDirection.MAXIMIZE if base.spec.higher_is_better else StudyDirection.MINIMIZE
    study = optuna.create_study(
        storage=studies.storage,
        study_name=tuning.name,
        directions=[better, StudyDirection.MINIMIZE] if tuning.has_front else [better],
        pruner=build_pruner("none" if tuning.has_front else tuning.pruner or "asha", tuning.evaluations),
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(base.settings.flat())  # the first trial has the defaults: tuning must not be worse
    _put_back(study, studies, "killed")
    return study


def _put_back(study: Study, studies: Studies, reason: str) -> None:
    """Mark a trial that was cut off as failed, and have its settings tried again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        studies.storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


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
        study.tell(trial, [watcher.best, trial.user_attrs["budgeted"]][: len(study.directions)])
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
    trial.set_user_attr("budgeted", counts.budgeted)
    trial.set_user_attr("params", asdict(counts) | {"total": counts.total})
    return TrialRequest(**vars(base) | {"settings": settings, "seed": seed})


def _train(request: TrialRequest, watcher: ReportAndPrune, execution: Execution, folder: Path) -> Ending:
    forget(folder)
    label = f"{request.model.name} · {request.spec.name} · a trial"
    bar = ProgressBar(watcher.tuning.steps, request.spec.metric, label)
    attempt = Attempt(request, execution, folder, watchers=[watcher, bar] if bar.console.is_terminal else [watcher])
    ending = attempt.train()
    watcher.trial.set_user_attr("steps", attempt.steps)
    return ending
