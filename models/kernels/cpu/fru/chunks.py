"""The Fourier recurrence in the low-rank form (docs/fru-kernel.md), computed chunk by chunk with the CPU kernel.

    φ_t = σ(W [x_t; r_t] + b_φ)
    s_{t+1} = s_t + A_tᵀ φ_t,               A_t = Σ_f m_f g_t[f] W_r^{(f)}
    r_{t+1} = σ(s_{t+1} + Dᵀ φ_t + b_r),    D = Σ_f (1 − m_f) g[f] W_r^{(f)}

Between two chunks, matrix products make A from the gains g or, going back, the gradients of g and W_r from that of A.
So only φ and a state in every SEGMENT steps, in addition to the input, are as long as the sequence.

Shapes: B batch, T time, D input, k frequencies, S statistics, R recurrent features, Z = D + R; c steps of a chunk.
N blocks of L lanes hold the batch, P = N·L ≥ B of them, innermost. C states kept; W threads; V lanes of a vector;
RP, ZP: R, Z in whole gradient tiles.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels.cpu.fru import compile as cpu
from models.kernels.cpu.fru.recurrence import SEGMENT
from models.kernels.cpu.fru.thread_work import scratch_size
from models.kernels.cpu.toolkit.outer import padded
from models.kernels.cpu.toolkit.vector import LANES, WIDTH

CHUNK = 16 * SEGMENT


def saved_tensors(x_BTD: Tensor, S: int, R: int) -> tuple[Tensor, Tensor]:
    """Allocate φ, (T, S, P), and the kept states, P·R numbers for each SEGMENT steps. Both are uninitialised."""
    B, T, _ = x_BTD.shape
    P = (B + LANES - 1) // LANES * LANES
    return x_BTD.new_empty(T, S, P), x_BTD.new_empty((T + SEGMENT - 1) // SEGMENT * P * R)


Pull = Callable[[slice], tuple[Tensor, Tensor]]


class Gradients(NamedTuple):
    """The gradients of `Recurrence`'s operands, in their shapes. x_BTD is empty where it was not asked for."""

    x_BTD: Tensor
    gain_Tk: Tensor
    weight_kSR: Tensor
    bias_R: Tensor
    weight_SZ: Tensor
    bias_S: Tensor


