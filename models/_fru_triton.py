"""The FRU's recurrence on a GPU: Triton kernels of the low-rank form (docs/fru-kernel.md).

    φ_t = σ(z_t + W r_t),   z_t = W_x x_t + b_φ      s_{t+1} = s_t + A_tᵀ φ_t      r_{t+1} = σ(s_{t+1} + Dᵀ φ_t + b_r)

A program takes BLOCK sequences through all steps with s and r in registers; what does not wait for r, the next step's z
and A_t, is asked for a step ahead. Backward, given g_t, the gradient of φ_t through the outputs,

    dz_t = σ'(φ_t) (g_t + A_t ds_{t+1} + D dr_{t+1}),   dr_t = σ'(r_t) Wᵀ dz_t,   ds_t = ds_{t+1} + dr_t

Products over the whole batch (A from the gains, dA_t = φ_t ds_{t+1}ᵀ, dW, dD) are left to matrix products outside,
whose order of summation is fixed. All arithmetic is in float32; PRECISION is that of `tl.dot`.

Shapes: B batch, T time, S statistics, R recurrent features, H any output width, C states kept; SP, RP: S and R padded
to the tiles of the tensor cores. Everything is contiguous, in the order that its suffix says.
"""

import triton
import triton.language as tl


@triton.jit
def relu(x):
    return tl.where(x <= 0, 0.0, x)  # NaN stays


@triton.jit
def masked_by(x, dy):
    """dy where σ was open, which x, its output, tells."""
    return tl.where(x <= 0, 0.0, dy)


