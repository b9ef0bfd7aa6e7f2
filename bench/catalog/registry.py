"""Find architectures and tasks: every file without a leading underscore in `models/` or `datamodules/` is one.

A name is a file's stem with `_` read as `-`. Only the requested file is imported, so a broken file hides no other.
"""

import hashlib
import inspect
import re
import sys
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, TypeVar

from bench.catalog import moved
from bench.catalog.names import dashed, given_file, model_file, name_by_path, stems, variant_of
from bench.common.errors import RequestError, unknown
from bench.common.root import ROOT
from datamodules._base import SequenceDataModule
from datamodules._files import DataError
from datamodules._split_checks import check_splits
from models.shared.contract import SequenceModel
from models.shared.wrappers import WRAPPERS, Wrapper

T = TypeVar("T")


@dataclass(frozen=True)
class FoundModel:
    """An architecture: its name on the board, its class, its file, and the content of the file when it was found."""

    name: str
    cls: type[SequenceModel]
    path: Path
    source: bytes = field(repr=False)

    @property
    def source_hash(self) -> str:
        return hashlib.sha256(self.source).hexdigest()


@dataclass(frozen=True)
class FoundTask:
    """A task family and one of its variants. Results are stored under the task's name.

    Args:
        path: the file of a task that is not registered.
        digest: the hash of that file and of the variant's data.
    """

    cls: type[SequenceDataModule]
    variant: str
    path: Path | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """The variant's name; with a hash, where the task is not registered."""
        return self.variant if self.digest is None else f"{self.variant}@{self.digest}"

    @property
    def reference(self) -> str:
        """What finds the task again: its name, or its file and the variant."""
        return self.variant if self.path is None else f"{self.path}:{self.variant}"

    @property
    def family(self) -> str:
        """The name of its file."""
        return dashed(self.path.stem if self.path else self.cls.__module__.rpartition(".")[2])

    def build(self, **options: Any) -> SequenceDataModule:
        data = self.cls(self.variant, **options)
        data.spec = replace(data.spec, name=self.name)
        return data


def model_names() -> list[str]:
    return sorted(stems("models"))


def family_names() -> list[str]:
    return sorted(stems("datamodules"))


def find_model(name: str) -> FoundModel:
    """Return the architecture of that name.

    Raises:
        RequestError: there is none, its file is broken, or a package that it needs is missing.
    """
    path = model_file(name)
    source = path.read_bytes()
    return FoundModel(dashed(name), _model_class(_import(f"models.{path.stem}", path), path), path, source)


def find_model_or_file(text: str) -> FoundModel:
    """Return the architecture of that name, or the one that a path to a `.py` file defines.

    For the command line only: the file's code runs in this process. The name on the board carries the hash of the
    file, so an edited file is another model.

    Raises:
        RequestError: there is none, its file is broken, or a package that it needs is missing.
    """
    if not text.endswith(".py"):
        return find_model(text)
    path = given_file(text)
    source = path.read_bytes()
    return _model_in(_import_file(path), path, source)


def find_contribution(text: str) -> FoundModel | type[SequenceDataModule]:
    """Return the architecture or the task that a path to a `.py` file defines, or the architecture of that name.

    As with `find_model_or_file`, the file's code runs in this process.

    Raises:
        RequestError: there is none, the file defines both, its code is broken, or a package that it needs is missing.
    """
    if not text.endswith(".py"):
        return find_model(text)
    path = given_file(text)
    source = path.read_bytes()
    module = _import_file(path)
    models = _public_classes(module, SequenceModel)
    tasks = _public_classes(module, SequenceDataModule)  # type: ignore[type-abstract]
    if bool(models) == bool(tasks):
        raise RequestError(
            f"{path.name} must define one public subclass of SequenceModel (a model) or of SequenceDataModule "
            f"(a task); it defines {', '.join(cls.__name__ for cls in (*models, *tasks)) or 'none'}"
        )
    if models:
        return _model_in(module, path, source)
    return _only_class(module, SequenceDataModule, path)  # type: ignore[type-abstract]


def _model_in(module: ModuleType, path: Path, source: bytes) -> FoundModel:
    """Return the architecture of a file that is not registered."""
    return FoundModel(name_by_path(path, source), _model_class(module, path), path, source)


def find_wrapper(name: str) -> type[Wrapper]:
    """Return the wrapper of that name.

    Raises:
        RequestError: there is no such wrapper.
    """
    if name not in WRAPPERS:
        raise unknown("wrapper", str(name), WRAPPERS)
    return WRAPPERS[name]


