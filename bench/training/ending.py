"""How an attempt ends: by what the run itself did, or by a cause outside it."""

import errno
from dataclasses import dataclass

import torch

MOST_CHARACTERS = 500  # of a reason
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
OOM_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
GPU_WORDS = ("cuda", "cudnn", "cufft", "hip ")
"""Words that name a GPU in messages of torch, Triton and the vendor's libraries."""


@dataclass(frozen=True)
class Ending:
    """A status (one of `db.schema.STATUSES`) and, unless the run finished, the reason."""

    status: str
    reason: str | None = None

    @property
    def is_oom_of_gpu(self) -> bool:
        """Whether the attempt ran out of a GPU's memory."""
        return self.status == "oom" and any(word in str(self.reason).lower() for word in GPU_WORDS)


def ending_of(error: Exception) -> Ending:
    """Return the ending that an exception means. A full disk says nothing about the run, so the run stays open."""
    reason = _in_words(error)
    if _is_of_the_disk(error):
        return Ending("interrupted", reason)
    return Ending("oom" if _is_out_of_memory(error) else "failed", reason)


def _in_words(error: Exception) -> str:
    """Describe an error in characters that every database accepts."""
    text = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _is_of_the_disk(error: Exception) -> bool:
    """Whether a disk was full or gone. Python says so by `errno`, libraries written in Rust by their message."""
    number = error.errno if isinstance(error, OSError) else None
    return number in DISK_ERRORS or any(f"(os error {each})" in str(error) for each in DISK_ERRORS)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OOM_WORDS)
