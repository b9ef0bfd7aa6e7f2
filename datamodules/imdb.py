"""IMDB: whether a film review is favourable, from its first 300 words or (`imdb-byte`) its first 4,096 bytes.

There are 25,000 reviews to train on and 25,000 to test (Maas et al. 2011). 5,000 of the training reviews are held out
to validate. In both forms HTML line breaks are spaces and 0 is padding.

- Words are runs of letters, digits and apostrophes in lower case. The 9,998 most frequent words of the 20,000 training
  reviews have numbers from 2 on, by frequency, then by spelling; 1 is any other word.
- A byte is its own number; the vocabulary is 256 (Long Range Arena's text task).

Guessing is right one time in two. The tiny variant has invented reviews:

>>> batch = next(iter(IMDB("imdb-byte", tiny=True).val_dataloader()))
>>> bytes(batch.x[0, : batch.lengths[0]].tolist()), batch.y[0].item()
(b'wholly charming, see', 1)
>>> batch = next(iter(IMDB(tiny=True).val_dataloader()))
>>> batch.x[0, : batch.lengths[0]].tolist(), batch.y[0].item()
([10, 3, 8, 6], 1)
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from datamodules._archive_task import ArchiveTask
from datamodules._archives import members
from datamodules._base import Samples
from datamodules._cache import write_split
from datamodules._files import DataError, DataFile
from datamodules._generated import samples
from datamodules._spec import SPLITS, Label, TaskSpec, Tokens

HELD_OUT = 5_000
HELD_OUT_SEED = 1803
LABELS = {"neg": 0, "pos": 1}
LARGEST_REVIEW = 1 << 20  # bytes
UNKNOWN, FIRST_WORD = 1, 2
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
INVENTED = ("dull and far too long", "wholly charming, see it")


class Review(NamedTuple):
    number: int
    label: int
    text: str


class IMDB(ArchiveTask):
    """Say whether a review is favourable."""

    unit: str
    length: int
    vocabulary: int
    held_out = HELD_OUT
    archive = DataFile(
        dataset="imdb",
        name="aclImdb_v1.tar.gz",
        urls=("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
        size=84_125_825,
        digest="md5:7c2ac02c03563afcf9b574c7e56c153a",
    )
    variants = {
        "imdb": {"unit": "word", "length": 300, "vocabulary": 10_000},
        "imdb-byte": {"unit": "byte", "length": 4_096, "vocabulary": 256},
    }
    tiny = {"length": 20}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"is a film review favourable, from its first {self.length:,} {self.unit}s",
            seq_len=self.length,
            input=Tokens(self.vocabulary),
            output=Label(2),
            metric="accuracy",
            chance=1 / 2,
            variable_lengths=True,
            source="https://ai.stanford.edu/~amaas/data/sentiment/",
            license="none stated",
            citation="Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011",
        )

    def build(self, archive: Path, folder: Path) -> None:
        official = read_reviews(archive)
        order = np.random.RandomState(HELD_OUT_SEED).permutation(len(official["train"]))
        reviews = {
            "train": [official["train"][index] for index in np.sort(order[self.held_out :])],
            "validation": [official["train"][index] for index in np.sort(order[: self.held_out])],
            "test": official["test"],
        }
        numbers = number_words((review.text for review in reviews["train"]), self.vocabulary)
        for split in SPLITS:
            write_split(folder / split, len(reviews[split]), [self._encode(reviews[split], numbers)])

    def invent(self, split: str, count: int) -> Samples:
        labels = self.rng(f"tiny/{split}").integers(2, size=count)
        return self._encode(
            [Review(0, label, INVENTED[label]) for label in labels], number_words(INVENTED, self.vocabulary)
        )

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.long())

    def _encode(self, reviews: Sequence[Review], numbers: dict[str, int]) -> Samples:
        x_NT = np.zeros((len(reviews), self.length), np.int16 if self.unit == "word" else np.uint8)
        lengths_N = np.zeros(len(reviews), np.int64)
        for row, review in enumerate(reviews):
            if self.unit == "word":
                tokens = [numbers.get(word, UNKNOWN) for word in words(review.text)[: self.length]]
            else:
                tokens = list(review.text.encode()[: self.length])
            x_NT[row, : len(tokens)] = tokens
            lengths_N[row] = max(1, len(tokens))  # a review without a word is one token of padding
        return samples(x_NT, np.array([review.label for review in reviews]), lengths_N)


def read_reviews(archive: Path) -> dict[str, list[Review]]:
    """Return the labelled reviews of each official part, train and test, sorted by number and then label.

    Raises:
        DataError: the archive is damaged or has no reviews.
    """
    reviews: dict[str, list[Review]] = {"train": [], "test": []}
    for name, content in members(archive, _is_review, LARGEST_REVIEW):
        _, part, label, file = PurePosixPath(name).parts
        text = content.decode(errors="replace").replace("<br />", " ")
        reviews[part].append(Review(int(file.partition("_")[0]), LABELS[label], text))
    if not all(reviews.values()):
        raise DataError(f"{archive} has no reviews in aclImdb/train and aclImdb/test")
    return {part: sorted(found) for part, found in reviews.items()}


def _is_review(name: str) -> bool:
    return re.fullmatch(r"aclImdb/(train|test)/(pos|neg)/\d+_\d+\.txt", name) is not None


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def number_words(texts: Iterable[str], vocabulary: int) -> dict[str, int]:
    """Number the most frequent words from 2 on. Return word → number."""
    counts = Counter(word for text in texts for word in words(text))
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: FIRST_WORD + rank for rank, word in enumerate(ordered[: vocabulary - FIRST_WORD])}
