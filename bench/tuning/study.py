"""The one place that owns a study: it proposes trials, judges their reports, and stores their results.

Trials know nothing about the study, wherever they run. So SQLite has one writer, a cluster needs neither a shared disk
nor access to the database's port, and a trial that is cut off is noticed without a heartbeat, since its worker is gone.

That is why this uses neither Optuna's `GrpcStorageProxy` nor its `RetryHeartbeatStaleTrialCallback`. With the first,
each worker asks its own sampler. The second waits for heartbeats to fail, and makes a retry a new trial, so that a
pruner would compare a trial with itself. Here a retried trial stays the same trial: it keeps its number, and with it
its seed, its settings and what it had reported.
"""

from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import optuna
from optuna import Study, Trial
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bench.runs.network import count_on_meta
from bench.runs.request import TrialRequest
from bench.training.ending import Ending
from bench.tuning.best import weights_path
from bench.tuning.pruning import build_pruner, should_stop
from bench.tuning.random_numbers import training_seed
from bench.tuning.samplers import sampler_of
from bench.tuning.search import Tuning
from bench.tuning.settled import best_trials
from bench.tuning.space import suggest
from bench.tuning.storage import STORAGE_ERRORS, Studies
from bench.tuning.trial import Outcome, Progress
from db.errors import StoreError

TRIES = 3  # of a trial whose worker dies or runs out of memory
RETRIES = "retries"  # the trial's attribute that holds the reasons why it was retried


@dataclass(frozen=True)
class Proposal:
    """A trial and the request that it trains."""

    trial: Trial
    request: TrialRequest


class Owner:
    """The owner of a study, which it opens or creates. Trials that an earlier owner left running will be retried."""

    def __init__(self, tuning: Tuning, studies: Studies) -> None:
        self.tuning, self._storage = tuning, studies.storage
        self.folder = studies.folder(tuning.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.study = _open(tuning, studies)
        self._again: deque[Proposal] = deque()
        self._tries: Counter[int] = Counter()
        self.best = self._best_value()
        self.put_back("killed")

    @property
    def has_more(self) -> bool:
        """Whether there is a trial to begin."""
        return bool(self._again) or len(self._begun) < self.tuning.trials

    @property
    def _begun(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def propose(self) -> Proposal | FrozenTrial:
        """Return the next trial to train or, if its settings are not possible, the trial as failed."""
        if self._again:
            return self._again.popleft()
        trials = self.study.get_trials(deepcopy=False)
        # Each proposal has its own random numbers, so that a resumed study goes on as if it had not been stopped.
        number = min((trial.number for trial in trials if trial.state == TrialState.WAITING), default=len(trials))
        self.study.sampler = sampler_of(self.tuning, number)
        trial = self.study.ask()
        assert trial.number == number
        try:
            return Proposal(trial, self._suggested(trial))
        except STORAGE_ERRORS:
            raise
        except Exception as error:  # settings in conflict or too large, or a mistake in a search space
            return self.end(trial, Outcome(ending=Ending("failed", f"{type(error).__name__}: {error}")))

    def should_stop(self, trial: Trial, progress: Progress) -> bool:
        """Report a trial's progress to the study. Return whether the trial should stop."""
        if progress.value is None or self.tuning.has_front:  # Optuna takes reports for one objective only
            return False
        if progress.evaluation in self._frozen(trial).intermediate_values:  # judged before it was retried
            return False
        return should_stop(trial, progress, self.tuning.base.spec, self.tuning.steps)

    def end(self, trial: Trial, outcome: Outcome, place: str | None = None) -> FrozenTrial:
        """Record a trial's value, or the reason why it has none. Keep the weights of the best.

        Args:
            place: the machine, and the GPU if any, where the trial ran.
        """
        trial.set_user_attr("steps", outcome.steps)
        trial.set_user_attr("place", place)
        if outcome.ending.status != "finished":
            trial.set_user_attr("reason", f"{outcome.ending.status}: {outcome.ending.reason}")
            return self.study.tell(trial, state=TrialState.FAIL)
        if outcome.was_stopped:
            return self.study.tell(trial, state=TrialState.PRUNED)
        assert outcome.weights is not None
        self._keep_weights(trial, outcome.weights)
        values = [outcome.value, trial.user_attrs["budgeted"]][: len(self.study.directions)]
        ended = self.study.tell(trial, cast(list[float], values))
        self._keep_best_weights()
        self.best = self._best_value()
        return ended

    def _keep_weights(self, trial: Trial, weights: bytes) -> None:
        path = weights_path(self.folder, trial.number)
        try:
            path.write_bytes(weights)
        except OSError as error:
            raise StoreError(f"{path} can't be written: {error.strerror}. Make room; --resume goes on.") from error

    def can_try_again(self, proposal: Proposal) -> bool:
        return self._tries[proposal.trial.number] + 1 < TRIES

    def try_again(self, proposal: Proposal, reason: str) -> FrozenTrial | None:
        """Queue a trial that was cut off, to be proposed again.

        Returns:
            None or, after TRIES tries, the trial as failed.
        """
        trial = proposal.trial
        self._tries[trial.number] += 1
        if self._tries[trial.number] >= TRIES:
            return self.end(trial, Outcome(ending=Ending("failed", f"tried {TRIES} times; the last time, {reason}")))
        self._note(self._frozen(trial), reason)
        self._again.append(proposal)
        return None

    def put_back(self, reason: str) -> None:
        """Mark the running trials as waiting for the next owner."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._note(trial, reason)
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _note(self, trial: FrozenTrial, reason: str) -> None:
        reasons = [*trial.user_attrs.get(RETRIES, []), reason]
        self._storage.set_trial_user_attr(trial._trial_id, RETRIES, reasons)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._storage.get_trial(trial._trial_id)

    def _best_value(self) -> float | None:
        best = best_trials(self.study)
        return best[0].values[0] if best else None

    def _keep_best_weights(self) -> None:
        best = {weights_path(self.folder, trial.number) for trial in best_trials(self.study)}
        for path in set(self.folder.glob(weights_path(Path(), "*").name)) - best:
            path.unlink()

    def _suggested(self, trial: Trial) -> TrialRequest:
        """Return what the study proposes to train. The trial stores what was chosen and what follows from it."""
        tuning, base = self.tuning, self.tuning.base
        chosen = suggest(tuning, trial)
        limit = tuning.max_params and trial.suggest_int("max_params", tuning.smallest, tuning.max_params, log=True)
        settings = tuning.settings(chosen, limit)
        counts = count_on_meta(base.model.cls, base.wrapper, settings, base.spec)
        trial.set_user_attr("chosen", chosen)
        trial.set_user_attr("config", settings.to_dict())
        trial.set_user_attr("budgeted", counts.budgeted)
        trial.set_user_attr("params", asdict(counts) | {"total": counts.total})
        seed = training_seed(self.study.study_name, trial.number)
        return TrialRequest(**vars(base) | {"settings": settings, "seed": seed})


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
        study.set_user_attr("about", tuning.about)
        study.enqueue_trial(base.settings.flat())  # the first trial has the defaults: tuning must not be worse
    return study
