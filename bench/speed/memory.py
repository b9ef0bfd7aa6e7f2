"""The most memory that this process held, and giving back what it no longer needs."""

import gc
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from bench.common.errors import RequestError


def release() -> None:
    """Free what a training left in reference cycles, the tensors of its model and data among it.

    Raises:
        RequestError: it left the GPU unusable to this process, as an access outside its memory does.
    """
    gc.collect()
    if not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # a GPU may be shared with other processes
    except RuntimeError as error:
        raise RequestError(
            f"an earlier run in this process left it without its GPU: {error}\n"
            "Give the command again: what is recorded stays, and the rest is made by a new process."
        ) from error


def reset_peaks() -> None:
    """Make the peaks the present state, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak_host() -> int:
    """Bytes of this process at its largest since `reset_peaks`; since its start, where that can't be reset."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device() -> int:
    """Bytes of the GPU in use that this process's tensors took at most since `reset_peaks`."""
    return torch.cuda.max_memory_allocated()
