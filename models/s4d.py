"""S4D: a diagonal state-space model for each channel, equivalent to one long convolution.

    dx/dt = A x + B u,    y = C x + D u                              per channel, A diagonal and complex
    Ā = exp(Δ A),    B̄ = A⁻¹ (Ā − I) B                              zero-order hold
    K_l = 2 Re Σ_n C_n B̄_n Ā_n^l,    y = GELU(K ∗ u + D u)           (Gu et al. 2022, §3)

A starts at S4D-Lin, A_n = −½ + iπn; at S4D-Inv, A_n = −½ + i (N/π) (N/(2n+1) − 1); or at S4D-LegS, the eigenvalues of
HiPPO-LegS's normal part. The real part is −exp of a learned parameter. B = 1, as in the authors' s4d.py; only for
S4D-LegS it is learned, since there it starts at the product Vᴴ B of the eigenvectors and HiPPO-LegS's B, with imaginary
parts cut off at ±2, as in the authors' s4.py. The layer ends with GELU, as in the paper's block; the wrapper adds that
block's gate. The layer is causal: it leaves out the paper's second, reversed kernel, which is for tasks that are read
in both directions.

Shapes: B batch, T time, D input, H channels, N complex state numbers a channel (half of `state_size`).
State: 2 N H numbers a sequence. Time O(T H (N + log T)); the kernel is made from √T powers in O(√T N H) memory. On a
CPU, the states are instead computed one step after another, O(T H N).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled
from models.recurrences.state_space import (
    ChannelStateSpace,
    StateSpaceConfig,
    complex_parameter,
    discretise,
    hippo_normal_eigen,
    legs_input,
    log_uniform,
)
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import Paper, Place, resize

if TYPE_CHECKING:
    from optuna import Trial

# The largest learning rate of A, B and Δ in the authors' code (state-spaces/s4), which gives none of them weight decay.
STATE_LR = 1e-3

INITIAL_A: dict[str, Callable[[int], np.ndarray]] = {
    "lin": lambda n: -0.5 + 1j * math.pi * np.arange(n),
    "inv": lambda n: -0.5 + 1j * (2 * n / math.pi) * (2 * n / (2 * np.arange(n) + 1) - 1),
    "legs": lambda n: hippo_normal_eigen(2 * n)[0],
}
"""The initial A_n of n complex numbers, by the name of the initialisation."""

STANDALONE_NAMES = {
    "log_decay": "kernel.log_A_real",
    "frequency": "kernel.A_imag",
    "log_dt": "kernel.log_dt",
    "C": "kernel.C",
    "D": "D",
}
"""The name of each parameter in s4d.py of state-spaces/s4."""


class S4D(ChannelStateSpace):
    """The diagonal state-space layer."""

    paper = Paper(
        "On the Parameterization and Initialization of Diagonal State Space Models",
        2022,
        "https://arxiv.org/abs/2206.11893",
    )
    display_name = "S4D"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = (
        "s4_block_diag",
        "s4d",
        "s4d_full_bilinear",
        "s4d_full_inv_init",
        "s4d_full_legs",
        "s4d_full_legs_init",
        "s4d_init",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(StateSpaceConfig):
        init: Literal["lin", "inv", "legs"] = "lin"
        """How A starts: as S4D-Lin, S4D-Inv or S4D-LegS."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_one_of("init", *INITIAL_A)
            self.require_pairs()

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.discretisation = config.hidden_size, config.discretisation
        hidden = config.hidden_size
        states = config.state_size // 2
        a_N = INITIAL_A[config.init](states)
        self.encoder = resize(self.input_size, hidden)
        self.log_decay = nn.Parameter(torch.tensor(np.log(-a_N.real), dtype=torch.float32).repeat(hidden, 1))
        self.frequency = nn.Parameter(torch.tensor(a_N.imag, dtype=torch.float32).repeat(hidden, 1))
        self.log_dt = nn.Parameter(log_uniform(hidden, config.dt_min, config.dt_max))
        b_HN = torch.tensor(legs_input(states), dtype=torch.cfloat).repeat(hidden, 1)
        self.B = complex_parameter(b_HN) if config.init == "legs" else None
        self.C = complex_parameter(torch.randn(hidden, states, dtype=torch.cfloat))
        self.D = nn.Parameter(torch.randn(hidden))

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        u_BTH = self.encode(x_BTD)
        if not runs_compiled(u_BTH):
            return self.convolve(u_BTH)
        from models.kernels.cpu.s4d import channelwise_states  # numba takes a second to import

        log_a_bar_HN, c_HN = self.discretised()
        return F.gelu(channelwise_states(u_BTH, log_a_bar_HN.exp(), 2 * c_HN, self.D))

    def facts(self) -> dict[str, str]:
        return {"states": "numba" if runs_compiled(self.D) else "torch"}

    def step(self, x_BD: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        u_BH = self.encode(x_BD)
        log_a_bar_HN, c_HN = self.discretised()
        state = log_a_bar_HN.exp() * state + u_BH.unsqueeze(-1)
        y_BH = 2 * (c_HN * state).sum(-1).real
        return F.gelu(y_BH + self.D * u_BH), state

    def A(self) -> Tensor:  # noqa: N802
        """Return A, (H, N) complex."""
        return torch.complex(-self.log_decay.exp(), self.frequency)

    def discretised(self) -> tuple[Tensor, Tensor]:
        """Return log Ā and C B̄, (H, N) complex each. Only this product of C and B̄ enters the output."""
        log_a_bar_HN, factor_HN = discretise(self.A(), self.log_dt.exp()[:, None], self.discretisation)
        c_HN = torch.view_as_complex(self.C) * factor_HN
        return log_a_bar_HN, c_HN if self.B is None else c_HN * torch.view_as_complex(self.B)

    def kernel(self, steps: int) -> Tensor:
        """Return the convolution's kernel K, (T, H).

        With l = i·c + j, Ā^l = Ā^{ic} Ā^j, so only T/c + c powers of Ā are computed.
        """
        coarse = math.isqrt(steps - 1) + 1
        log_a_bar_HN, c_HN = self.discretised()
        index = torch.arange(coarse, device=self.D.device, dtype=self.D.dtype)
        fine_HNJ = torch.exp(log_a_bar_HN.unsqueeze(-1) * index)
        coarse_HNI = torch.exp(log_a_bar_HN.unsqueeze(-1) * (coarse * index)) * c_HN.unsqueeze(-1)
        k_HIJ = real_product(coarse_HNI, fine_HNJ)
        return 2 * k_HIJ.flatten(1)[:, :steps].T

    def optimizer_groups(self) -> list[dict[str, Any]]:
        state = [self.log_decay, self.frequency, self.log_dt, *([] if self.B is None else [self.B])]
        return [{"params": state, "lr_max": STATE_LR, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        """Return ours from the authors' s4d.py or, where there is a B, from their s4.py."""
        if "kernel.B" not in authors:
            return authors.renamed(self, STANDALONE_NAMES)
        hidden, states = self.C.shape[:2]
        b_HN2, c_HN2 = (authors(f"kernel.{name}", 1, hidden, states, 2)[0] for name in "BC")
        product_HN2 = torch.view_as_real(torch.view_as_complex(b_HN2) * torch.view_as_complex(c_HN2))
        return ({"C": product_HN2} if self.B is None else {"B": b_HN2, "C": c_HN2}) | self.diagonal_from_authors(
            authors
        )

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [16, 32, 64]),
            "init": trial.suggest_categorical("init", list(INITIAL_A)),
            "dt_min": trial.suggest_categorical("dt_min", [1e-3, 1e-2]),  # the tasks are shorter than the authors'
        }


def real_product(left_HNI: Tensor, right_HNJ: Tensor) -> Tensor:
    """Return Re Σ_n left_n,i right_n,j, (H, I, J), by one real matrix product."""
    left_HIM = torch.cat([left_HNI.real, -left_HNI.imag], dim=1).transpose(1, 2)
    with torch.autocast(left_HNI.device.type, enabled=False):
        return left_HIM @ torch.cat([right_HNJ.real, right_HNJ.imag], dim=1)
