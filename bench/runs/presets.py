"""Settings that tuning found, in `models/presets/`: one TOML file for each model, read by `--preset`.

    [plain.digits.10k."20 trials of 1000 steps"]
    lr = 0.0034
    protocol = 2
    weight_decay = 0.1

A heading is a wrapper, a task, a parameter tier and what was spent on tuning. The lines under it are the settings, and
the protocol that they were found by: 1 where none is named. Only presets of today's protocol are used.
"""

import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.catalog.registry import FoundModel
from bench.common.errors import RequestError
from bench.common.protocol import PROTOCOL
from bench.common.root import ROOT
from bench.common.whole_files import write_whole
from bench.runs.request import RunRequest, SettingFlags

FOLDER = ROOT / "models" / "presets"
HEADER = "# Written by `bench tune --save-preset`, read by --preset.\n"

KEY = "protocol"  # no setting has this name

Tables = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings that tuning found, and what it found them for."""

    wrapper: str
    task: str
    budget: str
    tuning: str
    """What was spent, as `setting_sources.spent` writes it."""
    settings: dict[str, Any]
    protocol: int = PROTOCOL

    def applied_to(self, flags: SettingFlags) -> SettingFlags:
        """Return flags that start from this preset and override it."""
        return replace(flags, preset=self.settings, spent=self.tuning)

    def is_for(self, wrapper: str, task: str, budget: str) -> bool:
        return (self.wrapper, self.task, self.budget) == (wrapper, task, budget)


def path_of(model: FoundModel) -> Path:
    """Return the file of a model's presets. It need not exist.

    Raises:
        RequestError: the model is a file outside the project, which has no presets.
    """
    if "@" in model.name:
        raise RequestError(f"{model.path} is not in models/, and only models there have presets: move it there.")
    return FOLDER / f"{model.name}.toml"


def save(base: RunRequest, tuning: str, settings: dict[str, Any]) -> Path:
    """Put a preset in its model's file, replacing one of the same key, and return the file.

    Args:
        base: a run with the preset's model, wrapper, task and tier.
        tuning: what was spent, as `setting_sources.spent` writes it.

    Raises:
        RequestError: the file is not TOML, or the model is a file outside the project.
    """
    path = path_of(base.model)
    tables = _read(path)
    place = tables
    for key in (base.wrapper.name, base.spec.name, base.budget or "none"):
        place = place.setdefault(key, {})
    place[tuning] = settings | {KEY: PROTOCOL}
    write_whole(path, (HEADER + "".join(_written(tables, ()))).encode())
    return path


def load(base: RunRequest, tuning: str | None = None) -> Preset:
    """Return the settings that tuning found for a model, wrapper, task and tier.

    Args:
        base: a run with that model, wrapper, task and tier.
        tuning: what was spent; the most trials, unless given.

    Raises:
        RequestError: there is no such preset, the file is not TOML, or the model is a file outside the project.
    """
    budget = base.budget or "none"
    every = [each for each in saved(base.model) if each.is_for(base.wrapper.name, base.spec.name, budget)]
    found = {each.tuning: each for each in every if each.protocol == PROTOCOL}
    if not found or tuning not in (None, *found):
        others = [
            f"for {each.tuning}" if each.protocol == PROTOCOL else f"of protocol {each.protocol}, which is not used"
            for each in every
        ]
        kept = f" (there is one {', one '.join(others)})" if others else ""
        raise RequestError(
            f"no preset for {base.model.name} ({base.wrapper.name}) on {base.spec.name} at budget {budget}"
            f"{f' from {tuning}' if tuning else ''}{kept}. Make one with `bench tune … --save-preset`."
        )
    return found[tuning or max(found, key=lambda each: int(each.split()[0]))]


def saved(model: FoundModel) -> list[Preset]:
    """Return every preset of a model in models/, sorted by wrapper, task, tier and what was spent.

    Raises:
        RequestError: its file is not TOML, or the model is a file outside the project.
    """
    return [
        _preset(settings, wrapper=wrapper, task=task, budget=budget, tuning=tuning)
        for wrapper, tasks in sorted(_read(path_of(model)).items())
        for task, budgets in sorted(tasks.items())
        for budget, tunings in sorted(budgets.items())
        for tuning, settings in sorted(tunings.items())
    ]


def _preset(lines: dict[str, Any], **key: str) -> Preset:
    settings = {name: value for name, value in lines.items() if name != KEY}
    return Preset(**key, settings=settings, protocol=lines.get(KEY, 1))


def _read(path: Path) -> Tables:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path} is not TOML: {error}.") from error


def _written(tables: Tables, keys: tuple[str, ...]) -> list[str]:
    """Write lines of TOML, sorted. Numbers, strings and lists are written as in JSON, None as "none"."""
    lines = [f"{key} = {_value(value)}\n" for key, value in sorted(tables.items()) if not isinstance(value, dict)]
    heading = [f"\n[{'.'.join(map(_key, keys))}]\n"] if lines else []
    inner = [_written(value, (*keys, key)) for key, value in sorted(tables.items()) if isinstance(value, dict)]
    return heading + lines + [line for part in inner for line in part]


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    return json.dumps("none" if value is None else value, ensure_ascii=False)
