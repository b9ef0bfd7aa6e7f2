"""The linear recurrence on a CPU, compiled: one pass over time, real or complex. It computes what `linear_scan` does.

Shapes: B batch, T time, N channels. float32 or complex64.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import adjoint, in_float32, kernel, run


class CompiledScan(torch.autograd.Function):
    """Maps a (B or 1, T or 1, N) and b (B, T, N) to h (B, T, N)."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, a: Tensor, b_BTN: Tensor) -> Tensor:
        a, b_BTN = a.resolve_conj().contiguous(), b_BTN.resolve_conj().contiguous()
        h_BTN = torch.empty_like(b_BTN)
        run(scan_forward, b_BTN, a, h_BTN)
        ctx.save_for_backward(a, h_BTN)
        return h_BTN

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_h_BTN: Tensor) -> tuple[Tensor, Tensor]:
        a, h_BTN = ctx.saved_tensors
        grad_b_BTN, grad_a = torch.empty_like(h_BTN), a.new_zeros(len(h_BTN), *a.shape[1:])
        run(scan_backward, h_BTN, a, grad_h_BTN.resolve_conj().contiguous(), grad_a, grad_b_BTN)
        return grad_a.sum_to_size(a.shape), grad_b_BTN


@kernel
def scan_forward(first: int, last: int, b: Any, a: Any, h: Any) -> None:
    for i in range(first, last):
        h[i, 0] = b[i, 0]
        for t in range(1, b.shape[1]):
            # The remainders let one sequence's or one step's a serve all.
            decay, before, now = a[i % len(a), t % a.shape[1]], h[i, t - 1], h[i, t]
            for n in range(len(now)):
                now[n] = decay[n] * before[n] + b[i, t, n]


@kernel
def scan_backward(first: int, last: int, h: Any, a: Any, grad_h: Any, grad_a: Any, grad_b: Any) -> None:
    steps = h.shape[1]
    for i in range(first, last):
        grad_b[i, steps - 1] = grad_h[i, steps - 1]
        for t in range(steps - 1, 0, -1):
            decay, to_decay = a[i % len(a), t % a.shape[1]], grad_a[i, t % a.shape[1]]
            now, before = grad_b[i, t], grad_b[i, t - 1]
            for n in range(len(now)):
                to_decay[n] += now[n] * np.conj(h[i, t - 1, n])
                before[n] = grad_h[i, t - 1, n] + np.conj(decay[n]) * now[n]
