"""`predictions.npz`: what the network predicted on each test split, one array each, in the order of the split.

    one label        (N,)        class
    one token a step (M,)        token at each position that the metric looks at, sample after sample
    one value        (N, width)  float32
    one value a step (M, width)  float32, the values at each position that the metric looks at, sample after sample

Classes and tokens have the smallest type that holds them. An array is a view of the file's bytes. Its header must have
a fixed form, and nothing is allocated or evaluated for it.
"""

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bundle.archive import read_members, write_members
from bench.bundle.errors import BundleError

Array = NDArray[Any]

MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '(\|u1|<u2|<i4|<f4)', 'fortran_order': False, 'shape': \((\d{1,9}(?:,|, \d{1,9}))\), \} *\n"
)
NAME = re.compile(r"(test(?:-[a-z0-9]{1,16})?)\.npy")
MOST_SPLITS = 8
LARGEST = 64 << 20  # bytes


def write_predictions(predictions: Mapping[str, Array]) -> bytes:
    """Return the content of a `predictions.npz`.

    Args:
        predictions: test split → its array.
    """
    return write_members({f"{split}.npy": _npy(array) for split, array in predictions.items()})


def read_predictions(content: bytes, where: str) -> dict[str, Array]:
    """Return test split → its array.

    Args:
        where: what messages call the file.

    Raises:
        BundleError: not such a file, or a number in it is not finite.
    """
    try:
        members = read_members(content, most=MOST_SPLITS, size_limit=lambda n: LARGEST if NAME.fullmatch(n) else None)
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from None
    return {name.removesuffix(".npy"): _array(member, f"{where}: {name}") for name, member in members.items()}


def fingerprint(array: Array) -> str:
    """Return the SHA-256 of an array of predictions, as the file holds it."""
    return hashlib.sha256(_npy(array)).hexdigest()


def compact(array: Array) -> Array:
    """Return classes or tokens in the smallest type that holds them, and values as float32."""
    if array.dtype.kind == "f":
        return array.astype("<f4")
    kinds = (("|u1", 1 << 8), ("<u2", 1 << 16), ("<i4", 1 << 31))
    return array.astype(next(kind for kind, limit in kinds if array.max(initial=0) < limit))


def _npy(array: Array) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _array(member: bytes, where: str) -> Array:
    start = 10 + int.from_bytes(member[8:10], "little")
    header = HEADER.fullmatch(member[10:start])
    if not member.startswith(MAGIC) or not header:
        raise BundleError(f"{where} is not an array of |u1, <u2, <i4 or <f4 with one or two axes")
    dtype, shape = np.dtype(header[1].decode()), [int(size) for size in header[2].split(b",") if size]
    if prod(shape) * dtype.itemsize != len(member) - start:
        raise BundleError(f"{where} has {len(member) - start:,} bytes, not those of shape {tuple(shape)}")
    array = np.frombuffer(member, dtype, offset=start).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise BundleError(f"{where} holds a number that is not finite")
    return array
