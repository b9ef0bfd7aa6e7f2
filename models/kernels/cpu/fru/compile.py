"""Compile the FRU's CPU kernel once, and run it on as many threads as torch uses."""

import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numba
import torch
from numba.core import event
from torch import Tensor

from models.kernels.cpu.fru import recurrence, thread_work
from models.kernels.cpu.toolkit.compile import kept_on_disk, not_kept
from models.kernels.cpu.toolkit.threads import ENTRY, call_in_parallel


class Kernels(NamedTuple):
    """Addresses of C functions whose only argument is the address of a table (see thread_work.py)."""

    forward: int
    backward: int


def kernels() -> Kernels:
    """Return the compiled kernels, loaded from the disk where an earlier process has compiled them."""
    with _compile_lock:
        return _kernels()


_compile_lock = threading.Lock()


@cache
def _kernels() -> Kernels:
    return Kernels(_compile(thread_work.forward).address, _compile(thread_work.backward).address)


def _compile(function: Callable[..., None]) -> Any:
    signature = numba.types.void(thread_work.TABLE)
    with event.install_listener("numba:compile", _Notice()):
        try:
            with kept_on_disk() as keep:
                return numba.cfunc(signature, cache=keep)(function)
        except Exception as error:  # the file on the disk is damaged
            not_kept(error)
            return numba.cfunc(signature)(function)


class _Notice(event.Listener):
    """Prints a notice when numba compiles the kernel. Loading it from the disk triggers no event."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"].py_func is recurrence.forward:
            print("fru: compiling the CPU kernel, about 10 s, once", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


def share_count(blocks: int) -> int:
    """Return the number of shares of the batch: one for each of torch's threads, at most one for each block."""
    return min(torch.get_num_threads(), blocks)


def run(kernel: int, shares: int, sizes: Sequence[int], tensors: Sequence[Tensor]) -> None:
    """Run the kernel's shares at the same time, and wait for all of them.

    Args:
        kernel: the function's address.
        shares: the number of shares, and of threads.
        sizes: in the order of `thread_work.SIZES`.
        tensors: in the kernel's order. They must be contiguous and live until the end of the call.
    """
    assert all(tensor.is_contiguous() for tensor in tensors)
    table = torch.tensor([0, shares, *sizes, *(tensor.data_ptr() for tensor in tensors)])
    call_in_parallel(ENTRY(kernel), table.data_ptr(), shares)
