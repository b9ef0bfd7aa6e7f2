"""How an attempt ends: what the run did itself, and what was no fault of its."""

import errno
from dataclasses import dataclass

import torch

MOST_CHARACTERS = 500  # of a reason
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
OOM_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
GPU_WORDS = ("cuda", "cudnn", "cufft", "hip ")
"""What names a GPU in what torch, Triton and the vendor's libraries say of it."""


@dataclass(frozen=True)
class Ending:
    """A status of the table's list and, unless the run finished, the reason."""

    status: str
    reason: str | None = None

    @property
    def is_oom_of_gpu(self) -> bool:
        """Whether it was a GPU's memory that did not suffice."""
        return self.status == "oom" and any(word in str(self.reason).lower() for word in GPU_WORDS)


def ending_of(error: Exception) -> Ending:
    """The ending that an exception makes. A full disk says nothing of the run: it stays open, to be resumed."""
    reason = _in_words(error)
    if _is_of_the_disk(error):
        return Ending("interrupted", reason)
    return Ending("oom" if _is_out_of_memory(error) else "failed", reason)


def _in_words(error: Exception) -> str:
    """In characters that every database takes."""
    text = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _is_of_the_disk(error: Exception) -> bool:
    """Whether a disk was full or gone, in Python's words or in those that libraries written in Rust have."""
    number = error.errno if isinstance(error, OSError) else None
    return number in DISK_ERRORS or any(f"(os error {each})" in str(error) for each in DISK_ERRORS)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OOM_WORDS)
