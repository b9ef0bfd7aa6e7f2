"""`weights.safetensors`, checked before any library sees it.

The file is the header's length (8 bytes), the header (JSON: name → type, shape, place) and the tensors' bytes. Here the
tensors must fill the file exactly, one after the other, with finite numbers.
"""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from pydantic.types import StringConstraints

from bench.bundle.documents import parse
from bench.bundle.errors import BundleError
from bench.bundle.schema import MOST_PARAMS, Strict

LARGEST_HEADER = 1 << 20  # bytes
MOST_TENSORS = 4_096
TYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}

Dim = Annotated[int, Field(ge=0, le=2**31)]
Offset = Annotated[int, Field(ge=0)]
TensorName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]+$", max_length=200)]


class TensorInfo(Strict):
    """A tensor's entry in the header."""

    dtype: Literal["F32", "F64", "I64"]
    shape: Annotated[list[Dim], Field(max_length=8)]
    data_offsets: Annotated[list[Offset], Field(min_length=2, max_length=2)]

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * np.dtype(TYPES[self.dtype]).itemsize


class Header(BaseModel):
    """The header of a file: tensor name → its entry. `metadata` names tensors that share memory; nothing reads it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[TensorName, TensorInfo]
    metadata: dict[TensorName, TensorName] = Field(alias="__metadata__", default={})


def read_tensors(content: bytes, where: str) -> dict[str, TensorInfo]:
    """Check a `weights.safetensors` and return its header: tensor name → its entry.

    Args:
        where: what messages call the file.

    Raises:
        BundleError: not such a file, tensors that overlap or leave gaps, too many of them, or numbers that are not
            finite.
    """
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(LARGEST_HEADER, len(content) - 8):
        raise BundleError(f"{where}: its header can't have {length:,} bytes; {LARGEST_HEADER:,} are legal")
    tensors = parse(content[8 : 8 + length], Header, where).__pydantic_extra__
    _check_places(tensors, len(content) - 8 - length, where)
    for name, tensor in tensors.items():
        if tensor.dtype in ("F32", "F64") and not _is_finite(content, 8 + length, tensor):
            raise BundleError(f"{where}: {name} holds a number that is not finite")
    return tensors


def _check_places(tensors: Mapping[str, TensorInfo], size: int, where: str) -> None:
    if len(tensors) > MOST_TENSORS or sum(tensor.count for tensor in tensors.values()) > MOST_PARAMS:
        raise BundleError(f"{where} has more than {MOST_TENSORS:,} tensors or {MOST_PARAMS:,} numbers")
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda each: each[1].data_offsets):
        start, stop = tensor.data_offsets
        if start != end or stop - start != tensor.size:
            raise BundleError(f"{where}: {name} overlaps, leaves a gap, or does not have the bytes of its shape")
        end = stop
    if end != size:
        raise BundleError(f"{where}: the tensors have {end:,} bytes, the file {size:,}")


def _is_finite(content: bytes, start: int, tensor: TensorInfo) -> bool:
    values = np.frombuffer(content, TYPES[tensor.dtype], tensor.count, offset=start + tensor.data_offsets[0])
    return bool(np.isfinite(values).all())
