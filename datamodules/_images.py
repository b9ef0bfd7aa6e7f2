"""The base of tasks that read an image as a sequence. Shapes: B batch, N samples, T time, D values a step.

A fixed permutation divides the official training part into a training and a validation part. It is the same for every
task on the data set. The validation part has 10,000 of the 60,000 digits (the field's custom since the benchmarks of
the Theano days) or 5,000 of CIFAR's 50,000 images (He et al. 2016).
"""

import hashlib
from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules._base import Samples, SequenceDataModule
from datamodules._idx import IdxSet
from datamodules._spec import Continuous, Label, TaskSpec

HELD_OUT_SEED = 1803
PERMUTATION_SEED = 92916  # the seed of the permuted MNIST in use since Le, Jaitly & Hinton 2015
CLASSES = 10
TINY_COUNT = 64

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]


class ImageTask(SequenceDataModule):
    """A task: classify an image in ten classes. Pixels are bytes in memory; `decode` scales them to [0, 1]."""

    side: int
    channels = 1
    held_out: int
    """How many images of the official training part form the validation part."""

    @abstractmethod
    def read(self, part: str) -> tuple[Images, Labels]:
        """Return the images and labels of an official part, "train" or "test".

        The images are (N, side, side) or (N, side, side, channels).
        """

    @abstractmethod
    def arrange(self, images: Images) -> Images:
        """Return the images as sequences, (N, T, D)."""

    def make(self, split: str) -> Samples:
        images, labels = self._tiny_images(split) if self.is_tiny else self._of_split(split)
        x_NTD = np.ascontiguousarray(self.arrange(images))
        return Samples(torch.from_numpy(x_NTD), torch.from_numpy(labels.astype(np.int64)))

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.float() / 255)

    def _of_split(self, split: str) -> tuple[Images, Labels]:
        images, labels = self.read("test" if split == "test" else "train")
        if split == "test":
            return images, labels
        order = np.random.RandomState(HELD_OUT_SEED).permutation(len(labels))
        index = np.sort(order[: self.held_out] if split == "validation" else order[self.held_out :])
        return images[index], labels[index]

    def _tiny_images(self, split: str) -> tuple[Images, Labels]:
        """Return noise that is brighter for higher labels: it is quick to make, and there is something to learn."""
        rng = self.rng(f"tiny/{split}")
        labels = rng.integers(CLASSES, size=TINY_COUNT, dtype=np.uint8)
        shape = (TINY_COUNT, self.side, self.side) + ((self.channels,) if self.channels > 1 else ())
        noise = rng.integers(100, size=shape, dtype=np.uint8)
        return noise + 15 * labels.reshape(-1, *[1] * (len(shape) - 1)), labels


class IdxTask(ImageTask):
    """A task on the images of an IDX data set: a step is a pixel, row by row or in another fixed order.

    Where `side` is 14, the 28×28 pixels are averaged in squares of four.
    """

    dataset: IdxSet
    order = "rows"
    summary = "28×28 grey images, pixel by pixel"
    side = 28
    chance = 1 / CLASSES
    held_out = 10_000
    tiny = {"side": 4}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=self.summary,
            seq_len=self.side**2,
            input=Continuous(1),
            output=Label(CLASSES),
            metric="accuracy",
            chance=self.chance,
            source=self.dataset.source,
            license=self.dataset.license,
            citation=self.dataset.citation,
        )

    def read(self, part: str) -> tuple[Images, Labels]:
        images, labels = self.dataset.read(part, self.data_dir)
        return images if images.shape[1] == self.side else averaged(images, images.shape[1] // self.side), labels

    def missing(self) -> str | None:
        return None if self.is_tiny else self.dataset.missing(self.data_dir)

    def check(self) -> bool:
        return self.dataset.check(self.data_dir)

    def arrange(self, images: Images) -> Images:
        return images.reshape(len(images), -1, 1)[:, self.permutation()]

    def permutation(self) -> NDArray[np.int64]:
        """Return the index of the pixel that is read at each step."""
        count = self.side**2
        match self.order:
            case "random":
                return np.random.RandomState(PERMUTATION_SEED).permutation(count)
            case "bit-reversal":
                return bit_reversal(count)
            case _:
                return np.arange(count)

    def facts(self) -> dict[str, str]:
        if self.order == "rows":
            return {}
        return {"permutation_sha256": hashlib.sha256(self.permutation().astype("<i8").tobytes()).hexdigest()}


def averaged(images: Images, size: int) -> Images:
    """Average squares of size × size pixels in each of the images, and round halves up.

    >>> averaged(np.array([[[1, 2], [3, 4]]], np.uint8), 2).tolist()
    [[[3]]]
    """
    count, side = len(images), images.shape[1] // size
    sums = images.reshape(count, side, size, side, size).sum(axis=(2, 4), dtype=np.uint32)
    return ((sums + size**2 // 2) // size**2).astype(np.uint8)


def bit_reversal(count: int) -> NDArray[np.int64]:
    """Return the numbers below `count` in the order of their reversed bits.

    >>> bit_reversal(6).tolist()
    [0, 4, 2, 1, 5, 3]
    """
    bits = (count - 1).bit_length()
    reversed_numbers = [int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits)]
    return np.array([number for number in reversed_numbers if number < count])
