"""First-order linear recurrences along time, h_t = a_t h_{t−1} + b_t, real or complex, without a Python loop over them.

Neighbouring steps are merged into one, h_{t+1} = (a_{t+1} a_t) h_{t−1} + (a_{t+1} b_t + b_{t+1}), which leaves a
recurrence of half the length. Its solution fills in the steps between (odd-even reduction; Blelloch 1990, Martin &
Cundy 2018). Work O(T), depth O(log T). No quotient or logarithm is taken, so that any a is legal, zero included.

In single precision, one compiled pass over time replaces this. On a CPU, which has few units to share the work, the
pass takes the channels of a step side by side. On a GPU, where the odd-even levels would read and write memory again
and again, it goes tile by tile.

Shapes: B batch, T time, N channels (any trailing dimensions).
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from models.kernels.backend import loop_backend

SHORT = 4  # this many steps or fewer are cheaper one by one


def linear_scan(a: Tensor, b_BTN: Tensor, h0_BN: Tensor | None = None) -> Tensor:
    """Return h_t for every step, (B, T, N), with h_t = a_t h_{t−1} + b_t.

    Args:
        a: (B, T, N), or anything that broadcasts to it. A time dimension of 1 is cheaper than a repeated one.
        b_BTN: the input of each step. Real or complex; the result has the type that a and b promote to.
        h0_BN: the state before the first step. None means zero.
    """
    while a.dim() < b_BTN.dim():
        a = a.unsqueeze(0)
    dtype = torch.promote_types(a.dtype, b_BTN.dtype)
    a, b_BTN = a.to(dtype), b_BTN.to(dtype)
    if h0_BN is not None:
        b_BTN = torch.cat([torch.addcmul(b_BTN[:, :1], a[:, :1], h0_BN.unsqueeze(1)), b_BTN[:, 1:]], dim=1)
    h_BTN: Tensor = compiled_scan(a, b_BTN) if loop_backend(b_BTN) == "numba" else LinearScan.apply(a, b_BTN)
    return h_BTN


def compiled_scan(a: Tensor, b_BTN: Tensor) -> Tensor:
    from models.kernels.cpu.scan import CompiledScan  # numba takes a second to import

    channels = b_BTN.shape[2:]
    a_N = a.expand(*a.shape[:2], *channels).reshape(*a.shape[:2], channels.numel())
    h_BTN: Tensor = CompiledScan.apply(a_N, b_BTN.reshape(*b_BTN.shape[:2], channels.numel()))
    return h_BTN.view_as(b_BTN)


class LinearScan(torch.autograd.Function):
    """The scan. Its backward pass is the same recurrence from the end, so that only a and h are kept."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, a: Tensor, b_BTN: Tensor) -> Tensor:
        h_BTN = solver(b_BTN)(a, b_BTN, False)
        ctx.save_for_backward(a, h_BTN)
        return h_BTN

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, Tensor]:
        a, h_BTN = ctx.saved_tensors  # type: ignore[attr-defined]
        later_a = a if a.shape[1] == 1 else a.roll(-1, 1)
        grad_b_BTN = solver(h_BTN)(later_a.conj(), grads[0], True)
        if not ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            return None, grad_b_BTN
        grad_a = torch.empty_like(h_BTN)
        grad_a[:, 0] = 0  # a_0 multiplies no state: the initial one is part of b_0
        torch.mul(grad_b_BTN[:, 1:], h_BTN[:, :-1].conj(), out=grad_a[:, 1:])
        return grad_a.sum_to_size(a.shape), grad_b_BTN


def solver(tensor: Tensor) -> Callable[[Tensor, Tensor, bool], Tensor]:
    """Return the function that computes h from a, b and the direction, without a gradient."""
    if loop_backend(tensor) == "triton":
        from models.kernels.gpu.scan import solve

        return solve
    return odd_even


def odd_even(a: Tensor, b_BTN: Tensor, reverse: bool) -> Tensor:
    """Return h for a of T steps or of one. In reverse, h_t = a_t h_{t+1} + b_t. The very first step's a is not used."""
    steps = b_BTN.shape[1]
    if steps <= SHORT:
        return one_by_one(a, b_BTN, reverse)
    first, second, between = in_pairs(steps, reverse)
    a_first, a_second, a_between = (a, a, a) if a.shape[1] == 1 else (a[:, first], a[:, second], a[:, between])
    h_second = odd_even(a_second * a_first, torch.addcmul(b_BTN[:, second], a_second, b_BTN[:, first]), reverse)
    h_BTN = torch.empty_like(b_BTN)
    h_BTN[:, second] = h_second
    start = -1 if reverse else 0
    h_BTN[:, start] = b_BTN[:, start]
    filled = (steps - 1) // 2
    before = h_second[:, -filled:] if reverse else h_second[:, :filled]
    torch.addcmul(b_BTN[:, between], a_between, before, out=h_BTN[:, between])
    return h_BTN


def in_pairs(steps: int, reverse: bool) -> tuple[slice, slice, slice]:
    """Return the steps that come first in a pair, those that come second, and the first ones but the very first."""
    if not reverse:
        return slice(0, steps - 1, 2), slice(1, steps, 2), slice(2, steps, 2)
    odd = steps % 2
    return slice(1 + odd, steps, 2), slice(odd, steps - 1, 2), slice(1 - odd, steps - 2, 2)


def one_by_one(a: Tensor, b_BTN: Tensor, reverse: bool) -> Tensor:
    h_BTN, back = b_BTN.clone(), -1 if reverse else 1
    order = range(b_BTN.shape[1])[::back]
    for before, t in pairwise(order):
        h_BTN[:, t].addcmul_(a[:, 0 if a.shape[1] == 1 else t], h_BTN[:, before])
    return h_BTN
