"""The names of architectures and task families: the stems of their files, with `_` read as `-`. Nothing is imported."""

import ast
import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.common.errors import RequestError, unknown
from bench.common.root import ROOT

DIGITS = 9  # numbers of up to this many digits are sorted by value


def stems(folder: str) -> dict[str, Path]:
    """Return name → file for the files of a folder of the project, without those that begin with an underscore."""
    return {dashed(path.stem): path for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("_")}


def dashed(name: str) -> str:
    return name.replace("_", "-")


def model_file(name: str) -> Path:
    """Return the file of the architecture of that name.

    Raises:
        RequestError: there is none.
    """
    files = stems("models")
    if dashed(name) not in files:
        raise unknown("model", name, files, "`bench models`")
    return files[dashed(name)]


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


def given_file(text: str, otherwise: str = "a model's name (`bench models`)") -> Path:
    """Return the file that a user gives by its path.

    Args:
        otherwise: what could be given in its place, for the message.

    Raises:
        RequestError: there is no such file.
    """
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise RequestError(f"no file {text!r}. Give a path to a .py file, or {otherwise}.")
    return path


def name_by_path(path: Path, source: bytes) -> str:
    """Return the name of an architecture that is not registered: it carries the hash of its file's content."""
    return draft_name(dashed(path.stem), hashlib.sha256(source).hexdigest())


def draft_name(model: str, source_hash: str) -> str:
    """Return the name that an architecture's runs have before it is registered.

    Args:
        source_hash: SHA-256 of its file.
    """
    return f"{model}@{source_hash[:8]}"


def variant_of(task: str, variants_of: Callable[[str], Iterable[str]]) -> tuple[str, str] | None:
    """Return the family and the variant that a task's name means; None if there are none.

    Args:
        task: the name of a variant, or of a family, which means its first variant.
        variants_of: called with families whose name `task` begins with; returns their variants.
    """
    variant = dashed(task)
    for family in families_of(variant):
        variants = list(variants_of(family))
        if variant == family:
            return family, variants[0]
        if variant in variants:
            return family, variant
    return None
