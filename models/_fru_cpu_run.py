"""Compiling the FRU's CPU kernel once, keeping it on the disk, and running it on torch's number of threads.

The threads are those of the OpenMP library that torch itself has loaded: after a matrix product they keep spinning for
some milliseconds, and others would have to share the cores with them. Where torch came with another library, or the
process was forked since, they are Python's.
"""

import ctypes
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import torch
from numba.core import config, event
from platformdirs import user_cache_dir
from torch import Tensor

from models import _fru_cpu, _fru_cpu_entry

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Kernels(NamedTuple):
    """Functions of C that are given the address of a table (see _fru_cpu_entry)."""

    forward: int
    backward: int


def kernels() -> Kernels:
    """The compiled kernels, from the disk where they are there."""
    with _compile_lock:
        return _kernels()


_compile_lock = threading.Lock()


@cache
def _kernels() -> Kernels:
    return Kernels(_compile(_fru_cpu_entry.forward).address, _compile(_fru_cpu_entry.backward).address)


def _compile(function: Callable[..., None]) -> Any:
    signature = numba.types.void(_fru_cpu_entry.TABLE)
    with event.install_listener("numba:compile", _Notice()):
        try:
            with _numba_cache(cache_folder()):
                return numba.cfunc(signature, cache=True)(function)
        except Exception as error:  # a folder that can't be written, or a file in it that is damaged
            print(f"fru: the compiled kernel is not kept in {cache_folder()}: {error}", file=sys.stderr)
            return numba.cfunc(signature)(function)


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
    base = _numba_config.CACHE_DIR or user_cache_dir("long-bench")
    sources = sorted(Path(__file__).parent.glob("_fru_cpu*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return Path(base) / "fru-cpu" / digest[:16]


@contextmanager
def _numba_cache(folder: Path) -> Iterator[None]:
    """numba's setting for the functions that are decorated here."""
    before, _numba_config.CACHE_DIR = _numba_config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        _numba_config.CACHE_DIR = before


_numba_config: Any = config


def share_count(blocks: int) -> int:
    """As many shares as torch has threads and there is work for."""
    return min(torch.get_num_threads(), blocks)


def run(kernel: int, shares: int, sizes: Sequence[int], tensors: Sequence[Tensor]) -> None:
    """Run the kernel's shares at the same time. The tensors must be contiguous and live until the end of the call."""
    assert all(tensor.is_contiguous() for tensor in tensors)
    table = torch.tensor([0, shares, *sizes, *(tensor.data_ptr() for tensor in tensors)])
    openmp = None if _forked else _openmp()
    if shares <= 1:
        ENTRY(kernel)(table.data_ptr())
    elif openmp is not None:
        openmp.GOMP_parallel(ctypes.c_void_p(kernel), ctypes.c_void_p(table.data_ptr()), shares, 0)
    else:
        for call in [_pool(shares).submit(ENTRY(kernel), table.data_ptr()) for _ in range(shares)]:
            call.result()


@cache
def _openmp() -> ctypes.CDLL | None:
    """GNU's OpenMP library, if torch has loaded it."""
    folder = Path(torch.__file__).parent
    for path in (*folder.glob("lib/libgomp*"), *folder.glob("../torch.libs/libgomp*"), "libgomp.so.1"):
        try:
            return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
        except (OSError, AttributeError):
            continue
    return None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "fru")


_forked = False


def _forget_threads() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):  # threads do not survive a fork; Windows has none
    os.register_at_fork(after_in_child=_forget_threads)
