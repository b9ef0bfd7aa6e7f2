"""Running a program that nobody trusts: bubblewrap gives it no network, nothing to write to and little to read.

The program sees only what it is given, the Python that runs it, and the system's programs and libraries. It can't see
home folders, /etc, other processes, or the environment. It is killed, with all its children, when it exceeds a limit.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil

from bench.common.errors import RequestError

SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
LOG_SHOWN = 2_000  # last characters that the program printed
NOBODY = "65534"
AS_USER = ["--unshare-user", "--disable-userns", "--uid", NOBODY, "--gid", NOBODY]
AS_ROOT = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
BECOME_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
BECOME_NOBODY += ["bwrap", *AS_USER, "--cap-drop", "ALL", "--dev-bind", "/", "/"]
"""The command for root. In a user namespace root would stay the user whose processes the kernel does not limit."""
LOOKS_PER_SECOND = 20
LEAST_FREE = 2**29  # bytes of the machine's memory

INSTALL = (
    "a stranger's code runs in bubblewrap only, which is not installed: apt-get install bubblewrap (or dnf, pacman)"
)
NO_NAMESPACES = (
    "bubblewrap can't make its namespaces here, and a stranger's code runs nowhere else. It said: {said}. Containers "
    "often forbid it: use a virtual machine, or start the container with user namespaces allowed (Docker: "
    "--security-opt seccomp=unconfined --security-opt systempaths=unconfined)."
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use."""

    seconds: float = 600
    """Of wall time. Each process may also use this much CPU time."""
    memory: int = 4 * 2**30
    """Bytes, of all processes together."""
    processes: int = 16
    threads: int = 256
    """Of all processes together. The kernel refuses more, in case a look at the processes comes too late."""
    scratch: int = 64 * 2**20
    """Bytes of temporary files."""
    file: int = 16 * 2**20
    """Bytes of one file, including one outside that the program may write."""
    open_files: int = 128


@dataclass(frozen=True)
class Outcome:
    """How a confined program ended."""

    problem: str | None
    """None if it ended by itself with exit code 0."""
    log: str
    """The end of what it printed, without control characters."""


def check_available() -> None:
    """Check that programs can be confined here.

    Raises:
        RequestError: they can't. The message says what to install or allow.
    """
    if shutil.which("bwrap") is None:
        raise RequestError(INSTALL)
    tried = subprocess.run(  # noqa: S603
        [*_walls(Limits()), *_user(), "true"], capture_output=True, encoding="utf-8", errors="replace"
    )
    if tried.returncode:
        raise RequestError(NO_NAMESPACES.format(said=tried.stderr.strip()[:300] or f"exit code {tried.returncode}"))


