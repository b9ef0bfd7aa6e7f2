"""The base of tasks whose data are prepared once, from a downloaded archive."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from datamodules._base import Samples, SequenceDataModule
from datamodules._cache import HASH_FILE, check_split, prepared, read_split
from datamodules._files import DataFile, cache_folder, check, fetch, find, looked_for

TINY_COUNT = 64


class FromArchive(SequenceDataModule):
    """A task with data from an archive. Subclasses define `archive`, and `build`, which reads it."""

    archive: ClassVar[DataFile]

    @abstractmethod
    def build(self, archive: Path, folder: Path) -> None:
        """Write the needed parts of the archive into subfolders of `folder`, with `SplitWriter`."""

    def prepared_name(self) -> str:
        """Return the name of the prepared data. Tasks that return the same name share the data."""
        return f"{self.kept_name}/v{self.version}"

    def read_prepared(self, name: str) -> Samples:
        def build(folder: Path) -> None:
            self.build(fetch(self.archive, self.data_dir), folder)

        return read_split(prepared(self._folder, build) / name)

    def missing(self) -> str | None:
        if self.is_tiny or looked_for(self._folder).is_dir() or find(self.archive, self.data_dir):
            return None
        return f"{self.archive.name} can be downloaded"

    def check(self) -> bool:
        parts = [path.parent for path in self._folder.glob(f"*/{HASH_FILE}")]
        for folder in parts:
            check_split(folder)
        return check(self.archive, self.data_dir) or bool(parts)

    @property
    def _folder(self) -> Path:
        return cache_folder() / "prepared" / self.prepared_name()


class ArchiveTask(FromArchive):
    """A task whose `build` writes one subfolder for each split. Its tiny version uses samples from `invent`."""

    @abstractmethod
    def invent(self, split: str, count: int) -> Samples:
        """Return samples for the tiny variant that look like the real ones."""

    def make(self, split: str) -> Samples:
        return self.invent(split, TINY_COUNT) if self.is_tiny else self.read_prepared(split)
