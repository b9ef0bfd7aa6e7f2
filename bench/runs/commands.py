"""The commands that repeat a run and that resume one."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import singledispatch
from typing import Any

from bench.catalog.setting_sources import BUDGET, is_preset
from bench.common.errors import RequestError
from bench.common.text import assignments
from bench.runs.presets import load
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from db.store import Store

FLAGS = {"accelerator": "--accelerator", "devices": "--devices", "logger": "--logger", "data_dir": "--data-dir"}
"""Field of an `Execution` → its flag."""


def resume_command(command: str, store: Store, execution: Mapping[str, Any]) -> str:
    """Return the command that resumes a run in the same database and with the same execution.

    Args:
        command: the recorded command. It is published, so it names neither the database nor the execution.
        execution: the fields of an `Execution`; a missing field has its default.
    """
    default = asdict(Execution())
    given = {name: value for name, value in execution.items() if value != default.get(name)}
    words = ["--resume", *(word for name, flag in FLAGS.items() if name in given for word in (flag, given[name]))]
    words += [f"--{name}" for name in ("compile", "again") if name in given]
    words += [] if store.is_default else ["--db", str(store)]
    return f"{command} {shlex.join(words)}"


@singledispatch
def run_command(request: RunRequest) -> str:
    """Return the command that repeats a run. It leaves out settings that it would choose again by itself.

    This is a single-dispatch function: a paper's protocol registers its own kind of request and its command.
    """
    name = request.model.name
    words = ["python", "-m", "bench", "run", "--model", str(request.model.path) if "@" in name else name]
    words += ["--task", request.task.reference, "--seed", str(request.seed)]
    words += ["--wrapper", request.wrapper.name] * (request.wrapper.name != request.model.cls.wrapper)
    words += ["--budget", str(request.budget)] * (request.budget is not None)
    chosen = [name for name, source in request.sources.items() if source != BUDGET]
    by_flag = [name for name in chosen if not is_preset(request.sources[name])]
    if _follows_from_preset(request, by_flag):
        words, chosen = [*words, "--preset"], by_flag
    return shlex.join(words + [part for each in _assignments(request, chosen) for part in ("--set", each)])


def _assignments(request: RunRequest, names: Iterable[str]) -> list[str]:
    config = request.settings.flat()
    return assignments({name: config[name] for name in names})


def _follows_from_preset(request: RunRequest, by_flag: Iterable[str]) -> bool:
    """Whether `--preset` and these settings by flag make this very run today, from the same sources.

    They do not if the tuned settings were not saved, or if a preset of more trials was saved since.
    """
    if not any(map(is_preset, request.sources.values())):
        return False
    given = SettingFlags(
        assignments=_assignments(request, by_flag), budget=request.budget, wrapper=request.wrapper.name
    )
    try:
        again = build_request(request.model, request.task, load(request).applied_to(given), request.seed)
    except RequestError:  # no preset, or none that fits
        return False
    return (again.run_id, again.sources) == (request.run_id, request.sources)
