"""The names of architectures and task families: the stems of their files, with `_` read as `-`. Nothing is imported."""

import ast
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.common.root import ROOT

DIGITS = 9  # numbers of up to this many digits are sorted by value


def stems(folder: str) -> dict[str, Path]:
    """Return name → file for the files of a folder of the project, without those that begin with an underscore."""
    return {dashed(path.stem): path for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("_")}


def dashed(name: str) -> str:
    return name.replace("_", "-")


@cache
def display_name(model: str) -> str:
    """Return an architecture's name as its paper writes it, read from its file; its own name where there is none."""
    path = stems("models").get(model)
    if path is None:
        return model
    with suppress(SyntaxError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["display_name"]:
                return str(ast.literal_eval(node.value))
    return model


def numerically(name: str) -> str:
    """Return a key that sorts adding-25 before adding-200. It takes any text that a database may hold."""
    return re.sub("[0-9]+", lambda digits: digits[0].zfill(DIGITS), name)


def families_of(task: str) -> list[str]:
    """Return the families that may have a variant of that name, the longest name first."""
    return sorted((name for name in stems("datamodules") if task == name or task.startswith(f"{name}-")), key=len)[::-1]
