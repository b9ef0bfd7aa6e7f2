"""The SRU's loop over time on a CPU, compiled, forward and backward. The equations are those of models/sru.py.

Shapes: B batch, T time, k decays, S statistics, Q = k S summaries, R recurrent features. float32 only.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, adjoint, in_float32, kernel, run
from models.kernels.cpu.toolkit.functions import relu
from models.kernels.cpu.toolkit.state_product import carried, in_panels, products
from models.kernels.cpu.toolkit.vector import LANES


class SRULoop(torch.autograd.Function):
    """Maps W_x x + b_φ (B, T, S), W_r (R, Q), b_r (R), W_h (S, R) and the decays (k) to μ (B, T, Q), from zeros."""

    @staticmethod
    @in_float32
    def forward(
        ctx: Any, drive_BTS: Tensor, weight_RQ: Tensor, bias_R: Tensor, weight_SR: Tensor, decay_k: Tensor
    ) -> Tensor:
        (batch, steps, _), (recurrent, summaries) = drive_BTS.shape, weight_RQ.shape
        r_BTR, mu_BTQ = drive_BTS.new_empty(batch, steps, recurrent), drive_BTS.new_empty(batch, steps, summaries)
        phi_BTS = torch.empty_like(drive_BTS, memory_format=torch.contiguous_format)
        weights = in_panels(weight_RQ.T), bias_R.contiguous(), in_panels(weight_SR.T), decay_k
        run(sru_forward, drive_BTS.contiguous(), *weights, r_BTR, phi_BTS, mu_BTQ)
        ctx.save_for_backward(r_BTR, phi_BTS, mu_BTQ, weight_RQ, weight_SR, decay_k)
        return mu_BTQ

    @staticmethod
    @adjoint
    def backward(ctx: Any, grad_mu_BTQ: Tensor) -> tuple[Tensor | None, ...]:
        r_BTR, phi_BTS, mu_BTQ, weight_RQ, weight_SR, decay_k = ctx.saved_tensors
        grad_r, grad_phi = torch.empty_like(r_BTR), torch.empty_like(phi_BTS)
        given = r_BTR, phi_BTS, in_panels(weight_RQ), in_panels(weight_SR), decay_k, grad_mu_BTQ.contiguous()
        run(sru_backward, *given, grad_r, grad_phi)
        grad_weight_SR = grad_phi.flatten(0, 1).T @ r_BTR.flatten(0, 1)
        return grad_phi, carried(mu_BTQ, grad_r).T, grad_r.sum((0, 1)), grad_weight_SR, None


@kernel
def sru_forward(
    first: int, last: int, drive: Any, to_r: Any, bias: Any, to_phi: Any, decay: Any, r: Any, phi: Any, mu: Any
) -> None:
    count, (steps, size), recurrent = last - first, drive.shape[1:], r.shape[2]
    summaries = mu.shape[2]
    from_mu, from_r = np.zeros((count, len(to_r) * LANES), FLOAT), np.zeros((count, len(to_phi) * LANES), FLOAT)
    zeros = np.zeros(summaries, FLOAT)
    # The share's sequences go through time together, so that a product serves them all. r waits for μ, and φ for r.
    for t in range(steps):
        if t:
            products(from_mu, mu[first, t - 1], steps * summaries, to_r, count, summaries, from_mu.shape[1])
        for i in range(first, last):
            for j in range(recurrent):
                r[i, t, j] = relu(from_mu[i - first, j] + bias[j])
        products(from_r, r[first, t], steps * recurrent, to_phi, count, recurrent, from_r.shape[1])
        for i in range(first, last):
            before = mu[i, t - 1] if t else zeros
            for j in range(size):
                phi[i, t, j] = relu(drive[i, t, j] + from_r[i - first, j])
            for f in range(len(decay)):
                for j in range(size):
                    old = before[f * size + j]
                    mu[i, t, f * size + j] = phi[i, t, j] + decay[f] * (old - phi[i, t, j])


@kernel
def sru_backward(
    first: int,
    last: int,
    r: Any,
    phi: Any,
    to_r: Any,
    to_phi: Any,
    decay: Any,
    grad_mu: Any,
    grad_r: Any,
    grad_phi: Any,
) -> None:
    count, (steps, size), recurrent = last - first, phi.shape[1:], r.shape[2]
    from_r, from_phi = np.zeros((count, len(to_r) * LANES), FLOAT), np.zeros((count, len(to_phi) * LANES), FLOAT)
    to_mu = np.zeros((count, grad_mu.shape[2]), FLOAT)
    for t in range(steps - 1, -1, -1):
        for i in range(first, last):
            state, g = to_mu[i - first], grad_phi[i, t]
            for j in range(len(state)):
                state[j] += grad_mu[i, t, j] + from_r[i - first, j]
            # Through μ = φ + α (μ_{t−1} − φ): φ gets (1 − α) of every decay's gradient, and μ_{t−1} keeps α of it.
            g[:] = FLOAT(0)
            for f in range(len(decay)):
                for j in range(size):
                    g[j] += (FLOAT(1) - decay[f]) * state[f * size + j]
                    state[f * size + j] *= decay[f]
            for j in range(size):
                g[j] = g[j] if phi[i, t, j] > 0 else FLOAT(0)
        products(from_phi, grad_phi[first, t], steps * size, to_phi, count, size, from_phi.shape[1])
        for i in range(first, last):
            for j in range(recurrent):
                grad_r[i, t, j] = from_phi[i - first, j] if r[i, t, j] > 0 else FLOAT(0)
        products(from_r, grad_r[first, t], steps * recurrent, to_r, count, recurrent, from_r.shape[1])