def confine(
    command: Sequence[str],
    *,
    readable: Mapping[str, Path],
    writable: Mapping[str, Path],
    hidden: Sequence[Path] = (),
    environment: Mapping[str, str],
    limits: Limits,
) -> Outcome:
    """Run a command in the sandbox until it ends or exceeds a limit.

    Args:
        readable: path inside → file or folder outside.
        writable: path inside → file outside, which must exist.
        hidden: visible folders that are made empty inside.
        environment: variables that are set inside, in addition to PATH, HOME and USER.
    """
    walls = [*_walls(limits), *_folders([*_prefixes(), *readable, *writable]), *_python()]
    walls += [word for place, path in readable.items() for word in ("--ro-bind", str(path), place)]
    walls += [word for place, path in writable.items() for word in ("--bind", str(path), place)]
    walls += [word for path in hidden for word in ("--tmpfs", str(path), "--remount-ro", str(path))]
    walls += [word for name, value in environment.items() for word in ("--setenv", name, value)]
    for path in writable.values() if os.geteuid() == 0 else ():
        os.chown(path, int(NOBODY), int(NOBODY))
    with TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603
            [*walls, "--remount-ro", "/", *_user(), *_rlimits(limits), *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            problem = _watch(process, limits)
        finally:
            _end(process)
        log.seek(max(0, log.seek(0, 2) - LOG_SHOWN))
        return Outcome(problem, printable(log.read().decode(errors="replace")))


def printable(text: str) -> str:
    """Replace characters that could control a terminal by �."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def _walls(limits: Limits) -> list[str]:
    """bubblewrap's command line, except for what is given to the program."""
    words = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox", "--clearenv"]
    words += AS_ROOT if os.geteuid() == 0 else AS_USER
    words += _folders(SYSTEM)
    words += [word for place in SYSTEM for word in ("--ro-bind-try", place, place)]
    words += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    words += ["--perms", "1777", "--size", str(limits.scratch), "--tmpfs", "/tmp", "--chdir", "/tmp"]  # noqa: S108
    return [*words, "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/tmp", "--setenv", "USER", "nobody"]  # noqa: S108


def _folders(places: Iterable[str]) -> list[str]:
    """Options that make the folders above some places, so that everybody may enter them."""
    folders = {str(folder) for place in places for folder in Path(place).parents} - {"/"}
    return [word for folder in sorted(folders) for word in ("--perms", "0755", "--dir", folder)]


def _prefixes() -> list[str]:
    """The folders of the running interpreter, and those of packages that it finds elsewhere, as in a home folder."""
    prefixes = {sys.base_prefix, sys.prefix} - {"/usr"}
    packages = {path for path in sys.path if Path(path).name in PACKAGE_FOLDERS and Path(path).is_dir()}
    seen = (*prefixes, *SYSTEM)
    return sorted(prefixes | {path for path in packages if not any(map(Path(path).is_relative_to, seen))})


def _python() -> list[str]:
    return [word for prefix in _prefixes() for word in ("--ro-bind", prefix, prefix)]


def _user() -> list[str]:
    """The command by which root becomes nobody. bubblewrap itself does that for other users."""
    return BECOME_NOBODY if os.geteuid() == 0 else []


def _rlimits(limits: Limits) -> list[str]:
    """The limits that the kernel enforces. It counts a user's threads in the namespace; before Linux 5.14, all."""
    threads = min(limits.threads + _own_threads(), resource.getrlimit(resource.RLIMIT_NPROC)[1] % 2**63)
    return ["prlimit", f"--cpu={int(limits.seconds) + 1}", f"--data={limits.memory}", f"--fsize={limits.file}",
            f"--nofile={limits.open_files}", f"--nproc={threads}", "--core=0", "nice"]  # fmt: skip


def _own_threads() -> int:
    """Count the threads that the user the program runs as has on this machine."""
    user = os.getuid() or int(NOBODY)
    infos = (process.info for process in psutil.process_iter(["uids", "num_threads"]))
    return sum(info["num_threads"] or 0 for info in infos if info["uids"] and info["uids"].real == user)


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> str | None:
    """Wait until the process ends or exceeds a limit. Return what went wrong, or None."""
    deadline = time.monotonic() + limits.seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            return f"it ran for more than {limits.seconds:.0f} s"
        if problem := _excess(process.pid, limits):
            return problem
        time.sleep(1 / LOOKS_PER_SECOND)
    return None if process.returncode == 0 else f"it ended with exit code {process.returncode}"


def _excess(root: int, limits: Limits) -> str | None:
    """Return which limit the processes under one exceed. They may be multiplying, so the quick checks come first."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(root).children(recursive=True)
        if len(children) > limits.processes:
            return f"it started more than {limits.processes} processes"
        if _held(children) > limits.memory:
            return f"it took more than {limits.memory / 2**30:.1f} GiB of memory"
    if psutil.virtual_memory().available < LEAST_FREE:  # shared memory that no process holds is in no count
        return f"less than {LEAST_FREE / 2**30:.1f} GiB of the machine's memory was left"
    return None


def _held(processes: Sequence[psutil.Process]) -> int:
    """Count the bytes that processes hold, shared ones once. This takes some milliseconds for each process."""
    held = 0
    for process in processes:
        with suppress(psutil.Error):
            held += process.memory_full_info().pss
    return held


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill bubblewrap and the first process of its namespace, with which all others in the namespace end."""
    if process.poll() is not None:  # the others died with it, and its id may be another process's by now
        return
    bwrap = psutil.Process(process.pid)
    bwrap.suspend()
    _wait_for(bwrap, psutil.STATUS_STOPPED)  # until then it may start another process
    first = bwrap.children()
    for each in (bwrap, *first):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    for each in first:
        _wait_for(each)


def _wait_for(process: psutil.Process, *states: str) -> None:
    """Wait until a process is in one of the states, or dead. A dead one whose exit code is not read stays listed."""
    with suppress(psutil.NoSuchProcess):
        while process.status() not in (*states, psutil.STATUS_ZOMBIE):
            time.sleep(0.001)
