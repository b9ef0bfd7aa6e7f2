"""CIFAR-10 in its binary form: six files of 10,000 records. A record is a label and three planes of 32×32 bytes."""

from pathlib import Path

import numpy as np
import torch

from datamodules._archive_task import FromArchive
from datamodules._archives import members
from datamodules._base import Samples
from datamodules._cache import write_split
from datamodules._files import DataError, DataFile
from datamodules._images import CLASSES, Images, ImageTask, Labels
from datamodules._spec import Continuous, Label, TaskSpec

# The MD5 sum is on the data set's own page.
CIFAR = DataFile(
    dataset="cifar-10",
    name="cifar-10-binary.tar.gz",
    urls=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
    ),
    size=170_052_171,
    digest="md5:c32a1d4ab5d03f1284b67883e8d87530",
)
PARTS = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
RECORDS = 10_000
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32


class CifarTask(FromArchive, ImageTask):
    """A task: name what is in a 32×32 colour image."""

    archive = CIFAR
    records = RECORDS
    side = 32
    channels = 3
    held_out = 5_000
    steps: int
    width: int
    summary: str

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=self.summary,
            seq_len=self.steps,
            input=Continuous(self.width),
            output=Label(CLASSES),
            metric="accuracy",
            chance=1 / CLASSES,
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            license="none stated",
            citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        )

    def read(self, part: str) -> tuple[Images, Labels]:
        images, labels, _ = self.read_prepared(part)
        return images.numpy(), labels.numpy()

    def prepared_name(self) -> str:
        return f"{self.archive.dataset}/v1"

    def build(self, archive: Path, folder: Path) -> None:
        files = {Path(name).name: content for name, content in members(archive, _is_batch, self.records * RECORD)}
        for part, names in PARTS.items():
            batches = [_parse(name, files.get(name, b""), self.records) for name in names]
            write_split(folder / part, len(names) * self.records, batches)


def _is_batch(name: str) -> bool:
    return any(Path(name).name in names for names in PARTS.values())


def _parse(name: str, content: bytes, records: int) -> Samples:
    if len(content) != records * RECORD:
        raise DataError(f"CIFAR-10's {name} has {len(content):,} bytes; {records * RECORD:,} were expected")
    table = np.frombuffer(content, np.uint8).reshape(records, RECORD)
    images = table[:, 1:].reshape(records, *SHAPE).transpose(0, 2, 3, 1)
    return Samples(torch.from_numpy(images.copy()), torch.from_numpy(table[:, 0].copy()))
