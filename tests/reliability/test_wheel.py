"""The project installed from a wheel, and started in a folder with a `models/` and a `lightning.py` of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from bench.publishing.screenshot import serving
from db.store import Store
from tests.conftest import ROOT, needs_checkout
from tests.leaderboard_app.test_server import free_port
from tests.support.foreign_folder import ForeignFolder

pytestmark = [pytest.mark.slow, needs_checkout]

PACKAGES = ("bench", "models", "datamodules", "db", "leaderboard_app")
LEFT_BEHIND = ("benchmarks", "tests")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.sqlite*", "leaderboard-*")
QUICK = ("--set", "hidden_size=8", "--set", "max_steps=20")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with our wheel, made from our sdist.

    It borrows the packages that we need, but not this checkout.
    """
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, *LEFT_BEHIND):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    sdist = [sys.executable, "-c", f"import setuptools.build_meta as b; b.build_sdist({str(folder)!r})"]
    subprocess.run(sdist, cwd=folder / "source", check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / "source")
    pip, environment = [sys.executable, "-m", "pip", "-q"], folder / "venv"
    (archive,) = folder.glob("*.tar.gz")
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), archive], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", environment, "install", "--no-deps", "--no-index", wheel], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files are not read
    return environment / "bin"


@pytest.fixture
def foreign(tmp_path: Path) -> ForeignFolder:
    return ForeignFolder(tmp_path / "foreign")


def clean_environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BENCH_DB"))}
    return kept | {"BENCH_DB": str(folder / "board.sqlite"), "BENCH_PUBLISHED": "", "OMP_NUM_THREADS": "1"}


@pytest.fixture(params=["bench", "python -m bench"])
def run(request: pytest.FixtureRequest, installed: Path, foreign: ForeignFolder, tmp_path: Path) -> Run:
    command = [installed / "bench"] if request.param == "bench" else [installed / "python", "-m", "bench"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*command, *words], cwd=foreign.path, env=clean_environment(tmp_path), capture_output=True, text=True
        )
        assert foreign.ran() == []
        assert done.returncode == 0, done
        return done

    return run


def test_every_file_comes_along(installed: Path) -> None:
    """Settings, templates, results, markers of types; what only developers read is left out."""
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    paths = [path for path in tracked.stdout.splitlines() if not path.endswith((".mako", ".md"))]
    assert len(paths) > 500
    assert not [name for name in LEFT_BEHIND if (packages / name).exists()]
    assert [path for path in paths if not (packages / path).is_file()] == []


def test_a_bundle_is_verified(run: Run) -> None:
    """Its weights are scored again in a process of their own."""
    found = run("run", "--model", "gru", "--task", "digits", *QUICK)
    assert "test accuracy" in found.stdout
    (line,) = [line for line in run("runs", "--csv").stdout.splitlines() if ",gru," in line]
    run("bundle", line.partition(",")[0], "-o", "my.zip")
    assert "verdict: accepted" in run("verify", "my.zip").stdout


def test_workers_of_a_suite(run: Run) -> None:
    """They end before they train, for there is no time."""
    words = ("--models", "gru", "--seeds", "1", "--workers", "2", "--time-limit", "0s")
    assert "0 runs recorded, 0 failed." in run("suite", *words).stdout


def test_workers_of_ray(run: Run) -> None:
    words = ("--model", "gru", "--budget", "10k", "--trials", "2", "--workers", "2", "--set", "max_steps=5")
    assert "gru on digits: 2 finished" in run("tune", *words).stdout


def test_measuring(run: Run) -> None:
    words = ("--model", "gru", "--against", "rnn", "--seq-len", "16", "--batch", "2", "--repeats", "1")
    assert "rnn" in run("speed", *words).stdout


FROM_PYTHON = """
import bench
print(bench.__file__)
runs = bench.load_results()
print(len(runs) > 500, len(bench.leaderboard("quick-v2")))
print(bench.network(model="fru", task="digits", budget="10k").name)
"""


