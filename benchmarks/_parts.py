"""Run the parts of a session, each in a process with a time limit, and keep after each how it ended.

What a part prints is in the session's folder as it is printed: `NAME.json` or `NAME.txt`, and messages in `NAME.log`.
`session.json` says how each part ended, so a second session with the folder goes on where the first one stopped.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from bench.common.whole_files import write_whole

GRACE = 20.0
"""Seconds that a part has to end by itself once it is told to, so that a training is recorded as interrupted."""
LEAST = 5.0
"""Seconds of limit under which a part is not begun."""
DONE, FAILED, STOPPED, NOT_BEGUN = "done", "failed", "out of time", "no time left"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A command of Python, and how long it may take."""

    name: str
    command: Sequence[str]
    """What follows the interpreter."""
    share: float
    """The share of the session's time that is its limit."""
    suffix: str = ".json"
    """Of the file that holds what it prints."""
    fills: bool = False
    """It works off a list: it gets the time that is left, as `--time-limit`, and goes on in the next session."""
    needed: bool = False
    """It is run in every session. If it fails, nothing else is run."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a part ended."""

    status: str
    exit_code: int | None = None
    seconds: float = 0.0
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Parts that share some minutes.

    Args:
        folder: where results are; the one of an earlier session to go on with it.
        seconds: after which no part runs any more.
        kept: the share of the time that is kept for the part that fills.
        kind: a folder of one kind of session is not used for another.
        environment: what the processes' environment has in addition to ours.
        listener: called after each part with its name and how it ended.

    Raises:
        ValueError: the folder belongs to another kind of session.
    """

    folder: Path
    seconds: float
    kept: float
    kind: str
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    listener: Callable[[str, Ending], None] = lambda name, ending: None

    def __post_init__(self) -> None:
        if self._known.exists() and (found := json.loads(self._known.read_text("utf-8"))["kind"]) != self.kind:
            raise ValueError(f"{self.folder} holds a {found}, which is no {self.kind}: give another folder.")

    def run(self, parts: Sequence[Part]) -> dict[str, Ending]:
        """Run the parts that are not done, in order, until the time is over. Return how each part ended."""
        began = time.monotonic()
        endings = self.endings()
        for part in parts:
            if part.name in endings and endings[part.name].status == DONE and not (part.fills or part.needed):
                continue
            passed = time.monotonic() - began
            left = self.seconds * (1.0 if part.fills else 1.0 - self.kept) - passed - GRACE
            endings[part.name] = self._ended(part, min(left, part.share * self.seconds))
            self._keep(endings)
            self.listener(part.name, endings[part.name])
            if part.needed and endings[part.name].status != DONE:
                break
        return endings

    def endings(self) -> dict[str, Ending]:
        """Return how each part ended that was begun in this folder."""
        if not self._known.exists():
            return {}
        return {name: Ending(**each) for name, each in json.loads(self._known.read_text("utf-8"))["parts"].items()}

    def printed(self, part: Part) -> str:
        return _text(self.folder / f"{part.name}{part.suffix}")

    def messages(self, part: Part) -> str:
        return _text(self.folder / f"{part.name}.log")

    @property
    def _known(self) -> Path:
        return self.folder / "session.json"

    def _keep(self, endings: Mapping[str, Ending]) -> None:
        document = {"kind": self.kind, "parts": {name: asdict(each) for name, each in endings.items()}}
        write_whole(self._known, json.dumps(document, indent=1).encode())

    def _ended(self, part: Part, limit: float) -> Ending:
        if limit < LEAST:
            return Ending(status=NOT_BEGUN)
        words = [*part.command, *(["--time-limit", f"{0.8 * limit:.0f}s"] if part.fills else [])]
        began = time.monotonic()
        ending = self._carried_out(part, words, limit)
        return replace(ending, seconds=round(time.monotonic() - began, 1), command=" ".join(["python", *words]))

    def _carried_out(self, part: Part, words: Sequence[str], limit: float) -> Ending:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = self.folder / f"{part.name}{part.suffix}", self.folder / f"{part.name}.log"
        with files[0].open("wb") as out, files[1].open("wb") as log, started(
            [sys.executable, *words], stdout=out, stderr=log, cwd=self.cwd, env={**os.environ, **self.environment}
        ) as process:  # fmt: skip
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                return Ending(status=STOPPED)
            return Ending(status=FAILED if code else DONE, exit_code=code)


@contextmanager
def started(command: Sequence[str], **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process, out of reach of the terminal's Ctrl-C. At the end, it and all that it started are ended."""
    process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603
        command, stdin=subprocess.DEVNULL, process_group=0, **options
    )
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process: by SIGTERM, after GRACE by SIGKILL. Then kill the processes that it has left."""
    family = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:  # also after a second Ctrl-C
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
