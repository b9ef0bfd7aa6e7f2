"""Telling a user that a record will not name the code's commit."""

import multiprocessing
from functools import cache

from bench.cli.output import stderr


@cache
def say_missing_commit() -> None:
    """Say once why the records of this process have no commit. A worker leaves that to its parent."""
    from bench.runs.code_version import PROJECT, commit, project_version

    if multiprocessing.parent_process() is None and (problem := commit().problem):
        stderr.print(f"No commit is recorded, only the version {PROJECT} {project_version()}: {problem}.", markup=False)
