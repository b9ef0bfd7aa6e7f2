"""Processes for tests of reliability: forked from one that has imported torch already, so that they start at once.

They are killed for real, and may have mounts of their own, which nobody else sees.
"""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.__main__ import main
from tests.conftest import ROOT, Bench

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "bench.training.run",
        "bench.publishing.export",
        "bench.reports.run_document",
        "streamlit.testing.v1",
        "tests.conftest",
    ]
)
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
PATIENCE = 300  # seconds, on a busy machine
FORBIDDEN = 77  # the exit code of a process that may not have mounts of its own


def start(function: Callable[..., None], *args: Any) -> BaseProcess:
    """Call a module's function in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        process = CONTEXT.Process(target=function, args=args)
        process.start()
    return process


def start_command(bench: Bench, *words: str, log: Path) -> BaseProcess:
    """`python -m bench …`, which writes all that it says to a file, line by line."""
    log.touch()
    return start(command, bench, words, log)


def command(bench: Bench, words: tuple[str, ...], log: Path) -> None:
    """`python -m bench …` in this process, as `start_command` has it."""
    os.chdir(bench.folder)
    os.environ.update(bench.env)
    sys.argv = ["bench", *words]
    with log.open("w", buffering=1) as sys.stdout:
        sys.stderr = sys.stdout
        try:
            main()
        except Exception:
            traceback.print_exc()  # whoever prints it later finds the file closed
            raise


def ended(process: BaseProcess, seconds: float = PATIENCE) -> int:
    """Wait for a process; its exit code, negative where a signal ended it."""
    process.join(seconds)
    assert process.exitcode is not None, "it is still running"
    return process.exitcode


def kill_after(process: BaseProcess, seconds: float) -> None:
    time.sleep(seconds)
    process.kill()
    ended(process)


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def in_private_mounts(function: Callable[..., None], *args: Any) -> None:
    """Call a module's function where it may mount what it likes; skip the test where the kernel forbids that."""
    process = start(_with_mounts, function, *args)
    code = ended(process)
    if code == FORBIDDEN:
        pytest.skip("the kernel grants no mounts of our own")
    assert code == 0


def _with_mounts(function: Callable[..., None], *args: Any) -> None:
    if os.getuid() != 0:
        enter_user_namespace()
    _unshare(CLONE_NEWNS)
    mount("--make-rprivate", "/")
    function(*args)


def enter_user_namespace() -> None:
    """Become root of a user namespace of one's own."""
    uid, gid = os.getuid(), os.getgid()
    _unshare(CLONE_NEWUSER)
    for name, line in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path("/proc/self", name).write_text(line)


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None).unshare(flags):
        sys.exit(FORBIDDEN)


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def mount_disk(folder: Path, size: str) -> None:
    """A disk of its own, of that size, at a folder."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)


def mount_read_only(folder: Path) -> None:
    mount("--bind", folder, folder)
    mount("-o", "remount,bind,ro", folder)
