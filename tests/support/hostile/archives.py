"""Zips that are not what a bundle's must be."""

import io
import struct
import zipfile
from collections.abc import Iterable
from typing import Any

from bench.bundle.archive import write_members
from tests.support.hostile.common import Case, Members, swapped

ARCHIVES: dict[str, Case] = {
    "an empty file": (lambda members: b"", "not a zip"),
    "not a zip": (lambda members: b"#!/bin/sh\n" * 100, "not a zip"),
    "cut off": (lambda members: write_members(members)[:-30], "not a zip"),
    "cut off at the front": (lambda members: write_members(members)[100:], "does not fit its 6 members or its place"),
    "bytes after the end": (lambda members: write_members(members) + b"\0", "not a zip"),
    "bytes before the start": (
        lambda members: b"#!/bin/sh\n" + write_members(members), "does not fit its 6 members or its place"),
    "a comment": (lambda members: commented(members), "not a zip"),
    "of several parts": (lambda members: ended(members, 4, b"\1"), "several parts or a comment"),
    "the second of several parts": (lambda members: ended(members, 6, b"\1"), "several parts or a comment"),
    "a comment that is not there": (lambda members: ended(members, 20, b"\5"), "several parts or a comment"),
    "of two counts": (lambda members: ended(members, 8, b"\5"), "the zip has 6 members; from 1 to 300 are legal"),
    "no members": (lambda members: zipped([]), "the zip has 0 members"),
    "a million members": (lambda members: crowd(10**6, 65_535), "has 65,535 members; from 1 to 300 are legal"),
    "a million members that say they are six": (
        lambda members: crowd(10**6, 6), "directory of 56,000,000 bytes does not fit its 6 members"),
    "too large": (lambda members: bytes((128 << 20) + 1), "134,217,729 bytes; 134,217,728 are legal"),
    "zip64": (lambda members: zip64(members), "zip64"),
    "a zip bomb": (lambda members: bomb(members), "member curves.csv is compressed"),
    "compressed": (
        lambda members: zipped(members.items(), compression=zipfile.ZIP_DEFLATED), "bundle.json is compressed"),
    "a nested zip": (
        lambda members: swapped(members, "inner.zip", write_members(members)), "there is no member 'inner.zip'"),
    "a name that ends at a NUL": (lambda members: with_nul(members), r"there is no member 'bundle.json\x00.sh'"),
    "a name that colours the terminal": (
        lambda members: swapped(members, "\x1b[31mred\x07", b""), r"there is no member '\x1b[31mred\x07'"),
    "a name that is not text": (
        lambda members: swapped(members, "äöü", b"").replace("äöü".encode(), b"\xff" * 6), "not a readable zip"),
    "a symbolic link": (lambda members: of_kind(members, 0o120777), "environment.txt is not a plain file"),
    "a device": (lambda members: of_kind(members, 0o020666), "environment.txt is not a plain file"),
    "a name twice": (
        lambda members: renamed(members, "config.json", "curves.csv"), "two members are named curves.csv"),
    "a wrong checksum": (
        lambda members: write_members(members).replace(b"name,epoch,step,value", b"name,epoch,step,VALUE"),
        "Bad CRC-32 for file 'curves.csv'"),
    "said to be compressed": (
        lambda members: patched(members, "config.json", 10, b"\x08"), "config.json is compressed"),
    "on another disk": (lambda members: patched(members, "config.json", 34, b"\1"), "config.json is encrypted, or has"),
    "encrypted": (lambda members: patched(members, "config.json", 8, b"\1\0"), "config.json is encrypted"),
    "a size that is a lie": (
        lambda members: patched(members, "config.json", 24, struct.pack("<L", 2**31)), "config.json is compressed"),
    "both sizes a lie": (
        lambda members: patched(members, "config.json", 20, struct.pack("<2L", 2**32 - 2, 2**32 - 2)),
        "config.json has 4,294,967,294 bytes"),
    "members that share their bytes": (
        lambda members: patched(members, "config.json", 42, bytes(4)), "overlaps another"),
    "an entry that points past the end": (
        lambda members: patched(members, "weights.safetensors", 42, struct.pack("<L", 2**31)),
        "bytes before it belong to no member"),
    "an extra field": (
        lambda members: annotated(members, extra=struct.pack("<2H4s", 0x7075, 4, b"evil")), "extra fields"),
    "a comment on a member": (lambda members: annotated(members, comment=b"=1+1"), "a comment"),
    "another name in front of the content": (
        lambda members: write_members(members).replace(b"config.json", b"CONFIG.json", 1),
        "File name in directory 'config.json'"),
    "bytes that no member owns": (lambda members: hidden(members), "bytes before it belong to no member"),
    "bytes before the directory": (lambda members: hidden_last(members), "belong to no member"),
    "a member that is too large": (
        lambda members: swapped(members, "environment.txt", b"a" * 70_000), "has 70,000 bytes; 65,536 are legal"),
    "no curves": (lambda members: without(members, "curves.csv"), "a run that is finished must have"),
    "no weights": (lambda members: without(members, "weights.safetensors"), "a run that is finished must have"),
    "no record": (lambda members: without(members, "bundle.json"), "there is no bundle.json"),
    "a folder and members outside of it": (
        lambda members: write_members(members | in_folder(members)), "members outside a folder belong to no run"),
    "a folder of another run": (
        lambda members: write_members(in_folder(members)), "a folder is named by its run"),
}  # fmt: skip
NAMES = (
    "../bundle.json", "/etc/bundle.json", "..\\bundle.json", "./bundle.json", "C:bundle.json", "BUNDLE.JSON",
    "bundle.json/", "a/b/bundle.json", "0123456789abcdef/../bundle.json", "code.py", "weights.pt",
)  # fmt: skip
for _name in NAMES:
    ARCHIVES[f"a member named {_name}"] = (
        lambda members, name=_name: renamed(members, "bundle.json", name), "there is no member",
    )  # fmt: skip


