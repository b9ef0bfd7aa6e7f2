"""MNIST and Fashion-MNIST: four files each, in the IDX format (big-endian header, then bytes).

The digests are SHA-256 of the decompressed files, so a file that differs in a single bit is refused. Fashion-MNIST's
digests were computed from Debian's package `dataset-fashion-mnist`. MNIST's could not be computed on the machine where
this file was written. Unrelated public projects (mygrad's build files and others) pin the same four digests, some of
them next to the well-known hashes of the compressed files. If a digest were wrong, good data would be refused; bad data
could not be accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules._files import DataFile, check, fetch, find, open_decoded

UNSIGNED_BYTE = 0x08
IMAGES, LABELS = 47_040_016, 60_008  # bytes of the training files: header and 60,000 samples
TEST_IMAGES, TEST_LABELS = 7_840_016, 10_008
MNIST_URLS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
FASHION_URLS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, kw_only=True)
class IdxSet:
    """A data set of images (N, 28, 28) and labels (N,), in bytes.

    `files` maps an official part ("train" or "test") to its two files: images, labels.
    """

    files: Mapping[str, tuple[DataFile, DataFile]]
    source: str
    license: str
    citation: str

    def read(self, part: str, data_dir: str | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        images, labels = (read_idx(fetch(file, data_dir)) for file in self.files[part])
        return images, labels

    def missing(self, data_dir: str | None) -> str | None:
        absent = [file.name for file in self._all() if find(file, data_dir) is None]
        return f"{', '.join(absent)} of {self._all()[0].dataset} can be downloaded" if absent else None

    def check(self, data_dir: str | None) -> bool:
        """Verify the files that are on this machine, and return whether there are any.

        Raises:
            DataError: a file is damaged.
        """
        return sum(check(file, data_dir) for file in self._all()) > 0

    def _all(self) -> list[DataFile]:
        return [file for pair in self.files.values() for file in pair]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in an IDX file of bytes.

    Raises:
        ValueError: the file is not an IDX file of bytes.
    """
    with open_decoded(path) as stream:
        content = stream.read()
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise ValueError(f"{path} is not an IDX file of bytes")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + prod(shape):
        raise ValueError(f"{path} is not an IDX file: its header says {shape}, it has {len(content)} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _files(
    dataset: str, urls: tuple[str, ...], digests: tuple[str, str, str, str], system_folder: Path | None = None
) -> dict[str, tuple[DataFile, DataFile]]:
    def file(name: str, size: int, digest: str) -> DataFile:
        name = f"{name}-ubyte.gz"
        sources = tuple(url + name for url in urls)
        return DataFile(
            dataset=dataset, name=name, urls=sources, size=size, digest=f"sha256:{digest}", decoded=True,
            system_folder=system_folder,
        )  # fmt: skip

    return {
        "train": (
            file("train-images-idx3", IMAGES, digests[0]),
            file("train-labels-idx1", LABELS, digests[1]),
        ),
        "test": (
            file("t10k-images-idx3", TEST_IMAGES, digests[2]),
            file("t10k-labels-idx1", TEST_LABELS, digests[3]),
        ),
    }


MNIST = IdxSet(
    files=_files(
        "mnist",
        MNIST_URLS,
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    source="http://yann.lecun.com/exdb/mnist/",
    license="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio & Haffner, Gradient-Based Learning Applied to Document Recognition, 1998",
)

FASHION = IdxSet(
    files=_files(
        "fashion-mnist",
        FASHION_URLS,
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        DEBIAN,
    ),
    source="https://github.com/zalandoresearch/fashion-mnist",
    license="MIT",
    citation="Xiao, Rasul & Vollgraf, Fashion-MNIST, 2017, arXiv 1708.07747",
)
