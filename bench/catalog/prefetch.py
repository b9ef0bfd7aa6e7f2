"""Prepare and check the data of tasks, for machines without a network."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from bench.catalog.registry import find_task, task_names
from datamodules._files import DataError


def fetch(names: Iterable[str], data_dir: str | None) -> Iterator[dict[str, Any]]:
    """Download, verify and generate what tasks need. Yield a row for each task, with the hashes of its splits.

    Args:
        data_dir: the first folder in which data are looked for.

    Raises:
        RequestError: there is no such task.
        DataError: data are damaged or can't be downloaded.
    """
    for found in [find_task(name) for name in names]:
        started = time.perf_counter()
        task = found.build(data_dir=data_dir)
        task.prepare_data()
        hashes = {split: task.split_hash(split) for split in task.split_names}
        yield {"name": found.variant, "seconds": round(time.perf_counter() - started, 1), "splits": hashes}


def check(names: Iterable[str], data_dir: str | None) -> Iterator[dict[str, Any]]:
    """Compare the data on this machine with their hashes. Yield a row for each task; for every task if none is named.

    A row's `status` is `ok`, `damaged` (with the reason as `problem`) or `absent`: there is nothing to check.

    Args:
        data_dir: the first folder in which data are looked for.

    Raises:
        RequestError: there is no such task.
    """
    for found in [find_task(name) for name in list(names) or task_names()]:
        try:
            status, problem = "ok" if found.build(data_dir=data_dir).check() else "absent", None
        except DataError as error:
            status, problem = "damaged", str(error)
        yield {"name": found.variant, "status": status, "problem": problem}
