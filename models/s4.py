"""S4: a state-space model for each channel, whose state matrix is diagonal plus a term of low rank.

    dx/dt = A x + B u,    y = C x + D u,    A = Λ − P P*                  per channel, Λ diagonal and complex
    Ā = (I − Δ/2 A)⁻¹ (I + Δ/2 A),    B̄ = (I − Δ/2 A)⁻¹ Δ B               bilinear rule
    x_t = Ā x_{t−1} + B̄ u_t,    y_t = GELU(C x_t + D u_t)                 a convolution with K_l = C Ā^l B̄
                                                                           (Gu, Goel & Ré 2022, §3, appendix C)
The kernel's spectrum follows without a power of Ā. With C̃ = C (I − Ā^L), at the L-th roots of unity ω,

    Σ_l K_l ω^l = C̃ (I − ω Ā)⁻¹ B̄ = Δ C̃ ((1 − ω) I − (1 + ω) Δ/2 (Λ − P P*))⁻¹ B

which Woodbury's identity turns into four sums over the diagonal (§3.2, algorithm 1). C̃ is what is learned, as in the
authors' code, with L the length that the layer is trained at. The kernel of a longer input comes from C̃ (I + Ā^L), that
of 2L steps. The sign of P P* is that of the authors' code: it keeps A stable whatever P is (Goel et al. 2022, §4).

A and B start at HiPPO-LegS in the basis of its normal part's eigenvectors V: Λ is that part's spectrum, P is
Vᴴ √(n + ½), and B is Vᴴ B with imaginary parts cut off at ±2, as in the authors' code. The real part of Λ is −exp
of a learned parameter. The layer ends with GELU, as in the paper's block; the wrapper adds that block's gate.

Shapes: B batch, T time, D input, H channels, N complex state numbers a channel (half of `state_size`), M = 2N real
ones, L length of the kernel, F = L/2 + 1 frequencies. State: 2 N H numbers a sequence. Time O(T H (N + log T)). The
kernel takes O(T N H) memory, once for all sequences.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.recurrences.state_space import (
    ChannelStateSpace,
    StateSpaceSizes,
    complex_parameter,
    hippo_normal_eigen,
    legs_input,
    log_uniform,
)
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import Paper, Place, computed, resize

if TYPE_CHECKING:
    from optuna import Trial

# The largest learning rate of A, B, P and Δ in the authors' code (state-spaces/s4), which gives them no weight decay.
STATE_LR = 1e-3


class S4(ChannelStateSpace):
    """The structured state-space layer in its DPLR form."""

    paper = Paper(
        "Efficiently Modeling Long Sequences with Structured State Spaces", 2022, "https://arxiv.org/abs/2111.00396"
    )
    display_name = "S4"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("s4_dplr", "s4_dplr_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(StateSpaceSizes):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_pairs()

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        hidden, states = config.hidden_size, config.state_size // 2
        self.output_size = hidden
        self.encoder = resize(self.input_size, hidden)
        lam_N, vectors = hippo_normal_eigen(config.state_size)
        p_N = vectors.conj().T @ np.sqrt(np.arange(config.state_size) + 0.5)
        self.log_decay = nn.Parameter(torch.tensor(np.log(-lam_N.real), dtype=torch.float32).repeat(hidden, 1))
        self.frequency = nn.Parameter(torch.tensor(lam_N.imag, dtype=torch.float32).repeat(hidden, 1))
        self.log_dt = nn.Parameter(log_uniform(hidden, config.dt_min, config.dt_max))
        self.P = complex_parameter(torch.tensor(p_N, dtype=torch.cfloat).repeat(hidden, 1))
        self.B = complex_parameter(torch.tensor(legs_input(states), dtype=torch.cfloat).repeat(hidden, 1))
        self.D = nn.Parameter(torch.randn(hidden))
        self.C = nn.Parameter(computed((hidden, states, 2), self.start_c))

    @torch.no_grad()
    def start_c(self) -> Tensor:
        """Return C̃, (H, N, 2), for a C whose parts are normal with variance ½."""
        c_HN = torch.view_as_complex(torch.randn(self.B.shape) / 2**0.5)
        return torch.view_as_real(c_HN - rows_times(c_HN, self.power(self.seq_len)))

    def kernel(self, steps: int) -> Tensor:
        length, c_HN = self.seq_len, torch.view_as_complex(self.C)
        while length < steps:
            c_HN, length = c_HN + rows_times(c_HN, self.power(length)), 2 * length
        with torch.autocast(self.D.device.type, enabled=False):
            spectrum_HF = self.spectrum(c_HN, length)
        return torch.fft.irfft(spectrum_HF, n=length)[:, :steps].T

    def spectrum(self, c_HN: Tensor, length: int) -> Tensor:
        """Return Σ_l K_l ω^l at ω = exp(−2πi k/L) for k = 0 … L/2, (H, F) complex, from C̃.

        The matrix to invert is 2 exp(−iθ/2) (i sin(θ/2) − cos(θ/2) Δ/2 (Λ − P P*)) with θ = 2πk/L, so that nothing
        is infinite at ω = −1.
        """
        p_HN, b_HN = torch.view_as_complex(self.P), torch.view_as_complex(self.B)
        half_H1 = self.log_dt.exp()[:, None] / 2
        angle_F = torch.arange(length // 2 + 1, device=self.D.device, dtype=self.D.dtype) * (torch.pi / length)
        products_H4N = torch.stack([c_HN * b_HN, c_HN * p_HN, p_HN.conj() * b_HN, p_HN.conj() * p_HN], dim=1)
        cb_HF, cp_HF, pb_HF, pp_HF = pole_sums(products_H4N, half_H1 * self.Lambda(), angle_F).unbind(1)
        weight_HF = half_H1 * torch.cos(angle_F)
        phase_F = torch.polar(torch.ones_like(angle_F), angle_F)
        return half_H1 * phase_F * (cb_HF - weight_HF * cp_HF * pb_HF / (1 + weight_HF * pp_HF))

    def Lambda(self) -> Tensor:  # noqa: N802
        """Return Λ, (H, N) complex."""
        return torch.complex(-self.log_decay.exp(), self.frequency)

    def step(self, x_BD: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        u_BH = self.encode(x_BD)
        state = self.advance(state, u_BH)
        y_BH = 2 * (self.output_matrix() * state).sum(-1).real
        return F.gelu(y_BH + self.D * u_BH), state

    def advance(self, state_HN: Tensor, u_H: Tensor) -> Tensor:
        """Return Ā x + B̄ u, (…, H, N), for x (…, H, N) and u (…, H), in O(N) by Woodbury's identity."""
        half_H1, lam_HN = self.log_dt.exp()[:, None] / 2, self.Lambda()
        p_HN, b_HN = torch.view_as_complex(self.P), torch.view_as_complex(self.B)
        change_HN = lam_HN * state_HN - p_HN * projected(p_HN, state_HN)
        right_HN = state_HN + half_H1 * (change_HN + 2 * b_HN * u_H.unsqueeze(-1))
        inverse_HN = 1 / (1 - half_H1 * lam_HN)
        right_HN, scaled_HN = inverse_HN * right_HN, inverse_HN * p_HN
        share_H1 = half_H1 * projected(p_HN, right_HN) / (1 + half_H1 * projected(p_HN, scaled_HN))
        return right_HN - share_H1 * scaled_HN

    def output_matrix(self) -> Tensor:
        """Return C = C̃ (I − Ā^L)⁻¹, (H, N) complex."""
        power_HMM = self.power(self.seq_len)
        rest_HMM = torch.eye(power_HMM.shape[-1], device=power_HMM.device, dtype=power_HMM.dtype) - power_HMM
        row_H1M = as_rows(torch.view_as_complex(self.C))
        return from_rows(torch.linalg.solve(rest_HMM, row_H1M, left=False))

    def power(self, exponent: int) -> Tensor:
        """Return Ā^exponent as a real matrix on the real and imaginary parts of the state, (H, M, M)."""
        hidden, states = self.B.shape[:2]
        units_MM = torch.eye(2 * states, device=self.D.device, dtype=self.D.dtype)
        units_MHN = torch.view_as_complex(units_MM.unflatten(1, (-1, 2))).unsqueeze(1).expand(-1, hidden, -1)
        moved_MHN = self.advance(units_MHN, units_MM.new_zeros(2 * states, hidden))
        with torch.autocast(self.D.device.type, enabled=False):
            return torch.linalg.matrix_power(torch.view_as_real(moved_MHN).flatten(2).movedim(0, -1), exponent)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        state = [self.log_decay, self.frequency, self.log_dt, self.P, self.B]
        return [{"params": state, "lr_max": STATE_LR, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        """Return ours from the authors' s4.py, whose C is C̃ from the first forward on."""
        hidden, states = self.C.shape[:2]
        ours = {name: authors(f"kernel.{name}", 1, hidden, states, 2)[0] for name in "PBC"}
        return ours | self.diagonal_from_authors(authors)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [16, 32, 64]),
            "dt_min": trial.suggest_categorical("dt_min", [1e-3, 1e-2]),  # the tasks are shorter than the authors'
        }


