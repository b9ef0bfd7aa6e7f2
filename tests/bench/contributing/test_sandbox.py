"""The sandbox: what a hostile program tries inside it is contained and reported."""

import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.common.errors import RequestError
from bench.contributing.sandbox import Limits, Outcome, check_available, confine
from tests.conftest import ROOT
from tests.support.processes import FORBIDDEN, ended, enter_user_namespace, start

MIB = 2**20


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> None:
    try:
        check_available()
    except RequestError as error:
        pytest.skip(str(error))


def run(code: str, folder: Path, **limits: float) -> Outcome:
    """A Python program inside, with one file that it may write."""
    answer = folder / "answer"
    answer.touch()
    return confine(
        [sys.executable, "-c", code, "hostile-program"], readable={}, writable={"/answer": answer}, environment={},
        limits=Limits(**{"seconds": 60} | limits),  # type: ignore[arg-type]
    )  # fmt: skip


def test_an_honest_program_answers(tmp_path: Path) -> None:
    outcome = run("open('/answer', 'w').write('42'); print('done')", tmp_path)
    assert (outcome.problem, outcome.log, (tmp_path / "answer").read_text()) == (None, "done\n", "42")


def test_a_crash_is_reported(tmp_path: Path) -> None:
    outcome = run("raise KeyError('mine')", tmp_path)
    assert outcome.problem == "it ended with exit code 1"
    assert "KeyError: 'mine'" in outcome.log


# What it may not reach


def test_there_is_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        assert "Connection refused" in run(code, tmp_path).log
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (
        "Network is unreachable" in run("import socket; socket.create_connection(('192.0.2.1', 80), 5)", tmp_path).log
    )


SECRETS = ["/etc/shadow", "/etc/passwd", "/proc/1/root/etc/shadow", "/usr/share", "/var/lib", "/tmp/pytest-of-root",
           str(Path.home() / ".bashrc"), str(ROOT / "pyproject.toml"), str(ROOT / ".git")]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_else_can_be_read(tmp_path: Path, secret: str) -> None:
    code = f"import os; print(os.listdir({secret!r}) if os.path.isdir({secret!r}) else open({secret!r}).read())"
    outcome = run(code, tmp_path)
    assert outcome.problem == "it ended with exit code 1"
    assert "No such file or directory" in outcome.log or "Permission denied" in outcome.log


def test_packages_that_are_installed_elsewhere_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a home folder, for example. What lies beside them can't."""
    packages = tmp_path / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages.parent / "secret").touch()
    monkeypatch.syspath_prepend(packages)
    outcome = run(f"import os; print(os.listdir({str(packages.parent)!r}))", tmp_path)
    assert (outcome.problem, outcome.log) == (None, "['site-packages']\n")


def test_the_home_folder_is_empty_but_for_what_python_needs(tmp_path: Path) -> None:
    """Where Python is installed below it, the way there can be seen, and nothing beside it."""
    outcome = run(f"import os; print(os.listdir({str(Path.home())!r}))", tmp_path)
    prefixes = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix) if Path(prefix).is_relative_to(Path.home())]
    on_the_way = sorted({prefix.relative_to(Path.home()).parts[0] for prefix in prefixes})
    assert outcome.log == f"{on_the_way}\n" if on_the_way else "No such file" in outcome.log


def test_the_environment_is_not_handed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a secret")
    assert "a secret" not in run("import os; print(os.environ, open('/proc/self/environ').read())", tmp_path).log


def test_other_processes_are_out_of_reach(tmp_path: Path) -> None:
    outcome = run(
        f"import os; print(sorted(p for p in os.listdir('/proc') if p.isdigit())); os.kill({os.getpid()}, 0)", tmp_path
    )
    assert "No such process" in outcome.log


@pytest.mark.parametrize("place", ["/x", "/usr/bin/x", "/dev/shm/x", "/dev/x", f"{sys.prefix}/x"])
def test_nothing_outside_can_be_written(tmp_path: Path, place: str) -> None:
    assert "Read-only file system" in run(f"open({place!r}, 'w')", tmp_path).log
    assert not Path(place).exists()


def test_the_one_file_stays_itself(tmp_path: Path) -> None:
    for act in ("os.unlink('/answer')", "os.symlink('/etc/shadow', '/answer')", "os.rename('/tmp', '/answer')"):
        assert "Error" in run(f"import os; {act}", tmp_path).log
    assert not (tmp_path / "answer").is_symlink()


