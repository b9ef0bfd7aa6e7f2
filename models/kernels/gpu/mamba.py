"""Mamba's selective scan on a GPU, by Triton kernels: the states stay in registers.

    h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t x_t B_t,    y_t = C_t · h_t

A program takes one sequence and WIDTH channels through all steps. The states of every SEGMENT-th step are kept. In the
backward pass a program computes those of a segment again, in memory that is reused for each, and runs the adjoint
recurrence over them:

    dh_t += dy_t C_t,    dC_t = Σ_E dy_t h_t,    dB_t = Σ_E dh_t Δ_t x_t,    dx_t = Δ_t (dh_t · B_t)
    dΔ_t = x_t (dh_t · B_t) + g_t · A,    dA = Σ_t g_t Δ_t,    g_t = dh_{t−1} ⊙ h_{t−1},    dh_{t−1} = exp(Δ_t A) ⊙ dh_t

torch computes the sums over programs (dA over sequences, dB and dC over blocks of channels), in a fixed order.

Shapes: B batch, T time, E channels, N states of a channel, K segments, P blocks of channels. float32 only.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import FUSED, launch

SEGMENT = 32
"""Steps between two kept states."""
WIDTH = 32
"""Channels of a program: with 16 states each and four warps, 4 states a thread."""
RESOURCES = {"num_warps": 4, **FUSED}


@triton.jit
def scan_forward(
    x_BTE, dt_BTE, a_EN, b_BTN, c_BTN, y_BTE, kept_BKEN, T, E, N,
    SEGMENT: tl.constexpr, WIDTH: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Compute y, and store h before every SEGMENT-th step."""
    # A and h, (WIDTH, STATES), stay in registers. Δ, x, B and C of a step are read once and are loaded two steps ahead.
    sequence, e, n = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH), tl.arange(0, STATES)
    in_E, in_N, tile = e < E, n < N, e[:, None] * N + n[None, :]
    in_tile = in_E[:, None] & in_N[None, :]
    a = tl.load(a_EN + tile, in_tile, 0.0)
    h = tl.full([WIDTH, STATES], 0.0, tl.float32)
    for t in tl.range(T, num_stages=3):
        row = sequence * T + t
        x, dt = tl.load(x_BTE + row * E + e, in_E, 0.0), tl.load(dt_BTE + row * E + e, in_E, 0.0)
        b, c = tl.load(b_BTN + row * N + n, in_N, 0.0), tl.load(c_BTN + row * N + n, in_N, 0.0)
        if t % SEGMENT == 0:
            tl.store(kept_BKEN + (sequence * tl.cdiv(T, SEGMENT) + t // SEGMENT) * E * N + tile, h, in_tile)
        h = tl.exp(dt[:, None] * a) * h + (dt * x)[:, None] * b[None, :]
        tl.store(y_BTE + row * E + e, tl.sum(h * c[None, :], 1), in_E)


@triton.jit
def scan_backward(
    x_BTE, dt_BTE, a_EN, b_BTN, c_BTN, kept_BKEN, dy_BTE, dx_BTE, ddt_BTE, da_BEN, db_PBTN, dc_PBTN, before_BSEN, B, T,
    E, N, SEGMENT: tl.constexpr, WIDTH: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Compute all gradients, segment by segment from the last. `before_BSEN` has h before each step of a segment."""
    # dh and dA stay in registers through all segments. The states of a segment are in memory, which a loop can index.
    sequence, block, n = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.arange(0, STATES)
    e = block * WIDTH + tl.arange(0, WIDTH)
    in_E, in_N, tile = e < E, n < N, e[:, None] * N + n[None, :]
    in_tile = in_E[:, None] & in_N[None, :]
    a = tl.load(a_EN + tile, in_tile, 0.0)
    before_BSEN += sequence * SEGMENT * E * N
    dh, da = tl.full([WIDTH, STATES], 0.0, tl.float32), tl.full([WIDTH, STATES], 0.0, tl.float32)
    segments = tl.cdiv(T, SEGMENT)
    for passed in range(segments):
        segment = segments - 1 - passed
        start, steps = segment * SEGMENT, tl.minimum(SEGMENT, T - segment * SEGMENT)
        # Forward through the segment, from the kept state, to store h before each step.
        h = tl.load(kept_BKEN + (sequence * segments + segment) * E * N + tile, in_tile, 0.0)
        tl.debug_barrier()  # every thread has read the last segment's states
        for step in tl.range(steps, num_stages=3):
            row = sequence * T + start + step
            x, dt = tl.load(x_BTE + row * E + e, in_E, 0.0), tl.load(dt_BTE + row * E + e, in_E, 0.0)
            b = tl.load(b_BTN + row * N + n, in_N, 0.0)
            tl.store(before_BSEN + step * E * N + tile, h, in_tile)
            h = tl.exp(dt[:, None] * a) * h + (dt * x)[:, None] * b[None, :]
        tl.debug_barrier()  # a thread may read what other threads have written
        for passed_step in tl.range(steps, num_stages=2):
            step = steps - 1 - passed_step
            row = sequence * T + start + step
            x, dt = tl.load(x_BTE + row * E + e, in_E, 0.0), tl.load(dt_BTE + row * E + e, in_E, 0.0)
            b, c = tl.load(b_BTN + row * N + n, in_N, 0.0), tl.load(c_BTN + row * N + n, in_N, 0.0)
            dy = tl.load(dy_BTE + row * E + e, in_E, 0.0)
            before = tl.load(before_BSEN + step * E * N + tile, in_tile, 0.0)
            # The decay and h_t are computed again from h_{t−1}, so that only one state a step is stored. dB and dC are
            # sums over all channels: each block of channels writes its own part.
            decay, u = tl.exp(dt[:, None] * a), (dt * x)[:, None]
            dh += dy[:, None] * c[None, :]
            partial = ((block * tl.cast(B, tl.int64) + sequence) * T + start + step) * N + n
            tl.store(dc_PBTN + partial, tl.sum(dy[:, None] * (decay * before + u * b[None, :]), 0), in_N)
            tl.store(db_PBTN + partial, tl.sum(dh * u, 0), in_N)
            du = tl.sum(dh * b[None, :], 1)
            # Through the decay exp(Δ A): the gradient of Δ A goes to Δ and to A.
            dh *= decay
            to_exponent = dh * before
            da += to_exponent * dt[:, None]
            tl.store(dx_BTE + row * E + e, dt * du, in_E)
            tl.store(ddt_BTE + row * E + e, x * du + tl.sum(to_exponent * a, 1), in_E)
    tl.store(da_BEN + sequence * E * N + tile, da, in_tile)


def selective_scan(x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor) -> Tensor:
    """Return y, (B, T, E), for x and Δ (B, T, E), A (E, N), B and C (B, T, N). float32, on a GPU.

    Gu & Dao 2023, Algorithm 2, without the term D ⊙ x and the gate.
    """
    return scan(x_BTE, dt_BTE, a_EN, b_BTN, c_BTN)[0]


@torch.library.custom_op("mamba::scan", mutates_args=())
def scan(x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor) -> tuple[Tensor, Tensor]:
    """Return y, (B, T, E), and the kept states, (B, K, E, N)."""
    (B, T, E), N = x_BTE.shape, a_EN.shape[1]
    given = [tensor.contiguous() for tensor in (x_BTE, dt_BTE, a_EN, b_BTN, c_BTN)]
    y_BTE, kept_BKEN = x_BTE.new_empty(B, T, E), x_BTE.new_empty(B, triton.cdiv(T, SEGMENT), E, N)
    launch(scan_forward, (B, triton.cdiv(E, WIDTH)), *given, y_BTE, kept_BKEN, T, E, N, **sizes(N))
    return y_BTE, kept_BKEN


@torch.library.custom_op("mamba::scan_backward", mutates_args=())
def backward(
    dy_BTE: Tensor, kept_BKEN: Tensor, x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, Δ, A, B and C."""
    (B, T, E), N = x_BTE.shape, a_EN.shape[1]
    dy_BTE, *given = (tensor.contiguous() for tensor in (dy_BTE, x_BTE, dt_BTE, a_EN, b_BTN, c_BTN))
    blocks = triton.cdiv(E, WIDTH)
    dx_BTE, ddt_BTE, da_BEN = x_BTE.new_empty(B, T, E), x_BTE.new_empty(B, T, E), x_BTE.new_empty(B, E, N)
    db_PBTN, dc_PBTN = x_BTE.new_empty(2, blocks, B, T, N)
    before_BSEN = x_BTE.new_empty(B, SEGMENT, E, N)
    launch(
        scan_backward, (B, blocks), *given, kept_BKEN, dy_BTE, dx_BTE, ddt_BTE, da_BEN, db_PBTN, dc_PBTN, before_BSEN,
        B, T, E, N, **sizes(N),
    )  # fmt: skip
    return dx_BTE, ddt_BTE, da_BEN.sum(0), db_PBTN.sum(0), dc_PBTN.sum(0)


def sizes(N: int) -> dict[str, Any]:
    """Return what is fixed when the kernels are compiled for N states a channel."""
    return {"SEGMENT": SEGMENT, "WIDTH": WIDTH, "STATES": triton.next_power_of_2(N), **RESOURCES}


# Register the operators' shapes and gradients with torch.


@scan.register_fake
def _(x_BTE, dt_BTE, a_EN, b_BTN, c_BTN):
    (B, T, E), N = x_BTE.shape, a_EN.shape[1]
    return x_BTE.new_empty(B, T, E), x_BTE.new_empty(B, triton.cdiv(T, SEGMENT), E, N)


@backward.register_fake
def _(dy_BTE, kept_BKEN, *given):
    return tuple(tensor.new_empty(tensor.shape) for tensor in given)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1], *inputs)


def _pull(ctx: Any, dy_BTE: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = backward(dy_BTE, *ctx.saved_tensors)
    return gradients


scan.register_autograd(_pull, setup_context=_save)