@dataclass
class Recurrence:
    """The recurrence over given operands, forward and backward.

    A frequency f with keep[f] = 0 shows the present step only. Its gain must not depend on time. From a sequence's end
    on, φ is zero, so that the state stays as it is and no gradient passes.

    Args:
        x_BTD: the input. float32, as everything else but the lengths.
        gain_Tk: g.
        keep_k: m, 1 or 0.
        weight_kSR, bias_R: W_r by frequency, b_r.
        weight_SZ, bias_S: W, whose first D columns belong to x, and b_φ.
        lengths_B: each sequence's number of steps. None means T.

    Raises:
        ValueError: a length is not in [1, T].
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
            raise ValueError(
                f"lengths must be from 1 to {self.T}, the steps of the input; got {self.lengths_B.tolist()}"
            )
        self.k, self.S, self.R = self.weight_kSR.shape
        self.N = -(-self.B // LANES)
        self.P = self.N * LANES
        self.shares = cpu.share_count(self.N)
        self.chunks = [slice(t, min(t + CHUNK, self.T)) for t in range(0, self.T, CHUNK)]
        self.kept_gain_Tk = self.gain_Tk * self.keep_k
        self.hidden_k = 1 - self.keep_k
        self.present_k = self.gain_Tk[0] * self.hidden_k
        self.masks = bool(self.hidden_k.any())
        self.d_SR = self.present(self.weight_kSR)
        self.lengths_P = torch.full((self.P,), self.T)
        if self.lengths_B is not None:
            self.lengths_P[: self.B] = self.lengths_B

    def present(self, weight_kSR: Tensor) -> Tensor:
        """Return D of a weight, Σ_f (1 − m_f) g[f] W^{(f)}, (S, R), or no rows where every frequency accumulates."""
        if not self.masks:
            return weight_kSR.new_zeros(0, weight_kSR.shape[2])
        return (self.present_k @ weight_kSR.flatten(1)).view(weight_kSR.shape[1:])

    def at(self, chunk: slice, weight_kSR: Tensor) -> Tensor:
        """Return A of a weight at the steps of a chunk, (c, S, R)."""
        return (self.kept_gain_Tk[chunk] @ weight_kSR.flatten(1)).unflatten(1, weight_kSR.shape[1:])

    def last_step(self, phi_TSP: Tensor) -> Tensor:
        """Return φ at each sequence's last step, (S, P)."""
        if self.lengths_B is None:
            return phi_TSP[-1]
        return phi_TSP.gather(0, (self.lengths_P - 1).expand(1, self.S, -1))[0]

    def input(self, chunk: slice) -> Tensor:
        """Return x of a chunk, (c, D, P). It is zero from a sequence's end on, since the padding may be anything."""
        x_cDP = self.x_BTD.new_zeros(chunk.stop - chunk.start, self.D, self.P)
        x_cDP[..., : self.B] = self.x_BTD[:, chunk].permute(1, 2, 0)
        if self.lengths_B is not None:
            time_c = torch.arange(chunk.start, chunk.stop)
            x_cDP.masked_fill_((time_c[:, None] >= self.lengths_P)[:, None], 0)
        return x_cDP

    def kept(self, chunk: slice) -> slice:
        """Return the part of the kept states that belongs to a chunk."""
        size = self.N * self.R * LANES
        return slice(chunk.start // SEGMENT * size, -(-chunk.stop // SEGMENT) * size)

    def storage(self) -> tuple[Tensor, Tensor]:
        """Allocate φ, (T, S, P), and the kept states, C·N·R·L numbers."""
        return saved_tensors(self.x_BTD, self.S, self.R)

    def forward(self, phi_TSP: Tensor, kept: Tensor, u_kSP: Tensor) -> Iterator[slice]:
        """Fill φ and the kept states, and add Σ_t m g_t φ_t to u unless u is empty. Yield each chunk when done."""
        # Before the first step s = 0, so r = σ(b_r). The kernel updates both in place; each chunk goes on from there.
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
        self, phi_TSP: Tensor, kept: Tensor, pull: Pull | None, du_kSP: Tensor, dlast_SP: Tensor, with_input: bool
    ) -> Gradients:
        """Return the gradients of the operands.

        Args:
            pull: returns, for a chunk, the gradients of φ (c, S, P) and of the kept gains (c, k) through the outputs.
                It is called from the last chunk to the first. None means that they follow from du and dlast.
            du_kSP, dlast_SP: the gradients of u and of φ at the last step, or empty.
            with_input: whether to compute x's gradient. Otherwise it is empty.
        """
        sums = Sums(self, len(du_kSP))
        dgain_Tk, dweight_kSR = torch.zeros_like(self.gain_Tk), torch.zeros_like(self.weight_kSR)
        dx_BTD = self.x_BTD.new_empty(self.x_BTD.shape if with_input else 0)
        weight_SZ, d_RS = self.weight_SZ.contiguous(), self.d_SR.T.contiguous()
        du_KSP = F.pad(du_kSP, (0, 0, 0, 0, 0, sums.K - len(du_kSP)))
        for chunk in reversed(self.chunks):
            g_cSP, dgain_ck = pull(chunk) if pull else (phi_TSP.new_empty(0), None)
            a_cSR = self.at(chunk, self.weight_kSR)
            dgain_WcK, da_WcSR = sums.of_chunk(len(a_cSR))
            dx_cDP = phi_TSP.new_empty(len(a_cSR) if with_input else 0, self.D, self.P)
            # A is passed in both layouts: recomputing r reads it with R innermost, the adjoint with S innermost.
            before_SP = phi_TSP[chunk.start - 1] if chunk.start else torch.zeros_like(phi_TSP[0])
            tensors = (
                self.input(chunk), self.lengths_P - 1, phi_TSP[chunk], before_SP, kept[self.kept(chunk)], g_cSP,
                self.kept_gain_Tk[chunk].T.contiguous(), du_KSP, dlast_SP, a_cSR, a_cSR.mT.contiguous(), self.d_SR,
                d_RS, weight_SZ, self.bias_R, sums.ds_NRL, sums.dr_NRL, dx_cDP, dgain_WcK, da_WcSR, sums.dd_WSRV,
                sums.dw_WSZV, sums.db_WSL, sums.scratch,
            )  # fmt: skip
            self.run(cpu.kernels().backward, chunk, len(du_kSP), with_input, tensors)
            # The shares' parts of dA are added in a fixed order. A = Σ_f m_f g_t[f] W^{(f)} is linear in W_r and in g,
            # so one product for each takes dA to their gradients, for all of the chunk's steps at once.
            da_cQ = da_WcSR.sum(0)[..., : self.R].flatten(1)
            dweight_kSR.flatten(1).addmm_(self.kept_gain_Tk[chunk].T, da_cQ)
            dgain_ck = dgain_WcK.sum(0)[:, : self.k] if dgain_ck is None else dgain_ck
            dgain_Tk[chunk] = self.keep_k * (dgain_ck + da_cQ @ self.weight_kSR.flatten(1).T)
            if with_input:
                dx_BTD[:, chunk] = dx_cDP[..., : self.B].permute(2, 0, 1)
        self.pull_present(sums.dd_WSRV.sum((0, 3))[:, : self.R], self.weight_kSR, dweight_kSR, dgain_Tk)
        dweight_SZ = sums.dw_WSZV.sum((0, 3))[:, : self.D + self.R].contiguous()
        return Gradients(
            dx_BTD, dgain_Tk, dweight_kSR, sums.ds_NRL.sum((0, 2)), dweight_SZ, sums.db_WSL.sum((0, 2))
        )  # fmt: skip

    def pull_present(self, dd_SR: Tensor, weight_kSR: Tensor, dweight_kSR: Tensor, dgain_Tk: Tensor) -> None:
        """Add the gradients of W and g through D. Its gain is the same at every step: the first gets the gradient."""
        if self.masks:
            dweight_kSR.addcmul_(self.present_k[:, None, None], dd_SR)
            dgain_Tk[0].addcmul_(self.hidden_k, weight_kSR.flatten(1) @ dd_SR.flatten())


