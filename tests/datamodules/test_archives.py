"""CIFAR-10, IMDB and Speech Commands from small archives in their exact formats; hostile archives are refused."""

import gzip
import hashlib
import io
import tarfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch.core
import pytest
import torch

from datamodules import _cifar
from datamodules._archive_task import FromArchive
from datamodules._archives import members
from datamodules._files import DataError
from datamodules._fru_paper import IMDBAsPublished
from datamodules.imdb import IMDB, number_words, words
from datamodules.ncifar import NCIFAR
from datamodules.scifar import SCIFAR
from datamodules.speech import Speech
from tests.support.web import Handler, Server, serving

Files = dict[str, bytes]
Serve = Callable[[type[FromArchive], bytes], None]


def tar_of(files: Files, *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member)
    return buffer.getvalue()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def serve(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Makes an archive the one that a task downloads, from a server on this machine."""
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda _: None))

    def serve(task: type[FromArchive], body: bytes) -> None:
        server.bodies[task.archive.name] = body
        digest = f"md5:{hashlib.md5(body).hexdigest()}"
        archive = replace(task.archive, urls=(server.url(task.archive.name),), size=len(body), digest=digest)
        monkeypatch.setattr(task, "archive", archive)

    return serve


def everything_is_in_the_cache(tmp_path: Path) -> bool:
    return all(path.is_relative_to(tmp_path / "cache") for path in tmp_path.rglob("*") if path.is_file())


def cifar_files(records: int = 10) -> tuple[Files, np.ndarray, np.ndarray]:
    """CIFAR's six files with fewer records; images (60, 3, 32, 32) and labels (60,)."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(6 * records, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(10, size=6 * records, dtype=np.uint8)
    table = np.concatenate([labels[:, None], images.reshape(6 * records, -1)], axis=1)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    parts = {name: part.tobytes() for name, part in zip(names, np.split(table, 6), strict=True)}
    files = {f"cifar-10-batches-bin/{name}": content for name, content in (parts | {"readme.html": b"<html>"}).items()}
    return files, images, labels


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cifar.CifarTask, "records", 10)
    monkeypatch.setattr(_cifar.CifarTask, "held_out", 20)


@pytest.mark.usefixtures("small_cifar")
def test_cifar_is_read_from_its_binary_form(serve: Serve, server: Server, tmp_path: Path) -> None:
    files, images, labels = cifar_files()
    serve(_cifar.CifarTask, tar_of(files))
    assert SCIFAR().missing() == "cifar-10-binary.tar.gz can be downloaded"
    colour, grey, rows = SCIFAR(), SCIFAR("scifar-grey"), NCIFAR()
    assert [len(colour.split(name).y) for name in colour.split_names] == [30, 20, 10]

    batch = next(iter(colour.test_dataloader()))
    pixels = torch.from_numpy(images[50:]).permute(0, 2, 3, 1)
    assert torch.equal(batch.x, pixels.reshape(10, 1024, 3) / 255)
    assert batch.y.tolist() == labels[50:].tolist()
    luma = (pixels.double() @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)).reshape(10, 1024)
    assert (next(iter(grey.test_dataloader())).x[..., 0] * 255 - luma).abs().max() < 0.501

    padded = next(iter(rows.test_dataloader())).x
    assert padded.shape == (10, 1000, 96)
    assert torch.equal(padded[:, :32], pixels.reshape(10, 32, 96) / 255)
    assert torch.equal(padded[0, 32:], padded[9, 32:])
    assert abs(float(padded[0, 32:].std()) - 1) < 0.02

    assert len(server.asked) == 1
    assert SCIFAR().missing() is None
    assert everything_is_in_the_cache(tmp_path)


@pytest.mark.usefixtures("small_cifar")
def test_a_cifar_archive_of_another_size_is_refused(serve: Serve) -> None:
    files, *_ = cifar_files(records=9)
    serve(_cifar.CifarTask, tar_of(files))
    with pytest.raises(DataError, match=r"data_batch_1.bin has 27,657 bytes; 30,730 were expected"):
        SCIFAR().prepare_data()
    del files["cifar-10-batches-bin/data_batch_2.bin"]
    assert SCIFAR().missing() is None  # the archive is there; what is prepared of it is not


