"""How to go on with a run that was stopped."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bench.request import Execution
from db.engine import database_url
from db.store import Store

FLAGS = {"accelerator": "--accelerator", "devices": "--devices", "logger": "--logger", "data_dir": "--data-dir"}
"""Field of an `Execution` → its flag."""


def resume_command(command: str, store: Store, execution: Mapping[str, Any]) -> str:
    """The command that goes on with a run in the same database and in the same way.

    Args:
        command: the recorded one, which says neither: it is published.
        execution: the fields of an `Execution`; what is not there is as by default.
    """
    default = asdict(Execution())
    given = {name: value for name, value in execution.items() if value != default.get(name)}
    words = ["--resume", *(word for name, flag in FLAGS.items() if name in given for word in (flag, given[name]))]
    words += ["--compile"] * ("compile" in given)
    words += ["--db", str(store)] * (store.url != database_url(None))
    return f"{command} {shlex.join(words)}"
