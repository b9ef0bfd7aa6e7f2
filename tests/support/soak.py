"""A busy host for some minutes: commands that overlap and are killed at random moments, and a visitor of its board."""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page
from sqlalchemy import text

import db.engine
import db.store
from bench.tuning import storage
from db.engine import connect, database_url
from tests.conftest import QUICK, ROOT, Bench
from tests.support.browser import chromium, free_port, settle, wait_until_healthy
from tests.support.processes import command, ended, start

SLOTS = 2
"""Commands at a time."""
KILLED = 0.7
"""The share of commands that get a moment to be killed at. Those that end before it are not killed."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
USUAL = {"tune": 40.0, "verify": 15.0, "import": 15.0}
"""Seconds that a command takes, until one of its kind was left alone; others take 6."""
TRACEBACK = "Traceback (most recent call last)"
TABLES = {"runs": ("id",), "curves": ("run_row", "name", "step"), "events": ("id",)}
TUNED = ("tune", "--model", "gru", "--task", "digits", "--epochs", "1", "--pruner", "none")


@dataclass
class Job:
    """A command that runs."""

    kind: str
    process: BaseProcess
    log: Path
    began: float
    dies: float | None
    """When it is killed, on the monotonic clock."""
    signal: signal.Signals
    killed: bool = False

    def document(self) -> Any:
        """The JSON document that it printed, or None if it did not get so far."""
        said = self.log.read_text(encoding="utf-8", errors="replace")
        for start_of, end in (("\n{\n", "\n}\n"), ("\n[\n", "\n]\n")):
            begin, stop = f"\n{said}".find(start_of), said.rfind(end)
            if begin >= 0 and stop >= 0:
                return json.loads(said[begin : stop + len(end)])
        return [] if "[]\n" in said else None


@dataclass
class Acknowledged:
    """What commands have said to be done."""

    runs: set[str] = field(default_factory=set)
    trials: int = 0
    study: str = ""
    seeds: int = 0
    """Seeds of our own whose run was printed."""


class Soak:
    """Keeps SLOTS commands running against one database, and checks what they say and leave.

    Args:
        bundles: files to verify and import.
        seed: names all random choices.
    """

    def __init__(self, bench: Bench, bundles: Sequence[Path], seed: str) -> None:
        self.bench, self.bundles, self.random = bench, list(bundles), random.Random(seed)
        self.folder = bench.folder / "soak"
        self.folder.mkdir()
        self.acknowledged, self.rows = Acknowledged(), Rows(bench.env["BENCH_DB"])
        self.started: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self.usual: dict[str, float] = {}
        self.jobs: list[Job] = []
        self._queue: list[str] = []

    def turn(self) -> None:
        """Start, kill and look at what is due."""
        for job in list(self.jobs):
            if job.dies and not job.killed and time.monotonic() > job.dies and job.process.is_alive():
                os.kill(job.process.pid or 0, job.signal)
                job.killed = True
            if not job.process.is_alive():
                self.jobs.remove(job)
                self._look_at(job)
        while len(self.jobs) < SLOTS:
            self._begin()

    def finish(self) -> None:
        """Let what runs end, unharmed."""
        for job in self.jobs:
            ended(job.process)
            self._look_at(job)
        self.jobs = []

    def abandon(self) -> None:
        """End what still runs after a failure of this test itself."""
        for job in self.jobs:
            job.process.kill()

    def _begin(self) -> None:
        kind = self._next_kind()
        log = self.folder / f"{sum(self.started.values()):04}-{kind}.log"
        process = start_beside(self.bench, self._words(kind), log)
        self.started[kind] += 1
        now, dies = time.monotonic(), None
        if self.random.random() < KILLED:
            dies = now + self.random.uniform(0, self.usual.get(kind, USUAL.get(kind, 6.0)))
        self.jobs.append(Job(kind, process, log, now, dies, self.random.choice(SIGNALS)))

    def _next_kind(self) -> str:
        """One of each kind at a time: a second `run` of one seed, or `tune` of one study, would be refused."""
        busy = {job.kind for job in self.jobs}
        while True:
            if not self._queue:
                self._queue = self.random.sample(["run", "run", "tune", "verify", "import", "export"], 6)
            for kind in self._queue:
                if kind not in busy:
                    self._queue.remove(kind)
                    return kind
            self._queue = []

    def _words(self, kind: str) -> list[str]:
        bundle = str(self.random.choice(self.bundles))
        return {
            "run": ["run", "--model", "gru", *QUICK, "--seed", str(100 + self.acknowledged.seeds), "--resume"],
            "tune": [*TUNED, "--trials", str(self.acknowledged.trials + 3), "--workers", "2", "--gpus-per-trial", "0",
                     "--resume"],
            "verify": ["verify", bundle],
            "import": ["import", bundle],
            "export": ["db", "export", str(self.folder / "published")],
        }[kind] + ["--json"]  # fmt: skip

    def _look_at(self, job: Job) -> None:
        """Take down what a command has acknowledged, and what was wrong about it."""
        said, code, document = job.log.read_text(errors="replace"), job.process.exitcode, job.document()
        if document is not None:
            self.done[job.kind] += 1
            getattr(self, f"_take_{job.kind}")(document)
        if job.killed:
            self.killed[f"{job.kind} {job.signal.name}"] += 1
            return
        self.usual[job.kind] = time.monotonic() - job.began
        if code != 0 or TRACEBACK in said or document is None:
            self.problems.append(f"{job.log.name} ended with {code}:\n{said[-3000:]}")

    def _take_run(self, document: Any) -> None:
        if document["status"] == "finished":
            self.acknowledged.runs.add(document["run_id"])
            self.acknowledged.seeds += 1

    def _take_tune(self, document: Any) -> None:
        self.acknowledged.study = document["study"]
        self.acknowledged.trials = max(self.acknowledged.trials, sum(document["trials"].values()))

    def _take_verify(self, document: Any) -> None:
        if document["verdict"] != "accepted":
            self.problems.append(f"a true bundle was rejected: {document}")

    def _take_import(self, document: Any) -> None:
        self.acknowledged.runs.update(document["intake"]["added"] + document["intake"]["known"])

    def _take_export(self, document: Any) -> None:
        if missing := [path for path in document if not Path(path).is_file()]:
            self.problems.append(f"exported, and not there: {missing}")


def start_beside(bench: Bench, words: Sequence[str], log: Path) -> BaseProcess:
    """`python -m bench …` whose checkpoints are in the bench's folder also where results are in PostgreSQL."""
    log.touch()
    return start(_command_beside, bench, tuple(words), log)


