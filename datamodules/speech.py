"""Speech Commands: which of ten words is said in a second of sound, 16,000 numbers (Warden 2018, version 0.02).

The words are yes, no, up, down, left, right, on, off, stop and go, labels 0 to 9. A sample is the raw recording at
16 kHz, each number in [−1, 1); a shorter recording is followed by silence. No speaker is in two splits: the validation
and test parts are those of the lists in the archive. Guessing is right one time in ten.

The tiny variant has hums in place of words, higher in pitch for higher labels:

>>> batch = next(iter(Speech(tiny=True).val_dataloader()))
>>> batch.x.shape, batch.x[0, :4, 0].mul(100).round().int().tolist(), batch.y[0].item()
(torch.Size([64, 64, 1]), [26, 19, 12, 4], 0)
"""

import io
import wave
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules._archive_task import ArchiveTask
from datamodules._archives import members
from datamodules._base import Samples
from datamodules._cache import SplitWriter
from datamodules._files import DataError, DataFile
from datamodules._generated import samples
from datamodules._spec import SPLITS, Continuous, Label, TaskSpec

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
RATE = 16_000
LARGEST_FILE = 1 << 21  # bytes; a recording has 32,044, the longer list 300,000
FULL_SCALE = 1 << 15


class Speech(ArchiveTask):
    """Name the word that is said."""

    length: int
    archive = DataFile(
        dataset="speech-commands",
        name="speech_commands_v0.02.tar.gz",
        urls=(
            "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        ),
        size=2_428_923_189,
        digest="sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    )
    variants = {"speech": {"length": RATE}}
    tiny = {"length": 64}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary="which of ten words is said, from the raw sound at 16 kHz",
            seq_len=self.length,
            input=Continuous(1),
            output=Label(len(WORDS)),
            metric="accuracy",
            chance=1 / len(WORDS),
            source="https://www.tensorflow.org/datasets/catalog/speech_commands",
            license="CC BY 4.0",
            citation="Warden, Speech Commands, 2018, arXiv 1804.03209",
        )

    def build(self, archive: Path, folder: Path) -> None:
        split_of = divide(archive)
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(SplitWriter(folder / split, list(split_of.values()).count(split)))
                for split in SPLITS
            }
            for name, content in members(archive, split_of.__contains__, LARGEST_FILE):
                sound_T = recording(name, content, self.length)
                label = WORDS.index(PurePosixPath(name).parent.name)
                writers[split_of[name]].append(samples(sound_T[None, :, None], np.array([label])))

    def invent(self, split: str, count: int) -> Samples:
        rng = self.rng(f"tiny/{split}")
        labels_N = rng.integers(len(WORDS), size=count)
        phase_NT = np.arange(self.length) * (1 + labels_N[:, None]) / 40 + rng.random((count, 1))
        sound_NT = (FULL_SCALE / 2 * np.sin(2 * np.pi * phase_NT)).astype(np.int16)
        return samples(sound_NT[:, :, None], labels_N)

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.to(torch.float32) / FULL_SCALE)


def divide(archive: Path) -> dict[str, str]:
    """Return the split of every recording of the ten words, by the recording's name in the archive.

    Raises:
        DataError: the archive is damaged, or lacks recordings or one of the lists.
    """
    listed: dict[str, str] = {}
    recordings: list[str] = []
    for name, content in members(archive, lambda name: name in LISTS or is_recording(name), LARGEST_FILE):
        if name in LISTS:
            listed |= dict.fromkeys(content.decode().split(), LISTS[name])
        else:
            recordings.append(name)
    split_of = {name: listed.get(name, "train") for name in recordings}
    if set(split_of.values()) != set(SPLITS):
        raise DataError(f"{archive} lacks recordings or one of the lists {', '.join(LISTS)}")
    return split_of


def is_recording(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix == ".wav" and str(path.parent) in WORDS


def recording(name: str, content: bytes, length: int) -> NDArray[np.int16]:
    """Return the first `length` numbers in a WAV file of 16 kHz, 16 bits and one channel, padded with zeros.

    Raises:
        DataError: the file is not such a WAV file.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (RATE, 2, 1):
                raise DataError(f"{name} is not a recording of 16 kHz, 16 bits and one channel")
            sound = np.frombuffer(file.readframes(length), "<i2")
    except (wave.Error, EOFError, ValueError) as error:
        raise DataError(f"{name} is not a WAV file: {error}") from error
    return np.pad(sound, (0, length - len(sound)))
