"""Which commit a record names, with real repositories."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.runs.code_version import OWN_FILE, commit, project_version
from tests.conftest import QUICK, ROOT, Bench

Writer = Callable[[str, str], Path]
PACKAGES = ("bench", "models", "datamodules", "db", "leaderboard_app")
NOBODY = 65534
SHOW = """
import json
from dataclasses import asdict
from bench.runs.code_version import commit
print(json.dumps(asdict(commit())))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without settings of git, and no variables of git from outside, as in a hook."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(folder: Path) -> str:
    """Make a repository of all that is in a folder; return its commit."""
    folder.mkdir(exist_ok=True)
    (folder / "README").touch()
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "all")
    return git(folder, "rev-parse", "HEAD")


def copied(folder: Path, packages: tuple[str, ...] = ("bench",)) -> Path:
    """Copy our packages into a folder, as installing or unpacking does."""
    ignored = shutil.ignore_patterns("__pycache__", "published", "*.sqlite*", "*-artifacts")
    for name in packages:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def found(folder: Path, **variables: str) -> Any:
    """What the copy in a folder takes for its commit."""
    env = os.environ | {"PYTHONPATH": str(folder)} | variables
    done = subprocess.run([sys.executable, "-P", "-c", SHOW], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_a_checkout(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "checkout")
    head = repository(checkout)
    assert found(checkout) == {"hash": head, "is_dirty": False, "problem": None}
    (checkout / "results").touch()
    assert found(checkout)["is_dirty"] is False
    (checkout / OWN_FILE).open("a", encoding="utf-8").write("# mine")
    assert found(checkout) == {"hash": head, "is_dirty": True, "problem": None}


def test_a_copy_in_anothers_repository(tmp_path: Path) -> None:
    other = tmp_path / "other"
    installed = copied(other / ".venv" / "lib" / "site-packages")
    (other / ".gitignore").write_text(".venv", encoding="utf-8")
    unpacked = copied(tmp_path / "unpacked")
    vendored = copied(other / "vendored")
    repository(other)
    (other / "third_party").symlink_to(unpacked)
    for place in (installed, vendored, other / "third_party"):
        assert found(place)["hash"] is None
        assert "is not a git checkout of long-bench" in found(place)["problem"]


def test_a_repository_that_tracks_none_of_our_files(tmp_path: Path) -> None:
    repository(tmp_path / "other")
    here = copied(tmp_path / "other")
    assert "is not a git checkout of long-bench" in found(here)["problem"]
    assert found(here)["hash"] is None


def test_variables_of_git_name_another_repository(tmp_path: Path) -> None:
    repository(tmp_path / "other")
    head = repository(copied(tmp_path / "checkout"))
    variables = {"GIT_DIR": str(tmp_path / "other" / ".git"), "GIT_WORK_TREE": str(tmp_path / "other")}
    assert found(tmp_path / "checkout", **variables) == {"hash": head, "is_dirty": False, "problem": None}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_checkout_of_another_user(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "checkout")
    head = repository(checkout)
    for path in (checkout, checkout / ".git"):
        os.chown(path, NOBODY, NOBODY)
    problem = found(checkout)["problem"]
    assert "another user owns" in problem
    subprocess.run(problem.partition("allow it: ")[2], shell=True, check=True)
    assert found(checkout)["hash"] == head


def test_no_git(tmp_path: Path) -> None:
    repository(copied(tmp_path / "checkout"))
    assert found(tmp_path / "checkout", PATH=str(tmp_path))["problem"] == "git is not installed, or is not on PATH"


def test_a_repository_without_commits(tmp_path: Path) -> None:
    git(copied(tmp_path / "checkout"), "init", "-q")
    assert found(tmp_path / "checkout")["hash"] is None
    git(tmp_path / "checkout", "add", ".")
    assert found(tmp_path / "checkout")["problem"].startswith("git says: fatal: ")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout that this process takes for its own."""
    folder = tmp_path / "checkout"
    (folder / OWN_FILE).parent.mkdir(parents=True)
    (folder / OWN_FILE).touch()
    repository(folder)
    monkeypatch.setattr("bench.runs.code_version.ROOT", folder)
    commit.cache_clear()
    yield folder
    commit.cache_clear()


def test_a_commit_that_is_made_meanwhile_is_not_the_codes(bench: Bench, write_model: Writer, checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    body = f"os.system('git -C {checkout} -c user.name=a -c user.email=b commit -q --allow-empty -m meanwhile')"
    path = write_model("mine", body)
    for seed in ("0", "1"):
        run = bench.json("run", "--model", str(path), "--set", "max_steps=1", "--seed", seed)
        environment = bench.json("show", run["run_id"])["environment"]
        assert (environment["git_commit"], environment["git_dirty"]) == (head, False)
    assert git(checkout, "rev-parse", "HEAD") != head


def test_the_version_is_that_of_the_code(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "long-bench"\nversion = "7.1"', encoding="utf-8")
    assert project_version() == "7.1"
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "7.1"', encoding="utf-8")
    assert project_version() != "7.1"


@pytest.mark.slow
def test_a_run_of_an_installed_copy_names_no_commit_and_says_so_once(bench: Bench, tmp_path: Path) -> None:
    installed = copied(tmp_path / "other" / ".venv" / "lib" / "site-packages", PACKAGES)
    (tmp_path / "other" / ".gitignore").write_text(".venv", encoding="utf-8")
    repository(tmp_path / "other")
    env = os.environ | bench.env | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-m", "bench", "run", "--model", "gru", *QUICK]
    done = subprocess.run(command, cwd=tmp_path / "other", env=env, check=True, capture_output=True, text=True)
    assert done.stderr.count("No commit is recorded, only the version long-bench") == 1
    (run,) = bench.json("runs")
    environment = bench.json("show", run["run_id"])["environment"]
    assert (environment["git_commit"], environment["git_dirty"]) == (None, None)
    assert environment["packages"]["long-bench"]