REVIEWS = {
    "aclImdb/train/pos/0_9.txt": "A joy, a JOY!<br /><br />Don't miss it.",
    "aclImdb/train/pos/1_7.txt": "A joy for it's own sake.",
    "aclImdb/train/neg/0_1.txt": "Dull. Don't.",
    "aclImdb/train/neg/1_3.txt": "",
    "aclImdb/train/unsup/0_0.txt": "Not labelled",
    "aclImdb/test/neg/10_2.txt": "Dull, unheard-of nonsense",
    "aclImdb/test/pos/2_10.txt": "A joy café",
    "aclImdb/README": "…",
}


def test_imdb_is_read_and_numbered(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(IMDB, tar_of({name: text.encode() for name, text in REVIEWS.items()}))
    monkeypatch.setattr(IMDB, "held_out", 1)
    task = IMDB()
    assert [len(task.split(name).y) for name in task.split_names] == [3, 1, 2]
    batch = next(iter(task.test_dataloader()))
    assert batch.y.tolist() == [1, 0]  # by number, not by name: 2 before 10
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [3, 4]
    assert batch.x.shape == (2, 300)
    assert batch.x[0, 2] == 1  # café is unknown
    assert batch.x[0, 0] == batch.x[0, 1] - 1 or batch.x[0, 0] > 1
    assert (batch.x[0, 3:] == 0).all()

    byte = IMDB("imdb-byte")
    batch = next(iter(byte.test_dataloader()))
    assert batch.lengths is not None
    assert bytes(batch.x[0, : batch.lengths[0]].tolist()).decode() == "A joy café"
    assert min(int(byte.split(name).lengths.min()) for name in byte.split_names) >= 1  # type: ignore[union-attr]
    assert everything_is_in_the_cache(tmp_path)


def test_imdb_as_published_keeps_its_halves(serve: Serve, tmp_path: Path) -> None:
    serve(IMDBAsPublished, tar_of({name: text.encode() for name, text in REVIEWS.items()}))
    task = IMDBAsPublished()
    assert [len(task.split(name).y) for name in task.split_names] == [4, 2]
    batch = next(iter(task.test_dataloader()))
    assert (batch.y.tolist(), batch.lengths, batch.x.shape) == ([1, 0], None, (2, 300))
    assert batch.x[1, 0] > 1  # "dull" has a number, which only a review that `imdb` may hold out gives it
    assert everything_is_in_the_cache(tmp_path)


def test_words_are_numbered_by_frequency_then_by_spelling() -> None:
    assert words("Don't: an 'odd' one, 2nd_try—naïve") == ["don't", "an", "odd", "one", "2nd", "try", "naïve"]
    assert number_words(["b a c", "c b", "b"], vocabulary=4) == {"b": 2, "c": 3}


def wav(sound: np.ndarray, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return buffer.getvalue()


def speech_files() -> Files:
    rng = np.random.default_rng(0)
    lengths = {"yes/a_nohash_0": 16_000, "yes/c_nohash_0": 12_000, "go/b_nohash_0": 16_000, "bed/x_nohash_0": 9}
    sounds = {name: rng.integers(-(2**15), 2**15, size=length) for name, length in lengths.items()}
    return {f"./{name}.wav": wav(sound) for name, sound in sounds.items()} | {
        "./testing_list.txt": b"yes/c_nohash_0.wav\nbed/x_nohash_0.wav\n",
        "./validation_list.txt": b"go/b_nohash_0.wav\n",
        "./_background_noise_/hum.wav": b"",
        "./README.md": b"...",
    }


def test_speech_is_divided_by_the_official_lists(serve: Serve, tmp_path: Path) -> None:
    files = speech_files()
    serve(Speech, tar_of(files))
    task = Speech()
    assert [len(task.split(name).y) for name in task.split_names] == [1, 1, 1]
    batch = next(iter(task.test_dataloader()))
    assert batch.x.shape == (1, 16_000, 1)
    assert batch.y.tolist() == [0]
    sound = torch.from_numpy(np.frombuffer(files["./yes/c_nohash_0.wav"][44:], "<i2").copy())
    assert torch.equal(batch.x[0, :12_000, 0], sound / 2**15)
    assert (batch.x[0, 12_000:] == 0).all()
    assert task.split("validation").y.tolist() == [9]
    assert everything_is_in_the_cache(tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF", wav(np.zeros(16_000))[:70], wav(np.zeros(9), rate=8_000)])
def test_a_recording_of_another_form_is_refused(content: bytes, serve: Serve) -> None:
    serve(Speech, tar_of(speech_files() | {"./yes/a_nohash_0.wav": content[:-1]}))
    with pytest.raises(DataError, match=r"yes/a_nohash_0.wav is not"):
        Speech().prepare_data()


@pytest.mark.parametrize("lost", ["./testing_list.txt", "./go/b_nohash_0.wav"])
def test_speech_without_its_lists_is_refused(lost: str, serve: Serve) -> None:
    files = speech_files()
    del files[lost]
    serve(Speech, tar_of(files))
    with pytest.raises(DataError, match="lacks recordings or one of the lists"):
        Speech().prepare_data()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def device(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.CHRTYPE
    return member


HOSTILE = {
    "a name with ..": tar_of({"aclImdb/../../../evil.txt": b"!"}),
    "an absolute name": tar_of({"/tmp/evil.txt": b"!"}),
    "a symbolic link": tar_of({}, link("aclImdb/train/pos/0_9.txt", "/etc/passwd")),
    "a hard link": tar_of({}, link("aclImdb/train/pos/0_9.txt", "/etc/passwd", tarfile.LNKTYPE)),
    "a device": tar_of({}, device("aclImdb/train/pos/0_9.txt")),
    "a pipe": tar_of({}, link("aclImdb/train/pos/0_9.txt", "", tarfile.FIFOTYPE)),
    "a bomb": tar_of({"aclImdb/train/pos/0_9.txt": bytes(1 << 25)}),
    "a truncated archive": tar_of({"aclImdb/train/pos/0_9.txt": np.random.default_rng(0).bytes(10_000)})[:5_000],
    "no archive": b"<html>Not here</html>",
    "an archive of garbage": gzip.compress(b"garbage" * 1_000),
    "an empty archive": tar_of({}),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written_outside(body: bytes, serve: Serve, tmp_path: Path) -> None:
    """Even if its hash were the one expected."""
    serve(IMDB, body)
    with pytest.raises(DataError):
        IMDB().prepare_data()
    assert everything_is_in_the_cache(tmp_path)
    assert not (tmp_path / "cache" / "prepared" / "imdb" / "v1").exists()
    assert not Path("/tmp/evil.txt").exists()


def test_another_archive_is_never_opened(server: Server, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(IMDB, tar_of({"aclImdb/train/pos/0_9.txt": b"good"}))
    server.bodies[IMDB.archive.name] = HOSTILE["a symbolic link"]
    monkeypatch.setattr(tarfile, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(DataError, match=r"aclImdb_v1.tar.gz of imdb \(md5:"):
        IMDB().prepare_data()


def test_a_broken_download_is_tried_again(server: Server, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    body = tar_of({name: text.encode() for name, text in REVIEWS.items()})
    serve(IMDB, body)
    monkeypatch.setattr(IMDB, "held_out", 1)

    def breaks_off_once(handler: Handler) -> None:
        handler.send(body[:100] if len(server.asked) == 1 else body, len(body))

    server.bodies[IMDB.archive.name] = breaks_off_once
    IMDB().prepare_data()
    assert len(server.asked) == 2


def test_members_are_read_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_of({"a": b"1", "b/c": b"2", "d": b"33"}))
    assert list(members(tmp_path / "a.tar.gz", lambda name: name != "a", max_bytes=2)) == [("b/c", b"2"), ("d", b"33")]
    with pytest.raises(DataError, match="d has 2 bytes; at most 1"):
        list(members(tmp_path / "a.tar.gz", lambda name: True, max_bytes=1))
