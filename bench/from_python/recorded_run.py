"""A recorded run: what is known of it, its curves, its predictions and its trained network."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.bundle.predictions import Array, read_predictions
from bench.cli.board import one_run
from bench.cli.database import open_store
from bench.common.errors import RequestError
from bench.common.text import metric_text
from bench.from_python.tables import address, frame, opened
from bench.ranking.utility import score
from bench.reports.run_document import full
from bench.runs.recorded import PREDICTIONS, WEIGHTS
from db.schema import Run
from db.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

    from models.shared.wrappers import Wrapper

CURVES = {"name": "string", "epoch": "Int64", "step": "Int64", "value": "Float64"}


class RecordedRun:
    """A run of the database. `load_run` and `run` return it."""

    def __init__(self, run: Run, store: Store) -> None:
        self._run, self._store = run, store

    @property
    def id(self) -> str:
        """The hash of the run's identity: model, wrapper, settings, task, seed, protocol."""
        return self._run.run_id

    @property
    def status(self) -> str:
        """`finished`; `diverged`, `failed`, `oom` or `timeout`; or `interrupted`, which can be resumed."""
        return self._run.status

    @property
    def score(self) -> float | None:
        """From 0, a predictor that remembers nothing, to 100, a solved task; 0 for a run that failed."""
        return score(self._run)

    @property
    def record(self) -> dict[str, Any]:
        """Everything that is stored of the run, as `bench show RUN --json` prints it."""
        return full(self._run, self._store.curves(self._run), self._store.events(self.id))

    def __repr__(self) -> str:
        run = self._run
        ending = f"{run.metric_name} {metric_text(run.metric_name, run.metric_value)}"
        ending = ending if run.status == "finished" else f"{run.status}: {run.reason}"
        return f"<run {run.run_id}: {run.model} on {run.task}, seed {run.seed}, {ending}>"

    def curves(self) -> "DataFrame":
        """Return the learning curves: a row for each value, with its name, epoch and step. A value may be missing.

        Raises:
            RequestError: pandas is not installed.
        """
        points = self._store.curves(self._run)
        return frame(([point.name, point.epoch, point.step, point.value] for point in points), CURVES)

    def predictions(self) -> dict[str, Array]:
        """Return what the network predicted on each test split, in the order of the split.

        Returns:
            Split → an array: classes (N,), values (N, width), or what was asked at each step of all samples, one
            sample after the other. `bench.bundle.predictions` says more.

        Raises:
            RequestError: they are not on this machine.
            BundleError: their file is damaged.
        """
        return read_predictions(self._left(PREDICTIONS).read_bytes(), PREDICTIONS)

    def network(self, *, model: str | Path | None = None, task: str | Path | None = None) -> "Wrapper":
        """Return the trained network on the CPU, ready for inference: that of the epoch that was best on validation.

        Args:
            model, task: the files of a run that was made of files, as they were given to it.

        Raises:
            RequestError: its weights are not on this machine, or today's code has no such model, task or settings.
        """
        from bench.from_python.networks import trained

        return trained(self._run, self._left(WEIGHTS), model=model, task=task)

    def _left(self, name: str) -> Path:
        """Return a file that the run left where it was trained."""
        path = self._store.artifacts / self.id / name
        if not path.exists():
            raise RequestError(
                f"run {self.id} has no {name} here: {path} does not exist. A run's files stay where it was trained. "
                f"To train it again:\n  BENCH_PUBLISHED= {self._run.command} --db again.sqlite"
            )
        return path


def load_run(run_id: str, *, db: str | Path | None = None) -> RecordedRun:
    """Return a recorded run.

    Args:
        run_id: the run's id, or its first characters.
        db: as in `load_results`.

    Raises:
        RequestError: there is no such run, or several begin like this.
        StoreError: the database can't be read.
    """
    store = opened(db)
    return RecordedRun(one_run(run_id, store), store)


def run(
    model: str | Path,
    task: str | Path = "digits",
    *,
    seed: int = 0,
    budget: str | None = None,
    wrapper: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    db: str | Path | None = None,
) -> RecordedRun:
    """Train an architecture on a task, evaluate it once and record the result, as `bench run` does.

    A recorded run is returned, not repeated. Ctrl-C ends with a run that is `interrupted`; call again with `resume`.

    Args:
        model, task: names, or paths of .py files.
        seed: of weights and batch order.
        budget: the parameter tier to fit the model to.
        wrapper: "plain" or "residual"; the paper's unless given.
        settings: as `--set` takes them, such as `{"lr": 0.01, "max_steps": 500, "clip_norm": None}`.
        accelerator: Lightning's: "auto", "cpu", "gpu", …
        db: as in `load_results`.

    Raises:
        RequestError: the request is not legal, or an earlier attempt was stopped and `resume` is false.
        DataError: the task's data are missing or damaged.
        StoreError: the database can't be written.
    """
    from bench.from_python.networks import request
    from bench.runs.request import Execution
    from bench.training.run import run as run_request

    wanted = request(model, task, seed=seed, budget=budget, wrapper=wrapper, settings=settings)
    store = open_store(address(db))
    return RecordedRun(run_request(wanted, store, Execution(accelerator=accelerator, resume=resume)), store)
