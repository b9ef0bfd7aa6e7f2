"""The tasks of the FRU paper, divided as in its authors' code: a part to train on and a part to test on.

There is no validation part, so nothing can be chosen: the network of the last epoch is tested. The data differ from
those of the board's tasks whose names these tasks' names begin with. The registry and the suites do not contain these
tasks; only `bench reproduce fru-paper` runs them. From `code/load.py` and `code/main.py` of github.com/limbo018/FRU:

- numpy's legacy generator draws the mixtures from seed 1000: first the curves, then 4,000 sequences. scikit-learn's
  `train_test_split` takes a fifth of the sequences to test, with the same seed. Both projects have frozen their
  generator, so these are the authors' own numbers.
- All 70,000 MNIST digits are shuffled and divided in the same way. The file that the authors read is no longer served.
  Here the digits begin in their official order, so the two parts are another random draw. The permutation of the pixels
  is the authors'.
- IMDB keeps its official halves, and the network reads a review's padding as if it were words. The authors' file
  contained numbers instead of words. Here words are numbered as in `imdb`, from all 25,000 reviews of the first half.

>>> task = FOUND["mix-sin"]
>>> [len(task("mix-sin@fru-paper").split(split).y) for split in ("train", "test")]
[3200, 800]
"""

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import shuffle

from datamodules._base import BatchLoader, Samples, SequenceDataModule
from datamodules._cache import write_split
from datamodules._images import IdxTask, Images, Labels
from datamodules._mixtures import CURVES, SCALE, MixtureTask
from datamodules._spec import TaskSpec
from datamodules.imdb import IMDB, number_words, read_reviews
from datamodules.mix_poly import MixPoly
from datamodules.mix_sin import SINES, MixSin
from datamodules.psmnist import PSMNIST
from datamodules.smnist import SMNIST

SUFFIX = "@fru-paper"
SEED = 1000  # the seed of every configuration that the authors published
TEST_SHARE = 0.2


class AsPublished(SequenceDataModule):
    """A task with a train and a test split only."""

    @property
    def split_names(self) -> tuple[str, ...]:
        return ("train", "test") if self.with_tests else ("train",)

    def val_dataloader(self) -> list[BatchLoader]:  # type: ignore[override]
        return []  # Lightning then skips validation


class MixtureAsPublished(AsPublished, MixtureTask):
    """Mixtures of the authors' curves. A fifth of them form the test split."""

    count_all = 4_000
    tiny = MixtureTask.tiny | {"count_all": 80}

    @abstractmethod
    def draw_curves(self, rng: np.random.RandomState, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the five curves, (5, T). As in the authors' code, they are the first numbers drawn."""

    def curves(self, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.draw_curves(np.random.RandomState(SEED), x_T)

    def make(self, split: str) -> Samples:
        rng = np.random.RandomState(SEED)
        curves_JT = self.draw_curves(rng, self.points())
        coefficients_N6 = rng.normal(0, SCALE, size=(self.count_all, CURVES + 1))
        x_NT = coefficients_N6[:, CURVES:] + coefficients_N6[:, :CURVES] @ curves_JT
        train_NT, test_NT = train_test_split(x_NT.astype(np.float32), test_size=TEST_SHARE, random_state=SEED)
        chosen_NT = torch.from_numpy(train_NT if split == "train" else test_NT)
        return Samples(chosen_NT[:, :, None], chosen_NT[:, 1:].clone())


class MixSinAsPublished(MixtureAsPublished, MixSin):
    """The authors' sums of sines."""

    variants = {f"mix-sin{SUFFIX}": {}}

    def draw_curves(self, rng: np.random.RandomState, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        frequencies_D = rng.randint(1, 30, size=SINES) * 0.1
        coefficients_JD = rng.uniform(-1, 1, size=(CURVES, SINES))
        phases_JD = rng.uniform(-1, 1, size=(CURVES, SINES))
        waves_JDT = np.sin(2 * np.pi * (x_T * frequencies_D[:, None] + phases_JD[:, :, None]))
        return (coefficients_JD[:, :, None] * waves_JDT).sum(1)


class MixPolyAsPublished(MixtureAsPublished, MixPoly):
    """The authors' polynomials."""

    variants = {f"{name}{SUFFIX}": options for name, options in MixPoly.variants.items()}

    def draw_curves(self, rng: np.random.RandomState, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        return rng.uniform(-1, 1, size=(CURVES, self.degree)) @ x_T ** np.arange(1, self.degree + 1)[:, None]


class MNISTAsPublished(AsPublished, IdxTask):
    """All 70,000 digits; 14,000 of them form the test split."""

    def _of_split(self, split: str) -> tuple[Images, Labels]:
        official = [self.read(part) for part in ("train", "test")]
        images, labels = (np.concatenate(parts) for parts in zip(*official, strict=True))
        order = shuffle(np.arange(len(labels)), random_state=SEED)
        train, test = train_test_split(order, test_size=TEST_SHARE, random_state=SEED)
        chosen = train if split == "train" else test
        return images[chosen], labels[chosen]


class SMNISTAsPublished(MNISTAsPublished, SMNIST):
    """The digits, read row by row."""

    variants = {f"smnist{SUFFIX}": {}}


class PSMNISTAsPublished(MNISTAsPublished, PSMNIST):
    """The digits, read in the authors' order of pixels."""

    variants = {f"psmnist{SUFFIX}": {"order": "random"}}

    def permutation(self) -> NDArray[np.int64]:
        return np.random.RandomState(SEED).permutation(self.side**2)


class IMDBAsPublished(AsPublished, IMDB):
    """25,000 reviews to train on and 25,000 to test, read with their padding."""

    variants = {f"imdb{SUFFIX}": IMDB.variants["imdb"]}

    def describe(self) -> TaskSpec:
        return replace(super().describe(), variable_lengths=False)

    def build(self, archive: Path, folder: Path) -> None:
        official = read_reviews(archive)
        numbers = number_words((review.text for review in official["train"]), self.vocabulary)
        for split, reviews in official.items():
            write_split(folder / split, len(reviews), [self._encode(reviews, numbers)])

    def decode(self, batch: Samples) -> Samples:
        return super().decode(batch)._replace(lengths=None)


PUBLISHED = (MixSinAsPublished, MixPolyAsPublished, SMNISTAsPublished, PSMNISTAsPublished, IMDBAsPublished)
FOUND: dict[str, type[AsPublished]] = {
    variant.removesuffix(SUFFIX): task for task in PUBLISHED for variant in task.variants
}
"""Name of a task on the board → the class that divides the task as published."""
