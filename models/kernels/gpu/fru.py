"""The FRU's recurrence on a GPU: Triton kernels of the low-rank form (docs/fru-kernel.md).

    φ_t = σ(z_t + W r_t),   z_t = W_x x_t + b_φ      s_{t+1} = s_t + A_tᵀ φ_t      r_{t+1} = σ(s_{t+1} + Dᵀ φ_t + b_r)

A program takes one sequence through all steps. W, D and A_t are tiles of R rows and S columns over its threads. A sum
over rows leaves φ, and one over columns leaves r, where the next product needs it. s and r never leave the registers.
z and A_t, which do not wait for r, are loaded STAGES − 1 steps ahead.
Backward, given g_t, the gradient of φ_t through the outputs,

    dz_t = σ'(φ_t) (g_t + A_t ds_{t+1} + D dr_{t+1}),   dr_t = σ'(r_t) Wᵀ dz_t,   ds_t = ds_{t+1} + dr_t

The products over the whole batch (A from the gains, dA_t = φ_t ds_{t+1}ᵀ, dW, dD) are matrix products outside these
kernels, whose order of summation is fixed. All arithmetic is in float32.

Shapes: B batch, T time, S statistics, R recurrent features, H outputs, C states kept. S, R and H are powers of two,
as Triton's tiles are. The caller pads with zeros, which stay zero. Everything is contiguous, in its suffix's order.
"""

import triton
import triton.language as tl

from models.kernels.gpu.launch import relu


@triton.jit
def masked_by(x, dy):
    """Return dy where σ was open, that is where its output x is positive (or NaN), else 0."""
    return tl.where(x <= 0, 0.0, dy)


