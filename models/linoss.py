"""LinOSS: forced linear harmonic oscillators, discretised so that the state neither explodes nor needs eigenvalues.

    y″ = −A y + B u,    z = y′,    A ≥ 0 diagonal, a step Δt in (0, 1) for each oscillator
    z_t = S (z_{t−1} + Δt (−A y_{t−1} + B u_t)),    y_t = y_{t−1} + Δt z_t,    x_t = Re(C y_t) + D ⊙ u_t

LinOSS-IM is implicit in both, S = 1/(1 + Δt² A), and dissipates. LinOSS-IMEX is implicit in y only, S = 1, and keeps
the energy (Rusch & Rus 2025, §2.2, §3). D-LinOSS has a learned friction, y″ = −A y − G y′ + B u, S = 1/(1 + Δt G)
(Boyer et al. 2025, §3). There A is clipped to where the two eigenvalues of a step are a conjugate pair.

A = ReLU(A_learned), G = ReLU(G_learned), Δt = σ(Δt_learned). A and Δt_learned of LinOSS start uniform in [0, 1]. Those
of D-LinOSS start with Δt_learned normal of standard deviation ½ and with the eigenvalues even by area over the ring
between r_min and 1. The layer ends with GELU, as in the papers' block.

A is real, so the real and the imaginary part of y are oscillators of their own. A step takes three products.
The code carries v = Δt z: v_t = S v_{t−1} − S Δt² A y_{t−1} + S Δt² B u_t, y_t = y_{t−1} + v_t. No eigenvalue is taken,
because at A = 0 the step has one only.

Shapes: B batch, T time, D input, H channels, P oscillators, complex. State: 4P numbers a sequence. Time O(T P H). On a
CPU, a compiled pass goes over time. Elsewhere the response to an impulse, of depth O(log T), is convolved with B u.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import loop_backend
from models.recurrences.state_space import STATE_AT_WIDTH, SharedStateSpace, complex_parameter, fft_convolve
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor]  # v_BP, y_BP complex

DT_STD = 0.5  # of D-LinOSS's learned Δt at the start
LEAST_SQUARE = 1e-6  # below which D-LinOSS's authors do not let Δt² fall where they divide by it


class LinOSS(SharedStateSpace):
    """The linear oscillatory state-space layer."""

    paper = Paper("Oscillatory State-Space Models", 2025, "https://arxiv.org/abs/2410.03943")
    display_name = "LinOSS"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("dlinoss_imex1", "dlinoss_imex1_init", "linoss_im", "linoss_imex", "linoss_init")
    deviations = {
        "weight decay": (
            "The suites' decay applies to B, C and D, while the authors train without. A, G and Δt, which set the "
            "oscillators' frequencies, are spared."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The width is our wrapper's. The authors tune the states, 16 to 256, and the method for each task."""

        units = ("hidden_size", "state_size")
        hidden_size: int = 128
        state_size: int = 64
        """P, oscillators."""
        method: Literal["im", "imex", "damped"] = "im"
        """LinOSS-IM, LinOSS-IMEX or D-LinOSS."""
        r_min: float = 0.9
        """The smallest size of D-LinOSS's eigenvalues at the start, above 0 and below 1. The other two don't use it."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "state_size")
            self.require_one_of("method", "im", "imex", "damped")
            if not 0 < self.r_min < 1:
                raise ValueError(f"r_min={self.r_min} must be above 0 and below 1")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, state_size=STATE_AT_WIDTH)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        hidden, states = config.hidden_size, config.state_size
        super().__init__(config, hidden_size=hidden, state_size=states, **place)
        self.method = config.method
        if config.method == "damped":
            dt_P, a_P, g_P = start_on_ring(states, config.r_min)
            self.dt, self.A, self.G = nn.Parameter(dt_P), nn.Parameter(a_P), nn.Parameter(g_P)
        else:
            self.dt, self.A = nn.Parameter(torch.rand(states)), nn.Parameter(torch.rand(states))
        self.B = complex_parameter(uniform_within(hidden**-0.5, states, hidden))
        self.C = complex_parameter(uniform_within(states**-0.5, hidden, states))

    def oscillators(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return S, S Δt² A and S Δt², (P,) each."""
        dt_P = torch.sigmoid(self.dt)
        if self.method == "damped":
            friction_P = dt_P * F.relu(self.G)
            s_P, a_P = 1 / (1 + friction_P), clip_to_oscillation(self.A, friction_P, dt_P)
        else:
            a_P = F.relu(self.A)
            s_P = 1 / (1 + dt_P**2 * a_P) if self.method == "im" else torch.ones_like(a_P)
        return s_P, s_P * dt_P**2 * a_P, s_P * dt_P**2

    def input_matrix(self) -> Tensor:
        return self.oscillators()[2][:, None] * torch.view_as_complex(self.B)

    def output_matrix(self) -> Tensor:
        return torch.view_as_complex(self.C)

    def every_state(self, drive_BTP: Tensor) -> Tensor:
        drive_BTN = torch.view_as_real(drive_BTP).flatten(-2)  # real and imaginary parts side by side
        if loop_backend(drive_BTN) == "numba":
            from models.kernels.cpu.oscillators import Oscillators  # numba takes a second to import

            keep_P, pull_P, _ = self.oscillators()
            y_BTN = Oscillators.apply(drive_BTN, keep_P.repeat_interleave(2), pull_P.repeat_interleave(2))
        else:
            y_BTN = fft_convolve(drive_BTN, self.response(drive_BTN.shape[1]).real.repeat_interleave(2, dim=1))
        return torch.view_as_complex(y_BTN.unflatten(-1, (-1, 2)))

    def fused(self, u_BTH: Tensor) -> Tensor:
        from models.kernels.cpu.shared_states import oscillating_states  # numba takes a second to import

        keep_P, pull_P, scale_P = self.oscillators()
        input_PH = scale_P[:, None] * torch.view_as_complex(self.B)
        return oscillating_states(u_BTH, keep_P, pull_P, input_PH, self.output_matrix(), self.D)

    def response(self, steps: int) -> Tensor:
        """Return y after an impulse, (T, P). From v and y of the first steps follow those of as many more."""
        keep_P, pull_P, _ = self.oscillators()
        power_P22 = torch.stack([keep_P, -pull_P, keep_P, 1 - pull_P], dim=-1).unflatten(-1, (2, 2))
        states_TP2 = torch.ones_like(power_P22[None, :, 0])
        while len(states_TP2) < steps:
            more_TP2 = (power_P22 @ states_TP2.unsqueeze(-1)).squeeze(-1)
            states_TP2, power_P22 = torch.cat([states_TP2, more_TP2]), power_P22 @ power_P22
        y_TP = states_TP2[:steps, :, 1]
        return torch.complex(y_TP, torch.zeros_like(y_TP))

    def initial_state(self, batch_size: int) -> State:
        zeros_BP = torch.view_as_complex(self.B).detach().new_zeros(batch_size, self.state_size)
        return zeros_BP, zeros_BP

    def advance(self, drive_BP: Tensor, state: State) -> tuple[Tensor, State]:
        v_BP, y_BP = state
        keep_P, pull_P, _ = self.oscillators()
        v_BP = keep_P * v_BP - pull_P * y_BP + drive_BP
        y_BP = y_BP + v_BP
        return y_BP, (v_BP, y_BP)

    def facts(self) -> dict[str, str]:
        return {"scan": "numba" if loop_backend(self.A) == "numba" else "torch"}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        friction = [self.G] if self.method == "damped" else []
        return [{"params": [self.A, self.dt, *friction], "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        names = {"A": "A_diag", "dt": "steps", "B": "B", "C": "C", "D": "D"}
        return authors.renamed(self, names | ({"dt": "dt", "G": "G_diag"} if self.method == "damped" else {}))

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "method": trial.suggest_categorical("method", ["im", "imex", "damped"]),
            "state_size": trial.suggest_categorical("state_size", [16, 32, 64]),
        }


def clip_to_oscillation(a_P: Tensor, friction_P: Tensor, dt_P: Tensor) -> Tensor:
    """Return D-LinOSS's A within the bounds between which a step has complex eigenvalues.

    With g = Δt G, these satisfy λ² − (2 + g − Δt² A)/(1 + g) λ + 1/(1 + g) = 0. Their discriminant is negative where
    Δt² A is between (√(1 + g) − 1)² and (√(1 + g) + 1)².
    """
    root_P, square_P = (1 + friction_P).sqrt(), (dt_P**2).clamp(min=LEAST_SQUARE)
    low_P, high_P = (2 + friction_P - 2 * root_P) / square_P, (2 + friction_P + 2 * root_P) / square_P
    return low_P + F.relu(a_P - low_P) - F.relu(a_P - high_P)


def start_on_ring(states: int, r_min: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return learned Δt, A and G, (P,) each, such that the eigenvalues are spread over the upper half of a ring.

    The product of a conjugate pair is 1/(1 + Δt G), its sum (2 + Δt G − Δt² A)/(1 + Δt G).
    """
    dt_P = DT_STD * torch.randn(states)
    step_P = torch.sigmoid(dt_P)
    square_P, phase_P = torch.empty(states).uniform_(r_min**2, 1), math.pi * torch.rand(states)
    a_P = (1 + 1 / square_P - 2 * torch.cos(phase_P) / square_P.sqrt()) / step_P**2
    return dt_P, a_P, (1 / square_P - 1) / step_P


def uniform_within(bound: float, *shape: int) -> Tensor:
    """Return complex numbers whose parts are uniform within ±bound."""
    return torch.view_as_complex(torch.empty(*shape, 2).uniform_(-bound, bound))