def _command_beside(bench: Bench, words: tuple[str, ...], log: Path) -> None:
    for module in (db.engine, db.store, storage):
        module.DEFAULT_PATH = bench.db  # type: ignore[attr-defined]
    command(bench, words, log)


class Rows:
    """Every row that was ever seen: rows are added, and never changed or removed."""

    def __init__(self, url: str) -> None:
        self.engine = connect(database_url(url), read_only=True)
        self.seen: dict[tuple[Any, ...], str] = {}

    def problems(self) -> list[str]:
        """Read all rows, and say which of those seen before are gone or have changed, and which have no run."""
        found, wrong = {}, []
        with self.engine.begin() as connection:
            for table, keys in TABLES.items():
                for row in connection.execute(text(f"SELECT * FROM {table}")).mappings():
                    found[(table, *(row[key] for key in keys))] = repr(dict(row))
                if table != "runs":
                    orphans = f"SELECT count(*) FROM {table} WHERE run_row NOT IN (SELECT id FROM runs)"
                    if count := connection.execute(text(orphans)).scalar_one():
                        wrong.append(f"{count} rows of {table} have no run")
        wrong += [f"{key} is gone" for key in self.seen.keys() - found.keys()]
        wrong += [f"{key} has changed" for key in self.seen.keys() & found.keys() if found[key] != self.seen[key]]
        self.seen |= found
        return wrong