def zipped(entries: Iterable[tuple[zipfile.ZipInfo | str, bytes]], **options: Any) -> bytes:
    """As `zipfile` writes it, which is laxer than a bundle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return buffer.getvalue()


def without(members: Members, name: str) -> bytes:
    return write_members({each: content for each, content in members.items() if each != name})


def renamed(members: Members, old: str, new: str) -> bytes:
    """Through a name of the same length, as `zipfile` warns of a name that is taken."""
    placeholder = "x" * len(new)
    named = {placeholder if name == old else name: content for name, content in members.items()}
    return write_members(named).replace(placeholder.encode(), new.encode())


def in_folder(members: Members) -> Members:
    return {f"0123456789abcdef/{name}": content for name, content in members.items()}


def commented(members: Members) -> bytes:
    buffer = io.BytesIO(write_members(members))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"hello"
    return buffer.getvalue()


def bomb(members: Members) -> bytes:
    """256 MiB of zeros in some 250 KB."""
    info = zipfile.ZipInfo("curves.csv")
    info.compress_type = zipfile.ZIP_DEFLATED
    return zipped([(info, bytes(1 << 28)), *((n, c) for n, c in members.items() if n != "curves.csv")])


def with_nul(members: Members) -> bytes:
    return renamed(members, "bundle.json", "bundle.json\0.sh")


def of_kind(members: Members, mode: int) -> bytes:
    info = zipfile.ZipInfo("environment.txt")
    info.create_system, info.external_attr = 3, mode << 16
    return zipped([(info, b"/etc/passwd"), *((n, c) for n, c in members.items() if n != "environment.txt")])


def annotated(members: Members, **changes: bytes) -> bytes:
    info = zipfile.ZipInfo("config.json")
    for name, value in changes.items():
        setattr(info, name, value)
    return zipped([(info, members["config.json"]), *((n, c) for n, c in members.items() if n != "config.json")])


def patched(members: Members, name: str, offset: int, value: bytes) -> bytes:
    """With a field of a member's entry in the directory overwritten."""
    data = bytearray(write_members(members))
    at = data.rindex(name.encode()) - 46 + offset
    data[at : at + len(value)] = value
    return bytes(data)


def grown(data: bytes, at: int, content: bytes, field: int) -> bytes:
    """With bytes put in, and a field of the end record that keeps it consistent."""
    end = bytearray(data[-22:])
    end[field : field + 4] = struct.pack("<L", struct.unpack("<L", end[field : field + 4])[0] + len(content))
    return data[:at] + content + data[at:-22] + bytes(end)


def hidden(members: Members) -> bytes:
    data = write_members(members)
    return grown(data, data.index(b"PK\3\4", 10), b"hidden", field=16)


def hidden_last(members: Members) -> bytes:
    data = write_members(members)
    return grown(data, struct.unpack("<L", data[-6:-2])[0], b"hidden", field=16)


def ended(members: Members, offset: int, value: bytes) -> bytes:
    """With a field of the end record overwritten."""
    data = write_members(members)
    at = len(data) - 22 + offset
    return data[:at] + value + data[at + len(value) :]


def zip64(members: Members) -> bytes:
    data = write_members(members)
    return grown(data, len(data) - 22, b"PK\6\7" + bytes(16), field=12)


def crowd(count: int, stated: int) -> bytes:
    """Very many members of no bytes, and the number that the end record states."""
    name = b"curves.csv"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, stated, stated, len(entry) * count, len(local) * count, 0)
    return local * count + entry * count + end
