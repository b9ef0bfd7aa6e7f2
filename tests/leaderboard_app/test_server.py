"""`bench app` as a process: where it listens, and how it ends."""

import signal
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import Bench


def free_port(family: int, host: str) -> int:
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def has_ipv6() -> bool:
    try:
        free_port(socket.AF_INET6, "::1")
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def answer(address: str, process: subprocess.Popen[str]) -> bytes:
    while process.poll() is None:
        try:
            with urlopen(f"http://{address}/_stcore/health") as page:
                return page.read()
        except OSError:
            time.sleep(0.2)
    return b""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would replace this process."""
    commands: list[list[str]] = []

    def execve(path: str, command: list[str], environment: Any) -> None:
        commands.append(command)
        sys.exit(0)

    monkeypatch.setattr("os.execve", execve)
    return commands


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "::", "0:0:0:0:0:0:0:1"])
def test_an_ipv6_address(small_bench: Bench, started: list[list[str]], host: str) -> None:
    port = str(free_port(socket.AF_INET6, "::1"))
    done = small_bench("app", "--host", host, "--port", port)
    assert f"at http://[{host}]:{port} " in done.stderr
    assert started[0][-1].removeprefix("--server.address=") in (host, "::1")


@needs_ipv6
def test_a_name_that_only_ipv6_knows(
    small_bench: Bench, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamlit takes names for IPv4; so it is given the address."""
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", free_port(socket.AF_INET6, "::1"), 0, 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *words, **options: found)
    assert "http://six.example:8599 " in small_bench("app", "--host", "six.example", "--port", "8599").stderr
    assert "--server.address=::1" in started[0]


def test_an_address_that_cannot_be_had(small_bench: Bench) -> None:
    said = small_bench.refused("app", "--host", "192.0.2.1", "--port", "8599")
    assert "can't listen on 192.0.2.1:8599: Cannot assign requested address. --port and --host give another." in said
    assert "can't listen on nowhere.invalid:8599: " in small_bench.refused(
        "app", "--host", "nowhere.invalid", "--port", "8599"
    )


@needs_ipv6
@pytest.mark.slow
def test_it_serves_ipv6_and_ends_by_ctrl_c_without_a_word(small_bench: Bench) -> None:
    """Also where a library has something to say at the end of the process, as triton has."""
    (small_bench.folder / "sitecustomize.py").write_text(
        "import atexit\natexit.register(print, 'leaked 4 instances!')\n"
    )
    small_bench.env["PYTHONPATH"] = str(small_bench.folder)
    port = free_port(socket.AF_INET6, "::1")
    process = small_bench.start("app", "--host", "::1", "--port", str(port))
    try:
        assert answer(f"[::1]:{port}", process) == b"ok"
    finally:
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    first, *rest = said.splitlines()
    assert first.endswith(f"at http://[::1]:{port}  (Ctrl-C stops it)")
    assert [line for line in (*rest, *printed.splitlines()) if line] == []
    assert process.returncode == 130


@pytest.fixture
def small_bench(bench: Bench, small_db: Any) -> Bench:
    bench.env["BENCH_DB"] = str(small_db)
    return bench
