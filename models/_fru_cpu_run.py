"""Compiling the FRU's CPU kernel once, keeping it on the disk, and running it on torch's number of threads.

The threads are Python's own: numba's are OpenMP's or a work queue's, which end the process when it was forked or when
two of its threads call at once.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import torch
from numba.core import event
from platformdirs import user_cache_dir

from models import _fru_cpu

# Every array is contiguous and the sizes are the arrays' own, so that one compilation serves them all.
FORWARD = (
    "void(i8, i8, f4[:,:,::1], i8[::1], f4[:,:,::1], f4[:,::1], f4[:,::1], f4[::1], f4[::1], i8,"
    " f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,:,::1])"
)
BACKWARD = (
    "void(i8, i8, f4[:,:,::1], f4[:,:,::1], f4[:,::1], f4[:,:,:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1],"
    " f4[:,::1], f4[:,::1], f4[:,::1], f4[::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1],"
    " f4[:,:,::1], f4[:,::1])"
)

Kernel = Callable[..., None]


class Kernels(NamedTuple):
    forward: Kernel
    backward: Kernel


def kernels() -> Kernels:
    """The compiled kernels, from the disk where they are there."""
    with _compile_lock:
        return _kernels()


_compile_lock = threading.Lock()


@cache
def _kernels() -> Kernels:
    return Kernels(_compile(_fru_cpu.forward, FORWARD), _compile(_fru_cpu.backward, BACKWARD))


def _compile(function: Kernel, signature: str) -> Kernel:
    with event.install_listener("numba:compile", _Notice()):
        try:
            with _numba_cache(cache_folder()):
                kernel = numba.njit(nogil=True, cache=True)(function)
            kernel.compile(signature)
        except Exception as error:  # a folder that can't be written, or a file in it that is damaged
            print(f"fru: no compiled kernel kept in {cache_folder()}: {error}", file=sys.stderr)
            kernel = numba.njit(nogil=True)(function)
            kernel.compile(signature)
    return kernel


class _Notice(event.Listener):
    """Says that numba compiles; what it loads from the disk makes no event."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"].py_func is _fru_cpu.forward:
            print("fru: compiling the CPU kernel, about 10 s, once", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


def cache_folder() -> Path:
    """Where numba keeps the compiled kernels: a folder for each version of their sources.

    numba itself looks at the file of the function that it compiles, and would not notice an edit in another.
    """
    base = numba.config.CACHE_DIR or user_cache_dir("long-bench")
    sources = sorted(Path(__file__).parent.glob("_fru_cpu*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return Path(base) / "fru-cpu" / digest[:16]


@contextmanager
def _numba_cache(folder: Path) -> Iterator[None]:
    """numba's setting for the functions that are decorated here."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def shares(blocks: int) -> list[tuple[int, int]]:
    """The blocks first … last − 1 of each thread, for as many threads as torch has and there is work for."""
    count = min(torch.get_num_threads(), blocks)
    bounds = [blocks * i // count for i in range(count + 1)] if count else []
    return list(zip(bounds, bounds[1:], strict=False))


def run(kernel: Kernel, arguments: list[tuple[Any, ...]]) -> None:
    """Call the kernel once with each of the arguments, all at the same time. Tensors arrive there as NumPy arrays."""
    pool = _pool(torch.get_num_threads())
    calls = [pool.submit(kernel, *map(_plain, each)) for each in arguments]
    for call in calls:
        call.result()


def _plain(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else value


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that treat denormal numbers as zero, which a fading gradient is full of and which cost hundredfold."""
    return ThreadPoolExecutor(threads, "fru", initializer=torch.set_flush_denormal, initargs=(True,))


if hasattr(os, "register_at_fork"):  # threads do not survive a fork; Windows has none
    os.register_at_fork(after_in_child=_pool.cache_clear)
