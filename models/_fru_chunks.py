"""The Fourier recurrence in the low-rank form (docs/fru-kernel.md), chunk after chunk, on the CPU's kernel.

    φ_t = σ(W [x_t; r_t] + b_φ)
    s_{t+1} = s_t + A_tᵀ φ_t,               A_t = Σ_f m_f g_t[f] W_r^{(f)}
    r_{t+1} = σ(s_{t+1} + Dᵀ φ_t + b_r),    D = Σ_f (1 − m_f) g[f] W_r^{(f)}

Between two chunks stand the matrix products that make A from the gains g, and the gradients of g and W_r from that of
A. So beside the input only φ and a state in every SEGMENT steps are as long as the sequence.

Shapes: B batch, T time, D input, k frequencies, S statistics, R recurrent features, Z = D + R; c steps of a chunk.
N blocks of L lanes hold the batch, P = N·L ≥ B of them, innermost. C states kept; W threads; V lanes of a vector;
RP, ZP: R, Z in whole gradient tiles.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models import _fru_cpu_run as cpu
from models._fru_cpu import SEGMENT
from models._fru_cpu_entry import padded, scratch_size
from models._fru_cpu_vector import LANES, WIDTH

CHUNK = 16 * SEGMENT


def saved_tensors(x_BTD: Tensor, S: int, R: int) -> tuple[Tensor, Tensor]:
    """φ and the states kept, to be filled."""
    B, T, _ = x_BTD.shape
    P = (B + LANES - 1) // LANES * LANES
    return x_BTD.new_empty(T, S, P), x_BTD.new_empty((T + SEGMENT - 1) // SEGMENT * P * R)


class Gradients(NamedTuple):
    x_BTD: Tensor
    gain_Tk: Tensor
    weight_kSR: Tensor
    bias_R: Tensor
    weight_SZ: Tensor
    bias_S: Tensor


@dataclass
class Recurrence:
    """The operands. A frequency f with keep[f] = 0 shows the present step only; its gain must not depend on time.

    Sequences end at `lengths_B`: from there on φ is zero, so that the state rests and no gradient passes.
    """

    x_BTD: Tensor
    gain_Tk: Tensor
    keep_k: Tensor
    weight_kSR: Tensor
    bias_R: Tensor
    weight_SZ: Tensor
    bias_S: Tensor
    lengths_B: Tensor | None

    def __post_init__(self) -> None:
        self.B, self.T, self.D = self.x_BTD.shape
        if self.lengths_B is not None and self.B and not 1 <= self.lengths_B.min() <= self.lengths_B.max() <= self.T:
            raise ValueError(f"lengths must be from 1 to {self.T}, the steps of the input; got {self.lengths_B.tolist()}")
        self.k, self.S, self.R = self.weight_kSR.shape
        self.N = -(-self.B // LANES)
        self.P = self.N * LANES
        self.shares = cpu.share_count(self.N)
        self.chunks = [slice(t, min(t + CHUNK, self.T)) for t in range(0, self.T, CHUNK)]
        self.kept_gain_Tk = self.gain_Tk * self.keep_k
        self.masked = (self.keep_k == 0).nonzero().flatten().tolist()
        self.d_SR = self.present(self.weight_kSR)

    def present(self, weight_kSR: Tensor) -> Tensor:
        """Σ_f (1 − m_f) g[f] W^{(f)}, or no rows where every frequency accumulates."""
        if not self.masked:
            return weight_kSR.new_zeros(0, weight_kSR.shape[2])
        return torch.einsum("k,ksr->sr", self.gain_Tk[0, self.masked], weight_kSR[self.masked])

    def at(self, chunk: slice, weight_kSR: Tensor) -> Tensor:
        """A for the steps of a chunk, (c, S, R)."""
        return (self.kept_gain_Tk[chunk] @ weight_kSR.flatten(1)).unflatten(1, weight_kSR.shape[1:])

    @cached_property
    def lengths_P(self) -> Tensor:
        if self.lengths_B is None:
            return torch.full((self.P,), self.T)
        return F.pad(self.lengths_B.long(), (0, self.P - self.B), value=self.T)

    def last_step(self, phi_TSP: Tensor) -> Tensor:
        """φ at each sequence's last step, (S, P)."""
        if self.lengths_B is None:
            return phi_TSP[-1]
        return phi_TSP.gather(0, (self.lengths_P - 1).expand(1, self.S, -1))[0]

    def input(self, chunk: slice) -> Tensor:
        """x, (c, D, P). What stands at or after a sequence's end becomes zero: it may be anything."""
        x_cDP = self.x_BTD.new_zeros(chunk.stop - chunk.start, self.D, self.P)
        x_cDP[..., : self.B] = self.x_BTD[:, chunk].permute(1, 2, 0)
        if self.lengths_B is not None:
            time_c = torch.arange(chunk.start, chunk.stop)
            x_cDP.masked_fill_((time_c[:, None] >= self.lengths_P)[:, None], 0)
        return x_cDP

    def kept(self, chunk: slice) -> slice:
        """Where its states are among those kept."""
        size = self.N * self.R * LANES
        return slice(chunk.start // SEGMENT * size, -(-chunk.stop // SEGMENT) * size)

    def storage(self) -> tuple[Tensor, Tensor]:
        """Room for φ (T, S, P) and for the states kept, C·N·R·L numbers."""
        return saved_tensors(self.x_BTD, self.S, self.R)

    def forward(self, phi_TSP: Tensor, kept: Tensor, u_kSP: Tensor) -> Iterator[slice]:
        """Fill φ and the states kept, and add Σ_t m g_t φ_t to u unless it is empty; yields each chunk when it is done."""
        s_NRL = self.weight_SZ.new_zeros(self.N, self.R, LANES)
        r_NRL = self.bias_R.relu()[None, :, None].repeat(self.N, 1, LANES)
        weight_ZS = self.weight_SZ.T.contiguous()
        for chunk in self.chunks:
            tensors = (
                self.input(chunk), self.lengths_P, self.at(chunk, self.weight_kSR), self.d_SR, weight_ZS, self.bias_S,
                self.bias_R, s_NRL, r_NRL, phi_TSP[chunk], kept[self.kept(chunk)], self.kept_gain_Tk[chunk], u_kSP,
            )  # fmt: skip
            self.run(cpu.kernels().forward, chunk, len(u_kSP), self.lengths_B is not None, tensors)
            yield chunk

    def run(self, kernel: int, chunk: slice, k: int, option: bool, tensors: Sequence[Tensor]) -> None:
        steps = chunk.stop - chunk.start
        sizes = (steps, self.P, self.D, self.S, self.R, k, len(self.d_SR), chunk.start, option)
        cpu.run(kernel, self.shares, sizes, tensors)

    def backward(
        self, phi_TSP: Tensor, kept: Tensor, pull: "Pull", du_kSP: Tensor, dlast_SP: Tensor, with_input: bool
    ) -> Gradients:
        """The gradients of the operands.

        Args:
            pull: for a chunk, the gradients of φ (c, S, P) and of the kept gains (c, k) through the outputs, where
                du is empty. Called from the last chunk to the first.
            du_kSP, dlast_SP: the gradients of u and of φ at the last step, or empty.
            with_input: whether x's gradient is wanted; without, it is empty.
        """
        new, W, k = self.weight_SZ.new_zeros, self.shares, len(du_kSP)
        K, RP, ZP = padded(k), padded(self.R), padded(self.D + self.R)
        ds_NRL, dr_NRL = new(2, self.N, self.R, LANES)
        dd_WSRV, dw_WSZV, db_WSL = new(W, self.S, RP, WIDTH), new(W, self.S, ZP, WIDTH), new(W, self.S, LANES)
        dgain_Tk, dweight_kSR = torch.zeros_like(self.gain_Tk), torch.zeros_like(self.weight_kSR)
        dx_BTD = torch.empty_like(self.x_BTD, memory_format=torch.contiguous_format) if with_input else new(0)
        steps = min(CHUNK, self.T)
        dgain_buffer, da_buffer = self.gain_Tk.new_empty(W * steps * K), self.gain_Tk.new_empty(W * steps * self.S * RP)
        scratch_W = new(W * scratch_size(self.D, self.S, self.R))
        weight_SZ, d_RS = self.weight_SZ.contiguous(), self.d_SR.T.contiguous()
        du_KSP = F.pad(du_kSP, (0, 0, 0, 0, 0, K - k))
        for chunk in reversed(self.chunks):
            g_cSP, dgain_ck = (new(0), 0) if k else pull(chunk)
            a_cSR = self.at(chunk, self.weight_kSR)
            c = len(a_cSR)
            dgain_WcK = dgain_buffer[: W * c * K].view(W, c, K)
            da_WcSR = da_buffer[: W * c * self.S * RP].view(W, c, self.S, RP)
            dx_cDP = new(c if with_input else 0, self.D, self.P)
            before_SP = phi_TSP[chunk.start - 1] if chunk.start else new(self.S, self.P)
            tensors = (
                self.input(chunk), self.lengths_P - 1, phi_TSP[chunk], before_SP, kept[self.kept(chunk)], g_cSP,
                self.kept_gain_Tk[chunk].T.contiguous(), du_KSP, dlast_SP, a_cSR, a_cSR.mT.contiguous(), self.d_SR, d_RS,
                weight_SZ, self.bias_R, ds_NRL, dr_NRL, dx_cDP, dgain_WcK, da_WcSR, dd_WSRV, dw_WSZV, db_WSL, scratch_W,
            )  # fmt: skip
            self.run(cpu.kernels().backward, chunk, k, with_input, tensors)
            da_cSR = da_WcSR.sum(0)[..., : self.R].flatten(1)
            dweight_kSR.flatten(1).addmm_(self.kept_gain_Tk[chunk].T, da_cSR)
            if k:
                dgain_ck = dgain_WcK.sum(0)[:, :k]
            dgain_Tk[chunk] = self.keep_k * (dgain_ck + da_cSR @ self.weight_kSR.flatten(1).T)
            if with_input:
                dx_BTD[:, chunk] = dx_cDP[..., : self.B].permute(2, 0, 1)
        self.pull_present(dd_WSRV.sum((0, 3))[:, : self.R], self.weight_kSR, dweight_kSR, dgain_Tk)
        return Gradients(
            dx_BTD, dgain_Tk, dweight_kSR, ds_NRL.sum((0, 2)), dw_WSZV.sum((0, 3))[:, : self.D + self.R].contiguous(),
            db_WSL.sum((0, 2)),
        )  # fmt: skip

    def pull_present(self, dd_SR: Tensor, weight_kSR: Tensor, dweight_kSR: Tensor, dgain_Tk: Tensor) -> None:
        """Add the gradients of W and g through D. The gain is the same at every step: its gradient goes to the first."""
        if self.masked:
            dweight_kSR[self.masked] += torch.einsum("k,sr->ksr", self.gain_Tk[0, self.masked], dd_SR)
            dgain_Tk[0, self.masked] += torch.einsum("ksr,sr->k", weight_kSR[self.masked], dd_SR)
