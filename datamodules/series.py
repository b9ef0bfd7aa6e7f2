"""Series: classify real time series of the UCR and UEA archives that the package `aeon` brings along.

A sample is a series of readings of one or several channels; the answer is its class. The package has the data, so no
download is needed: `pip install "long-bench[series]"`. Training and test part are the archive's. A fifth of the
training part, drawn once with the same share of each class, is for validation. Each channel is standardised by its mean
and its standard deviation over the training split, both rounded to three decimals.

0 points are what the commonest class of the training part reaches on the test part (the first of several). The last
columns are what logistic regression on the training split reaches without an order: on the mean and the mean square of
each channel (bag), and on the last sixteen readings:

    set               steps       channels  classes  train  test    commonest  bag  last 16
    japanese-vowels    7 to 29    12        9        270    370     0.084       0.96  0.98
    basic-motions        100       6        4         40     40     0.250       0.93  0.55
    pickup-gesture    29 to 361    1        10        50     50     0.100       0.36  0.26
    arrow-head           251       1        3         36    175     0.394       0.33  0.34
    osu-leaf             427       1        6        200    242     0.182       0.18  0.36
    acsf1              1,460       1        10       100    100     0.100       0.08  0.61

So what a speaker or a motion is like shows without an order; the outlines of leaves and arrowheads ask for one.

The tiny variant has noise in place of readings, which lies higher for later classes:

>>> task = Series(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y.shape, batch.lengths[:4].tolist()
(torch.Size([64, 12, 12]), torch.Size([64]), [6, 8, 10, 6])

Shapes: N samples, T time, D channels.
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from datamodules._base import Samples, SequenceDataModule
from datamodules._files import DataError
from datamodules._spec import Continuous, Label, TaskSpec

SPLIT_SEED = 1803
HELD_OUT = 0.2
DECIMALS = 3  # of means and deviations: processors differ in the last bits of a sum, and hashes of splits must not
TINY_COUNT, TINY_SHORTEST = 64, 6
INSTALL = "needs the package aeon: pip install 'long-bench[series]'"

Readings = NDArray[np.float64]
Labels = NDArray[np.int64]


class Series(SequenceDataModule):
    """Name the class of a time series."""

    archive_name: str
    steps: int
    """The longest series of both parts."""
    shortest: int
    channels: int
    classes: int
    chance: float
    digest: str
    """SHA-256 of the file of the training part followed by that of the test part."""
    variants = {
        "series-japanese-vowels": {
            "archive_name": "JapaneseVowels", "summary": "which of nine men said a vowel",
            "steps": 29, "shortest": 7, "channels": 12, "classes": 9, "chance": 31 / 370,
            "digest": "c755c99a2ac227123c34966a41b7940e802cdd6c360f7915e7c37cb8a781e821",
        },
        "series-basic-motions": {
            "archive_name": "BasicMotions", "summary": "what somebody does who wears a watch",
            "steps": 100, "shortest": 100, "channels": 6, "classes": 4, "chance": 10 / 40,
            "digest": "02492b25cf1523f36f414296656fe1f7ee5f31c0e9b3cda3d1a7450d7d6e1e93",
        },
        "series-pickup-gesture": {
            "archive_name": "PickupGestureWiimoteZ", "summary": "which gesture a remote control was moved in",
            "steps": 361, "shortest": 29, "channels": 1, "classes": 10, "chance": 5 / 50,
            "digest": "451d38618f3407048a62f1bfbbf26fefde4d21d6ec077c6c242cd0ae2d589737",
        },
        "series-arrow-head": {
            "archive_name": "ArrowHead", "summary": "which kind of arrowhead an outline is of",
            "steps": 251, "shortest": 251, "channels": 1, "classes": 3, "chance": 69 / 175,
            "digest": "1940040a412b55f77ad84c803acc68cb22f1bf3320bf2df096de60a25f460b56",
        },
        "series-osu-leaf": {
            "archive_name": "OSULeaf", "summary": "which tree a leaf's outline is of",
            "steps": 427, "shortest": 427, "channels": 1, "classes": 6, "chance": 44 / 242,
            "digest": "47256f1e08e6af092823b340bcfd4b68c4adf962114dc13107825fdf9019001d",
        },
        "series-acsf1": {
            "archive_name": "ACSF1", "summary": "which appliance takes this power",
            "steps": 1_460, "shortest": 1_460, "channels": 1, "classes": 10, "chance": 10 / 100,
            "digest": "c0e65a73bc2a4344891e77fec8478980c540401b88a63e68d13ebd3c68a350e7",
        },
    }  # fmt: skip
    tiny = {"steps": 12}
    summary: str

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=self.summary,
            seq_len=self.steps,
            input=Continuous(self.channels),
            output=Label(self.classes),
            metric="accuracy",
            chance=self.chance,
            variable_lengths=self._varies(),
            source=f"https://timeseriesclassification.com/description.php?Dataset={self.archive_name}",
            license="see the archive; distributed with aeon (BSD-3-Clause)",
            citation="Dau et al., The UCR Time Series Archive, 2019, arXiv 1810.07758; Bagnall et al., The UEA "
            "Multivariate Time Series Classification Archive, 2018, arXiv 1811.00075",
        )

    def make(self, split: str) -> Samples:
        if self.is_tiny:
            return self._padded(*self._invented(split))
        if not self.check():
            raise DataError(f"{self.variant} {INSTALL}")
        series, labels = self._part("train")
        parts = divided(labels)
        training = np.concatenate([series[i] for i in parts["train"]])
        mean_D, spread_D = training.mean(0).round(DECIMALS), training.std(0).round(DECIMALS)
        if split == "test":
            series, labels = self._part("test")
        index = parts.get(split, range(len(labels)))
        return self._padded([(series[i] - mean_D) / spread_D for i in index], labels[index])

    def missing(self) -> str | None:
        return None if self.is_tiny or find_spec("aeon") else INSTALL

    def check(self) -> bool:
        if self.missing():
            return False
        files = [self._file(part) for part in ("train", "test")]
        contents = b"".join(file.read_bytes() for file in files if file.is_file())  # older versions lack some
        if hashlib.sha256(contents).hexdigest() != self.digest:
            raise DataError(
                f"this aeon has other data of {self.archive_name} than version {self.version} of {self.variant}. "
                "1.4.0 and 1.6.0 have the right ones: pip install 'aeon==1.6.0'."
            )
        return True

    def _varies(self) -> bool:
        return self.shortest < self.variants[self.variant]["steps"]

    def _file(self, part: str) -> Path:
        spec = find_spec("aeon")
        assert spec is not None
        assert spec.origin is not None
        data = Path(spec.origin).parent / "datasets" / "data"
        return data / self.archive_name / f"{self.archive_name}_{part.upper()}.ts"

    def _part(self, part: str) -> tuple[Sequence[Readings], Labels]:
        """Return the series, each (T, D), and the classes of a part, "train" or "test"."""
        from aeon.datasets import load_from_ts_file

        series, names = load_from_ts_file(str(self._file(part)))
        return [each.T for each in series], np.unique(names, return_inverse=True)[1]

    def _invented(self, split: str) -> tuple[Sequence[Readings], Labels]:
        rng = self.rng(f"tiny/{split}")
        labels = rng.integers(self.classes, size=TINY_COUNT)
        shortest = TINY_SHORTEST if self._varies() else self.steps
        lengths = rng.integers(shortest, self.steps + 1, size=TINY_COUNT)
        return [rng.normal(c, size=(n, self.channels)) for c, n in zip(labels, lengths, strict=True)], labels

    def _padded(self, series: Sequence[Readings], labels: Labels) -> Samples:
        x_NTD = np.zeros((len(series), self.steps, self.channels), np.float32)
        for row, each in enumerate(series):
            x_NTD[row, : len(each)] = each
        lengths = torch.tensor([len(each) for each in series]) if self._varies() else None
        return Samples(torch.from_numpy(x_NTD), torch.from_numpy(labels), lengths)


def divided(labels: Labels) -> dict[str, list[int]]:
    """Divide the training part: every class has the same share of the training and the validation split."""
    train, validation = train_test_split(
        range(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=SPLIT_SEED
    )
    return {"train": train, "validation": validation}
