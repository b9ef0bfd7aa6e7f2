"""Measure the most memory that this process held, and free what it no longer needs."""

import gc
import resource
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from bench.common.errors import RequestError
from bench.common.garbage import set_aside


def release() -> None:
    """Free what a training left in reference cycles, including the tensors of its model and data.

    Raises:
        RequestError: the training left the GPU unusable to this process, as an access outside its memory does.
    """
    gc.collect()
    _set_aside_what_is_loaded()
    if not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # a GPU may be shared with other processes
    except RuntimeError as error:
        raise RequestError(
            f"an earlier run in this process left it without its GPU: {error}\n"
            "Run the command again: recorded results stay, and a new process makes the rest."
        ) from error


@cache
def _set_aside_what_is_loaded() -> None:
    """Do this before the first run only: what later runs leave in cycles has to be found."""
    set_aside()


def reset_peaks() -> None:
    """Set the peaks to the present use, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak_host() -> int:
    """Return the bytes of this process at its largest since `reset_peaks`, or since its start where it can't reset."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device() -> int:
    """Return the most bytes that this process's tensors took on the GPU in use since `reset_peaks`."""
    return torch.cuda.max_memory_allocated()