def test_walls_can_not_be_taken_down(tmp_path: Path) -> None:
    code = """
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x10000000) == -1, "a namespace of its own"
assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == -1, "a mount"
for limit in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
    try:
        resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, PermissionError):
        continue
    raise AssertionError(f"limit {limit} was lifted")
"""
    assert run(code, tmp_path) == Outcome(None, "")


# What it may not use

# Each process forks for ever; where no guard stops it, up to 300 of them. It stays where the kernel refuses a fork.
BOMB = """
import os, time
try:
    while (pid := os.fork()) < 300: {}
except OSError: pass
time.sleep(5)
"""


def check_nothing_left() -> None:
    """Nothing runs on, if it is given a moment to die."""
    deadline = time.monotonic() + 10
    while any("hostile-program" in (p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# It goes on where the kernel refuses a fork, as it does when nobody had the time to look before.
FORK = """
import os, time
while True:
    try: {}
    except OSError: time.sleep(1)
"""


@pytest.mark.parametrize(
    ("code", "limits", "problem"),
    [
        ("while True: pass", {"seconds": 1}, "it ran for more than 1 s"),
        ("import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(999)", {"seconds": 1},
         "it ran for more than 1 s"),
        (BOMB.format("pass"), {}, "it started more than 16 processes"),
        (BOMB.format("pid or os.setsid()"), {}, "it started more than 16 processes"),
        ("import os, time\nfor _ in range(3): os.fork()\nkept = b'x' * 150_000_000; time.sleep(999)",
         {"memory": 400 * MIB}, "it took more than 0.4 GiB of memory"),
        ("kept = [b'x' * 10_000_000 for _ in range(1000)]", {"memory": 400 * MIB}, "it ended with exit code 1"),
        ("import os, time; os.fork() or time.sleep(999)", {}, None),
    ],
    ids=["endless", "deaf to signals", "forks", "forks and hides", "memory of many", "memory of one", "leaves a child"],
)  # fmt: skip
def test_what_it_takes_is_limited_and_nothing_is_left(
    tmp_path: Path, code: str, limits: dict[str, float], problem: str | None
) -> None:
    assert run(code, tmp_path, **limits).problem == problem
    check_nothing_left()


def test_the_machine_keeps_some_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.contributing.sandbox.LEAST_FREE", 2**60)
    assert "of the machine's memory was left" in str(run("import time; time.sleep(99)", tmp_path).problem)
    check_nothing_left()


@pytest.mark.parametrize(
    "code",
    [
        "open('/answer', 'wb').write(bytes(10**8))",
        "while True: print('x' * 10**6)",
        "import os; os.truncate('/answer', 10**9)",
        "open('/tmp/large', 'wb').write(bytes(10**8))",
        "[open(f'/tmp/{n}', 'wb').write(bytes(900_000)) for n in range(10)]",
    ],
)
def test_what_it_writes_is_limited(tmp_path: Path, code: str) -> None:
    outcome = run(code, tmp_path, file=MIB, scratch=4 * MIB)
    assert outcome.problem is not None
    assert "File too large" in outcome.log or "No space left" in outcome.log or "exit code" in outcome.problem
    assert (tmp_path / "answer").stat().st_size <= MIB


def test_what_it_prints_does_not_steer_a_terminal(tmp_path: Path) -> None:
    log = run(r"print('\x1b[2J\x1b]0;title\x07 \u202e \r harmless')", tmp_path).log
    assert log == "�[2J�]0;title� � � harmless\n"


# Where there is none


def test_without_bubblewrap_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RequestError, match="not installed: apt-get install bubblewrap"):
        check_available()


def test_where_namespaces_are_forbidden_the_refusal_says_so() -> None:
    code = ended(start(look_where_namespaces_are_forbidden))
    if code == FORBIDDEN:
        pytest.skip("the kernel grants no user namespace in which to forbid them")
    assert code == 0


def look_where_namespaces_are_forbidden() -> None:
    enter_user_namespace()
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    with pytest.raises(
        RequestError, match=r"can't make its namespaces here.*It said: (bwrap|setpriv): .*use a virtual machine"
    ):
        check_available()
