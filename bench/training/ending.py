"""How an attempt ends: by what the run itself did, or by a cause outside it."""

import errno
import re
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.common.root import ROOT

MOST_CHARACTERS = 500  # of a reason
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
OOM_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
GPU_WORDS = ("cuda", "cudnn", "cufft", "hip ")
"""Words that name a GPU in messages of torch, Triton and the vendor's libraries."""
LOST_WORDS = (
    "closed by peer", "reset by peer", "broken pipe", "refused", "timed out", "timeout", "unreachable",
    "no route to host", "ncclremoteerror", "ncclsystemerror", "communicator was aborted",
)  # fmt: skip
"""Words of gloo and NCCL for a connection that is gone. Their other messages are about tensors that don't fit."""
PACKAGES = ("bench", "db", "models", "datamodules")
ENTRIES = ("models", "datamodules")
"""In these folders, each file without a leading underscore is somebody's architecture or task."""


@dataclass(frozen=True)
class Ending:
    """A status (one of `db.schema.STATUSES`) and, unless the run finished, the reason."""

    status: str
    reason: str | None = None

    @property
    def is_oom_of_gpu(self) -> bool:
        """Whether the attempt ran out of a GPU's memory."""
        return self.status == "oom" and any(word in str(self.reason).lower() for word in GPU_WORDS)


def ending_of(error: BaseException, model: Path) -> Ending:
    """Return the ending that an exception means. A fault of the machine says nothing about the run, so it stays open.

    Args:
        model: the file of the run's architecture.
    """
    reason = _in_words(error)
    if _is_of_the_machine(error, model):
        return Ending("interrupted", reason)
    return Ending("oom" if _is_out_of_memory(error) else "failed", reason)


def is_lost_connection(error: BaseException) -> bool:
    """Whether the processes of a run on several devices can no longer reach one another.

    torch has types for the network of its own store. NCCL has one type for all its errors, and gloo has none.
    """
    types, message = {each.__name__ for each in type(error).__mro__}, _message(error).lower()
    is_of_backend = "DistBackendError" in types or "/gloo/transport/" in message
    is_lost = "DistNetworkError" in types or "DistStoreError" in types
    is_lost |= is_of_backend and any(words in message for words in LOST_WORDS)
    return isinstance(error, RuntimeError) and is_lost


def _in_words(error: BaseException) -> str:
    """Describe an error in characters that every database accepts."""
    text = f"{type(error).__name__}: {_message(error)}"[:MOST_CHARACTERS]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:  # a model's exceptions have their own methods
        return f"its message can't be shown ({type(another).__name__})"


def _is_of_the_machine(error: BaseException, model: Path) -> bool:
    """Whether a file, a disk, a mount or a connection failed, and not code of the run's architecture or task.

    A full or broken disk is the machine's fault in any code. So is an exit that a library decided on.
    """
    number = _os_error_number(error)
    if number in DISK_ERRORS:
        return True
    is_candidate = number is not None or isinstance(error, OSError | SystemExit) or is_lost_connection(error)
    return is_candidate and not _is_raised_by_entry(error, model)


def _os_error_number(error: BaseException) -> int | None:
    """Return an operating system's error number. Python has it as `errno`, libraries written in Rust as text."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", _message(error))
    return int(found[1]) if found else None


def _is_raised_by_entry(error: BaseException, model: Path) -> bool:
    """Whether code of an architecture or a task raised the error, itself or in a library that it called.

    The innermost file of ours in the traceback decides. So what our shared code does for a model, such as compiling a
    kernel, is not laid on the model.
    """
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        path = Path(frame.f_code.co_filename).resolve()
        if path == model.resolve() or _is_entry(path):
            return True
        if any(path.is_relative_to(ROOT / package) for package in PACKAGES):
            return False
    return False


def _is_entry(path: Path) -> bool:
    return path.parent in [ROOT / folder for folder in ENTRIES] and not path.name.startswith("_")


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in _message(error).lower() for words in OOM_WORDS)