def find_task(name: str) -> FoundTask:
    """Return the task of that name: a variant, or a family, which means its first variant.

    Raises:
        RequestError: there is none, or its file is broken.
    """
    found = variant_of(name, lambda family: find_family(family).variants)
    if found is None:
        raise unknown("task", name, {*task_names(), *family_names()}, "`bench tasks`")
    family, variant = found
    return FoundTask(find_family(family), variant)


def find_task_or_file(text: str, data_dir: str | None = None) -> FoundTask:
    """Return the task of that name, or the one that a path to a `.py` file defines: its first variant, or FILE:VARIANT.

    For the command line only: the file's code runs in this process. The name on the board carries a hash of the file
    and of the variant's data, so an edited file is another task, and so are other data.

    Args:
        data_dir: the first folder in which files of data sets are looked for.

    Raises:
        RequestError: there is none, or its file is broken.
        DataError: its data are missing, or they are not what it says that they are.
    """
    named, _, variant = text.partition(".py:") if ".py:" in text else (text.removesuffix(".py"), "", "")
    if named == text:
        return find_task(text)
    path = given_file(f"{named}.py", "a task's name (`bench tasks`)")
    source = path.read_bytes()
    cls = _only_class(_import_file(path), SequenceDataModule, path)  # type: ignore[type-abstract]
    if variant and variant not in cls.variants:
        raise unknown("variant", variant, cls.variants)
    cls.draft = hashlib.sha256(source).hexdigest()[:8]
    found = FoundTask(cls, variant or next(iter(cls.variants)), path)
    hashes = _checked_hashes(found, data_dir)
    return replace(found, digest=hashlib.sha256(source + "".join(hashes).encode()).hexdigest()[:8])


def _checked_hashes(found: FoundTask, data_dir: str | None) -> list[str]:
    """Return the hashes of the splits of a task whose code is a contributor's and may raise anything."""
    try:
        data = found.build(data_dir=data_dir)
        check_splits(data)
        return [data.split_hash(split) for split in data.split_names]
    except (DataError, RequestError):
        raise
    except Exception as error:
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename) == found.path]
        where = f", line {lines[-1]}" if lines else ""
        raise RequestError(f"{found.path}{where} can't make its data: {type(error).__name__}: {error}") from error


def find_family(name: str) -> type[SequenceDataModule]:
    """Return the family of that name.

    Raises:
        KeyError: there is none.
        RequestError: its file is broken.
    """
    path = stems("datamodules")[name]
    return _only_class(_import(f"datamodules.{path.stem}", path), SequenceDataModule, path)  # type: ignore[type-abstract]


def task_names() -> list[str]:
    """Return every variant of every family whose file is not broken."""
    return [variant for variants in all_variants().values() for variant in variants]


def all_variants() -> dict[str, list[str]]:
    """Return family → its variants, none where its file is broken."""
    found: dict[str, list[str]] = {}
    for family in family_names():
        try:
            found[family] = list(find_family(family).variants)
        except RequestError:
            found[family] = []
    return found


def _import(name: str, path: Path) -> ModuleType:
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        raise _broken(path, error) from error


def _import_file(path: Path) -> ModuleType:
    name = "_file_" + re.sub(r"\W", "_", str(path))
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(path, error) from error
    return module


def _broken(path: Path, error: BaseException) -> RequestError:
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return RequestError(f"{shown} does not import: {type(error).__name__}: {error}{moved.advice(error)}")


def _model_class(module: ModuleType, path: Path) -> type[SequenceModel]:
    cls = _only_class(module, SequenceModel, path)
    for requirement in cls.requires:
        if not _is_installed(requirement):
            raise RequestError(f"{path.name} needs {requirement}, which is not installed: pip install '{requirement}'")
    return cls


def _is_installed(requirement: str) -> bool:
    """Whether the package is installed, in any version."""
    try:
        distribution(re.split(r"[^\w.-]", requirement)[0])
    except PackageNotFoundError:
        return False
    return True


def _only_class(module: ModuleType, base: type[T], path: Path) -> type[T]:
    """The one public subclass of `base` that the module defines."""
    found = _public_classes(module, base)
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        raise RequestError(f"{path.name} must define one public subclass of {base.__name__}; it defines {names}")
    return found[0]


def _public_classes(module: ModuleType, base: type[T]) -> list[type[T]]:
    """The public subclasses of `base` that the module itself defines."""
    return [
        cls
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base) and cls.__module__ == module.__name__ and not name.startswith("_")
    ]
