"""Predictions and weights that are not what they must be."""

import io
import json
import pickle
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.bundle.archive import write_members
from tests.support.hostile.common import Case, swapped

MARK = "/tmp/hostile-bundle-was-here"
CODE = f"__import__('os').system('touch {MARK}')"


class Touch:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> Any:
        return eval, (CODE,)


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def compressed_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, test=np.zeros(360, np.uint8))
    return buffer.getvalue()


def npy(header: str, content: bytes = b"", magic: bytes = b"\x93NUMPY\1\0") -> bytes:
    """An npz whose array has a header of this text."""
    text = header.encode() + b"\n"
    return write_members({"test.npy": magic + struct.pack("<H", len(text)) + text + content})


def described(shape: str, kind: str = "'|u1'") -> str:
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': ({shape}), }}"


FORM = "is not an array of |u1, <u2, <i4 or <f4"
FINITE = "test.npy holds a number that is not finite"
PREDICTIONS: dict[str, tuple[Callable[[], bytes], str]] = {
    "pickled": (lambda: npz(test=np.array([Touch()], dtype=object)), FORM),
    "a bare pickle": (lambda: pickle.dumps(Touch()), "predictions.npz: not a zip"),
    "compressed": (compressed_npz, "predictions.npz: member test.npy is compressed"),
    "of another name": (lambda: npz(evil=np.zeros(3, np.uint8)), "there is no member 'evil.npy'"),
    "of a name with a path": (lambda: write_members({"../test.npy": b""}), "there is no member '../test.npy'"),
    "for another split": (lambda: npz(**{"test-2x": np.zeros(3, np.uint8)}), "predictions.npz is for test-2x"),
    "in double precision": (lambda: npz(test=np.zeros((3, 2))), FORM),
    "in 64 bits": (lambda: npz(test=np.zeros(3, np.int64)), FORM),
    "of text": (lambda: npz(test=np.array(["one", "two"])), FORM),
    "of records with objects": (lambda: npz(test=np.zeros(3, [("a", "<f4"), ("b", "O")])), FORM),
    "of the other order": (lambda: npz(test=np.asfortranarray(np.zeros((3, 2), np.float32))), FORM),
    "of three axes": (lambda: npz(test=np.zeros((3, 2, 2), np.uint8)), FORM),
    "of no axes": (lambda: npz(test=np.uint8(3)), FORM),
    "not a number": (lambda: npz(test=np.full((3, 2), np.nan, np.float32)), FINITE),
    "infinite": (lambda: npz(test=np.full((3, 2), np.inf, np.float32)), FINITE),
    "of 2**63 samples": (lambda: npy(described("9223372036854775808,")), FORM),
    "of a billion by a billion": (lambda: npy(described("999999999, 999999999")), "not those of shape"),
    "with code in the header": (lambda: npy(described("1,", kind=CODE)), FORM),
    "with a deep header": (lambda: npy("(" * 60_000), FORM),
    "with a long header": (lambda: npy(described("1,") + " " * 60_000), "has 0 bytes"),
    "of a format that is none": (lambda: npy(described("3,"), bytes(3), magic=b"\x93NUMPX\1\0"), FORM),
    "empty": (lambda: write_members({"test.npy": b""}), FORM),
}


