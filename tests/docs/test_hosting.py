"""What docs/hosting.md says, done: its proxies' configurations, a read-only folder, a path, the health check."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from subprocess import PIPE, STDOUT

import pytest

from bench.bundle.read import LARGEST_BUNDLE
from db.store import Store
from tests.conftest import ROOT, Bench
from tests.support.browser import chromium, serving, settle, wait_until_healthy
from tests.support.pages import one_run

PAGE = (ROOT / "docs" / "hosting.md").read_text()
MEGABYTE = b"x" * 1_000_000


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hosted") / "board.sqlite"
    store = Store(str(path))
    store.record(one_run("a1b2c3d4e5f60718"))
    store._engine.dispose()  # else SQLite folds its log into the file whenever the collector finds the store
    return path


@pytest.fixture(scope="module")
def app(db: Path) -> Iterator[int]:
    """The port of the app."""
    with serving(Bench(db.parent)) as address:
        yield int(address.rpartition(":")[2])


@contextmanager
def started(port: int, *before: str, health: str = "/_stcore/health", **environment: str) -> Iterator[None]:
    """The app at a port, started by a command that runs another, or with settings in its environment."""
    command = [*before, sys.executable, "-m", "bench", "app", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=PIPE, stderr=STDOUT, text=True)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}{health.removesuffix('/_stcore/health')}", process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@contextmanager
def process(command: list[str], port: int) -> Iterator[None]:
    started = subprocess.Popen(command, stdout=PIPE, stderr=STDOUT)
    try:
        for _ in range(100):
            assert started.poll() is None, started.communicate()[0].decode()
            try:
                HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        started.terminate()
        started.communicate(timeout=30)


def status(port: int, path: str, body: bytes | None = None, *, tls: bool = True) -> int:
    connection = HTTPSConnection("127.0.0.1", port, context=anyone()) if tls else HTTPConnection("127.0.0.1", port)
    connection.request("POST" if body else "GET", path, body)
    answer = connection.getresponse().status
    connection.close()
    return answer


def flood(port: int) -> set[int]:
    """The answers to thousands of requests from one address, over connections that are kept."""
    with ThreadPoolExecutor(8) as threads:
        return set().union(*threads.map(lambda _: answers(port, 400), range(8)))


def answers(port: int, count: int) -> set[int]:
    connection, found = HTTPSConnection("127.0.0.1", port, context=anyone()), set()
    for _ in range(count):
        connection.request("GET", "/_stcore/health")
        answer = connection.getresponse()
        answer.read()
        found.add(answer.status)
    connection.close()
    return found


def anyone() -> SSLContext:
    """A client that takes any certificate."""
    context = create_default_context()
    context.check_hostname, context.verify_mode = False, CERT_NONE
    return context


def shows_the_run(address: str) -> None:
    """A page comes through the proxy with what only its websocket brings."""
    with chromium() as browser:
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(f"{address}/run?id=a1b2")
        settle(page)
        assert page.get_by_role("heading", name="fru on digits, seed 0").count() == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"]
    subprocess.run([*words, *files], check=True, capture_output=True)
    return tmp_path


def test_the_proxies_let_the_largest_bundle_through() -> None:
    nginx = max(map(int, re.findall(r"client_max_body_size (\d+)m;", PAGE)))
    (caddy,) = map(int, re.findall(r"max_size (\d+)MiB", PAGE))
    assert nginx == caddy > LARGEST_BUNDLE >> 20


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_behind_nginx(app: int, certificate: Path) -> None:
    plain, tls = free_port(), free_port()
    site = example("nginx").replace("127.0.0.1:8501", f"127.0.0.1:{app}")
    site = site.replace("listen 80;", f"listen {plain};").replace("listen 443 ssl;", f"listen {tls} ssl;")
    site = site.replace("/etc/letsencrypt/live/bench.example.org", str(certificate))
    temporary = "".join(f"{name}_temp_path {certificate}/{name};" for name in ("client_body", "proxy", "fastcgi",
                                                                               "uwsgi", "scgi"))  # fmt: skip
    user = "user root;" if os.geteuid() == 0 else ""
    settings = certificate / "nginx.conf"
    settings.write_text(f"daemon off; {user} pid {certificate}/pid; error_log {certificate}/log; events {{}}\n"
                        f"http {{ access_log off; {temporary}\n{site} }}")  # fmt: skip
    with process(["nginx", "-p", str(certificate), "-c", str(settings)], tls):
        shows_the_run(f"https://127.0.0.1:{tls}")
        assert status(plain, "/run", tls=False) == 301
        assert status(tls, "/", 2 * MEGABYTE) == 413
        assert status(tls, "/_stcore/upload_file/a/b", 2 * MEGABYTE) != 413
        assert status(tls, "/_stcore/upload_file/a/b", 140 * MEGABYTE) == 413
        assert 429 in flood(tls), "the rate is limited"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("caddy") is None, reason="Caddy is not installed")
def test_behind_caddy(app: int, tmp_path: Path) -> None:
    public = free_port()
    site = example("caddy").replace("127.0.0.1:8501", f"127.0.0.1:{app}")
    site = site.replace("bench.example.org", f"http://127.0.0.1:{public}")
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n}\n" + site)
    words = ["--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    adapted = subprocess.run(["caddy", "adapt", *words], capture_output=True, check=True).stdout
    assert sorted(re.findall(rb'"max_size":(\d+)', adapted)) == [b"1000000", b"136314880"]
    with process(["caddy", "run", *words], public):
        shows_the_run(f"http://127.0.0.1:{public}")
        assert status(public, "/run", b"x", tls=False) == 405, "passed on"
        assert status(public, "/_stcore/upload_file/a/b", 2 * MEGABYTE, tls=False) != 413


@pytest.mark.slow
def test_under_a_path(db: Path) -> None:
    (variable,) = re.findall(r"STREAMLIT_SERVER_BASE_URL_PATH=(\w+)", PAGE)
    (health,) = re.findall(r"health check is then `(\S+)`", PAGE)
    port = free_port()
    with started(port, health=health, STREAMLIT_SERVER_BASE_URL_PATH=variable, BENCH_DB=str(db)):
        shows_the_run(f"http://127.0.0.1:{port}/{variable}")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_a_machine_that_is_read_only(db: Path) -> None:
    """As the container runs: a user without a home, nothing to write to but /tmp, the database's folder read-only."""
    before = {path.name: path.stat().st_mtime_ns for path in db.parent.iterdir()}
    port = free_port()
    inside = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-user", "--uid", "10001",
              "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/tmp",
              "--ro-bind", str(ROOT), str(ROOT), "--tmpfs", "/mnt", "--ro-bind", str(db.parent), "/mnt",
              "--setenv", "HOME", "/nonexistent", "--chdir", str(ROOT)]  # fmt: skip
    with started(port, *inside, BENCH_DB="/mnt/board.sqlite"):
        shows_the_run(f"http://127.0.0.1:{port}")
    assert {path.name: path.stat().st_mtime_ns for path in db.parent.iterdir()} == before


def test_a_database_that_can_not_be_written_and_is_old_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.db.touch()
    monkeypatch.setattr("db.engine.os.access", lambda path, mode: mode != os.W_OK)
    assert f"is an empty database; `python -m bench db upgrade --db {bench.db}` makes its tables" in bench.refused(
        "app"
    )
    assert bench.db.read_bytes() == b""
