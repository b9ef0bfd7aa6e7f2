"""What the diagonal state-space models share: initial values, discretisation, and the layer with a common state.

Complex parameters are stored as pairs of reals, so that they are counted, cast, optimised and saved like any other.

Shapes: B batch, T time, D input, H channels, N complex state numbers.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Self, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import fuses
from models.recurrences.scan import linear_scan
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Place, SequenceModel, final_step, later, resize
from models.shared.linear import linear

Discretisation = Literal["zoh", "bilinear"]

STATE_AT_WIDTH = 32  # between the 16 of S5's smallest experiment (lindermanlab/S5, ListOps) and S4's 64

MOST_IMAGINARY = 2.0  # the bound that S4's authors put on the imaginary part of LegS's B at the start


@dataclass(frozen=True, kw_only=True)
class StateSpaceSizes(ModelConfig):
    """The sizes, and the range in which the step sizes Δ start.

    128 channels, 64 state numbers and Δ from 1e-3 to 1e-1 are the defaults of S4's authors (state-spaces/s4, example.py
    and models/s4/s4d.py). At a tier, the state has STATE_AT_WIDTH numbers at every width, so that a small budget goes
    into channels.
    """

    units = ("hidden_size", "state_size")

    hidden_size: int = 128
    state_size: int = 64
    """N, counting both numbers of each conjugate pair."""
    dt_min: float = 1e-3
    dt_max: float = 1e-1

    def __post_init__(self) -> None:
        self.require_positive("hidden_size", "state_size", "dt_min")
        if self.dt_max < self.dt_min:
            raise ValueError(f"dt_max={self.dt_max} must be at least dt_min={self.dt_min}")

    @classmethod
    def at_width(cls, width: int) -> Self:
        return cls(hidden_size=width, state_size=STATE_AT_WIDTH)

    def require_pairs(self) -> None:
        """Refuse a state that does not consist of conjugate pairs.

        Raises:
            ValueError: the number of states is odd.
        """
        if self.state_size % 2:
            raise ValueError(f"state_size={self.state_size} must be even")


@dataclass(frozen=True, kw_only=True)
class StateSpaceConfig(StateSpaceSizes):
    discretisation: Discretisation = field(default="zoh", metadata=later("zoh"))
    """How the differential equation becomes a recurrence: a zero-order hold or the bilinear rule."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("discretisation", "zoh", "bilinear")


def complex_parameter(values: Tensor) -> nn.Parameter:
    """Return complex values (…,) as a parameter of shape (…, 2)."""
    return nn.Parameter(torch.view_as_real(values.resolve_conj()).clone())


def log_uniform(size: int, low: float, high: float) -> Tensor:
    """Return the logarithms (size,) of numbers between low and high, uniform in the logarithm."""
    return torch.empty(size).uniform_(math.log(low), math.log(high))


def step_size_bias(size: int, low: float, high: float) -> Tensor:
    """Return biases (size,) whose softplus is log-uniform between low and high: softplus⁻¹(Δ) = log(exp(Δ) − 1)."""
    return log_uniform(size, low, high).exp().expm1().log()