def tensors(header: Any, content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def one(dtype: str = "F32", shape: Iterable[int] = (2,), offsets: Iterable[int] = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


PLACE = "overlaps, leaves a gap, or does not have the bytes of its shape"
MANY = "more than 4,096 tensors or 16,000,000 numbers"
EMPTY = one(shape=(0,), offsets=(0, 0))
WEIGHTS: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps(Touch()), "its header can't have"),
    "empty": (b"", "its header can't have 0 bytes"),
    "with a header of 2**63 bytes": (tensors({}, length=2**63), "can't have 9,223,372,036,854,775,808 bytes"),
    "with a header beyond the file": (tensors({"a": one()}, length=5_000), "its header can't have 5,000 bytes"),
    "with a huge header": (tensors(b'{"a": ' + b" " * (2 << 20) + b"1}"), "1,048,576 are legal"),
    "with a deep header": (tensors(b'{"a":' * 50_000), "weights.safetensors: nested too deeply"),
    "with a header that is no JSON": (tensors(b"hello, you"), "weights.safetensors: Expecting value"),
    "with a name twice": (tensors(b'{"a": 1, "a": 2}'), "a name is given twice"),
    "overlapping": (tensors({"a": one(), "b": one(offsets=(4, 12))}, bytes(12)), PLACE),
    "the same bytes twice": (tensors({"a": one(), "b": one()}, bytes(8)), PLACE),
    "with a gap": (tensors({"a": one(), "b": one(offsets=(12, 20))}, bytes(20)), PLACE),
    "backwards": (tensors({"a": one(offsets=(8, 0))}, bytes(8)), PLACE),
    "before the start": (tensors({"a": one(offsets=(-8, 0))}, bytes(8)), "greater than or equal to 0"),
    "with three offsets": (tensors({"a": one(offsets=(0, 4, 8))}, bytes(8)), "at most 2 items"),
    "with one offset": (tensors({"a": one(offsets=(0,))}, bytes(8)), "at least 2 items"),
    "of very many axes": (tensors({"a": one(shape=(2, *[1] * 8))}, bytes(8)), "at most 8 items"),
    "of a giant name": (tensors({"a" * 300: one()}, bytes(8)), "at most 200 characters"),
    "of numbers as text": (tensors({"a": {**one(), "shape": ["2"]}}, bytes(8)), "valid integer"),
    "with bytes behind": (tensors({"a": one()}, bytes(100)), "the tensors have 8 bytes, the file 100"),
    "with too few bytes": (tensors({"a": one()}, bytes(4)), "the tensors have 8 bytes, the file 4"),
    "of another shape": (tensors({"a": one(shape=(3,))}, bytes(8)), PLACE),
    "of a type that nobody asked for": (tensors({"a": one("F8_E4M3")}, bytes(8)), "a.dtype: Input should be"),
    "of bytes": (tensors({"a": one("U8", (8,))}, bytes(8)), "a.dtype: Input should be"),
    "of a negative size": (tensors({"a": one(shape=(-1, -2))}, bytes(8)), "greater than or equal to 0"),
    "of a size of 2**63": (tensors({"a": one(shape=(2**63,))}, bytes(8)), "less than or equal to 2147483648"),
    "of sizes whose product is 0 in 64 bits": (tensors({"a": one(shape=(2**31, 2**31, 4), offsets=(0, 0))}), MANY),
    "of very many tensors": (tensors({str(n): EMPTY for n in range(5_000)}), MANY),
    "named by a path": (tensors({"../a": one()}, bytes(8)), "String should match pattern"),
    "not a number": (tensors({"a": one()}, struct.pack("<2f", 1.0, float("nan"))), "a number that is not finite"),
    "infinite": (tensors({"a": one()}, struct.pack("<2f", 1.0, float("inf"))), "a number that is not finite"),
    "as many as are legal": (
        tensors({"a": one(shape=(16_000_000,), offsets=(0, 64_000_000))}, bytes(64_000_000)),
        "has 16,000,000 numbers, bundle.json says",
    ),
    "fewer than the record says": (tensors({"a": one()}, bytes(8)), "has 2 numbers, bundle.json says"),
}
ARRAYS: dict[str, Case] = {
    f"predictions that are {what}": (lambda members, make=make: swapped(members, "predictions.npz", make()), message)
    for what, (make, message) in PREDICTIONS.items()
} | {
    f"weights that are {what}": (lambda members, data=data: swapped(members, "weights.safetensors", data), message)
    for what, (data, message) in WEIGHTS.items()
}
