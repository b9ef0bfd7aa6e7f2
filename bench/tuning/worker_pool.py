"""Workers on the GPUs and processors of this machine or of a Ray cluster. Ray places them and reports deaths."""

import logging
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any

import ray
from ray.exceptions import RayError

from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.runs.request import Execution, RunRequest
from bench.tuning.worker import Event, Job, Lost, Worker

PACKAGES = ("bench", "models", "datamodules", "db")
FAILED_STARTS = 3  # in a row, after which no further worker is started
CONNECT_SECONDS = 10
HIDE_OTHER_GPUS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # else a worker without a share of a GPU sees all GPUs
LONGEST_TMPDIR = 30  # characters: what is legal for a socket, 103 on a Mac, less the names that Ray gives its own
OBJECT_STORE_BYTES = 2**28  # on our own cluster: the weights of trials that have ended pass through it


class Placed(Worker):
    """A worker that knows where Ray has put it."""

    def place(self, share: float) -> str:
        gpus = ",".join(map(str, ray.get_gpu_ids()))
        part = f" ({share:g})" if share < 1 else ""
        return f"{socket.gethostname()} GPU {gpus}{part}" if gpus else f"{socket.gethostname()} CPU"


@dataclass(eq=False)
class Seat:
    """A worker and, once it has started, where it is."""

    actor: Any
    place: str | None = None


class Pool:
    """Workers that live for a whole session, each with a processor and its share of a GPU.

    A worker that dies is replaced. Until the cluster has room for the new one, the others go on.

    Args:
        gpus: a worker's share of a GPU.
    """

    def __init__(self, workers: int, gpus: float) -> None:
        self.workers, self.gpus = workers, gpus
        self.idle: list[Seat] = []
        self._calls: dict[ray.ObjectRef[Any], Seat] = {}
        self._failed_starts = 0
        self._actor_class = ray.remote(num_cpus=1, num_gpus=gpus, scheduling_strategy="SPREAD")(Placed)
        for _ in range(workers):
            self._start()

    @property
    def shares_memory(self) -> bool:
        """Whether a worker can run out of memory because of other workers, since it has no GPU to itself."""
        return self.gpus < 1

    @property
    def started(self) -> int:
        """Workers that have a place."""
        return len({*self.idle, *(seat for seat in self._calls.values() if seat.place)})

    def begin(self, request: RunRequest, execution: Execution) -> Seat:
        """Give a trial to an idle worker."""
        seat = self.idle.pop()
        self._calls[seat.actor.begin.remote(Job.of(request, execution))] = seat
        return seat

    def answer(self, seat: Seat, *, stop: bool) -> None:
        """Answer a worker's `Progress`."""
        self._calls[seat.actor.go_on.remote(stop)] = seat

    def release(self, seat: Seat) -> None:
        """Mark a worker whose trial has ended as idle."""
        self.idle.append(seat)

    def events(self, seconds: float) -> list[tuple[Seat, Event]]:
        """Wait until a worker reports something, `seconds` at most. Return what is reported; empty if nothing is.

        Raises:
            RequestError: workers don't start.
        """
        done, _ = ray.wait(list(self._calls), timeout=seconds)
        return [(seat, event) for call in done if (event := self._hear(call, seat := self._calls.pop(call)))]

    def _hear(self, call: "ray.ObjectRef[Any]", seat: Seat) -> Event | None:
        try:
            answer = ray.get(call)
        except RayError as error:
            return self._replace(seat, _reason(error))
        if seat.place is not None:
            return answer
        seat.place, self._failed_starts = answer, 0
        self.idle.append(seat)
        return None

    def _replace(self, seat: Seat, reason: str) -> Lost | None:
        with suppress(RayError):
            ray.kill(seat.actor)  # it may be alive, but out of reach
        self._failed_starts += seat.place is None
        if self._failed_starts >= FAILED_STARTS:
            raise RequestError(f"workers don't start: {reason}")
        self._start()
        return Lost(f"worker lost: {reason}") if seat.place else None

    def _start(self) -> None:
        seat = Seat(self._actor_class.remote())
        self._calls[seat.actor.place.remote(self.gpus)] = seat


@contextmanager
def connected(workers: int, gpus: float | None, address: str | None) -> Iterator[Pool]:
    """Start workers on a Ray cluster, for as long as the block lasts.

    Args:
        workers: how many.
        gpus: a worker's share of a GPU, from 0 to 1; by default 1 where there are GPUs and 0 elsewhere.
        address: as `ray.init` takes it; by default this machine is the cluster, for as long as the block lasts.

    Raises:
        RequestError: there is no such cluster, or `gpus` needs a GPU and this machine has none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    own = {"num_cpus": workers, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    # Ray prints remarks, stdout is for results.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        try:
            _connect(address, {} if address else own)
            # Ray has turned SIGTERM, by which SLURM announces a preemption, into a crash.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            yield Pool(workers, share(gpus, is_local=address is None))
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, before)


def _connect(address: str | None, options: dict[str, Any]) -> None:
    host, _, port = (address or "").rpartition(":")
    try:
        if host and port.isdigit() and "://" not in host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        with TemporaryDirectory(prefix="bench-code-") as folder:
            environment = {"working_dir": _copy_code(Path(folder)), "env_vars": HIDE_OTHER_GPUS}
            options |= {"log_to_driver": False, "logging_level": logging.CRITICAL}
            ray.init(address or "local", runtime_env=environment, **options)
    except Exception as error:  # Ray raises bare ones, too
        if "AF_UNIX" in str(error):
            raise _temporary_path_too_long() from error
        raise RequestError(f"{f'--ray-address {address}' if address else 'Ray does not start'}: {error}") from error


def _temporary_path_too_long() -> RequestError:
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    return RequestError(
        f"{name}={os.environ.get(name, '')} is too long: the workers' sockets in it would have paths that the system "
        f"does not allow. Give an existing folder of at most {LONGEST_TMPDIR} characters, such as {name}=/tmp."
    )


def _copy_code(folder: Path) -> str:
    """Copy our packages as they are now, so that all workers run the same code until the end."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return str(folder)


def share(gpus: float | None, *, is_local: bool) -> float:
    """Return a worker's share of a GPU: `gpus` or, if None, 1 where there are GPUs and 0 elsewhere.

    Raises:
        RequestError: more is asked for than this machine has.
    """
    found = ray.cluster_resources().get("GPU", 0)
    if gpus is None:
        return float(found > 0)
    if is_local and gpus > found:
        raise RequestError(f"--gpus-per-trial {gpus:g}: Ray finds no GPU here; 0 trains on the processors.")
    return gpus


def _reason(error: RayError) -> str:
    """Ray's last line, which says the most."""
    return shorten(str(error).strip().splitlines()[-1], 200, placeholder=" …")