def test_from_python(installed: Path, foreign: ForeignFolder, tmp_path: Path) -> None:
    """The published results come with the wheel. A folder `models/` of one's own is not in the way."""
    environment = clean_environment(tmp_path)
    del environment["BENCH_PUBLISHED"], environment["BENCH_DB"]
    for path in foreign.path.glob("*.py"):  # nobody could tell a stray `torch.py` from the user's will
        path.unlink()
    done = subprocess.run(
        [installed / "python", "-W", "error", "-c", FROM_PYTHON], cwd=foreign.path, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    assert foreign.ran() == []
    assert done.returncode == 0, done.stderr
    place, results, wrapper = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed.parent)
    assert (results, wrapper) == ("True 0", "plain")


def test_the_site(installed: Path, foreign: ForeignFolder, tmp_path: Path) -> None:
    """With the published results, from which all tables and downloads follow."""
    environment = clean_environment(tmp_path)
    del environment["BENCH_PUBLISHED"]
    command = [installed / "bench", "site", "out", "--db", tmp_path / "site.sqlite"]
    done = subprocess.run(command, cwd=foreign.path, env=environment, capture_output=True, text=True)
    assert foreign.ran() == []
    assert done.returncode == 0, done.stderr
    out = foreign.path / "out"
    assert "S5" in (out / "index.html").read_text("utf-8")
    assert {"leaderboard.json", "results.csv", "results.parquet"} <= {path.name for path in out.iterdir()}


def test_all_extras_install_together(tmp_path: Path) -> None:
    """pip finds versions of all packages that go together. Nothing is installed."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    dry = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed"]
    if subprocess.run([*dry, "--no-deps", "cmaes"], capture_output=True).returncode:
        pytest.skip("pip reaches no index of packages")
    done = subprocess.run([*dry, f"{tmp_path}[{','.join(extras)}]"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_app(installed: Path, foreign: ForeignFolder, tmp_path: Path) -> None:
    port = str(free_port(socket.AF_INET, "127.0.0.1"))
    command = [installed / "python", "-m", "bench", "app", "--port", port]
    process = subprocess.Popen(command, cwd=foreign.path, env=clean_environment(tmp_path), stderr=subprocess.PIPE)
    answer = None
    try:
        while process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{port}/_stcore/health") as page:
                    answer = page.read()
                break
            except OSError:
                time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert foreign.ran() == []
    assert answer == b"ok", said
    assert b"Traceback" not in said


def test_the_picture_of_the_board(foreign: ForeignFolder, small_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(foreign.path)
    with serving(Store(str(small_db))) as address, urlopen(address) as page:
        assert page.status == 200
    assert foreign.ran() == []


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("name", ["models/gru.py", "datamodules/adding.py"])
def test_the_sandbox(run: Run, foreign: ForeignFolder, name: str) -> None:
    """The packages that ours need are in no folder of this environment."""
    shutil.copy(ROOT / name, foreign.path / "mine.py")
    assert "mine.py says that it " in run("check", "mine.py", "--sandbox").stdout


@pytest.mark.usefixtures("sandbox")
def test_the_sandbox_of_packages_in_a_home(installed: Path, foreign: ForeignFolder, tmp_path: Path) -> None:
    """As `pip install --user` leaves them."""
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    home = tmp_path / "home" / packages.relative_to(installed.parent)
    shutil.copytree(packages, home)
    shutil.copy(ROOT / "models" / "gru.py", foreign.path / "mine.py")
    python = Path(sys.base_prefix) / "bin" / "python3"
    done = subprocess.run(
        [python, "-m", "bench", "check", "mine.py", "--sandbox"], cwd=foreign.path, capture_output=True, text=True,
        env=clean_environment(tmp_path) | {"PYTHONUSERBASE": str(tmp_path / "home")},
    )  # fmt: skip
    assert foreign.ran() == []
    assert done.returncode == 0, done
