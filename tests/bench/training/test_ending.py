"""How a run ends: faults of the machine leave it open, those of a model's or a task's own code are final."""

import errno
import json
import os
import resource
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
import torch
from torch import distributed

import bench.training.attempt as bench_attempt
import bench.training.run as bench_run
import datamodules.digits
import models.gru
from bench.common.whole_files import write_whole
from bench.runs.request import Execution, RunRequest
from bench.training import checkpoints
from bench.training.attempt import LAST
from bench.training.ending import ending_of
from bench.training.stop_signals import held_signals
from bench.tuning.worker import Event, Job, Worker
from bench.tuning.worker_pool import Seat
from datamodules.digits import Digits
from models.gru import GRU
from models.shared import contract
from tests.bench.training.test_run import INTERRUPT, results
from tests.conftest import QUICK, Bench
from tests.support.processes import ended, start
from tests.support.trials import trials_of

Writer = Callable[[str, str], Path]
RUN = ("run", "--model", "gru", *QUICK)
NOWHERE = Path("/nowhere/mine.py")
FAULTS = ("ESTALE", "ETIMEDOUT", "ENOTCONN", "EACCES", "EMFILE", "EBADF", "EFBIG", "EHOSTDOWN", "EINTR", "ENOENT")


def fault(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


def raising(error: BaseException) -> Callable[..., Any]:
    def act(*_: object, **__: object) -> None:
        raise error

    return act


# Faults of the machine


@pytest.mark.parametrize("name", FAULTS)
def test_a_checkpoint_that_can_not_be_written_leaves_a_run_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "stopped").mkdir()
    (tmp_path / "whole").mkdir()
    stopped, whole = Bench(tmp_path / "stopped"), Bench(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", raising(fault(name)))
        run = stopped.json(*RUN, code=130)
    assert (run["status"], os.strerror(getattr(errno, name)) in run["reason"]) == ("interrupted", True)
    assert stopped.json(*RUN, "--resume")["status"] == "finished"
    whole(*RUN)
    assert results(stopped) == results(whole)


def test_a_limit_on_the_size_of_files(bench: Bench) -> None:
    """As `ulimit -f` sets it. The checkpoint is larger than the database."""
    words = ("run", "--model", "gru", "--set", "hidden_size=400", "--set", "max_steps=3")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        done = bench(*words, code=130)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "interrupted: OSError: [Errno 27] File too large" in done.stderr
    assert bench.json(*words, "--resume")["status"] == "finished"


def test_a_limit_on_open_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptors are used up while a checkpoint is written, by somebody else in this process."""
    taken = list[int]()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def write_with_none_left(path: Path, content: bytes) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 256), limits[1]))
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            write_whole(path, content)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for number in taken:
                os.close(number)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", write_with_none_left)
        done = bench(*RUN, code=130)
    assert "Too many open files" in done.stderr
    assert bench.json(*RUN, "--resume")["status"] == "finished"


def test_a_pipe_without_reader_in_the_place_of_a_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO opens only together with its other end, which goes away at once."""

    def write_to_fifo(path: Path, content: bytes) -> None:
        fifo = path.with_suffix(".fifo")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        with fifo.open("wb", buffering=0) as stream:
            os.close(reader)
            stream.write(content)

    monkeypatch.setattr(checkpoints, "write_whole", write_to_fifo)
    assert bench.json(*RUN, code=130)["reason"].endswith("Broken pipe")


def test_a_checkpoint_that_can_not_be_read_is_not_called_damaged(
    bench: Bench, write_model: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    path = write_model("mine", INTERRUPT.format(marker=tmp_path / "marker", name="SIGTERM"))
    words = ("run", "--model", str(path), "--epochs", "5")
    bench(*words, code=130)
    read = Path.read_bytes
    with monkeypatch.context() as patch:
        stale = raising(fault("ESTALE"))
        patch.setattr(Path, "read_bytes", lambda path: stale() if path.name == LAST else read(path))
        run = bench.json(*words, "--resume", code=130)
    assert (run["status"], run["reason"]) == ("interrupted", f"OSError: [Errno {errno.ESTALE}] Stale file handle")
    assert bench.json(*words, "--resume")["status"] == "finished"


def test_checkpoints_that_can_not_be_removed_lose_no_result(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_attempt.Attempt, "discard_checkpoints", raising(fault("EACCES")))
    assert bench.json(*RUN)["status"] == "finished"


def test_a_library_in_rust_tells_its_fault_as_text() -> None:
    for number in (errno.ENOSPC, errno.ESTALE):
        assert ending_of(ValueError(f"I/O error: gone (os error {number})"), NOWHERE).status == "interrupted"
    assert ending_of(ValueError("gone"), NOWHERE).status == "failed"


def peer(store: str) -> None:
    """The other of two processes. It waits for an answer that never comes."""
    group = joined(store, 1)
    group.barrier().wait()
    group.recv([torch.zeros(1)], 0, 0).wait()


def joined(store: str, rank: int) -> distributed.ProcessGroupGloo:
    return distributed.ProcessGroupGloo(distributed.FileStore(store, 2), rank, 2, timedelta(seconds=60))


@pytest.mark.parametrize("act", [BaseProcess.kill, lambda process: None], ids=["killed", "silent"])
def test_a_process_that_does_not_answer_is_a_lost_connection(
    tmp_path: Path, act: Callable[[BaseProcess], None]
) -> None:
    process = start(peer, str(tmp_path / "store"))
    group = joined(str(tmp_path / "store"), 0)
    group.barrier().wait()
    act(process)
    options = distributed.AllreduceOptions()
    options.timeout = timedelta(seconds=0.5)
    with pytest.raises(RuntimeError) as raised:
        group.allreduce([torch.zeros(1)], options).wait()
    process.kill()
    ended(process)
    assert ending_of(raised.value, NOWHERE).status == "interrupted"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (distributed.DistNetworkError("The client socket has failed to connect to 10.0.0.1:29500"), "interrupted"),
        (distributed.DistBackendError("ncclRemoteError: A call failed possibly due to a network error"), "interrupted"),
        (distributed.DistBackendError("ncclInvalidUsage: Duplicate GPU detected"), "failed"),
        (RuntimeError("[enforce fail at /x/gloo/transport/tcp/pair.cc:446] op.preamble.length <= op.nbytes"), "failed"),
        (RuntimeError("connection closed by peer"), "failed"),
    ],
)
def test_other_words_of_distributed_torch(error: Exception, status: str) -> None:
    """Tensors whose shapes differ are the run's own fault. The connection is whole."""
    assert ending_of(error, NOWHERE).status == status


