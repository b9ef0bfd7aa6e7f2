"""The work of a thread of the FRU's CPU kernel: take shares of the batch until none is left, with denormals flushed.

A table of 64-bit numbers describes a call: the next share, the number of shares, the SIZES, and the addresses of the
arrays. All threads of a call get the same table.
"""

import platform
from typing import Any

import numba
from llvmlite import ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from models.kernels.cpu.fru import recurrence
from models.kernels.cpu.toolkit.outer import padded
from models.kernels.cpu.toolkit.vector import LANES, WIDTH

SEGMENT, GROUP = recurrence.SEGMENT, recurrence.GROUP
SIZES = ("T", "B", "D", "S", "R", "k", "masked", "start", "option")
"""Steps, padded batch, input, statistics, recurrent features, frequencies, rows of D, and the first step. `forward` and
`backward` explain the option."""
HEAD = 2 + len(SIZES)
FORWARD_ARRAYS, BACKWARD_ARRAYS = 13, 24

TABLE = types.CPointer(types.int64)


def scratch_size(D: int, S: int, R: int) -> int:
    """Return how many numbers of scratch memory a share needs, in whole vectors."""
    RP, ZP = _padded(R), _padded(D + R)
    return (SEGMENT * (ZP + 2 * S) + (GROUP + 1) * (SEGMENT + 1) * RP + R) * LANES


_padded: Any = numba.njit(padded)
_scratch_size: Any = numba.njit(scratch_size)


@intrinsic
def take_share(typing_context: Any, table: Any) -> Any:
    """Return the next share's number. No other thread gets the same one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(table), generate


def _pointer_to(kind: Any) -> Any:
    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(address), generate

    return pointer


floats_at, integers_at = _pointer_to(types.float32), _pointer_to(types.int64)

# A fading gradient is full of denormal numbers, which take a hundred times as long. Each thread has a control register
# whose bits make them count as zero: FZ and DAZ on x86, FZ on ARM.
CONTROL = {
    "x86_64": ("llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr", 0x8040),
    "AMD64": ("llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr", 0x8040),
    "aarch64": ("llvm.aarch64.get.fpcr", "llvm.aarch64.set.fpcr", 1 << 24),
    "arm64": ("llvm.aarch64.get.fpcr", "llvm.aarch64.set.fpcr", 1 << 24),
}


@intrinsic
def float_control(typing_context: Any = None) -> Any:
    """Return the control register's contents, or 0 on a machine that `CONTROL` does not list."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(64)
        match CONTROL.get(platform.machine()):
            case (get, _, _) if "x86" in get:
                cell = cgutils.alloca_once(builder, ir.IntType(32))
                kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
                pointer = builder.bitcast(cell, ir.IntType(8).as_pointer())
                builder.call(cgutils.get_or_insert_function(builder.module, kind, get), [pointer])
                return builder.zext(builder.load(cell), wide)
            case (get, _, _):
                return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(wide, []), get), [])
            case None:
                return ir.Constant(wide, 0)

    return types.int64(), generate


