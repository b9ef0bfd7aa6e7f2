"""Digits: 8×8 handwritten digits read pixel by pixel, 64 steps. Real data that ships with scikit-learn.

A sample is the 64 grey values of an image, row by row, each in [0, 1]; the answer is the digit.

>>> task = Digits()
>>> [len(task.split(name).y) for name in ("train", "validation", "test")]
[1077, 360, 360]
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y.shape
(torch.Size([64, 64, 1]), torch.Size([64]))
>>> (batch.x[0, :16, 0] * 16).int().tolist(), batch.y[0].item()  # the first two rows of an image
([0, 0, 10, 14, 10, 1, 0, 0, 0, 4, 14, 6, 13, 7, 0, 0], 8)
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from datamodules._base import Samples, SequenceDataModule
from datamodules._spec import Continuous, Label, TaskSpec

SPLIT_SEED = 1803


class Digits(SequenceDataModule):
    """Name the digit in an image read pixel by pixel. Guessing is right one time in ten."""

    side: int
    variants = {"digits": {"side": 8}}
    tiny = {"side": 4}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"{self.side}×{self.side} handwritten digits, pixel by pixel",
            seq_len=self.side**2,
            input=Continuous(1),
            output=Label(10),
            metric="accuracy",
            chance=0.1,
            source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            license="CC BY 4.0",
            citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
        )

    def make(self, split: str) -> Samples:
        images, labels = load_digits(return_X_y=True)
        rest, test = train_test_split(range(len(labels)), test_size=360, stratify=labels, random_state=SPLIT_SEED)
        train, validation = train_test_split(rest, test_size=360, stratify=labels[rest], random_state=SPLIT_SEED)
        index = {"train": train, "validation": validation, "test": test}[split]
        x_B1HW = torch.from_numpy(images[index] / 16).float().view(-1, 1, 8, 8)
        x_B1HW = torch.nn.functional.adaptive_avg_pool2d(x_B1HW, self.side)
        return Samples(x_B1HW.flatten(1).unsqueeze(-1), torch.from_numpy(labels[index]))
