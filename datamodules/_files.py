"""Find, verify and download the files of published data sets."""

import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs
from filelock import FileLock

RETRIES = 2
TIMEOUT = 30  # seconds without a byte after which a download fails
BLOCK = 1 << 20
LOOKED_FOR = "long-bench.looked-for"
"""Python's audit event that this project raises where it asks whether a file or folder is here; its detail is the path.
Who keeps an answer listens to it, and to Python's own `open`, to know what the answer follows from."""


class DataError(Exception):
    """Data are unavailable or are not what they should be. The message says what to do."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of a data set, known by its hash.

    `digest` is the hash of the file as published, "md5:…" or "sha256:…". With `decoded`, it is the hash of the
    decompressed content instead, so a recompressed or unpacked copy is accepted too.
    """

    dataset: str
    name: str
    urls: tuple[str, ...]
    size: int
    """Bytes that the digest covers. Verification stops reading once it has found more."""
    digest: str
    decoded: bool = False
    system_folder: Path | None = None
    """The folder in which a package of the operating system installs the file."""

    def verify(self, path: Path) -> None:
        """Compare the size and the hash of the file at `path` with `size` and `digest`.

        Raises:
            ValueError: the file is damaged or another file.
        """
        found = self._digest_of(path)
        if found != self.digest:
            raise ValueError(f"{path} is damaged or another file: its hash is {found}, {self.digest} was expected")

    def _digest_of(self, path: Path) -> str:
        algorithm = self.digest.partition(":")[0]
        digest, size = hashlib.new(algorithm, usedforsecurity=False), 0
        try:
            with open_decoded(path) if self.decoded else path.open("rb") as stream:
                while size <= self.size and (block := stream.read(BLOCK)):
                    digest.update(block)
                    size += len(block)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if size != self.size:
            amount = f"more than {self.size:,}" if size > self.size else f"{size:,}"
            raise ValueError(f"{path} is damaged or another file: it has {amount} bytes, {self.size:,} were expected")
        return f"{algorithm}:{digest.hexdigest()}"


def open_decoded(path: Path) -> BinaryIO:
    """Open a file for reading, and decompress it if gzip compressed it."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")  # type: ignore[return-value]


def cache_folder() -> Path:
    """Return the folder for downloads and prepared data: BENCH_CACHE_DIR, or the system's cache folder."""
    return Path(os.environ.get("BENCH_CACHE_DIR") or platformdirs.user_cache_path("long-bench"))


def find(file: DataFile, data_dir: str | None = None) -> Path | None:
    """Return the path of the file on this machine, without verifying the file; None if it is not here."""
    return next((path for path in _candidates(file, data_dir) if looked_for(path).is_file()), None)


def looked_for(path: Path) -> Path:
    """Return a path, before it is seen whether anything is there, and tell those who listen."""
    sys.audit(LOOKED_FOR, str(path))
    return path


def fetch(file: DataFile, data_dir: str | None = None) -> Path:
    """Return the path of the verified file: the user's, the system's, or a download, which is kept.

    A damaged earlier download is downloaded again.

    Raises:
        DataError: the user's or the system's file is damaged, or the file can't be downloaded.
    """
    path = find(file, data_dir)
    if path is None:
        return _download(file)
    try:
        check(file, data_dir)
    except DataError:
        if path != _download_path(file):
            raise
        path.unlink()
        return _download(file)
    return path


def check(file: DataFile, data_dir: str | None = None) -> bool:
    """Verify the file if it is on this machine, and return whether it is.

    Raises:
        DataError: the file is damaged.
    """
    path = find(file, data_dir)
    if path is None:
        return False
    try:
        file.verify(path)
    except ValueError as error:
        raise DataError(
            f"{error}. Replace or remove it. (Where two data sets share file names, keep this one's in a folder "
            f"{file.dataset}/ of the data directory.)"
        ) from error
    return True


def _candidates(file: DataFile, data_dir: str | None) -> Iterator[Path]:
    names = (file.name, file.name.removesuffix(".gz")) if file.decoded else (file.name,)
    for given in (data_dir, os.environ.get("BENCH_DATA_DIR")):
        if given:
            yield from (Path(given) / folder / name for folder in (file.dataset, ".") for name in names)
    if file.system_folder:
        yield from (file.system_folder / name for name in names)
    yield _download_path(file)


def _download_path(file: DataFile) -> Path:
    return cache_folder() / "downloads" / file.dataset / file.name


def _download(file: DataFile) -> Path:
    path, failures = _download_path(file), []
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if path.is_file():  # another process has just fetched it
            return path
        for url in file.urls:
            try:
                return _download_from(url, file, path)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                failures.append(f"  {url}: {_reason(error)}")
    raise DataError(
        f"{file.name} of {file.dataset} ({file.digest}{' when decompressed' if file.decoded else ''}) is not on this "
        f"machine and can't be downloaded:\n" + "\n".join(failures) + "\n"
        f"Put it into {path.parent}, or into a folder that --data-dir or BENCH_DATA_DIR names."
    )


def _download_from(url: str, file: DataFile, path: Path) -> Path:
    import pooch  # whose import takes a tenth of a second

    transfer = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)

    def verified(url: str, target: str, pup: Any) -> None:  # a ValueError here makes pooch retry
        transfer(url, target, pup)
        file.verify(Path(target))

    source = pooch.create(path.parent, "", registry={path.name: None}, urls={path.name: url}, retry_if_failed=RETRIES)
    return Path(source.fetch(path.name, downloader=verified))


def _reason(error: Exception) -> str:
    """Return one line on why a download failed. The library's own message for "no connection" fills half a screen."""
    text = str(error) or type(error).__name__
    return "no connection" if "Max retries exceeded" in text else text.splitlines()[0][:200]
