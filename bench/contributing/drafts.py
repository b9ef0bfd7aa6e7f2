"""Write the first draft of a new architecture or task: `bench new-model NAME`, `bench new-task NAME`."""

import re
from pathlib import Path

from bench.catalog.names import families_of
from bench.catalog.registry import find_family
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.contributing import model_template, task_template

LEGAL_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_model(name: str) -> Path:
    """Write the draft of an architecture into `models/`, never over another file.

    Returns:
        The file's path.

    Raises:
        RequestError: an illegal name, or the file exists.
    """
    return _write(name, model_template.TEMPLATE, "models", "my-rnn")


def write_task(name: str) -> Path:
    """Write the draft of a task into `datamodules/`, never over another file.

    Returns:
        The file's path.

    Raises:
        RequestError: an illegal name, the name of another task, or the file exists.
    """
    if any(name in find_family(family).variants for family in families_of(name)):
        raise RequestError(f"{name!r} is a task already. Choose another name.")
    return _write(name, task_template.TEMPLATE, "datamodules", "my-task")


def _write(name: str, template: str, folder: str, example: str) -> Path:
    if not LEGAL_NAME.fullmatch(name):
        raise RequestError(f"{name!r} is no legal name: small letters, digits and single dashes, such as {example!r}.")
    class_name = "".join(word.capitalize() for word in name.split("-"))
    if re.search(rf"^from .*\b{class_name}\b", template, re.M):
        raise RequestError(f"{name!r} would hide {class_name}, which the draft imports. Choose another name.")
    path = ROOT / folder / f"{name.replace('-', '_')}.py"
    if path.exists():
        raise RequestError(f"{path} exists already. Choose another name, or edit that file.")
    path.write_text(template.replace("@NAME@", name).replace("@CLASS@", class_name), encoding="utf-8")
    return path
