"""Measure how soon the board is on screen with 10,000 runs and 1,000 runs' curves, and how soon a filter answers.

    python benchmarks/board_speed.py        # needs the extra `test`
    python benchmarks/board_speed.py --site

Fill a database through the store, serve it as `python -m bench app` does, and open it in headless Chromium. A new
visitor's browser has nothing cached; a returning visitor's browser has the app's own files. Print wall-clock seconds
and processor seconds; other programs on the machine affect the processor seconds less. With --site, do so for the
static pages of `python -m bench site`, from a server of files, and say how long they took to write.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psutil

from bench.catalog.registry import model_names
from bench.catalog.suites import SUITES
from bench.common.errors import require
from bench.common.exit_codes import exit_codes
from bench.ranking.contest import WRAPPERS
from db.store import Store

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where tests/ is

from tests.support.synthetic import fill

if TYPE_CHECKING:
    from _board_pages import Took

MODELS, RUNS, CURVES = 36, 10_000, 1_000
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def make_database(path: Path) -> int:
    """Record every cell of suites for 36 models in one block while they fit, and runs without a tier up to 10,000.

    Returns:
        the number of runs.
    """
    store = Store(str(path))
    names = model_names()
    models = [*names, *(f"model-{index}" for index in range(MODELS - len(names)))]
    count = 0
    for suite in SUITES.values():
        if count + MODELS * len(suite.tasks) * len(suite.tiers) * suite.seeds > RUNS:
            continue
        left = max(0, CURVES - count)
        count += len(fill(store, models=models, suite=suite.name, tiers=suite.tiers, curves=left, wrapper=WRAPPERS[0]))
    extra = RUNS - count
    count += len(fill(store, models=["fru"], suite="quick-v1", seeds=extra // 4, budget=None, machine=1))
    return count


@contextmanager
def served(path: Path) -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bench", "app", "--port", str(port), "--db", str(path)]
    address = f"http://127.0.0.1:{port}"
    started, environment = time.perf_counter(), os.environ | {"BENCH_PUBLISHED": ""}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:  # noqa: S603
        while True:
            try:
                urlopen(f"{address}/_stcore/health").close()  # noqa: S310
                break
            except OSError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.05)
        print(f"serving after {time.perf_counter() - started:.1f} s")
        yield address, psutil.Process(process.pid)
        process.terminate()


@contextmanager
def written(path: Path, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Write the static pages, and serve them as files."""
    started, environment = time.perf_counter(), os.environ | {"BENCH_PUBLISHED": ""}
    command = [sys.executable, "-m", "bench", "site", str(folder), "--db", str(path)]
    subprocess.run(command, env=environment, check=True)  # noqa: S603
    print(f"written in {time.perf_counter() - started:.0f} s")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        time.sleep(1)
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        process.terminate()


def shown(name: str, times: "list[Took]") -> None:
    clock, server, everything = map(statistics.median, zip(*times, strict=True))
    worst = max(each.clock for each in times)
    print(f"{name:30} median {clock:.2f} s, worst of {len(times)} {worst:.2f} s; ", end="")
    print(f"processors: server {server:.2f} s, with Chromium {everything:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="A database to fill, or one that was filled before.")
    parser.add_argument("--site", action="store_true", help="Measure the static pages in place of the app.")
    options = parser.parse_args()
    require("playwright", "test")
    from _board_pages import Clock, filters, first_views, further_views
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "board.sqlite"
        if not path.exists():
            started = time.perf_counter()
            print(f"recorded {make_database(path):,} runs in {time.perf_counter() - started:.0f} s")
        opened = written(path, Path(folder) / "site") if options.site else served(path)
        with opened as (address, server), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            clock = Clock(server)
            shown("first visitor after the start", first_views(browser, address, clock, 1))
            shown("first view of a new visitor", first_views(browser, address, clock, options.turns))
            shown("first view of who returns", further_views(browser, address, clock, options.turns))
            asked = {} if options.site else filters(browser, address, clock, options.turns)
            for name, times in asked.items():
                shown(name, times)
            browser.close()
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    with exit_codes():
        main()
