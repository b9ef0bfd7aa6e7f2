"""The app as a user starts it, and Chromium to look at it."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Bench

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Without these, Chromium asks for hosts of its maker's at every start.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

BEGIN = 150  # milliseconds after which what was clicked has begun to change the page
DRAWN = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  return document.querySelector('h1') && document.querySelector('[data-test-script-state=notRunning]')
    && !all('[data-stale=true], [data-testid=stSkeleton]').length
    && all('[data-testid=stVegaLiteChart]').every(chart => chart.querySelector('canvas, svg'))
    && all('[data-testid=stPlotlyChart]').every(chart => chart.querySelector('.main-svg'));
}"""


@contextmanager
def serving(bench: Bench) -> Iterator[str]:
    """The address of `bench app`."""
    port = free_port()
    process = bench.start("app", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(address, process)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(address: str, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            with urlopen(f"{address}/_stcore/health") as answer:
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
    """Wait until a page's script has ended and everything is drawn."""
    page.wait_for_timeout(BEGIN)
    page.wait_for_function(DRAWN, timeout=120_000)
