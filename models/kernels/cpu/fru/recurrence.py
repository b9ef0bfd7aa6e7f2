"""The FRU's recurrence on the CPU, forward and backward, for a run of steps and a share of the sequences.

In the low-rank form (docs/fru-kernel.md) the state is s, R numbers a sequence:

    φ_t = σ(W [x_t; r_t] + b_φ)
    s_{t+1} = s_t + A_tᵀ φ_t
    r_{t+1} = σ(s_{t+1} + Dᵀ φ_t + b_r)

The backward pass is given g_t, the gradient of φ_t through the outputs. It computes r again from the states kept every
SEGMENT steps and runs, from the last step to the first,

    dφ_t = σ'(φ_t) (g_t + A_t ds_{t+1} + D dr_{t+1})
    [dx_t; dr_t] = Wᵀ dφ_t,   dr_t ← σ'(r_t) dr_t,   ds_t = ds_{t+1} + dr_t
    dA_t = φ_t ds_{t+1}ᵀ,   dD += φ_t dr_{t+1}ᵀ,   dW += dφ_t [x_t; r_t]ᵀ,   db_φ += dφ_t,   db_r = ds_0

Shapes: T steps of this call, D input, S statistics, R recurrent, k frequencies, Z = D + R, N blocks of L lanes,
B = N·L, C segments; K, RP, ZP: k, R, Z in whole gradient tiles; V lanes of a vector. Where no frequency is masked,
the matrix D has no rows. The innermost dimension of a weight is the output of its product, so that a tile reads
adjacent numbers: weight_ZS and A_TSR going forward, weight_SZ and A_TRS going back.
"""

from typing import Any

from numba import njit

from models.kernels.cpu.toolkit.outer import outer_summed
from models.kernels.cpu.toolkit.vector import COLUMNS, LANES, OUTPUTS, ROWS, STEPS, WIDTH, ZERO, Code, tile

SEGMENT = 16  # steps between two kept states
GROUP = 4
"""Blocks whose parts of dA are added before the sum over lanes, which they then share."""


@tile
def statistics(code: Code, phi: Any, x: Any, r: Any, weight_ZS: Any, bias: Any, B: Any, D: Any, R: Any, S: Any) -> None:
    """φ = σ(W [x; r] + b)."""

    def outputs(first: Any, n: int) -> None:
        # n rows of sums stay in registers through both products. x and r are in different arrays. Two products avoid
        # copying them into one.
        sums = code.spread_rows(code.at(bias, first), n)
        sums = code.product(sums, (code.at(weight_ZS, first), S), (x, B), D)
        sums = code.product(sums, (code.at(weight_ZS, first, (D, S)), S), (r, LANES), R)
        code.store_rows(code.where_positive(sums, sums), code.at(phi, (first, B)), B)

    code.in_tiles(S, OUTPUTS, outputs)


@tile
def advance(
    code: Code, s: Any, r: Any, phi: Any, a_SR: Any, d_SR: Any, bias: Any, B: Any, R: Any, S: Any, masked: Any
) -> None:
    """s += Aᵀ φ and r = σ(s + Dᵀ φ + b); `masked` is the number of D's rows."""

    def outputs(first: Any, n: int) -> None:
        # The new s is stored and stays in the registers, to which Dᵀ φ and the bias are added for r.
        here_s = code.at(s, (first, LANES))
        sums = code.product(code.load_rows(here_s, LANES, n), (code.at(a_SR, first), R), (phi, B), S)
        code.store_rows(sums, here_s, LANES)
        sums = code.add(sums, code.spread_rows(code.at(bias, first), n))
        sums = code.product(sums, (code.at(d_SR, first), R), (phi, B), masked)
        code.store_rows(code.where_positive(sums, sums), code.at(r, (first, LANES)), LANES)

    code.in_tiles(R, OUTPUTS, outputs)


@tile
def summarise(code: Code, u: Any, phi: Any, gain_Tk: Any, row: Any, k: Any, steps: Any) -> None:
    """u[f] += Σ_t g_t[f] φ_t for one statistic, whose rows in u and φ are `row` apart."""

    def outputs(first: Any, n: int) -> None:
        # A whole segment at once: u is read and written once for all of its steps.
        here = code.at(u, (first, row))
        sums = code.product(code.load_rows(here, row, n), (code.at(gain_Tk, first), k), (phi, row), steps)
        code.store_rows(sums, here, row)

    code.in_tiles(k, OUTPUTS, outputs)


