"""The RG-LRU's gates and recurrence and the GELU gate behind it on a CPU, compiled, forward and backward. The equations
are those of models/rg_lru.py.

A span of several steps is one long row: a loop over the few channels of a step would hardly begin before it ends. Only
the recurrence itself goes step by step. The reverse pass computes the gates again, span by span, instead of storing
what follows from them.

Shapes: B batch, T time, L channels, R = S L numbers of a span of S steps. float32 only.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, helper, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import exp_of_negative, sigmoid

ROW = 256
"""The least numbers of a span."""
EXPM1 = tuple(FLOAT(c) for c in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1))  # coefficients of (exp(v) − 1)/v
SLOPE, CUBIC = FLOAT(math.sqrt(8 / math.pi)), FLOAT(0.044715)  # GELU(z) = z σ(SLOPE (z + CUBIC z³))


class GatedRecurrence(torch.autograd.Function):
    """Maps what r, i, h and the GELU take (B, T, L each), the rates −c log a (L) and the steepest slope to GELU ⊙ h."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, r_BTL: Tensor, i_BTL: Tensor, x_BTL: Tensor, z_BTL: Tensor, rate_L: Tensor, steepest: float
    ) -> Tensor:
        given = [tensor.contiguous().flatten(1) for tensor in (r_BTL, i_BTL, x_BTL, z_BTL)]
        given += [rate_L.repeat(-(-ROW // len(rate_L))), torch.tensor(0.5 / steepest)]
        y_BTL = torch.empty_like(r_BTL, memory_format=torch.contiguous_format)
        h_BTL = y_BTL.new_empty(len(y_BTL), y_BTL[0].numel() + len(rate_L))  # with a state before the first step
        run(recurrence_forward, *given, h_BTL, y_BTL.flatten(1))
        ctx.save_for_backward(*given, h_BTL)
        return y_BTL

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_y_BTL: Tensor) -> tuple[Tensor | None, ...]:
        rate_R, size = ctx.saved_tensors[4], grad_y_BTL.shape[2]
        grads = [torch.empty_like(grad_y_BTL, memory_format=torch.contiguous_format) for _ in range(4)]
        to_rate_BR = rate_R.new_zeros(len(grad_y_BTL), len(rate_R))
        flat = [tensor.flatten(1) for tensor in (grad_y_BTL.contiguous(), *grads)]
        run(recurrence_backward, *ctx.saved_tensors, *flat, to_rate_BR)
        return *grads, to_rate_BR.unflatten(1, (-1, size)).sum((0, 1)), None


@helper
def root_of_rest(log_a: Any, a: Any) -> Any:
    """Return √(1 − a²). Near a = 1, where the difference loses its digits, by a series."""
    v, series = FLOAT(2) * log_a, EXPM1[0]
    for coefficient in EXPM1[1:]:
        series = series * v + coefficient
    return np.sqrt(-v * series if v > FLOAT(-0.25) else FLOAT(1) - a * a)


@helper
def gelu_share(z: Any) -> Any:
    """Return GELU(z) / z, in its form by tanh."""
    return sigmoid(SLOPE * (z + CUBIC * z * z * z))


@helper
def decays(r: Any, rate: Any, unpreceded: Any, share: Any, decay: Any, root: Any) -> None:
    """Compute σ(r), a and √(1 − a²) of a span. Its first `unpreceded` numbers have no state before them."""
    for n in range(len(r)):
        share[n] = sigmoid(r[n])
        log_a = -rate[n] * share[n]
        decay[n] = exp_of_negative(log_a)
        root[n] = root_of_rest(log_a, decay[n])
    decay[:unpreceded], root[:unpreceded] = FLOAT(0), FLOAT(1)


@kernel
def recurrence_forward(
    first: int, last: int, r: Any, i: Any, x: Any, z: Any, rate: Any, least: Any, h: Any, y: Any
) -> None:
    total, size = r.shape[1], h.shape[1] - r.shape[1]
    room = np.empty((3, len(rate)), FLOAT)
    for s in range(first, last):
        h[s, :size] = FLOAT(0)
        for start in range(0, total, len(rate)):
            stop = min(start + len(rate), total)
            i_n, x_n, z_n, y_n = i[s, start:stop], x[s, start:stop], z[s, start:stop], y[s, start:stop]
            share, decay, root = room[0, : len(i_n)], room[1, : len(i_n)], room[2, : len(i_n)]
            decays(r[s, start:stop], rate, size if start == 0 else 0, share, decay, root)
            now = h[s, start + size : stop + size]
            for n in range(len(now)):
                now[n] = root[n] * sigmoid(i_n[n]) * x_n[n]
            for step in range(0, len(now), size):
                before, after, kept = h[s, start + step : start + step + size], now[step:], decay[step:]
                for j in range(size):
                    after[j] += kept[j] * before[j]
            for n in range(len(now)):
                y_n[n] = z_n[n] * gelu_share(z_n[n]) * now[n]


@kernel
def recurrence_backward(
    first: int,
    last: int,
    r: Any,
    i: Any,
    x: Any,
    z: Any,
    rate: Any,
    least: Any,
    h: Any,
    grad_y: Any,
    to_r: Any,
    to_i: Any,
    to_x: Any,
    to_z: Any,
    to_rate: Any,
) -> None:
    total, size, smallest = r.shape[1], h.shape[1] - r.shape[1], least.item()
    room, carried = np.empty((5, len(rate)), FLOAT), np.empty(size, FLOAT)
    for s in range(first, last):
        carried[:] = FLOAT(0)
        for start in range((total - 1) // len(rate) * len(rate), -1, -len(rate)):
            stop = min(start + len(rate), total)
            count = stop - start
            share, decay, root, to_h, to_log_a = (
                room[0, :count], room[1, :count], room[2, :count], room[3, :count], room[4, :count]
            )  # fmt: skip
            gate_backward(
                z[s, start:stop], h[s, start + size : stop + size], grad_y[s, start:stop], to_h, to_z[s, start:stop]
            )
            decays(r[s, start:stop], rate, size if start == 0 else 0, share, decay, root)
            for step in range(count - size, -1, -size):
                now, kept = to_h[step:], decay[step:]
                for j in range(size):
                    now[j] += carried[j]
                    carried[j] = now[j] * kept[j]
            before, i_n, x_n, to_i_n, to_x_n = (
                h[s, start:stop],
                i[s, start:stop],
                x[s, start:stop],
                to_i[s, start:stop],
                to_x[s, start:stop],
            )
            # log a acts through the decay and, with d(1 − a²)/d log a = −2 a², through the root.
            for n in range(count):
                opened = sigmoid(i_n[n])
                slope = decay[n] / (root[n] if root[n] > smallest else smallest)
                to_log_a[n] = to_h[n] * decay[n] * (before[n] - slope * opened * x_n[n])
            for n in range(count):
                opened = sigmoid(i_n[n])
                to_x_n[n] = to_h[n] * root[n] * opened
                to_i_n[n] = to_x_n[n] * x_n[n] * (FLOAT(1) - opened)
            to_r_n, to_rate_n = to_r[s, start:stop], to_rate[s]
            for n in range(count):
                to_r_n[n] = -to_log_a[n] * rate[n] * share[n] * (FLOAT(1) - share[n])
                to_rate_n[n] -= to_log_a[n] * share[n]


@helper
def gate_backward(z: Any, h: Any, grad_y: Any, to_h: Any, to_z: Any) -> None:
    """Compute the gradients of h and z of a span from that of y = GELU(z) h."""
    for n in range(len(z)):
        share = gelu_share(z[n])
        to_h[n] = grad_y[n] * z[n] * share
        steep = z[n] * SLOPE * (FLOAT(1) + FLOAT(3) * CUBIC * z[n] * z[n])
        to_z[n] = grad_y[n] * h[n] * share * (FLOAT(1) + steep * (FLOAT(1) - share))
