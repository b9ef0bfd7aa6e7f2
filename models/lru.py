"""LRU: the linear recurrent unit, a diagonal complex recurrence that starts on a ring inside the unit circle.

    λ = exp(−exp(ν) + i exp(θ)),    γ = √(1 − |λ|²) at the start, then learned as exp(γ_log)
    x_t = λ ⊙ x_{t−1} + γ ⊙ (B u_t),    y_t = Re(C x_t) + D ⊙ u_t        (Orvieto et al. 2023, §3)

|λ| is drawn uniformly over the ring between r_min and r_max, the phase uniformly in [0, max_phase]. The real and
imaginary parts of B start with variance 1/2H, those of C with 1/N. The layer ends with GELU, as in the paper's block.

Shapes: B batch, T time, D input, H channels, N complex state numbers. State: 2N numbers a sequence.
Time O(T N H), depth O(log T).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn

from models.recurrences.state_space import DiagonalStateSpace, complex_parameter
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place

if TYPE_CHECKING:
    from optuna import Trial

STATE_LR_SCALE = 0.5
"""Learning-rate factor of ν, θ, γ and B, which the paper trains more slowly than the rest and without weight decay. The
factor is that of github.com/NicolasZucchet/minimal-LRU, which is not the authors' code."""


class LRU(DiagonalStateSpace):
    """The linear recurrent unit."""

    paper = Paper("Resurrecting Recurrent Neural Networks for Long Sequences", 2023, "https://arxiv.org/abs/2303.06349")
    display_name = "LRU"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("lru", "lru_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        units = ("hidden_size", "state_size")
        hidden_size: int = 128
        state_size: int = 128
        """N, complex numbers. The default is minimal-LRU's. `at_width` takes as many as channels: in the paper's
        experiments, N is between three quarters of H and twice H."""
        r_min: float = 0.0
        """The smallest |λ| at the start."""
        r_max: float = 1.0
        """The largest |λ| at the start."""
        max_phase: float = 2 * math.pi
        """The largest phase of λ at the start, in radians."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "state_size", "max_phase")
            if not 0 <= self.r_min < self.r_max <= 1:
                raise ValueError(f"r_min={self.r_min} and r_max={self.r_max} must satisfy 0 ≤ r_min < r_max ≤ 1")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, state_size=width)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        hidden, states = config.hidden_size, config.state_size
        super().__init__(config, hidden_size=hidden, state_size=states, **place)
        radius_N = torch.empty(states).uniform_(config.r_min**2, config.r_max**2).clamp(1e-12, 1 - 1e-6).sqrt()
        self.nu_log = nn.Parameter(torch.log(-torch.log(radius_N)))
        self.theta_log = nn.Parameter(torch.log(config.max_phase * torch.rand(states).clamp(min=1e-6)))
        self.gamma_log = nn.Parameter(0.5 * torch.log1p(-(radius_N**2)))
        self.B = complex_parameter(torch.randn(states, hidden, dtype=torch.cfloat) / hidden**0.5)
        self.C = complex_parameter(torch.randn(hidden, states, dtype=torch.cfloat) * (2 / states) ** 0.5)

    def transition(self) -> Tensor:
        return torch.polar(torch.exp(-self.nu_log.exp()), self.theta_log.exp())

    def input_matrix(self) -> Tensor:
        return self.gamma_log.exp()[:, None] * torch.view_as_complex(self.B)

    def output_matrix(self) -> Tensor:
        return torch.view_as_complex(self.C)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        state = [self.nu_log, self.theta_log, self.gamma_log, self.B]
        return [{"params": state, "lr_scale": STATE_LR_SCALE, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        states, hidden = self.state_size, self.output_size
        b_NH2 = torch.stack([authors(name, states, hidden) for name in ("B_re", "B_im")], dim=-1)
        c_HN2 = torch.stack([authors(name, hidden, states) for name in ("C_re", "C_im")], dim=-1)
        same = authors.renamed(self, {name: name for name in ("nu_log", "theta_log", "gamma_log", "D")})
        return same | {"B": b_NH2, "C": c_HN2}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "r_min": trial.suggest_categorical("r_min", [0.0, 0.9]),
            "r_max": trial.suggest_categorical("r_max", [0.99, 1.0]),
            "max_phase": trial.suggest_categorical("max_phase", [2 * math.pi, math.pi / 10]),
        }
