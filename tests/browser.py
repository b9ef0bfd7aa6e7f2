"""The app served as a user serves it, and a browser that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Without these, Chromium asks for hosts of its maker's at every start.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(db: Path, *, inside: Sequence[str] = (), **environment: str) -> Iterator[int]:
    """The port at which `bench app` serves a database.

    Args:
        inside: a command that runs another, such as a sandbox.
    """
    port = free_port()
    command = [*inside, sys.executable, "-m", "bench", "app", "--port", str(port), "--db", str(db)]
    settings = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/{environment.get('STREAMLIT_SERVER_BASE_URL_PATH', '')}", process)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            with urlopen(f"{address.rstrip('/')}/_stcore/health") as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} did not answer")


@contextmanager
def chromium() -> Iterator[Browser]:
    assert CHROMIUM, "the app is tested in Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def settle(page: Page) -> None:
    """Wait until the page's script has ended and everything is drawn."""
    page.wait_for_selector("h1", timeout=120_000)
    idle = "() => !document.querySelector('[data-testid=stStatusWidget], [data-stale=true], [data-testid=stSkeleton]')"
    page.wait_for_function(idle, timeout=120_000)
    page.wait_for_timeout(500)