@tile
def pull_summaries(code: Code, g: Any, g_row: Any, du: Any, row: Any, gain_kT: Any, T: Any, k: Any, steps: Any) -> None:
    """g_t = Σ_f g_t[f] du[f] for one statistic."""

    def outputs(first: Any, n: int) -> None:
        # The outputs are steps, so that each du[f] that is read serves several of them.
        sums = code.product([ZERO] * (n * LANES // WIDTH), (code.at(gain_kT, first), T), (du, row), k)
        code.store_rows(sums, code.at(g, (first, g_row)), g_row)

    code.in_tiles(steps, STEPS, outputs)


@tile
def pull_statistics(
    code: Code, dphi: Any, dbias: Any, phi: Any, g: Any, ds: Any, dr: Any, a_RS: Any, d_RS: Any, B: Any, R: Any, S: Any,
    masked: Any,
) -> None:  # fmt: skip
    """dφ = σ'(φ) (g + A ds + D dr) and db_φ += dφ; `masked` is the number of D's columns, R or 0."""

    def outputs(first: Any, n: int) -> None:
        sums = code.load_rows(code.at(g, (first, LANES)), LANES, n)
        sums = code.product(sums, (code.at(a_RS, first), S), (ds, LANES), R)
        sums = code.product(sums, (code.at(d_RS, first), S), (dr, LANES), masked)
        # φ > 0 says where σ was open. The bias's gradient is kept per lane: its lanes are added once, outside.
        sums = code.where_positive(code.load_rows(code.at(phi, (first, B)), B, n), sums)
        code.store_rows(sums, code.at(dphi, (first, LANES)), LANES)
        here = code.at(dbias, (first, LANES))
        code.store_rows(code.add(code.load_rows(here, LANES, n), sums), here, LANES)

    code.in_tiles(S, OUTPUTS, outputs)


@tile
def pull_recurrent(
    code: Code, ds: Any, dr: Any, ds_next: Any, r: Any, dphi: Any, weight_SZ: Any, D: Any, R: Any, S: Any, Z: Any
) -> None:
    """dr = σ'(r) W_hᵀ dφ and ds = ds_next + dr."""

    def outputs(first: Any, n: int) -> None:
        here = (first, LANES)
        sums = [ZERO] * (n * LANES // WIDTH)
        sums = code.product(sums, (code.at(weight_SZ, D, first), Z), (dphi, LANES), S)
        sums = code.where_positive(code.load_rows(code.at(r, here), LANES, n), sums)
        code.store_rows(sums, code.at(dr, here), LANES)
        code.store_rows(code.add(sums, code.load_rows(code.at(ds_next, here), LANES, n)), code.at(ds, here), LANES)

    code.in_tiles(R, OUTPUTS, outputs)


@tile
def pull_input(code: Code, dx: Any, dphi: Any, weight_SZ: Any, B: Any, D: Any, S: Any, Z: Any) -> None:
    """dx = W_xᵀ dφ."""

    def outputs(first: Any, n: int) -> None:
        sums = code.product([ZERO] * (n * LANES // WIDTH), (code.at(weight_SZ, first), Z), (dphi, LANES), S)
        code.store_rows(sums, code.at(dx, (first, B)), B)

    code.in_tiles(D, OUTPUTS, outputs)


@tile
def copy(code: Code, target: Any, target_row: Any, source: Any, source_row: Any, count: Any) -> None:
    """target[i] = source[i], rows of LANES."""

    def row(i: Any) -> None:
        code.store_rows(code.load_rows(code.at(source, (i, source_row)), 0, 1), code.at(target, (i, target_row)), 0)

    code.every(count, 1, row)


@tile
def outer_per_lane(
    code: Code, out: Any, a: Any, a_step: Any, a_row: Any, b: Any, b_step: Any, columns: Any, S: Any, count: Any
) -> None:
    """out[i, j] += Σ_n a[n, i] b[n, j], vector by vector: (S, columns, V)."""

    # dW and dD are sums over all steps, so their lanes can stay apart until the end, where torch adds them up once.
    def rows(first: Any, n: int) -> None:
        def across_columns(column: Any) -> None:
            # A tile of n × COLUMNS sums is loaded once, stays in registers for `count` steps, and is stored once.
            cells = [code.at(out, (code.plus(first, i), code.times(columns, WIDTH)), (column, WIDTH), j * WIDTH)
                     for i in range(n) for j in range(COLUMNS)]  # fmt: skip
            left = (code.at(a, (first, a_row)), a_step, a_row)
            right = (code.at(b, (column, LANES)), b_step, LANES)
            sums = code.outer([code.load(cell) for cell in cells], left, right, count)
            for cell, value in zip(cells, sums, strict=True):
                code.store(value, cell)

        code.every(columns, COLUMNS, across_columns)

    code.in_tiles(S, ROWS, rows)


@njit(nogil=True)
def clear(array, begun):  # type: ignore[no-untyped-def]
    """Zero a two-dimensional array unless something was added to it already (`begun`)."""
    if not begun:
        array[:] = 0


def forward(  # type: ignore[no-untyped-def]
    first, last, x_TDB, lengths_B, a_TSR, d_SR, weight_ZS, b_S, b_R, start, s_NRL, r_NRL, phi_TSB, kept_CNRL, gain_Tk,
    u_kSB
):  # fmt: skip
    """Run the steps `start` … `start + T − 1` of the blocks first … last − 1. s, r and u carry over between calls.

    Write phi and, every SEGMENT steps, s. With lengths, φ is zero from a sequence's end on, so that the state stays as
    it is and no gradient passes.
    """
    T, S, B = phi_TSB.shape
    D, R, k, masked = x_TDB.shape[1], a_TSR.shape[2], gain_Tk.shape[1], d_SR.shape[0]
    # A block goes through all steps before the next one starts, so that its s and r stay in the cache.
    for n in range(first, last):
        column = n * LANES
        s, r = s_NRL[n], r_NRL[n]
        for c in range(len(kept_CNRL)):
            t0 = c * SEGMENT
            steps = min(SEGMENT, T - t0)
            # s before the segment is all that the backward pass needs to compute r of its steps again.
            copy(kept_CNRL[c, n], LANES, s, LANES, R)
            for t in range(t0, t0 + steps):
                x, phi = x_TDB[t, :, column:], phi_TSB[t, :, column:]
                statistics(phi, x, r, weight_ZS, b_S, B, D, R, S)
                if lengths_B.size:
                    for lane in range(column, column + LANES):
                        if start + t >= lengths_B[lane]:
                            for i in range(S):
                                phi_TSB[t, i, lane] = 0
                advance(s, r, phi, a_TSR[t], d_SR, b_R, B, R, S, masked)
            # u is summed segment by segment, while φ is still in the cache. It is not asked for where k = 0.
            for i in range(S if k else 0):
                summarise(u_kSB[:, i, column:], phi_TSB[t0, i, column:], gain_Tk[t0], S * B, k, steps)


def backward(  # type: ignore[no-untyped-def]
    first, last, x_TDB, ends_B, phi_TSB, before_SB, kept_CNRL, g_TSB, gain_kT, du_KSB, dlast_SB, a_TSR, a_TRS, d_SR,
    d_RS, weight_SZ, b_R, start, ds_NRL, dr_NRL, dx_TDB, dgain_TK, da_TSRP, dd_SRPV, dw_SZPV, db_SL, g_CSL, z_CZL,
    dphi_CSL, ds_GCRL, dr_CRL, s_RL
):  # fmt: skip
    """Run the adjoint of `forward` for the blocks first … last − 1. Calls go from the last steps to the first.

    Args:
        ends_B: each sequence's last step.
        before_SB: φ of the step before this call's first one. Zero where there is none.
        g_TSB: read where k = 0. Otherwise g follows from the gradients du of the summaries and dlast of the last φ.
        ds_NRL, dr_NRL: carried from call to call.
        dx_TDB: has no steps where it is not asked for.
        dgain_TK, da_TSRP: written.
        dd_SRPV, dw_SZPV, db_SL: added to, a number per lane.
        g_CSL, z_CZL, dphi_CSL, ds_GCRL, dr_CRL, s_RL: scratch memory, zero at the start. C is the steps of a segment.
            ds and dr have one step more, for the gradients that come from the step after the segment.
    """
    T, S, B = phi_TSB.shape
    D, R, RP, ZP = x_TDB.shape[1], a_TSR.shape[2], da_TSRP.shape[2], dw_SZPV.shape[1]
    Z, k, K, masked, group = D + R, len(gain_kT), len(du_KSB), d_SR.shape[0], len(ds_GCRL)
    # All blocks of a group go through a segment before the group goes on to the segment before it. So dA of the
    # segment's steps is added over the group first, and only then over lanes, which has to be done at every step.
    for group_first in range(first, last, group):
        group_last = min(group_first + group, last)
        for c in range((T - 1) // SEGMENT, -1, -1):
            t0 = c * SEGMENT
            steps = min(SEGMENT, T - t0)
            for n in range(group_first, group_last):
                column = n * LANES
                ds_CRL = ds_GCRL[n - group_first]

                # Compute r of the segment again, from the kept state and the φ that were written, with forward's own
                # code: the same bits. The first call adds nothing to s (S = 0), since the kept state is that of the
                # segment's first step. x and r go side by side into z, as W's gradient needs them.
                copy(s_RL, LANES, kept_CNRL[c, n], LANES, R)
                before = before_SB[:, column:] if t0 == 0 else phi_TSB[t0 - 1, :, column:]
                advance(s_RL, z_CZL[0, D:], before, a_TSR[t0], d_SR, b_R, B, R, 0, masked)
                for i in range(steps):
                    copy(z_CZL[i], LANES, x_TDB[t0 + i, :, column:], B, D)
                    if i + 1 < steps:
                        phi = phi_TSB[t0 + i, :, column:]
                        advance(s_RL, z_CZL[i + 1, D:], phi, a_TSR[t0 + i], d_SR, b_R, B, R, S, masked)

                # g, the gradient of φ through the outputs: from the summaries' gradients for the segment at once, with
                # that of the last φ added at each sequence's own last step, or as it was given.
                for i in range(S if k else 0):
                    pull_summaries(g_CSL[:, i], S * LANES, du_KSB[:, i, column:], S * B, gain_kT[:, t0:], T, k, steps)
                for i in range(0 if k else steps):
                    copy(g_CSL[i], LANES, g_TSB[t0 + i, :, column:], B, S)
                for lane in range(LANES if k else 0):
                    i = ends_B[column + lane] - start - t0
                    if 0 <= i < steps:
                        for j in range(S):
                            g_CSL[i, j, lane] += dlast_SB[j, column + lane]
                # The gains' gradient, φ · du, while φ is in the cache. A share's first block starts from zero. Like dA
                # it differs from step to step, so its lanes are added now.
                clear(dgain_TK[t0 : t0 + steps], n > first)
                phi, du = phi_TSB[t0, :, column:], du_KSB[:, :, column:]
                outer_summed(dgain_TK[t0], phi, B, S * B, du, B, S * B, K, steps, S)

                # The adjoint recurrence, from the segment's last step to its first. It stores ds, dr and dφ of all
                # steps for the products below, and hands ds and dr on to the segment before.
                copy(ds_CRL[steps], LANES, ds_NRL[n], LANES, R)
                copy(dr_CRL[steps], LANES, dr_NRL[n], LANES, R)
                for i in range(steps - 1, -1, -1):
                    t = t0 + i
                    phi, g, dphi = phi_TSB[t, :, column:], g_CSL[i], dphi_CSL[i]
                    ds, dr = ds_CRL[i + 1], dr_CRL[i + 1]
                    pull_statistics(dphi, db_SL, phi, g, ds, dr, a_TRS[t], d_RS, B, R, S, R if masked else 0)
                    pull_recurrent(ds_CRL[i], dr_CRL[i], ds, z_CZL[i, D:], dphi, weight_SZ, D, R, S, Z)
                    if dx_TDB.shape[0]:
                        pull_input(dx_TDB[t, :, column:], dphi, weight_SZ, B, D, S, Z)
                copy(ds_NRL[n], LANES, ds_CRL[0], LANES, R)
                copy(dr_NRL[n], LANES, dr_CRL[0], LANES, R)

                # dW and dD for all steps of the segment, so that their tiles pass through the registers once.
                outer_per_lane(dw_SZPV, dphi_CSL, S * LANES, LANES, z_CZL, ZP * LANES, ZP, S, steps)
                if masked:
                    outer_per_lane(dd_SRPV, phi_TSB[t0, :, column:], S * B, B, dr_CRL[1:], RP * LANES, RP, S, steps)
            # dA_t = φ_t ds_{t+1}ᵀ for each step, summed over the group's blocks first and over lanes once.
            for i in range(steps):
                phi, block = phi_TSB[t0 + i, :, group_first * LANES :], (SEGMENT + 1) * RP * LANES
                blocks = group_last - group_first
                clear(da_TSRP[t0 + i], group_first > first)
                outer_summed(da_TSRP[t0 + i], phi, LANES, B, ds_GCRL[0, i + 1], block, LANES, RP, S, blocks)