@intrinsic
def set_float_control(typing_context: Any, contents: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(64)
        match CONTROL.get(platform.machine()):
            case (_, put, _) if "x86" in put:
                cell = cgutils.alloca_once_value(builder, builder.trunc(arguments[0], ir.IntType(32)))
                kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
                pointer = builder.bitcast(cell, ir.IntType(8).as_pointer())
                builder.call(cgutils.get_or_insert_function(builder.module, kind, put), [pointer])
            case (_, put, _):
                kind = ir.FunctionType(ir.VoidType(), [wide])
                builder.call(cgutils.get_or_insert_function(builder.module, kind, put), [arguments[0]])
        return context.get_dummy_value()

    return types.void(types.int64), generate


FLUSHED = CONTROL.get(platform.machine(), ("", "", 0))[2]


@numba.njit(inline="always")
def floats(address, shape):  # type: ignore[no-untyped-def]
    return carray(floats_at(address), shape)


_forward = numba.njit(nogil=True)(recurrence.forward)
_backward = numba.njit(nogil=True)(recurrence.backward)


def forward(pointer):  # type: ignore[no-untyped-def]
    """Take shares of `recurrence.forward` until none is left.

    Args:
        pointer: to the table. Its `option` says whether there are lengths. Its arrays are those of
            `recurrence.forward`, in that order.
    """
    control: Any = float_control()
    set_float_control(control | FLUSHED)
    shares, T, B, D, S, R, k, masked, start, with_lengths = carray(pointer, HEAD)[1:]
    at = carray(pointer, HEAD + FORWARD_ARRAYS)[HEAD:]
    N, C = B // LANES, (T + SEGMENT - 1) // SEGMENT
    x, lengths = floats(at[0], (T, D, B)), carray(integers_at(at[1]), B * with_lengths)
    a, d = floats(at[2], (T, S, R)), floats(at[3], (masked, R))
    weight, b_S, b_R = floats(at[4], (D + R, S)), floats(at[5], S), floats(at[6], R)
    s, r = floats(at[7], (N, R, LANES)), floats(at[8], (N, R, LANES))
    phi, kept = floats(at[9], (T, S, B)), floats(at[10], (C, N, R, LANES))
    gain, u = floats(at[11], (T, k)), floats(at[12], (k, S, B))
    # The number of shares, not the thread that takes one, decides which blocks are summed together: results repeat.
    share = take_share(pointer)
    while share < shares:
        first, last = N * share // shares, N * (share + 1) // shares
        _forward(first, last, x, lengths, a, d, weight, b_S, b_R, start, s, r, phi, kept, gain, u)
        share = take_share(pointer)
    set_float_control(control)


def backward(pointer):  # type: ignore[no-untyped-def]
    """Take shares of `recurrence.backward` until none is left.

    Args:
        pointer: to the table. Its `option` says whether to compute x's gradient. Its arrays are those of
            `recurrence.backward`, in that order, and scratch memory. From dgain on each has a part for every share.
    """
    control: Any = float_control()
    set_float_control(control | FLUSHED)
    shares, T, B, D, S, R, k, masked, start, with_input = carray(pointer, HEAD)[1:]
    at = carray(pointer, HEAD + BACKWARD_ARRAYS)[HEAD:]
    N, C, K, RP, ZP = B // LANES, (T + SEGMENT - 1) // SEGMENT, _padded(k), _padded(R), _padded(D + R)
    x, ends, phi = floats(at[0], (T, D, B)), carray(integers_at(at[1]), B), floats(at[2], (T, S, B))
    before, kept, g = floats(at[3], (S, B)), floats(at[4], (C, N, R, LANES)), floats(at[5], (T, S, B))
    gain, du, dlast = floats(at[6], (k, T)), floats(at[7], (K, S, B)), floats(at[8], (S, B))
    a_SR, a_RS = floats(at[9], (T, S, R)), floats(at[10], (T, R, S))
    d_SR, d_RS = floats(at[11], (masked, R)), floats(at[12], (R, masked))
    weight, b_R = floats(at[13], (S, D + R)), floats(at[14], R)
    ds, dr = floats(at[15], (N, R, LANES)), floats(at[16], (N, R, LANES))
    dx = floats(at[17], (T * with_input, D, B))
    share = take_share(pointer)
    while share < shares:
        first, last = N * share // shares, N * (share + 1) // shares
        group = min(GROUP, last - first)
        # This share's own parts: no thread writes to another's, and the caller adds them up in a fixed order.
        dgain = floats(at[18] + 4 * share * T * K, (T, K))
        da = floats(at[19] + 4 * share * T * S * RP, (T, S, RP))
        dd = floats(at[20] + 4 * share * S * RP * WIDTH, (S, RP, WIDTH))
        dw = floats(at[21] + 4 * share * S * ZP * WIDTH, (S, ZP, WIDTH))
        db = floats(at[22] + 4 * share * S * LANES, (S, LANES))
        # Cut the share's scratch memory into its arrays, one after the other, as `scratch_size` counts them.
        g_at = at[23] + 4 * share * _scratch_size(D, S, R)
        z_at = g_at + 4 * SEGMENT * S * LANES
        dphi_at = z_at + 4 * SEGMENT * ZP * LANES
        dr_at = dphi_at + 4 * SEGMENT * S * LANES
        s_at = dr_at + 4 * (SEGMENT + 1) * RP * LANES
        ds_at = s_at + 4 * R * LANES
        _backward(
            first, last, x, ends, phi, before, kept, g, gain, du, dlast, a_SR, a_RS, d_SR, d_RS, weight, b_R, start,
            ds, dr, dx, dgain, da, dd, dw, db, floats(g_at, (SEGMENT, S, LANES)), floats(z_at, (SEGMENT, ZP, LANES)),
            floats(dphi_at, (SEGMENT, S, LANES)), floats(ds_at, (group, SEGMENT + 1, RP, LANES)),
            floats(dr_at, (SEGMENT + 1, RP, LANES)), floats(s_at, (R, LANES)),
        )  # fmt: skip
        share = take_share(pointer)
    set_float_control(control)
