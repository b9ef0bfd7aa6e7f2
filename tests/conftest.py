"""What the tests share: the command line as a user calls it, and a database of their own."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from sqlalchemy import text

from bench.__main__ import main
from bench.common import garbage, kept_answers
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.contributing.sandbox import check_available
from bench.submissions.rescore import respond
from db.store import Store

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder of the tests and the documents. The packages are in ROOT, which is another if a wheel is tested."""
torch.set_num_threads(1)
torch.backends.cudnn.allow_tf32 = False  # as in every run
GOLDEN = CHECKOUT / "tests" / "golden"
QUICK = ("--set", "epochs=2", "--set", "hidden_size=8")
DIVERGING = ("--set", "num_freqs=2", "--set", "output_size=4", "--set", "lr=1e20", "--set", "clip_norm=none")

needs_checkout = pytest.mark.skipif(ROOT != CHECKOUT, reason="what it is about is not installed with the packages")
collect_ignore = [] if ROOT == CHECKOUT else ["benchmarks", "docs", "test_layout.py"]  # for the same reason

# A shell's background jobs are deaf to Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="Where the contract of every architecture is tested: cpu, cuda.")
    parser.addoption("--golden", type=Path, default=GOLDEN, help="A folder with numbers of the authors' own code.")
    parser.addoption("--screenshots", type=Path, help="A folder for pictures of the app's pages; else a temporary one.")


@pytest.fixture(scope="module", autouse=True)
def set_aside() -> None:
    """Spare the garbage collector what earlier modules have left: every run of a test collects before it trains."""
    garbage.set_aside()


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """End with each test what it, or the code it calls, has set in the environment."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every answer: tests put other things in the place of the code that kept answers follow from."""
    monkeypatch.setattr(kept_answers, "folder", lambda: None)


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = request.config.getoption("--screenshots") or tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def golden_folder(request: pytest.FixtureRequest) -> Path:
    return request.config.getoption("--golden")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def empty_is_nan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory that is got and not written to holds NaN, where it would often hold a fitting zero."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    stdout: str
    stderr: str


class Bench:
    """`python -m bench …` with a database in a temporary folder.

    Called, it runs a command inside this process, which spares the seconds that importing torch takes; `start` starts a
    process of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.db = folder, folder / "board.sqlite"
        # One thread: on two busy cores two processes of one thread each are faster than two that fight over both.
        self.env = {"BENCH_DB": str(self.db), "BENCH_PUBLISHED": "", "OMP_NUM_THREADS": "1"}

    def __call__(self, *words: str, code: int | None = 0) -> Done:
        """Run a command and check its exit code; None for any."""
        out, err = io.StringIO(), io.StringIO()
        argv = ["bench", *words]
        with ExitStack() as stack:
            for context in (redirect_stdout(out), redirect_stderr(err), chdir(self.folder)):
                stack.enter_context(context)
            stack.enter_context(patch.dict(os.environ, self.env))
            stack.enter_context(patch.object(sys, "argv", argv))
            stack.enter_context(patch.object(sys, "path", sys.path[:]))
            stop = stack.enter_context(pytest.raises(SystemExit))
            main()
        done = Done(stop.value.code or 0, out.getvalue(), err.getvalue())
        assert code is None or done.code == code, done
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code).stdout)

    def refused(self, *words: str) -> str:
        """What a wrong request is told."""
        return self(*words, code=2).stderr

    def start(self, *words: str) -> subprocess.Popen[str]:
        env = os.environ | self.env
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [self.env.get("PYTHONPATH"), str(ROOT)]))
        command = [sys.executable, "-m", "bench", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=env, cwd=self.folder, **pipes)

    def fresh(self, *words: str, code: int = 0) -> Done:
        """As a call, in a process of its own."""
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == code, f"exit code {process.returncode}\n{stdout}\n{stderr}"
        assert "Traceback" not in stderr
        return Done(process.returncode, stdout, stderr)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A database with three quick runs: GRU seeds 0 and 1, and an FRU that diverged."""
    bench = Bench(tmp_path_factory.mktemp("board"))
    bench("run", "--model", "gru", *QUICK)
    bench("run", "--model", "gru", "--seed", "1", *QUICK)
    bench("run", "--model", "fru", *DIVERGING, code=1)
    return bench


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(open_folder: Path) -> Iterator[str]:
    """A PostgreSQL server of our own, on a socket in a temporary folder."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(found).parent for found in _which("initdb")]
    if not binaries:
        pytest.skip("PostgreSQL is not installed")
    folder = open_folder / "postgres"
    folder.mkdir()
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if user:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
    server = {"stdout": subprocess.DEVNULL, "check": True, "cwd": folder, **user}
    data, options = folder / "data", f"-c listen_addresses='' -k {folder}"
    subprocess.run([binaries[-1] / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], **server)
    control = [binaries[-1] / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], **server)
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], **server)


def _which(name: str) -> list[str]:
    found = shutil.which(name)
    return [found] if found else []


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "board.sqlite")
    server = request.getfixturevalue("postgres")
    store = Store(f"{server}&application_name=setup")
    with store._engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    return server


@pytest.fixture
def rescored_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles are rescored in this process, which spares the seconds that importing torch takes."""
    monkeypatch.setattr(
        "bench.submissions.claim_checks.run_limited",
        lambda module, given, seconds: respond(*given.split(b"\n", maxsplit=1)),
    )


@pytest.fixture
def sandbox() -> None:
    """Skip the test where there is no sandbox."""
    try:
        check_available()
    except RequestError as error:
        pytest.skip(str(error))


def as_nobody(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as a user who may read the files but not write them."""
    words = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [*words, sys.executable, "-c", code, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="session")
def small_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up database; see `tests.support.pages.small`. Tests only read it."""
    from tests.support.pages import small

    path = tmp_path_factory.mktemp("small") / "board.sqlite"
    small(path)
    return path


@pytest.fixture(scope="session")
def empty_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "board.sqlite"
    Store(str(path))
    return path


@pytest.fixture(scope="session")
def large_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand made-up runs; see `tests.support.pages.large`."""
    from tests.support.pages import large

    path = tmp_path_factory.mktemp("large") / "board.sqlite"
    large(path)
    return path


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a model file whose `forward` has the given body; returns its path."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(MODEL.format(body=body), encoding="utf-8")
        return path

    return write


MODEL = """
from dataclasses import dataclass
import os, signal, time
import torch
from torch import nn
from models.shared.contract import ModelConfig, Paper, SequenceModel

class Mine(SequenceModel):
    paper = Paper("None yet", 2026, "https://example.org")
    display_name = "Test"
    family = "gated recurrence"
    wrapper = "plain"

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        size: int = 4

        @classmethod
        def at_width(cls, width):
            return cls(size=width)

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.output_size = config.size
        self.linear = nn.Linear(self.input_size, config.size)
        self.drop = nn.Dropout(0.3)
        self.calls = 0

    def forward(self, x_BTD, lengths_B=None):
        self.calls += 1
        {body}
        return self.drop(self.linear(x_BTD)).cumsum(1)
"""