# One of two devices fails

TWO = ("--devices", "2", "--accelerator", "cpu", "--json")
SECOND_ONLY = """
        if os.environ.get("LOCAL_RANK") == "1" and self.training and self.calls == 5:
            {act}
"""


@pytest.mark.slow
def test_a_killed_process_of_another_device_leaves_a_run_to_resume(bench: Bench, write_model: Writer) -> None:
    marker = str(bench.folder / "marker")
    act = f"os.path.exists({marker!r}) or (open({marker!r}, 'w'), os.kill(os.getpid(), signal.SIGKILL))"
    words = ("run", "--model", str(write_model("mine", SECOND_ONLY.format(act=act))), "--epochs", "2", *TWO)
    run = json.loads(bench.fresh(*words, code=130).stdout)
    assert (run["status"], "peer" in run["reason"]) == ("interrupted", True)
    assert json.loads(bench.fresh(*words, "--resume").stdout)["status"] == "finished"


@pytest.mark.slow
def test_a_failure_in_the_process_of_another_device_is_final(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", SECOND_ONLY.format(act="raise ValueError('only there')"))
    run = json.loads(bench.fresh("run", "--model", str(path), "--epochs", "2", *TWO, code=1).stdout)
    assert (run["status"], run["reason"]) == ("failed", "the process of another device failed")
    (told,) = bench.folder.rglob("error.txt")
    assert "only there" in told.read_text("utf-8")


# Faults of a model's or a task's own code


def test_what_a_models_own_code_raises_is_final(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", "open('/missing/file')")
    run = bench.json("run", "--model", str(path), "--epochs", "1", code=1)
    assert (run["status"], run["reason"].partition(":")[0]) == ("failed", "FileNotFoundError")
    path = write_model("other", "from pathlib import Path; Path('/missing/file').read_text()")
    assert bench.json("run", "--model", str(path), "--epochs", "1", code=1)["status"] == "failed"


def open_missing(*_: object) -> None:
    open("/missing/file")  # noqa: SIM115


def standing_in(module: ModuleType) -> FunctionType:
    """`open_missing`, as if a module's file had it."""
    return FunctionType(open_missing.__code__.replace(co_filename=str(module.__file__)), globals())


@pytest.mark.parametrize(("module", "cls", "method"), [(models.gru, GRU, "last"), (datamodules.digits, Digits, "make")])
def test_what_an_architecture_or_a_task_of_ours_raises_is_final(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, module: ModuleType, cls: type, method: str
) -> None:
    monkeypatch.setattr(cls, method, standing_in(module))
    run = bench.json(*RUN, code=1)
    assert (run["status"], run["reason"].partition(":")[0]) == ("failed", "FileNotFoundError")


def test_what_shared_code_does_for_a_model_is_not_laid_on_it(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that can't be compiled now, for example."""
    monkeypatch.setattr(contract, "compile_it", standing_in(contract), raising=False)
    path = write_model("mine", "from models.shared import contract; contract.compile_it()")
    assert bench.json("run", "--model", str(path), "--epochs", "1", code=130)["status"] == "interrupted"


# What a model does to its record

UNSPEAKABLE = """
        class UnspeakableError(Exception):
            def __str__(self): raise ValueError("no words")
        raise UnspeakableError
"""


def test_a_failure_without_words_is_recorded(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", UNSPEAKABLE)
    run = bench.json("run", "--model", str(path), "--epochs", "1", code=1)
    assert run["reason"] == "UnspeakableError: its message can't be shown (ValueError)"


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), UnicodeEncodeError("x", "λ", 0, 1, "no"), ValueError()])
def test_a_traceback_that_can_not_be_kept_costs_no_record(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("bench.training.attempt.traceback.format_exception", raising(error))
    path = write_model("mine", "raise KeyError('λ \\ud800')")
    assert bench.json("run", "--model", str(path), "--epochs", "1", code=1)["status"] == "failed"


def test_a_traceback_is_kept_in_any_letters(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", "raise ValueError('λ \\ud800')")
    bench("run", "--model", str(path), "--epochs", "1", code=1)
    (kept,) = bench.folder.glob("board-artifacts/*/error.txt")
    assert "ValueError: λ \\ud800" in kept.read_text("utf-8")


def test_an_exit_of_a_model_is_no_signal(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", "raise SystemExit(1)")
    run = bench.json("run", "--model", str(path), "--epochs", "1", code=1)
    assert (run["status"], run["reason"]) == ("failed", "SystemExit: 1")


def test_an_exit_of_a_library_is_no_signal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "write_whole", raising(SystemExit(1)))
    run = bench.json(*RUN, code=130)
    assert (run["status"], run["reason"]) == ("interrupted", "SystemExit: 1")


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["_row", "record"])
def test_a_signal_while_a_result_is_recorded_waits_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, moment: str
) -> None:
    act = getattr(bench_run, moment)

    def act_after_signal(*args: Any, **options: Any) -> Any:
        signal.raise_signal(number)
        return act(*args, **options)

    monkeypatch.setattr(bench_run, moment, act_after_signal)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bench(*RUN, code=130)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [run["status"] for run in bench.json("runs")] == ["finished"]


def test_a_signal_between_training_and_its_evaluation_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning handles signals only while it trains."""
    monkeypatch.setattr(bench_attempt, "step_seconds", lambda *_: signal.raise_signal(signal.SIGTERM))
    run = bench.json(*RUN, code=130)
    assert (run["status"], run["reason"]) == ("interrupted", "stopped by SIGTERM in epoch 2")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_training_does_not_wait_for_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A suite's worker whose parent is killed gets one signal, at any moment."""
    monkeypatch.setattr(bench_attempt, "release", lambda: signal.raise_signal(number))
    run = bench.json(*RUN, code=130)
    assert (run["status"], run["reason"]) == ("interrupted", f"stopped by {number.name} in epoch 0")
    assert run["steps"] == 0


def interrupt_twice_while_held() -> None:
    with held_signals():
        signal.raise_signal(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt("at once") from stop


def test_a_second_signal_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt, match="at once"):
        interrupt_twice_while_held()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A background job of a shell."""
    monkeypatch.setattr(bench_attempt, "step_seconds", lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert bench.json(*RUN)["status"] == "finished"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    raised: list[BaseException] = []

    def hold() -> None:
        try:
            with held_signals():
                pass
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert raised == []


# Tuning


def test_a_fault_of_the_machine_leaves_a_trial_to_retry(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("tune", "--model", "gru", "--set", "max_steps=20", "--set", "hidden_size=4", "--trials", "2")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", raising(fault("ESTALE")))
        done = bench(*words, "--json", code=130)
    assert json.loads(done.stdout)["trials"] == {"finished": 0, "pruned": 0, "failed": 0}
    assert "gru · digits, trial 0 is left open: OSError: " in done.stderr
    assert bench.json(*words, "--resume", "--pruner", "none")["trials"] == {"finished": 2, "pruned": 0, "failed": 0}


class OneWorker:
    """A pool of one worker, in this process."""

    workers, gpus, started, shares_memory = 1, 0.0, 1, False

    def __init__(self) -> None:
        self.worker, self.pending = Worker(), list[tuple[Seat, Event]]()
        self.idle = [Seat(None, "here")]

    def begin(self, request: RunRequest, execution: Execution) -> Seat:
        seat = self.idle.pop()
        self.pending.append((seat, self.worker.begin(Job.of(request, execution))))
        return seat

    def answer(self, seat: Seat, *, stop: bool) -> None:
        self.pending.append((seat, self.worker.go_on(stop)))

    def release(self, seat: Seat) -> None:
        self.idle.append(seat)

    def events(self, seconds: float) -> list[tuple[Seat, Event]]:
        said, self.pending = self.pending, []
        return said


@pytest.mark.parametrize("faults", [1, 100])
def test_a_fault_of_a_workers_machine_is_no_fault_of_its_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, faults: int
) -> None:
    left = [fault("ESTALE")] * faults

    def write_if_possible(path: Path, content: bytes) -> None:
        if left:
            raise left.pop()
        write_whole(path, content)

    monkeypatch.setattr(checkpoints, "write_whole", write_if_possible)
    monkeypatch.setattr("bench.cli.tune._pool", lambda *_: nullcontext(OneWorker()))
    words = ("tune", "--model", "gru", "--set", "max_steps=20", "--set", "hidden_size=4", "--trials", "1")
    if faults == 1:
        done = bench(*words, "--json")
        assert json.loads(done.stdout)["trials"] == {"finished": 1, "pruned": 0, "failed": 0}
        assert "trial 0 is tried again: OSError: " in done.stderr
    else:
        assert "a trial can't run on here: OSError: " in bench.refused(*words)
        assert [trial.state.name for trial in trials_of(bench)] == ["WAITING"]
