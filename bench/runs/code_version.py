"""Which code this process runs: its commit, where git knows one that is ours, and its version."""

import os
import shlex
import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.common.root import ROOT
from bench.common.text import one_line

PROJECT = "long-bench"
OWN_FILE = "bench/runs/code_version.py"  # this one: a checkout of ours tracks it
PATIENCE = 10  # seconds
NOT_OURS = f"{ROOT} is not a git checkout of {PROJECT}"
NOT_TRUSTED = (
    f"git does not trust {ROOT}, which another user owns; "
    f"allow it: git config --global --add safe.directory {shlex.quote(str(ROOT))}"
)


@dataclass(frozen=True)
class Commit:
    """The commit of the code, and whether the code differs from it. None where unknown."""

    hash: str | None = None
    is_dirty: bool | None = None
    problem: str | None = None
    """Why there is no commit, and what to do."""

    def fields(self) -> dict[str, Any]:
        """Return the fields of a record."""
        return {"git_commit": self.hash, "git_dirty": self.is_dirty}


class NoCommitError(Exception):
    """There is no commit of ours. The message says why."""


@cache
def commit() -> Commit:
    """Return the commit of the code that this process runs.

    The first call decides, because later commits are not what the process loaded.
    """
    try:
        _check_own_checkout()
        return Commit(git("rev-parse", "HEAD"), _is_dirty())
    except NoCommitError as error:
        return Commit(problem=str(error))


def project_version() -> str | None:
    """Return this project's version: that of the code in ROOT. Another one may be installed."""
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        project = {}
    return project["version"] if project.get("name") == PROJECT else package_version(PROJECT)


def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _check_own_checkout() -> None:
    """Check that git's answers are about our own files: a copy may lie in another project's repository.

    Raises:
        NoCommitError: they are not, or git does not answer.
    """
    if not (ROOT / ".git").exists():
        raise NoCommitError(NOT_OURS)
    if git("rev-parse", "--show-prefix"):  # the path to ROOT from the top of the repository that git takes
        raise NoCommitError(NOT_OURS)
    git("ls-files", "--error-unmatch", OWN_FILE)


def _is_dirty() -> bool | None:
    """Whether the code differs from the commit. Untracked files, such as results, do not count."""
    try:
        return bool(git("status", "--porcelain", "--untracked-files=no"))
    except NoCommitError:
        return None


def git(*arguments: str) -> str:
    """Return git's answer about ROOT. Variables such as GIT_DIR, which name another repository, are left out.

    Raises:
        NoCommitError: git refused, is not installed, or does not answer in time.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(ROOT), *arguments], env=variables | {"LC_ALL": "C"},  # noqa: S607
            capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise NoCommitError(_cause(error.stderr)) from error
    except subprocess.TimeoutExpired as error:
        raise NoCommitError(f"git did not answer within {PATIENCE} s") from error
    except OSError as error:
        raise NoCommitError("git is not installed, or is not on PATH") from error
    return answer.stdout.strip()


def _cause(said: str) -> str:
    if "safe.directory" in said:
        return NOT_TRUSTED
    if "not a git repository" in said or "did not match any file" in said:
        return NOT_OURS
    return f"git says: {one_line(said.strip())}"
