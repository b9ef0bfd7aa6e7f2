"""Tuning: Optuna proposes settings, trials train on train and validation alone, the best settings stay in the study.

A trial is not a run: its seed is reserved for tuning, its network never sees the test split, and no result is recorded.
"""

import socket
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial

from bench.common.errors import RequestError
from bench.common.text import counted
from bench.runs.request import Execution
from bench.training.run import alone
from bench.tuning.search import Tuning
from bench.tuning.settled import settled
from bench.tuning.storage import Studies
from bench.tuning.study import Owner, Proposal
from bench.tuning.trial import Outcome, Progress, run_trial
from bench.tuning.worker import Event, Lost, Refusal
from datamodules._files import DataError

if TYPE_CHECKING:
    from bench.tuning.worker_pool import Pool, Seat

HERE = socket.gethostname()
TURN_SECONDS = 1.0  # at most, between two calls of `Watcher.turn` while workers have nothing to report


@dataclass(eq=False)
class Running:
    """A running trial."""

    owner: Owner
    proposal: Proposal
    place: str | None
    step: int = 0
    value: float | None = None
    """The metric at the last evaluation."""
    began: float = field(default_factory=time.monotonic)


class Watcher(Protocol):
    """Shows tuning to a user."""

    def turn(self, session: "Session") -> None:
        """Called when a trial reports, and with a pool at least every TURN_SECONDS."""

    def ended(self, session: "Session", owner: Owner, trial: FrozenTrial) -> None:
        """Called when a trial has ended and will not be retried."""

    def again(self, running: Running, reason: str) -> None:
        """Called when a trial was cut off and will be retried."""

    def left(self, running: Running, reason: str) -> None:
        """Called when a trial was cut off, which ends the session. The next one will retry the trial."""


