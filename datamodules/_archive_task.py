"""The base of tasks whose data is prepared, once, from an archive that is downloaded."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from datamodules._base import Samples, SequenceDataModule
from datamodules._cache import HASH_FILE, check_split, prepared, read_split
from datamodules._files import DataFile, cache_folder, check, fetch, find

TINY_COUNT = 64


class FromArchive(SequenceDataModule):
    """A task that defines `build`, which reads the archive."""

    archive: ClassVar[DataFile]

    @abstractmethod
    def build(self, archive: Path, folder: Path) -> None:
        """Write what is needed of the archive into folders in a folder (`SplitWriter`)."""

    def prepared_name(self) -> str:
        """Tasks of one name share what is prepared."""
        return f"{self.variant}/v{self.version}"

    def read_prepared(self, name: str) -> Samples:
        def build(folder: Path) -> None:
            self.build(fetch(self.archive, self.data_dir), folder)

        return read_split(prepared(self._folder, build) / name)

    def missing(self) -> str | None:
        if self.is_tiny or self._folder.is_dir() or find(self.archive, self.data_dir):
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
    """A task whose `build` writes its splits, and which can `invent` samples."""

    @abstractmethod
    def invent(self, split: str, count: int) -> Samples:
        """Samples for the tiny variant, which look like the real ones."""

    def make(self, split: str) -> Samples:
        return self.invent(split, TINY_COUNT) if self.is_tiny else self.read_prepared(split)
