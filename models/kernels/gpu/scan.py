"""The linear recurrence on a GPU, by a Triton kernel, real or complex.

It computes what `odd_even` of models/recurrences/scan.py does. A program takes one sequence and WIDTH channels from
tile to tile of STEPS steps. Inside a tile, neighbouring steps merge into one: (a, b) and then (c, d) are
(c a, c b + d). The state before the tile is added at the end. So a and b are read once and h is written once, whatever
the length.

Shapes: B batch, T time, N channels. float32, or complex64 as pairs of it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.gpu.launch import FUSED, launch

STEPS = 64
WIDTH = 32
"""The size of a tile: as many channels as a memory transaction loads, and enough numbers for four warps' registers."""
RESOURCES = {"num_warps": 4, **FUSED}


@triton.jit
def merge(a, b, c, d):
    return c * a, c * b + d


@triton.jit
def merge_complex(ar, ai, br, bi, cr, ci, dr, di):
    return cr * ar - ci * ai, cr * ai + ci * ar, cr * br - ci * bi + dr, cr * bi + ci * br + di


@triton.jit
def last_row(tile, STEPS: tl.constexpr):
    return tl.sum(tl.where((tl.arange(0, STEPS) == STEPS - 1)[:, None], tile, 0.0), 0)


@triton.jit
def scan(
    decay, b_BTN, h_BTN, T, N, decay_B, decay_T, decay_N,
    REVERSE: tl.constexpr, COMPLEX: tl.constexpr, STEPS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Compute h of every step, from decays with these strides. There is no state before the first step."""
    sequence, n = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    re, im = tl.full([WIDTH], 0.0, tl.float32), tl.full([WIDTH], 0.0, tl.float32)
    for start in tl.range(0, T, STEPS, num_stages=2):
        step = start + tl.arange(0, STEPS)
        t = (T - 1 - step if REVERSE else step).to(tl.int64)
        inside = (step < T)[:, None] & (n < N)[None, :]
        # The first step's decay is loaded as zero, since no state is before it. A stride of 0 repeats one decay.
        later = inside & (step > 0)[:, None]
        a = sequence * decay_B + t[:, None] * decay_T + n[None, :] * decay_N
        b = (sequence * T + t[:, None]) * N + n[None, :]
        if COMPLEX:
            ar, ai = tl.load(decay + 2 * a, later, 0.0), tl.load(decay + 2 * a + 1, later, 0.0)
            br, bi = tl.load(b_BTN + 2 * b, inside, 0.0), tl.load(b_BTN + 2 * b + 1, inside, 0.0)
            # The scan makes b the h of a tile before which the state is zero, and a the product of the decays so far,
            # by which the state before the tile is multiplied.
            ar, ai, br, bi = tl.associative_scan((ar, ai, br, bi), 0, merge_complex)
            br, bi = br + ar * re[None, :] - ai * im[None, :], bi + ar * im[None, :] + ai * re[None, :]
            tl.store(h_BTN + 2 * b, br, inside)
            tl.store(h_BTN + 2 * b + 1, bi, inside)
            re, im = last_row(br, STEPS), last_row(bi, STEPS)
        else:
            product, h = tl.load(decay + a, later, 0.0), tl.load(b_BTN + b, inside, 0.0)
            product, h = tl.associative_scan((product, h), 0, merge)
            h += product * re[None, :]
            tl.store(h_BTN + b, h, inside)
            re = last_row(h, STEPS)


@torch.library.custom_op("linear::scan", mutates_args=())
def solve(a: Tensor, b_BTN: Tensor, reverse: bool) -> Tensor:
    """Return h, (B, T, N), without a gradient. In reverse, h_t = a_t h_{t+1} + b_t. float32 or complex64, on a GPU.

    Args:
        a: broadcasts to b: each of its dimensions is b's or 1. The very first step's a is not used.
        b_BTN: the input. N may be any number of dimensions.
    """
    B, T, *channels = b_BTN.shape
    b_BTN = b_BTN.resolve_conj().contiguous()
    h_BTN = torch.empty_like(b_BTN)
    N = h_BTN[0, 0].numel() if B else 0
    if not N:
        return h_BTN
    a = a.resolve_conj().expand(*a.shape[:2], *channels).flatten(2) if channels else a.resolve_conj().unsqueeze(-1)
    strides = [0 if size == 1 else stride for size, stride in zip(a.shape, a.stride(), strict=True)]
    a, b_BTN, out = (torch.view_as_real(x) if x.is_complex() else x for x in (a, b_BTN, h_BTN))
    width = min(WIDTH, triton.next_power_of_2(N))
    launch(
        scan, (B, triton.cdiv(N, width)), a, b_BTN, out, T, N, *strides, REVERSE=reverse, COMPLEX=h_BTN.is_complex(),
        STEPS=STEPS, WIDTH=width, **RESOURCES,
    )  # fmt: skip
    return h_BTN


@solve.register_fake
def _(a, b_BTN, reverse):
    return b_BTN.new_empty(b_BTN.shape)
