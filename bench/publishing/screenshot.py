"""The board as a browser shows it, for the README."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from bench.common.errors import RequestError, require
from bench.common.import_path import child_environment
from db.store import Store

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 1000}
PATIENCE = 120  # seconds for the server to answer, and for the page to be drawn
ASK_EVERY = 0.3  # seconds
SETTLE = 3_000  # milliseconds after the page's script has ended: charts, fonts and animations


def take(store: Store, path: Path) -> None:
    """Serve the app on a free port and write a picture of its first page.

    Raises:
        RequestError: there is no browser or no Playwright, or the app does not come up.
    """
    require("playwright", "test")
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RequestError(f"a picture of the board needs one of {', '.join(BROWSERS)}: apt-get install chromium.")
    with serving(store) as address, sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = window.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(address)
        page.wait_for_selector("[data-test-script-state=notRunning] h1", timeout=1_000 * PATIENCE)
        page.wait_for_timeout(SETTLE)
        content = page.get_by_test_id("stMainBlockContainer").bounding_box() or {"y": 0, "height": SIZE["height"]}
        height = min(SIZE["height"], content["y"] + content["height"])
        page.screenshot(path=path, clip={"x": 0, "y": 0, "width": SIZE["width"], "height": height})
        window.close()


@contextmanager
def serving(store: Store) -> Iterator[str]:
    """Run the app in its own process while the block lasts. Yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "bench", "app", "--port", str(port)]
    environment = child_environment() | {"BENCH_DB": store.address}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/_stcore/health") as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(ASK_EVERY)
    raise RequestError("the app did not come up: try `python -m bench app`.")
