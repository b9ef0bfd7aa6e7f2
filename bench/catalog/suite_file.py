"""A suite from a TOML file. docs/tuning.md has an example.

Only the command line reads one, from the path that a user gives: no name in a database or a bundle is a path.
"""

import tomllib
from collections.abc import Collection, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from bench.catalog.registry import find_task
from bench.catalog.suites import Settings, Suite
from bench.catalog.tiers import TIERS
from bench.common.errors import RequestError, unknown
from models.shared.training import Training


class SuiteFile(BaseModel):
    """What a file may say. The protocol and the versions of tasks are today's."""

    model_config = ConfigDict(strict=True)

    summary: str
    tasks: dict[str, dict[str, Any]] = Field(min_length=1)
    tiers: list[str] = Field(min_length=1)
    trials: PositiveInt
    trials_of: dict[str, PositiveInt] = {}
    seeds: PositiveInt = 5


def read_suite(path: Path) -> Suite:
    """Return the suite that a file describes.

    Its name is the file's stem and the first digits of the suite's hash: an edited file is another suite.

    Raises:
        RequestError: there is no such file, or it says something that is not legal.
    """
    try:
        suite = _suite(path.stem, _parsed(path))
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    return replace(suite, name=f"{suite.name}@{suite.hash[:8]}")


def _parsed(path: Path) -> SuiteFile:
    try:
        content = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"no such file can be read ({error.strerror}). `bench suites` lists the suites.") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise RequestError(f"it is not TOML: {error}.") from error
    _check_names("field", content, SuiteFile.model_fields)
    try:
        return SuiteFile.model_validate(content)
    except ValidationError as error:
        raise RequestError("; ".join(_told(each["loc"], each["msg"]) for each in error.errors()) + ".") from error


def _told(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))}: {message}"


def _suite(name: str, file: SuiteFile) -> Suite:
    _check_names("tier", file.tiers, TIERS)
    _check_names("tier", file.trials_of, file.tiers)
    versions = {task: _version(task) for task in file.tasks}
    return Suite(
        name=name,
        summary=file.summary,
        tasks={task: _training(task, settings) for task, settings in file.tasks.items()},
        tiers=tuple(file.tiers),
        trials=file.trials,
        trials_of=file.trials_of,
        seeds=file.seeds,
        versions={task: version for task, version in versions.items() if version != 1},
    )


def _check_names(what: str, given: Iterable[str], legal: Collection[str]) -> None:
    for name in given:
        if name not in legal:
            raise unknown(what, name, legal)


def _version(task: str) -> int:
    if task.endswith(".py") or "/" in task:
        raise RequestError(
            f"the task {task!r} is a path. A suite has registered tasks only, because its runs are found by their "
            "names. Put the file in datamodules/, or give its path to `bench run --task`."
        )
    spec = find_task(task).build().spec
    if spec.name != task:
        raise RequestError(f"the task {task!r} is short for {spec.name!r}: write that.")
    return spec.version


def _training(task: str, given: Settings) -> Settings:
    _check_names("setting", given, [each.name for each in fields(Training)])
    settings = {name: _value(task, name, value) for name, value in given.items()}
    try:
        Training(**settings)
    except ValueError as error:
        raise RequestError(f"tasks.{task}: {error}.") from error
    return settings


def _value(task: str, name: str, given: Any) -> Any:
    """Return a setting's value. "none" is None, which TOML does not have."""
    adapter: TypeAdapter[Any] = TypeAdapter(get_type_hints(Training)[name])
    value = None if given == "none" else given
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        told = "; ".join(each["msg"] for each in error.errors())
        raise RequestError(_told(("tasks", task, name), f"{told}, not {given!r}.")) from error