class Sums:
    """The sums that the backward kernel adds to, a part for each share of the batch, and its scratch memory.

    Args:
        k: frequencies whose summaries' gradients the kernel is given. 0 where it is given φ's gradient instead.
    """

    def __init__(self, recurrence: Recurrence, k: int) -> None:
        new, W, S, R, D = recurrence.weight_SZ.new_zeros, recurrence.shares, recurrence.S, recurrence.R, recurrence.D
        self.K, self.RP, ZP = padded(k), padded(R), padded(D + R)
        self.ds_NRL, self.dr_NRL = new(2, recurrence.N, R, LANES)
        self.dd_WSRV, self.dw_WSZV = new(W, S, self.RP, WIDTH), new(W, S, ZP, WIDTH)
        self.db_WSL, self.scratch = new(W, S, LANES), new(W * scratch_size(D, S, R))
        self.W, self.S, steps = W, S, min(CHUNK, recurrence.T)
        self.dgain, self.da = torch.empty(W * steps * self.K), torch.empty(W * steps * S * self.RP)

    def of_chunk(self, c: int) -> tuple[Tensor, Tensor]:
        """Return room for a chunk's dgain (W, c, K) and dA (W, c, S, RP). Every chunk reuses the same memory."""
        dgain, da = self.dgain[: self.W * c * self.K], self.da[: self.W * c * self.S * self.RP]
        return dgain.view(self.W, c, self.K), da.view(self.W, c, self.S, self.RP)