@triton.jit
def load_tile(pointer, row, rows, column, columns):
    """The (row, column) elements of a matrix with so many rows and columns; zero outside it."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    return tl.load(pointer + row[:, None] * columns + column[None, :], mask=inside, other=0.0)


@triton.jit
def store_tile(pointer, value, row, rows, column, columns):
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    tl.store(pointer + row[:, None] * columns + column[None, :], value, mask=inside)


@triton.jit
def statistics_forward(
    z_TBS, a_TSR, d_SR, weight_RS, bias_R, lengths_B, phi_TBS, kept_CBR, T, B, S, R,
    HAS_LENGTHS: tl.constexpr, SEGMENT: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK: tl.constexpr, SP: tl.constexpr, RP: tl.constexpr,
):  # fmt: skip
    """φ at every step, and every SEGMENT steps the state that the step before began with."""
    b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i, j = tl.arange(0, SP), tl.arange(0, RP)
    weight = load_tile(weight_RS, j, R, i, S)
    present = load_tile(d_SR, i, S, j, R)
    bias = tl.load(bias_R + j, mask=j < R, other=0.0)[None, :]
    if HAS_LENGTHS:
        length = tl.load(lengths_B + b, mask=b < B, other=0)[:, None]
    step_BS, step_SR, step_BR = tl.cast(B, tl.int64) * S, tl.cast(S, tl.int64) * R, tl.cast(B, tl.int64) * R
    s = tl.full([BLOCK, RP], 0.0, tl.float32)
    r = relu(s + bias)
    z, a = load_tile(z_TBS, b, B, i, S), load_tile(a_TSR, i, S, j, R)
    for t in range(T):
        z_now, a_now = z, a
        ahead = tl.minimum(t + 1, T - 1)
        z = load_tile(z_TBS + ahead * step_BS, b, B, i, S)
        a = load_tile(a_TSR + ahead * step_SR, i, S, j, R)
        phi = relu(tl.dot(r, weight, input_precision=PRECISION) + z_now.to(tl.float32))
        if HAS_LENGTHS:
            phi = tl.where(t < length, phi, 0.0)
        store_tile(phi_TBS + t * step_BS, phi, b, B, i, S)
        if (t + 1) % SEGMENT == 0:
            store_tile(kept_CBR + (t + 1) // SEGMENT * step_BR, s, b, B, j, R)
        s += tl.dot(phi, a_now, input_precision=PRECISION)
        r = relu(s + bias + tl.dot(phi, present, input_precision=PRECISION))


@triton.jit
def running_forward(
    phi_TBS, a_TSH, d_SH, bias_H, start_CBH, out, T, B, S, H, before, steps,
    HAS_START: tl.constexpr, PRECISION: tl.constexpr, BLOCK: tl.constexpr, SP: tl.constexpr, HP: tl.constexpr,
):  # fmt: skip
    """σ(Σ_{τ≤t} A_τᵀ φ_τ + Dᵀ φ_t + b) for t = before … before + steps − 1 of each segment, a program each.

    With `before` = −1 and a start, out[t] is r_t, in the same order of operations as `statistics_forward` has it.
    """
    b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i, h = tl.arange(0, SP), tl.program_id(1) * HP + tl.arange(0, HP)
    c = tl.program_id(2)
    present = load_tile(d_SH, i, S, h, H)
    bias = tl.load(bias_H + h, mask=h < H, other=0.0)[None, :]
    step_BS, step_SH, step_BH = tl.cast(B, tl.int64) * S, tl.cast(S, tl.int64) * H, tl.cast(B, tl.int64) * H
    s = tl.full([BLOCK, HP], 0.0, tl.float32)
    if HAS_START:
        s = load_tile(start_CBH + c * step_BH, b, B, h, H)
    for n in range(c * steps, tl.minimum((c + 1) * steps, T)):
        t = n + before
        phi = load_tile(phi_TBS + t * step_BS, b, tl.where(t < 0, 0, B), i, S)
        a = load_tile(a_TSH + t * step_SH, i, tl.where(t < 0, 0, S), h, H)
        s += tl.dot(phi, a, input_precision=PRECISION)
        y = relu(s + bias + tl.dot(phi, present, input_precision=PRECISION))
        store_tile(out + n * step_BH, y, b, B, h, H)


@triton.jit
def statistics_backward(
    g_TBS, phi_TBS, r_TBR, a_TSR, d_SR, weight_RS, dz_TBS, ds_TBR, dr_TBR, carry_2BR, T, B, S, R,
    PRECISION: tl.constexpr, BLOCK: tl.constexpr, SP: tl.constexpr, RP: tl.constexpr,
):  # fmt: skip
    """dz_t, and ds_{t+1} and dr_{t+1} at t, for a chunk of T steps; `carry_2BR` holds ds and dr between chunks."""
    b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i, j = tl.arange(0, SP), tl.arange(0, RP)
    weight_t = tl.trans(load_tile(weight_RS, j, R, i, S))
    present_t = tl.trans(load_tile(d_SR, i, S, j, R))
    step_BS, step_SR, step_BR = tl.cast(B, tl.int64) * S, tl.cast(S, tl.int64) * R, tl.cast(B, tl.int64) * R
    ds = load_tile(carry_2BR, b, B, j, R)
    dr = load_tile(carry_2BR + step_BR, b, B, j, R)
    for n in range(T):
        t = T - 1 - n
        g = load_tile(g_TBS + t * step_BS, b, B, i, S)
        phi = load_tile(phi_TBS + t * step_BS, b, B, i, S)
        r = load_tile(r_TBR + t * step_BR, b, B, j, R)
        a = load_tile(a_TSR + t * step_SR, i, S, j, R)
        store_tile(ds_TBR + t * step_BR, ds, b, B, j, R)
        store_tile(dr_TBR + t * step_BR, dr, b, B, j, R)
        dz = g + tl.dot(ds, tl.trans(a), input_precision=PRECISION) + tl.dot(dr, present_t, input_precision=PRECISION)
        dz = masked_by(phi, dz)
        store_tile(dz_TBS + t * step_BS, dz, b, B, i, S)
        dr = masked_by(r, tl.dot(dz, weight_t, input_precision=PRECISION))
        ds += dr
    store_tile(carry_2BR, ds, b, B, j, R)
    store_tile(carry_2BR + step_BR, dr, b, B, j, R)


@triton.jit
def running_backward(dy_TBH, y_TBH, da_TBH, sum_TBH, carry_BH, T, N, BLOCK: tl.constexpr):
    """dy where σ was open, and its sum over this step and the later ones; N = B·H numbers a step."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    total = tl.load(carry_BH + n, mask=inside, other=0.0)
    for step in range(T):
        here = (T - 1 - step) * tl.cast(N, tl.int64) + n
        dy = masked_by(tl.load(y_TBH + here, mask=inside, other=0.0), tl.load(dy_TBH + here, mask=inside, other=0.0))
        total += dy
        tl.store(da_TBH + here, dy, mask=inside)
        tl.store(sum_TBH + here, total, mask=inside)
    tl.store(carry_BH + n, total, mask=inside)
