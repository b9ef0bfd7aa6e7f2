"""Compiling the CPU kernels, keeping their machine code on the disk, and running them on torch's own threads.

numba looks at the file of the function that it compiles and would not notice an edit in another that it calls. So the
folder's name here is a hash of all the kernels' sources: an edit in any of them compiles all of them again.
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
"""The folder of the CPU kernels and of this toolkit: an edit of any file in it makes another cache."""
SHARE = 16
"""Sequences, so that what a kernel works on stays in the cache."""
TYPES = (torch.float32, torch.complex64, torch.int64, torch.bool)
"""What kernels take. Vector code reads memory as float32, whatever it is."""

in_float32 = torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
"""For the forward of an autograd function: under autocast its inputs become float32 and its products stay so."""

numba_config: Any = config


def kernel(function: Callable[..., None]) -> Any:
    """Compile `function(first, last, *arrays)`, which is to do the sequences first … last − 1; see `run`."""
    with kept_on_disk() as keep:
        return njit(nogil=True, fastmath=FAST, error_model="numpy", cache=keep)(function)


def helper(function: Callable[..., Any]) -> Any:
    """Compile a small function that kernels call, copied into each of them."""
    return njit(fastmath=FAST, error_model="numpy", inline="always")(function)  # numpy: no test for a divisor of 0


def part(function: Callable[..., Any]) -> Any:
    """Compile a larger function that kernels call."""
    return njit(fastmath=FAST, error_model="numpy", forceinline=True)(function)


def adjoint(backward: Callable[..., Any]) -> Any:
    """For the backward of one whose forward is `in_float32`. A gradient of it is refused."""
    return once_differentiable(torch.amp.custom_bwd(backward, device_type="cpu"))


@torch.compiler.disable  # which would look into numba
def run(kernel: Any, *tensors: Tensor, share: int = SHARE) -> None:
    """Call a kernel on as many threads as torch may use, each with shares of the batch.

    Args:
        tensors: contiguous, of `TYPES`; the first one's first dimension is the batch.
        share: the most of it that a kernel is given at once.
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
        for first, last in shares:  # a list's iterator gives no share twice
            kernel(first, last, *arrays)

    in_parallel(work, min(threads, count))


def compile_for(kernel: Any, arrays: list[Any]) -> None:
    """Compile in this thread: OpenMP's may have too little stack for it."""
    try:
        kernel(0, 0, *arrays)
    except errors.NumbaError:
        raise
    except Exception as error:  # a damaged file
        not_kept(error)
        kernel._cache = caching.NullCache()
        kernel(0, 0, *arrays)


@contextmanager
def kept_on_disk() -> Iterator[bool]:
    """Inside, numba keeps what it compiles in `cache_folder()`. Yields whether it can."""
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
    """A folder for each version of the kernels' sources."""
    return Path(numba_config.CACHE_DIR or user_cache_dir("long-bench")) / "kernels" / digest(SOURCES)[:16]


@cache
def digest(folder: Path) -> str:
    """A hash of every Python file in a folder and its subfolders."""
    sources = sorted(folder.rglob("*.py"))
    assert sources, f"no sources in {folder}"  # else the key would be a constant, and stale machine code would run
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
