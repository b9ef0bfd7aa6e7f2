"""The networks of a recorded run: as it began, and as it ended (from weights that it left, or trained again)."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_model

from bench.common.errors import RequestError
from bench.common.whole_files import write_whole
from bench.runs.network import build
from bench.runs.recorded import WEIGHTS
from bench.runs.request import Execution, RunRequest
from bench.training.attempt import Attempt
from bench.training.run import alone
from datamodules._spec import TaskSpec
from db.store import Store
from models.shared.wrappers import Wrapper

AGAIN = "again.safetensors"


def untrained_network(request: RunRequest, spec: TaskSpec) -> Wrapper:
    """Build the run's network as it began, but for the length of `spec`."""
    torch.manual_seed(request.seed)
    return build(request.model.cls, request.wrapper, request.settings, spec)


def trained_network(request: RunRequest, store: Store) -> Wrapper:
    """Load the run's trained network. Its weights must be on this machine (see `weights_of`)."""
    path = weights_of(request.run_id, store)
    assert path is not None
    network = build(request.model.cls, request.wrapper, request.settings, request.spec)
    load_model(network, str(path))
    return network


def weights_of(run_id: str, store: Store) -> Path | None:
    """Return the file of a run's weights, its own or those of training again; None if this machine has neither."""
    folder = store.artifacts / run_id
    return next((path for name in (WEIGHTS, AGAIN) if (path := folder / name).exists()), None)


def train_again(request: RunRequest, store: Store, execution: Execution) -> None:
    """Make the weights of a run that was recorded elsewhere: train its seed again, without the test split.

    Nothing is recorded: the run keeps its result.

    Raises:
        RequestError: training did not finish, unlike the recorded run's.
        BusyError: another process is training the run.
        KeyboardInterrupt: training was interrupted.
    """
    folder = store.artifacts / request.run_id
    with alone(folder, f"run {request.run_id}"), TemporaryDirectory(prefix="bench-") as scratch:
        ending = Attempt(request, execution, Path(scratch)).train()
        if ending.status == "interrupted":
            raise KeyboardInterrupt
        if ending.status != "finished":
            raise RequestError(
                f"run {request.run_id} finished where it was recorded, and not here: {ending.status}, {ending.reason}"
            )
        write_whole(folder / AGAIN, (Path(scratch) / WEIGHTS).read_bytes())
