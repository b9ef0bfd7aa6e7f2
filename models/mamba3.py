"""Mamba-3: Mamba-2 with a trapezoidal rule, states that rotate, and biases in place of the convolution.

    z, x, B, C, δ, a, λ, ω = W_in u        E, E, N, N, one number of δ, a and λ for each head, and R angles
    Δ_t = softplus(δ_t + b_Δ),    A_t = −h(a_t),    α_t = exp(Δ_t A_t),    τ_t = σ(λ_t)
    θ_t = θ_{t−1} + Δ_t π tanh(ω_t)                                            R angles for each head
    K_t = rotation by θ_t of RMSNorm(B_t) + b_B,    Q_t = rotation by θ_t of RMSNorm(C_t) + b_C
    S_t = α_t S_{t−1} + (1 − τ_t) Δ_t α_t x_{t−1} K_{t−1}ᵀ + τ_t Δ_t x_t K_tᵀ          a state of P × N for each head
    y_t = S_t Q_t + D x_t,    out_t = W_out (y_t ⊙ SiLU(z_t))                          (Lahoti et al. 2026, §3)

h(a) = 1 + a for a ≥ 0, else 1/(1 − a), and A_t is at most −10⁻⁴. The rotation takes the pairs of neighbours among the
first 2R of the N numbers, R/N being half of `rope_fraction`. This is the form with one input and one output for each
state (SISO). With `norm`, y_t is first normalised within each head. The authors' names of λ, a and ω are trap, dd_A and
angles.

A step s adds to every later state with the weight w_s = τ_s Δ_s + (1 − τ_{s+1}) Δ_{s+1}, and to its own with τ_s Δ_s.

Shapes: B batch, T time, D input, H output, E = expand · H inner channels, P channels of a head, M = E/P heads, N state,
F features of the first map. State: E (N + 1) + M (N + R) numbers a sequence. Time O(T E (H + N + Q)) with chunks of Q
steps, depth O(log T).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled
from models.recurrences.state_space import step_size_bias
from models.recurrences.state_space_duality import attention_step, ssd
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel
from models.shared.linear import Linear, linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor, Tensor, Tensor]  # S_BMPN, θ_BMR, and the last step's x_BMP and K_BMN

DT_MIN, DT_MAX = 1e-3, 1e-1  # the range in which Δ starts
LEAST_RATE = 1e-4  # of −A
EPS = 1e-5  # of the norms

AUTHORS_NAMES = {
    "enter.weight": "in_proj.weight",
    "dt_bias": "dt_bias",
    "key_norm": "B_norm.weight",
    "query_norm": "C_norm.weight",
    "D": "D",
    "leave.weight": "out_proj.weight",
}
"""The name of each parameter of the same shape in mamba3.py of state-spaces/mamba."""


class Mamba3(SequenceModel):
    """The Mamba-3 block."""

    paper = Paper(
        "Mamba-3: Improved Sequence Modeling using State Space Principles", 2026, "https://arxiv.org/abs/2603.15569"
    )
    family = "linear recurrence and state space"
    display_name = "Mamba-3"
    wrapper = "residual"
    golden = ("mamba3", "mamba3_init", "mamba3_rope1_norm")
    deviations = {
        "inner width": (
            "expand · H is rounded up to whole heads, where the authors' code refuses other widths. A network that is "
            "fitted to a number of parameters can so have any width."
        ),
        "inputs": (
            "Each state has one input and one output (SISO), as in the authors' default. Their form with several "
            "(MIMO) is for speed in decoding on a GPU, and its code runs on no CPU."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (mamba3.py), except the width, which is our residual wrapper's.

        `at_width` takes Mamba's state of 16, so that a small budget goes into channels, and heads of 16 channels, so
        that a narrow layer has more than one; of 8 in the narrowest, whose sizes would else grow in large steps.
        """

        units = ("hidden_size", "state_size", "head_size")
        hidden_size: int = 128
        state_size: int = 128
        """N, the state numbers of each inner channel, a multiple of 4."""
        head_size: int = 64
        """P, the channels of a head."""
        expand: int = 2
        """E/H, before E is rounded up to a whole number of heads."""
        rope_fraction: float = 0.5
        """The share of the state's numbers that rotate: a half or all."""
        norm: bool = False
        """Normalise the output of each head before the gate."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "state_size", "head_size", "expand")
            self.require_one_of("rope_fraction", 0.5, 1.0)
            if self.state_size % 4:
                raise ValueError(f"state_size={self.state_size} must be a multiple of 4: half of it rotates in pairs")

        @property
        def heads(self) -> int:
            """M."""
            return -(-self.expand * self.hidden_size // self.head_size)

        @property
        def angles(self) -> int:
            """R."""
            return int(self.rope_fraction * self.state_size) // 2

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, state_size=16, head_size=16 if width >= 16 else 8)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.state_size, self.head_size = config.hidden_size, config.state_size, config.head_size
        self.heads, self.angles = config.heads, config.angles
        inner = self.heads * self.head_size
        self.parts = [inner, inner, 2 * self.state_size, 3 * self.heads + self.angles]
        self.enter = nn.Linear(self.input_size, sum(self.parts), bias=False)
        self.dt_bias = nn.Parameter(step_size_bias(self.heads, DT_MIN, DT_MAX))
        self.key_norm, self.query_norm = (nn.Parameter(torch.ones(self.state_size)) for _ in range(2))
        self.key_bias, self.query_bias = (nn.Parameter(torch.ones(self.heads, self.state_size)) for _ in range(2))
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.Parameter(torch.ones(self.heads, self.head_size)) if config.norm else None
        self.leave = Linear(inner, config.hidden_size, bias=False)
        with torch.no_grad():
            self.leave.weight.div_(self.layers**0.5)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        z_BTE, x_BTMP, bc_BT2N, steps_BTF = self.entered(x_BTD)
        dt_BTM, log_decay_BTM, share_BTM, turn_BTMR = self.time_steps(steps_BTF)
        k_BTMN, q_BTMN = self.in_heads(bc_BT2N, turn_BTMR.cumsum(1))
        own_BTM = share_BTM * dt_BTM
        weight_BTM = own_BTM + F.pad((dt_BTM - own_BTM)[:, 1:], (0, 0, 0, 1))
        return self.left(ssd(q_BTMN, k_BTMN, x_BTMP, log_decay_BTM, weight_BTM, self.D, own_BTM), z_BTE)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        s_BMPN, angle_BMR, before_BMP, k_before_BMN = state
        z_BE, x_BMP, bc_B2N, steps_BF = self.entered(x_BD)
        dt_BM, log_decay_BM, share_BM, turn_BMR = self.time_steps(steps_BF)
        angle_BMR = (angle_BMR + turn_BMR) % (2 * math.pi)
        k_BMN, q_BMN = self.in_heads(bc_B2N, angle_BMR)
        late_BM11 = ((1 - share_BM) * dt_BM)[..., None, None]
        s_BMPN = s_BMPN + late_BM11 * before_BMP.unsqueeze(-1) * k_before_BMN.unsqueeze(-2)
        y_BMP, s_BMPN = attention_step(q_BMN, k_BMN, x_BMP, log_decay_BM, share_BM * dt_BM, self.D, s_BMPN)
        return self.left(y_BMP, z_BE), (s_BMPN, angle_BMR, x_BMP, k_BMN)

    def initial_state(self, batch_size: int) -> State:
        sizes = (self.head_size, self.state_size), (self.angles,), (self.head_size,), (self.state_size,)
        s_BMPN, angle_BMR, x_BMP, k_BMN = (self.D.new_zeros(batch_size, self.heads, *size) for size in sizes)
        return s_BMPN, angle_BMR, x_BMP, k_BMN

    def entered(self, x_D: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return z (…, E), x (…, M, P), B and C (…, 2, N), and the rest (…, F)."""
        # One product for each part: the parts of a single product would be copied to become contiguous.
        dtype = self.D.dtype
        z_E, x_E, bc_2N, rest_F = (
            linear(x_D, weight_FD).to(dtype) for weight_FD in self.enter.weight.split(self.parts)
        )
        return z_E, x_E.unflatten(-1, (self.heads, -1)), bc_2N.unflatten(-1, (2, -1)), rest_F

    def in_heads(self, bc_2N: Tensor, angle_MR: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and Q, (…, M, N), from B and C, (…, 2, N), and θ."""
        norms_2N = torch.stack([self.key_norm, self.query_norm])
        biases_2MN = torch.stack([self.key_bias, self.query_bias])
        if bc_2N.dim() == 4 and runs_compiled(bc_2N, norms_2N):
            from models.kernels.cpu.rotated_heads import RotatedHeads  # numba takes a second to import

            k_BTMN, q_BTMN = RotatedHeads.apply(bc_2N, norms_2N, biases_2MN, angle_MR, EPS)
            return k_BTMN, q_BTMN
        both_2MN = (norms_2N * normalised(bc_2N)).unsqueeze(-2) + biases_2MN
        k_MN, q_MN = rotated(both_2MN, rotation(angle_MR).unsqueeze(-3)).unbind(-3)
        return k_MN, q_MN

    def time_steps(self, steps_F: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return Δ, Δ A and τ, (…, M), and by how much θ grows, (…, M, R)."""
        dt_M, rate_M, share_M, turn_R = steps_F.split([self.heads] * 3 + [self.angles], dim=-1)
        dt_M = F.softplus(dt_M + self.dt_bias)
        rate_M = F.relu(rate_M) + 1 / (1 + F.relu(-rate_M))
        turn_MR = dt_M.unsqueeze(-1) * (math.pi * torch.tanh(turn_R)).unsqueeze(-2)
        return dt_M, -rate_M.clamp(min=LEAST_RATE) * dt_M, torch.sigmoid(share_M), turn_MR

    def left(self, y_MP: Tensor, z_E: Tensor) -> Tensor:
        """Return the block's output, (…, H), from that of the heads and the gate."""
        y_MP = y_MP if self.norm is None else normalised(y_MP) * self.norm
        return self.leave(y_MP.flatten(-2) * F.silu(z_E))

    def optimizer_groups(self) -> list[dict[str, Any]]:
        spared = [self.dt_bias, self.D, self.key_bias, self.query_bias, self.key_norm, self.query_norm]
        return [{"params": spared + ([] if self.norm is None else [self.norm]), "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        ours = authors.renamed(self, AUTHORS_NAMES)
        for name, theirs in (("key_bias", "B_bias"), ("query_bias", "C_bias")):
            ours[name] = authors(theirs, self.heads, 1, self.state_size)[:, 0]
        if self.norm is not None:
            ours["norm"] = authors("norm.weight", self.norm.numel()).view_as(self.norm)
        return ours

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [8, 16, 32]),  # the paper's are up to 128
            "head_size": trial.suggest_categorical("head_size", [8, 16]),  # the paper's are 64 and more
            "rope_fraction": trial.suggest_categorical("rope_fraction", [0.5, 1.0]),
        }


def normalised(x_N: Tensor) -> Tensor:
    """Return x divided by its root mean square over the last dimension."""
    return F.rms_norm(x_N, x_N.shape[-1:], eps=EPS)


def rotation(angle_R: Tensor) -> Tensor:
    """Return cos θ + i sin θ, complex."""
    return torch.view_as_complex(torch.stack([angle_R.cos(), angle_R.sin()], dim=-1))


def rotated(x_N: Tensor, rotation_R: Tensor) -> Tensor:
    """Rotate the first R pairs of neighbours in x, (…, N), by complex numbers (…, R) of absolute value 1."""
    turning, still = x_N.tensor_split([2 * rotation_R.shape[-1]], dim=-1)
    pairs_R = torch.view_as_complex(turning.unflatten(-1, (-1, 2)))
    return torch.cat([torch.view_as_real(pairs_R * rotation_R).flatten(-2), still], dim=-1)