class App:
    """`bench app`, and how much memory its processes hold over time."""

    def __init__(self, bench: Bench, log: Path) -> None:
        port = free_port()
        self.address, self.log = f"http://127.0.0.1:{port}", log
        self.held: list[int] = []
        words = [sys.executable, "-m", "bench", "app", "--port", str(port)]
        env = os.environ | bench.env | {"PYTHONPATH": str(ROOT)}
        with log.open("w") as file:  # a pipe that nobody reads would fill
            self.process = subprocess.Popen(
                words, env=env, cwd=bench.folder, stdout=file, stderr=subprocess.STDOUT, text=True
            )
        wait_until_healthy(self.address, self.process)

    def measure(self) -> None:
        """Add the bytes that belong to the server alone."""
        server = psutil.Process(self.process.pid)
        self.held.append(sum(each.memory_full_info().uss for each in (server, *server.children(recursive=True))))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


@contextmanager
def visited(address: str, seed: str) -> Iterator["Visitor"]:
    """A visitor in a thread of its own, who comes again and again."""
    visitor = Visitor(address, random.Random(seed))
    visitor.thread.start()
    try:
        yield visitor
    finally:
        visitor.stopping.set()
        visitor.thread.join(timeout=300)
    assert not visitor.thread.is_alive()


class Visitor:
    """Opens the board, follows links and turns switches. Each visit is a session of its own."""

    CLICKS = 6

    def __init__(self, address: str, choices: random.Random) -> None:
        self.address, self.random = address, choices
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._visit, daemon=True)
        self.pages = self.visits = 0
        self.problems: list[str] = []

    def _visit(self) -> None:
        try:
            with chromium() as browser:
                while not self.stopping.is_set():
                    page = browser.new_page()
                    page.set_default_timeout(60_000)
                    self._look_around(page)
                    page.close()
                    self.visits += 1
        except Exception as error:  # in a thread nobody else would see it
            self.problems.append(f"the visitor: {error}")

    def _look_around(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        page.goto(self.address)
        for _ in range(self.CLICKS):
            settle(page)
            self.pages += 1
            for each in page.get_by_test_id("stException").all():
                self.problems.append(f"{page.url}: {each.inner_text()[:2000]}")
            if self.stopping.is_set():
                return
            self._click(page)

    def _click(self, page: Page) -> None:
        """Follow a link within the app, or turn a switch of this page."""
        links, switches = (page.locator(f"{each}:visible") for each in ("a[href]", "[role=radio]"))
        inside = [place for place, link in enumerate(links.evaluate_all(HREFS)) if self._leads_inside(link)]
        try:
            if switches.count() and self.random.random() < 0.3:
                switches.nth(self.random.randrange(switches.count())).click(timeout=5_000)
            else:
                links.nth(self.random.choice(inside)).click(timeout=5_000)
        except (BrowserError, IndexError):  # it was drawn again, something lay over it, or there is none
            page.goto(self.address)

    def _leads_inside(self, link: str) -> bool:
        return link.startswith(("/", self.address)) or "://" not in link


HREFS = "links => links.map(link => link.getAttribute('href'))"
WARM_UP = 0.25
"""The share of the first measurements that don't count: caches fill."""
GROWTH, SLACK = 0.10, 24 * 2**20
"""What the median of the last third may be above that of the first third after warming up: a share, and bytes."""


def trend(held: Sequence[int]) -> tuple[float, float]:
    """The medians of the first and of the last third of what was measured after the warm-up."""
    steady = held[int(WARM_UP * len(held)) :]
    third = max(1, len(steady) // 3)
    return statistics.median(steady[:third]), statistics.median(steady[-third:])


def is_flat(held: Sequence[int]) -> bool:
    first, last = trend(held)
    return last <= first * (1 + GROWTH) + SLACK


def table(rows: Mapping[str, object]) -> str:
    """Rows of a summary as Markdown."""
    return "\n".join(["| what | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])