class Session:
    """Runs trials until each study, new or begun earlier, has as many as asked for, or until the timeout.

    Args:
        timeout: seconds after which no trial begins.
        pool: workers that run the trials; by default this process runs them.
        unavailable: task → why its data are missing. Studies on these tasks are skipped, and tasks that prove to lack
            data are added. With None, missing data end the session.
    """

    def __init__(
        self, tunings: Iterable[Tuning], studies: Studies, execution: Execution, watcher: Watcher,
        *, timeout: float, pool: "Pool | None" = None, unavailable: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.unopened, self.studies, self.execution, self.watcher = list(tunings), studies, execution, watcher
        self.pool, self.deadline, self.unavailable = pool, time.monotonic() + timeout, unavailable
        self.count = sum(tuning.trials for tuning in self.unopened)
        self.owners: list[Owner] = []
        self.running: dict[Seat | None, Running] = {}
        self.done = self.ended = 0
        """Trials that have ended: `done` counts those of all open studies, `ended` those of this session."""
        self.began: float | None = None
        """When the first trial began, on the monotonic clock."""
        self._held = ExitStack()
        self._why_over = "interrupted"

    def run(self) -> bool:
        """Run the trials.

        Returns:
            Whether the session was interrupted.

        Raises:
            BusyError: another process has opened one of the studies.
            StoreError: the studies can't be written.
            RequestError: a worker can't run a trial.
            DataError: a task's data are missing, and `unavailable` is None.
        """
        self.studies.check_writable()
        with self._held, _without_warnings(), self.studies.translated():
            try:
                self._open_next()
                return self._run_here() if self.pool is None else self._run_on(self.pool)
            except (KeyboardInterrupt, SystemExit):
                return True
            finally:
                for owner in self.owners:
                    owner.put_back(self._why_over)

    def _run_here(self) -> bool:
        while found := self._next():
            running = self.running[None] = Running(*found, place=HERE)
            outcome = self._train(running)
            if outcome.ending.status == "interrupted":
                self._why_over = str(outcome.ending.reason)
                self.watcher.left(running, self._why_over)
                return True
            self._end(None, outcome)
        return False

    def _train(self, running: Running) -> Outcome:
        def tell(progress: Progress) -> bool:
            stop = self._should_stop(running, progress)
            self.watcher.turn(self)
            return stop

        return run_trial(running.proposal.request, self.execution, running.owner.folder / "trial", tell)

    def _run_on(self, pool: "Pool") -> bool:
        while self._hand_out(pool) or self.running:
            for seat, event in pool.events(TURN_SECONDS):
                self._hear(pool, seat, event)
            self.watcher.turn(self)
        return False

    def _hand_out(self, pool: "Pool") -> bool:
        """Give trials to idle workers. Return whether more trials can begin."""
        while pool.idle and (found := self._next()):
            owner, proposal = found
            seat = pool.begin(proposal.request, self.execution)
            self.running[seat] = Running(owner, proposal, seat.place)
        return self._more() is not None

    def _hear(self, pool: "Pool", seat: "Seat", event: Event) -> None:
        match event:
            case Progress():
                pool.answer(seat, stop=self._should_stop(self.running[seat], event))
            case Outcome() if event.ending.status == "oom" and pool.shares_memory:
                pool.release(seat)
                self._again(seat, f"oom: {event.ending.reason}")
            case Outcome() if event.ending.status == "interrupted":
                pool.release(seat)
                self._after_fault_of_machine(seat, str(event.ending.reason))
            case Outcome():
                pool.release(seat)
                self._end(seat, event)
            case Lost(reason):
                self._again(seat, reason)
            case Refusal(reason):
                raise RequestError(f"a trial can't run on {seat.place}: {reason}")

    def _should_stop(self, running: Running, progress: Progress) -> bool:
        running.step = progress.step
        running.value = running.value if progress.value is None else progress.value
        with self.studies.translated():  # here, since otherwise the trial that calls this would count as failed
            return running.owner.should_stop(running.proposal.trial, progress)

    def _end(self, seat: "Seat | None", outcome: Outcome) -> None:
        running = self.running.pop(seat)
        self._ended(running.owner, running.owner.end(running.proposal.trial, outcome, running.place))

    def _again(self, seat: "Seat", reason: str) -> None:
        running = self.running.pop(seat)
        ended = running.owner.try_again(running.proposal, reason)
        if ended is None:
            self.watcher.again(running, reason)
        else:
            self._ended(running.owner, ended)

    def _after_fault_of_machine(self, seat: "Seat", reason: str) -> None:
        """Retry a trial that was cut off through no fault of its own. It never counts as failed."""
        running = self.running[seat]
        if not running.owner.can_try_again(running.proposal):
            raise RequestError(f"a trial can't run on {seat.place}: {reason}. --resume goes on.")
        self._again(seat, reason)

    def _ended(self, owner: Owner, trial: FrozenTrial) -> None:
        self.done, self.ended = self.done + 1, self.ended + 1
        self.watcher.ended(self, owner, trial)

    def _next(self) -> tuple[Owner, Proposal] | None:
        """The next trial that can be trained."""
        while (owner := self._more()) is not None:
            self.began = self.began or time.monotonic()
            proposal = owner.propose()
            if isinstance(proposal, Proposal):
                return owner, proposal
            self._ended(owner, proposal)
        return None

    def _more(self) -> Owner | None:
        """Return the first study that has a trial to begin. Where no open study has one, open the next."""
        while time.monotonic() < self.deadline:
            for owner in self.owners:
                if owner.has_more:
                    return owner
            if not self.unopened:
                break
            self._open_next()
        return None

    def _open_next(self) -> None:
        """Open the next study, or skip it if its task's data are missing."""
        tuning = self.unopened.pop(0)
        task = tuning.base.spec.name
        try:
            if task not in (self.unavailable or {}):
                self._open(tuning)
                return
        except DataError as error:
            if self.unavailable is None:
                raise
            self.unavailable[task] = str(error)
        self.count -= tuning.trials

    def _open(self, tuning: Tuning) -> None:
        self._held.enter_context(alone(self.studies.folder(tuning.name), f"study '{tuning.name}'"))
        owner = Owner(tuning, self.studies)
        self.owners.append(owner)
        self.done += len(settled(owner.study))


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def refuse_begun(tunings: Iterable[Tuning], studies: Studies) -> None:
    """Refuse studies that have trials already, unless the user asked to resume them.

    Raises:
        RequestError: a study has trials.
    """
    begun = begun_trials(studies)
    for tuning in tunings:
        if begun[tuning.name]:
            raise RequestError(
                f"the study '{tuning.name}' has {counted(begun[tuning.name], 'trial')} already. "
                "Add --resume to go on to the number asked for, or give another --db."
            )


def begun_trials(studies: Studies) -> Counter[str]:
    """Return the name of each study → how many of its trials have ended."""
    return Counter({study.study_name: len(settled(study)) for study in studies.all()})