def pole_sums(products_HJN: Tensor, pole_HN: Tensor, angle_F: Tensor) -> Tensor:
    """Return Σ_n v_n/(i s − c λ_n) + v̄_n/(i s − c λ̄_n) with s = sin and c = cos of each angle, (H, J, F) complex.

    A pair's sum is (2 Re(v) i s − 2 c Re(v λ̄)) / (c²|λ|² − s² − 2 i s c Re λ), so that one real product takes all sums.

    Args:
        products_HJN: v, J of them for each pole.
        pole_HN: λ, with a negative real part.
    """
    sin_F, cos_F = torch.sin(angle_F), torch.cos(angle_F)
    size_HNF = cos_F * pole_HN.abs().unsqueeze(-1)
    real_HNF = (size_HNF - sin_F) * (size_HNF + sin_F)  # as a product, which keeps the digits near the resonance
    imag_HNF = -2 * sin_F * cos_F * pole_HN.real.unsqueeze(-1)
    square_HNF = real_HNF**2 + imag_HNF**2
    inverse_HNM = torch.cat([real_HNF / square_HNF, -imag_HNF / square_HNF], dim=-1)
    above_HJN = 2 * torch.cat([products_HJN.real, (products_HJN * pole_HN.conj().unsqueeze(1)).real], dim=1)
    real_HJF, imag_HJF = (above_HJN @ inverse_HNM).chunk(2, dim=-1)
    with_sin_HJF, with_cos_HJF = torch.complex(real_HJF, imag_HJF).chunk(2, dim=1)
    return 1j * sin_F * with_sin_HJF - cos_F * with_cos_HJF


def projected(p_HN: Tensor, x_HN: Tensor) -> Tensor:
    """Return P* x over both states of each conjugate pair, 2 Re Σ_n p̄_n x_n, (…, H, 1)."""
    return 2 * (p_HN.conj() * x_HN).sum(-1, keepdim=True).real


def as_rows(c_HN: Tensor) -> Tensor:
    """Return the real rows (H, 1, M) whose product with the parts of a state is Re Σ_n c_n x_n."""
    return torch.view_as_real(c_HN.conj().resolve_conj()).flatten(1).unsqueeze(1)


def from_rows(row_H1M: Tensor) -> Tensor:
    return torch.view_as_complex(row_H1M.squeeze(1).unflatten(1, (-1, 2)).contiguous()).conj().resolve_conj()


def rows_times(c_HN: Tensor, matrix_HMM: Tensor) -> Tensor:
    """Return C M, (H, N) complex, for a real matrix on the parts of the state."""
    with torch.autocast(c_HN.device.type, enabled=False):
        return from_rows(as_rows(c_HN) @ matrix_HMM)