def hippo_legs(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return HiPPO-LegS (Gu et al. 2020, Theorem 2): A (N, N), lower triangular with positive diagonal, and B (N,)."""
    n = np.arange(order)
    scale = np.sqrt(2 * n + 1)
    return np.tril(scale[:, None] * scale, -1) + np.diag(n + 1.0), scale


@cache  # fitting a width to a budget builds the same one again and again
def hippo_normal_eigen(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues (N/2,) with positive imaginary part of HiPPO-LegS's normal part, and their eigenvectors.

    The eigenvectors are (N, N/2). The normal part is −A + ½ B Bᵀ, which is −½ I plus a skew-symmetric matrix. The phase
    of an eigenvector is free. Its first entry is positive here, so that no library's choice changes a start.
    """
    a, b = hippo_legs(order)
    normal = np.outer(b, b) / 2 - a
    skew = normal + np.eye(order) / 2
    frequencies, vectors = np.linalg.eigh(-1j * skew)
    vectors = vectors[:, order // 2 :]
    return -0.5 + 1j * frequencies[order // 2 :], vectors * (np.abs(vectors[0]) / vectors[0])


def legs_input(states: int) -> np.ndarray:
    """Return HiPPO-LegS's B in the basis of `hippo_normal_eigen`, (states,) complex, as S4's authors start it."""
    _, vectors = hippo_normal_eigen(2 * states)
    b_N = vectors.conj().T @ hippo_legs(2 * states)[1]
    return b_N.real + 1j * b_N.imag.clip(-MOST_IMAGINARY, MOST_IMAGINARY)


def discretise(a: Tensor, dt: Tensor, method: Discretisation) -> tuple[Tensor, Tensor]:
    """Return log Ā and the factor of B in B̄, for diagonal A.

    Args:
        method: "zoh" takes the input as constant between steps: Ā = exp(Δ A) and (Ā − 1)/A. "bilinear" is the
            trapezoidal rule: Ā = (1 + Δ A/2)/(1 − Δ A/2) and Δ/(1 − Δ A/2).
    """
    if method == "bilinear":
        return 2 * torch.atanh(a * dt / 2), dt / (1 - a * dt / 2)
    return a * dt, complex_expm1(a * dt) / a


def complex_expm1(z: Tensor) -> Tensor:
    """Return exp(z) − 1 without the digits that the difference loses near 0, where small step sizes lie."""
    real = torch.expm1(z.real) * torch.cos(z.imag) - 2 * torch.sin(z.imag / 2) ** 2
    return torch.complex(real, torch.exp(z.real) * torch.sin(z.imag))


def fft_convolve(u_BTH: Tensor, kernel_TH: Tensor) -> Tensor:
    """Return Σ_{s≤t} kernel_{t−s} u_s for every t, (B, T, H). The widths H broadcast."""
    steps = u_BTH.shape[1]
    # Transforms are faster along the last dimension.
    u_BHT, kernel_HT = u_BTH.mT.contiguous(), kernel_TH.mT.contiguous()
    spectrum_BHF = torch.fft.rfft(u_BHT, n=2 * steps) * torch.fft.rfft(kernel_HT, n=2 * steps)
    return torch.fft.irfft(spectrum_BHF, n=2 * steps)[..., :steps].mT.contiguous()


def weighted_sum(x_BTD: Tensor, weight_TH: Tensor) -> Tensor:
    """Return Σ_t weight_t x_t, (B, D, H).

    Where a linear layer encodes x, the weighted sum of its outputs follows from this, without its output at every step.
    """
    with torch.autocast(x_BTD.device.type, enabled=False):
        return x_BTD.to(weight_TH.dtype).mT @ weight_TH


class ChannelStateSpace(SequenceModel):
    """A state for each channel, equivalent to a long convolution (S4, S4D): y = GELU(K ∗ u + D u).

    A subclass defines the kernel K, an encoder to H channels, and the parameters of the authors' s4.py. The GELU is the
    first half of the papers' block, whose gate the wrapper adds.
    """

    encoder: nn.Module
    C: nn.Parameter
    """(H, N, 2)."""
    D: nn.Parameter

    @abstractmethod
    def kernel(self, steps: int) -> Tensor:
        """Return K_0 … K_{T−1}, (T, H)."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.convolve(self.encode(x_BTD))

    def convolve(self, u_BTH: Tensor) -> Tensor:
        return F.gelu(fft_convolve(u_BTH, self.kernel(u_BTH.shape[1])) + self.D * u_BTH)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is not None:
            return super().last(x_BTD, lengths_B)
        kernel_TH = self.kernel(x_BTD.shape[1]).flip(0)
        if isinstance(self.encoder, nn.Linear):
            sums_BDH, bias_H = weighted_sum(x_BTD, kernel_TH), self.encoder.bias
            convolved_BH = torch.einsum("bdh,hd->bh", sums_BDH, self.encoder.weight) + bias_H * kernel_TH.sum(0)
        else:
            convolved_BH = torch.einsum("bth,th->bh", x_BTD.to(kernel_TH.dtype), kernel_TH)
        return F.gelu(convolved_BH + self.D * self.encode(x_BTD[:, -1]))

    def encode(self, x_D: Tensor) -> Tensor:
        return self.encoder(x_D).to(self.D.dtype)  # the transforms have no half precision

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.view_as_complex(self.C).detach().new_zeros(batch_size, *self.C.shape[:2])

    def diagonal_from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        """Return the eigenvalues −exp(log_decay) + i frequency, the step size and D, from the authors' s4.py."""
        hidden, states = self.C.shape[:2]
        return {
            "log_decay": authors("kernel.A_real", hidden, states),
            "frequency": -authors("kernel.A_imag", hidden, states),  # there −exp(A_real) − i A_imag
            "log_dt": authors("kernel.inv_dt", hidden, 1)[:, 0],
            "D": authors("D", 1, hidden)[0],
        }


class SharedStateSpace(SequenceModel):
    """One linear state behind all channels:

        x_t = Σ_{s≤t} r_{t−s} ⊙ B̄ u_s,    y_t = GELU(Re(C x_t) + D ⊙ u_t)

    A subclass defines B̄ and C, and the recurrence behind the response r. The GELU is the first half of the papers'
    blocks, in JAX's default form by tanh. The wrapper adds their gate.

    Args:
        hidden_size: H.
        state_size: N, the complex numbers that are read.
    """

    def __init__(self, config: object, *, hidden_size: int, state_size: int, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)  # type: ignore[arg-type]
        self.output_size, self.state_size = hidden_size, state_size
        self.encoder = resize(self.input_size, hidden_size)
        self.D = nn.Parameter(torch.randn(hidden_size))

    @abstractmethod
    def input_matrix(self) -> Tensor:
        """Return B̄, (N, H) complex."""

    @abstractmethod
    def output_matrix(self) -> Tensor:
        """Return C, (H, N) complex."""

    @abstractmethod
    def every_state(self, drive_BTN: Tensor) -> Tensor:
        """Return x for every step, (B, T, N), from B̄ u."""

    @abstractmethod
    def fused(self, u_BTH: Tensor) -> Tensor:
        """Return y for every step, (B, T, H), by one compiled operator."""

    @abstractmethod
    def advance(self, drive_BN: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return x after a step, (B, N), and all that the next step needs."""

    @abstractmethod
    def response(self, steps: int) -> Tensor:
        """Return r_0 … r_{T−1}, (T, N) complex."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        u_BTH = self.encode(x_BTD)
        return self.fused(u_BTH) if fuses(u_BTH) else self.read_out(self.every_state(self.drive(u_BTH)), u_BTH)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is not None:
            u_BTH = self.encode(x_BTD)
            states_BTN = self.every_state(self.drive(u_BTH))
            return self.read_out(final_step(states_BTN, lengths_B), final_step(u_BTH, lengths_B))
        return self.read_out(self.last_state(x_BTD), self.encode(x_BTD[:, -1]))

    def last_state(self, x_BTD: Tensor) -> Tensor:
        """Return Σ_t r_{T−1−t} ⊙ B̄ u_t, (B, N), from the response's sums with x, without any earlier state."""
        response_TN = self.response(x_BTD.shape[1]).flip(0)
        sums_BDN = torch.view_as_complex(
            weighted_sum(x_BTD, torch.view_as_real(response_TN).flatten(1)).unflatten(-1, (-1, 2))
        )
        input_NH = self.input_matrix()
        if not isinstance(self.encoder, nn.Linear):
            return torch.einsum("bdn,nd->bn", sums_BDN, input_NH)
        weight_HD, bias_H = self.encoder.weight.to(input_NH.dtype), self.encoder.bias.to(input_NH.dtype)
        return torch.einsum("bdn,nd->bn", sums_BDN, input_NH @ weight_HD) + (input_NH @ bias_H) * response_TN.sum(0)

    def step(self, x_BD: Tensor, state: Any) -> tuple[Tensor, Any]:
        u_BH = self.encode(x_BD)
        state_BN, state = self.advance(self.drive(u_BH), state)
        return self.read_out(state_BN, u_BH), state

    def encode(self, x_D: Tensor) -> Tensor:
        return self.encoder(x_D).to(self.D.dtype)  # complex numbers have no half precision

    def drive(self, u_H: Tensor) -> Tensor:
        """Return B̄ u, (…, H) to (…, N) complex, computed as one product of reals."""
        b_N2H = torch.view_as_real(self.input_matrix()).transpose(1, 2)
        with torch.autocast(u_H.device.type, enabled=False):
            return torch.view_as_complex(linear(u_H, b_N2H.flatten(0, 1)).unflatten(-1, (-1, 2)))

    def read_out(self, state_N: Tensor, u_H: Tensor) -> Tensor:
        """Return GELU(Re(C x) + D ⊙ u), (…, H). Re(C x) is a product of reals too: Re C Re x − Im C Im x."""
        c_HN2 = torch.view_as_real(self.output_matrix().conj().resolve_conj())
        y_H = linear(torch.view_as_real(state_N).flatten(-2), c_HN2.flatten(1))
        return F.gelu(y_H + self.D * u_H, approximate="tanh")


class DiagonalStateSpace(SharedStateSpace):
    """The shared state whose numbers do not see one another (S5, LRU): x_t = Λ̄ ⊙ x_{t−1} + B̄ u_t.

    A subclass defines Λ̄, B̄ and C.
    """

    @abstractmethod
    def transition(self) -> Tensor:
        """Return Λ̄, (N,) complex."""

    def fused(self, u_BTH: Tensor) -> Tensor:
        from models.kernels.cpu.shared_states import diagonal_states  # numba takes a second to import

        return diagonal_states(u_BTH, self.transition(), self.input_matrix(), self.output_matrix(), self.D)

    def every_state(self, drive_BTN: Tensor) -> Tensor:
        return linear_scan(self.transition(), drive_BTN)

    def response(self, steps: int) -> Tensor:
        impulse_1TN = self.initial_state(1).unsqueeze(1).repeat(1, steps, 1)
        impulse_1TN[:, 0] = 1
        return linear_scan(self.transition(), impulse_1TN)[0]

    def initial_state(self, batch_size: int) -> Tensor:
        return self.transition().detach().new_zeros(batch_size, self.state_size)

    def advance(self, drive_BN: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.addcmul(drive_BN, self.transition(), state)
        return state, state
