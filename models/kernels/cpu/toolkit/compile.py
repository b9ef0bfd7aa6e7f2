"""Compile the CPU kernels, keep their machine code on the disk, and run them on torch's own threads.

numba's cache checks the file of the function that it compiles, and would not notice an edit in a file that the function
calls. So the cache folder's name is a hash of all the kernels' sources. An edit in any of them compiles all of them
again.
"""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from numba.core import caching, config, errors
from platformdirs import user_cache_dir
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.kernels.cpu.toolkit.threads import in_parallel

FLOAT = np.float32
FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered; infinities and NaN stay what they are
SOURCES = Path(__file__).resolve().parents[1]
"""The folder of the CPU kernels and of this toolkit. An edit of any file in it starts another cache."""
SHARE = 16
"""Sequences that a kernel works on at once, so that their data stay in the processor's cache."""
TYPES = (torch.float32, torch.complex64, torch.int64, torch.bool)
"""The types that kernels take. Vector code reads memory as float32, whatever is stored there."""

in_float32 = torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
"""Decorates the forward of an autograd function. Under autocast its inputs become float32 and its products stay so."""

numba_config: Any = config


def kernel(function: Callable[..., None]) -> Any:
    """Compile `function(first, last, *arrays)`, which computes the sequences first … last − 1, for `run` to call."""
    with kept_on_disk() as keep:
        return njit(nogil=True, fastmath=FAST, error_model="numpy", cache=keep)(function)


def helper(function: Callable[..., Any]) -> Any:
    """Compile a small function that kernels call. numba copies it into each of them."""
    return njit(fastmath=FAST, error_model="numpy", inline="always")(function)  # numpy: no test for a divisor of 0


def part(function: Callable[..., Any]) -> Any:
    """Compile a larger function that kernels call. LLVM, not numba, copies it into each of them."""
    return njit(fastmath=FAST, error_model="numpy", forceinline=True)(function)


def adjoint(backward: Callable[..., Any]) -> Any:
    """Wrap the backward of an autograd function whose forward is `in_float32`. A second derivative is refused."""
    return once_differentiable(torch.amp.custom_bwd(backward, device_type="cpu"))


@torch.compiler.disable  # torch.compile would trace into numba
def run(kernel: Any, *tensors: Tensor, share: int = SHARE) -> None:
    """Call a kernel on as many threads as torch may use. Each thread takes shares of the batch until none is left.

    Args:
        kernel: what `kernel` returned.
        tensors: contiguous, on the CPU, of `TYPES`. The first one's first dimension is the batch. The kernel gets them
            as arrays and writes its results into them.
        share: the most sequences that the kernel gets in a call.

    Raises:
        TypeError: a tensor has another type.
    """
    if wrong := {tensor.dtype for tensor in tensors}.difference(TYPES):
        raise TypeError(f"a kernel takes {', '.join(map(str, TYPES))}; got {', '.join(map(str, wrong))}")
    arrays = [tensor.detach().numpy() for tensor in tensors]
    assert all(array.flags.c_contiguous for array in arrays)
    compile_for(kernel, arrays)
    batch, threads = len(arrays[0]), torch.get_num_threads()
    count = max(min(threads, batch), -(-batch // share))
    shares = iter([(batch * i // count, batch * (i + 1) // count) for i in range(count)])

    def work() -> None:
        for first, last in shares:  # a list's iterator returns no share twice, whatever the threads do
            kernel(first, last, *arrays)

    in_parallel(work, min(threads, count))


def compile_for(kernel: Any, arrays: list[Any]) -> None:
    """Compile a kernel for arrays of these types, in this thread, since OpenMP's may have too little stack for it."""
    try:  # a call without sequences compiles and computes nothing
        kernel(0, 0, *arrays)
    except errors.NumbaError:
        raise
    except Exception as error:  # the file on the disk is damaged
        not_kept(error)
        kernel._cache = caching.NullCache()
        kernel(0, 0, *arrays)


@contextmanager
def kept_on_disk() -> Iterator[bool]:
    """Make numba keep what it compiles inside in `cache_folder()`. Yield whether it can."""
    folder, writable = cache_folder(), True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        writable = False
        not_kept(error)
    before, numba_config.CACHE_DIR = numba_config.CACHE_DIR, str(folder)
    try:
        yield writable
    finally:
        numba_config.CACHE_DIR = before


def not_kept(error: Exception) -> None:
    print(f"bench: compiled kernels are not kept in {cache_folder()}: {error}", file=sys.stderr)


def cache_folder() -> Path:
    """Return the cache's folder for this version of the kernels' sources."""
    return Path(numba_config.CACHE_DIR or user_cache_dir("long-bench")) / "kernels" / digest(SOURCES)[:16]


@cache
def digest(folder: Path) -> str:
    """Return a hash of every Python file in a folder and its subfolders."""
    sources = sorted(folder.rglob("*.py"))
    assert sources, f"no sources in {folder}"  # else the key would be a constant, and stale machine code would run
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
