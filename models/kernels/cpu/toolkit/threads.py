"""The threads that CPU kernels run on. Denormal numbers count as zero on them.

They are the threads of the OpenMP library that torch itself has loaded. These keep spinning for some milliseconds after
a matrix product, and other threads would have to share the cores with them. Where torch came with another library, or
the process was forked since, Python's own threads are used.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

SMALLEST = sys.float_info.min  # the smallest number that is not denormal
ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_parallel(work: Callable[[], None], threads: int) -> None:
    """Call `work` once on each of `threads` threads, at the same time, and wait for all of them.

    Raises:
        Exception: the first that `work` raised.
    """
    raised: list[BaseException] = []

    def guarded(_: Any) -> None:
        try:
            with denormals_flushed():
                work()
        except BaseException as error:  # C called this function, and can't pass an exception on
            raised.append(error)

    call_in_parallel(ENTRY(guarded), 0, threads)
    if raised:
        raise raised[0]


def flush_denormals() -> None:
    """Make denormal numbers count as zero in this thread and in every thread of torch's pool, from now on.

    A thread inherits this when it starts, so a pool that exists already has to be told thread by thread.
    """
    torch.set_flush_denormal(True)
    call_in_parallel(ENTRY(lambda _: torch.set_flush_denormal(True)), 0, torch.get_num_threads())


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Make denormal numbers count as zero in this thread, because they cost a hundredfold.

    Fading gradients are full of them.
    """
    before = SMALLEST / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def call_in_parallel(function: Any, argument: int, threads: int) -> None:
    """Call a C function of type ENTRY with an address, once on each of `threads` threads, and wait for all of them."""
    openmp = None if _forked else _openmp()
    if threads <= 1:
        function(argument)
    elif openmp is not None:
        openmp.GOMP_parallel(function, ctypes.c_void_p(argument), threads, 0)
    else:
        for call in [_pool(threads).submit(function, argument) for _ in range(threads)]:
            call.result()


@cache
def _openmp() -> ctypes.CDLL | None:
    """Return GNU's OpenMP library if torch has loaded it, else None."""
    folder = Path(torch.__file__).parent
    for path in (*folder.glob("lib/libgomp*"), *folder.glob("../torch.libs/libgomp*"), "libgomp.so.1"):
        try:
            return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
        except (OSError, AttributeError):
            continue
    return None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "kernel")


_forked = False


def _forget_threads() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):  # threads do not survive a fork; Windows has none
    os.register_at_fork(after_in_child=_forget_threads)