@triton.jit
def statistics_forward(
    z_TBS, a_TRS, d_RS, weight_RS, bias_R, lengths_B, phi_TBS, kept_CBR, T, B,
    HAS_LENGTHS: tl.constexpr, SEGMENT: tl.constexpr, S: tl.constexpr, R: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute φ up to the sequence's end and, every SEGMENT steps, store the state that the step before began with."""
    # W, D and b stay in registers for the whole sequence. Places in φ need 64 bits: T · B · S can exceed 2³¹.
    b = tl.program_id(0)
    i, j = tl.arange(0, S), tl.arange(0, R)
    tile_RS = j[:, None] * S + i[None, :]
    weight, present, bias = tl.load(weight_RS + tile_RS), tl.load(d_RS + tile_RS), tl.load(bias_R + j)
    step_BS, own_S = tl.cast(B, tl.int64) * S, b * S + i
    if HAS_LENGTHS:
        T = tl.load(lengths_B + b).to(tl.int32)
    s = tl.full([R], 0.0, tl.float32)
    r = relu(s + bias)
    for t in tl.range(T, num_stages=STAGES):
        # The loads come first: they depend on no earlier step, so that the compiler can issue them steps ahead.
        z, a = tl.load(z_TBS + t * step_BS + own_S), tl.load(a_TRS + tl.cast(t, tl.int64) * R * S + tile_RS)
        phi = relu(z + tl.sum(weight * r[:, None], 0))
        tl.store(phi_TBS + t * step_BS + own_S, phi)
        # s before this step's φ is added: `running_forward` begins with the step before a segment, whose φ r needs.
        if (t + 1) % SEGMENT == 0:
            tl.store(kept_CBR + (tl.cast((t + 1) // SEGMENT, tl.int64) * B + b) * R + j, s)
        s += tl.sum(a * phi[None, :], 1)
        r = relu(s + bias + tl.sum(present * phi[None, :], 1))


@triton.jit
def running_forward(
    phi_TBS, a_THS, d_HS, bias_H, start_CBH, out, T, B, H, before, steps,
    HAS_START: tl.constexpr, S: tl.constexpr, WIDTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute σ(Σ_{τ≤t} A_τᵀ φ_τ + Dᵀ φ_t + b) for t = before … before + steps − 1 of each segment, a program each.

    With `before` = −1 and a start, out[t] is r_t, by the same operations in the same order as in `statistics_forward`.
    """
    # φ is known, so nothing waits for r: segments and blocks of WIDTH outputs are programs of their own.
    b, c = tl.program_id(0), tl.program_id(2)
    i, h = tl.arange(0, S), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    tile_HS = h[:, None] * S + i[None, :]
    present, bias = tl.load(d_HS + tile_HS), tl.load(bias_H + h)
    step_BS, step_BH = tl.cast(B, tl.int64) * S, tl.cast(B, tl.int64) * H
    s = tl.full([WIDTH], 0.0, tl.float32)
    if HAS_START:
        s = tl.load(start_CBH + c * step_BH + b * H + h)
    for n in tl.range(c * steps, tl.minimum((c + 1) * steps, T), num_stages=STAGES):
        # No φ is before the first step: what is loaded there is replaced by zero.
        t = tl.maximum(n + before, 0).to(tl.int64)
        phi = tl.load(phi_TBS + t * step_BS + b * S + i)
        phi = tl.where(n + before < 0, 0.0, phi)
        s += tl.sum(tl.load(a_THS + t * H * S + tile_HS) * phi[None, :], 1)
        tl.store(out + n * step_BH + b * H + h, relu(s + bias + tl.sum(present * phi[None, :], 1)))


@triton.jit
def statistics_backward(
    g_TBS, phi_TBS, r_TBR, a_TRS, d_RS, weight_RS, dz_TBS, ds_TBR, dr_TBR, carry_2BR, T, B,
    S: tl.constexpr, R: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Compute dz_t, and ds_{t+1} and dr_{t+1} at t, for a chunk of T steps. `carry_2BR` is ds and dr between chunks."""
    # The same tiles as forward: products with A and D are now sums over rows, that with W a sum over columns.
    b = tl.program_id(0)
    i, j = tl.arange(0, S), tl.arange(0, R)
    tile_RS = j[:, None] * S + i[None, :]
    weight, present = tl.load(weight_RS + tile_RS), tl.load(d_RS + tile_RS)
    step_BS, step_BR = tl.cast(B, tl.int64) * S, tl.cast(B, tl.int64) * R
    own_S, own_R = b * S + i, b * R + j
    ds, dr = tl.load(carry_2BR + own_R), tl.load(carry_2BR + step_BR + own_R)
    for n in tl.range(T, num_stages=STAGES):
        t = tl.cast(T - 1 - n, tl.int64)
        g, phi = tl.load(g_TBS + t * step_BS + own_S), tl.load(phi_TBS + t * step_BS + own_S)
        r, a = tl.load(r_TBR + t * step_BR + own_R), tl.load(a_TRS + t * R * S + tile_RS)
        # The matrix products outside make dA and dD of these, so they are stored before this step changes them.
        tl.store(ds_TBR + t * step_BR + own_R, ds)
        tl.store(dr_TBR + t * step_BR + own_R, dr)
        dz = masked_by(phi, g + tl.sum(a * ds[:, None] + present * dr[:, None], 0))
        tl.store(dz_TBS + t * step_BS + own_S, dz)
        dr = masked_by(r, tl.sum(weight * dz[None, :], 1))
        ds += dr
    tl.store(carry_2BR + own_R, ds)
    tl.store(carry_2BR + step_BR + own_R, dr)


@triton.jit
def running_backward(dy_TBH, y_TBH, da_TBH, sum_TBH, carry_BH, T, N, BLOCK: tl.constexpr, STAGES: tl.constexpr):
    """Compute dy where σ was open, and its sum over this step and the later ones. A step has N = B·H numbers."""
    # A thread takes its numbers from the last step to the first, with their sums in registers.
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    total = tl.load(carry_BH + n, mask=inside, other=0.0)
    for step in tl.range(T, num_stages=STAGES):
        here = (T - 1 - step) * tl.cast(N, tl.int64) + n
        dy = masked_by(tl.load(y_TBH + here, mask=inside, other=0.0), tl.load(dy_TBH + here, mask=inside, other=0.0))
        total += dy
        tl.store(da_TBH + here, dy, mask=inside)
        tl.store(sum_TBH + here, total, mask=inside)
    tl.store(carry_BH + n, total, mask=inside)
