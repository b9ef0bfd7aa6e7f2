"""Digits: 8×8 handwritten digits read pixel by pixel, 64 steps. Real data that ships with scikit-learn.

A sample is the 64 grey values of an image, row by row, each in [0, 1]; the answer is the digit.

`digits` divides the images at random, so that the test digits are by the writers of the training digits.
`digits-by-writer` divides them in the order of the file, which goes from writer to writer: the last third are the test
part. There 0 points are what the last 16 pixels reach without their order (logistic regression on how often each grey
occurs among them: 0.33; on the greys of all pixels: 0.27). Logistic regression on the 64 pixels reaches 0.91.

>>> task = Digits()
>>> [len(task.split(name).y) for name in ("train", "validation", "test")]
[1077, 360, 360]
>>> [len(Digits("digits-by-writer").split(name).y) for name in ("train", "validation", "test")]
[958, 240, 599]
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y.shape
(torch.Size([64, 64, 1]), torch.Size([64]))
>>> (batch.x[0, :16, 0] * 16).int().tolist(), batch.y[0].item()  # the first two rows of an image
([0, 0, 10, 14, 10, 1, 0, 0, 0, 4, 14, 6, 13, 7, 0, 0], 8)
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from datamodules._base import Samples, SequenceDataModule
from datamodules._spec import Continuous, Label, TaskSpec

SPLIT_SEED = 1803
TEST_FROM, VALIDATION_FROM = 1_198, 958  # in the order of the file: a third, and a fifth of the rest


class Digits(SequenceDataModule):
    """Name the digit in an image read pixel by pixel. Guessing is right one time in ten."""

    side: int
    by_writer: bool
    chance: float
    variants = {
        "digits": {"side": 8, "by_writer": False, "chance": 0.1},
        "digits-by-writer": {"side": 8, "by_writer": True, "chance": 0.33},
    }
    tiny = {"side": 4}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"{self.side}×{self.side} handwritten digits, pixel by pixel"
            + (", tested on other writers" if self.by_writer else ""),
            seq_len=self.side**2,
            input=Continuous(1),
            output=Label(10),
            metric="accuracy",
            chance=self.chance,
            source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            license="CC BY 4.0",
            citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
        )

    def make(self, split: str) -> Samples:
        images, labels = load_digits(return_X_y=True)
        index = (in_file_order if self.by_writer else at_random)(labels)[split]
        x_B1HW = torch.from_numpy(images[index] / 16).float().view(-1, 1, 8, 8)
        x_B1HW = torch.nn.functional.adaptive_avg_pool2d(x_B1HW, self.side)
        return Samples(x_B1HW.flatten(1).unsqueeze(-1), torch.from_numpy(labels[index]))


def at_random(labels: NDArray[np.int64]) -> dict[str, list[int]]:
    """Return the images of each split, drawn so that every split has the same share of each digit."""
    rest, test = train_test_split(range(len(labels)), test_size=360, stratify=labels, random_state=SPLIT_SEED)
    train, validation = train_test_split(rest, test_size=360, stratify=labels[rest], random_state=SPLIT_SEED)
    return {"train": train, "validation": validation, "test": test}


def in_file_order(labels: NDArray[np.int64]) -> dict[str, list[int]]:
    order = list(range(len(labels)))
    return {
        "train": order[:VALIDATION_FROM],
        "validation": order[VALIDATION_FROM:TEST_FROM],
        "test": order[TEST_FROM:],
    }
