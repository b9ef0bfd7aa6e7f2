"""Mamba-2: a state-space model with one decay for each head, which makes it linear attention whose memory fades.

    z, x, B, C, δ = W_in u            E, E, N, N and one number for each head; E = expand · H
    x, B, C = SiLU(causal depthwise convolution of x, B and C, width `conv_size`)
    Δ_t = softplus(δ_t + b_Δ),    A = −exp(A_log)                              one number for each head
    S_t = exp(Δ_t A) S_{t−1} + Δ_t x_t B_tᵀ,    y_t = S_t C_t + D x_t          a state of P × N for each head
    out_t = W_out RMSNorm(y_t ⊙ SiLU(z_t))                        (Dao & Gu 2024, §5 to §7, Figure 6)

All heads share B and C. −A starts uniform between 1 and 16, Δ log-uniform between its
bounds, and W_out at torch's start divided by √layers, as in the authors' code. Without `norm`, out_t = W_out (y_t ⊙
SiLU(z_t)). With an `ssm_size` S below E, only S channels pass the state-space model. The other E − S are a gated unit,
SiLU(z_t) ⊙ x_t, beside it in front of W_out.

Shapes: B batch, T time, D input, H output, S inner channels, P channels of a head, M = S/P heads, N state,
K convolution width, F features of the first map. State: S N + (S + 2N)(K − 1) numbers a sequence.
Time O(T S (H + N + Q)) with chunks of Q steps, depth O(log T).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.recurrences.short_conv import ShortConv
from models.recurrences.state_space import step_size_bias
from models.recurrences.state_space_duality import attention_step, ssd
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel
from models.shared.linear import Linear, linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor]  # S_BMPN, the last K − 1 inputs of the convolution (B, K − 1, S + 2N)

DT_MIN, DT_MAX = 1e-3, 1e-1  # the range in which Δ starts
A_MIN, A_MAX = 1.0, 16.0  # the range in which −A starts
EPS = 1e-5  # of the norm

AUTHORS_NAMES = {
    "enter.weight": "in_proj.weight",
    "conv.weight": "conv1d.weight",
    "conv.bias": "conv1d.bias",
    "dt_bias": "dt_bias",
    "A_log": "A_log",
    "D": "D",
    "leave.weight": "out_proj.weight",
}
"""The name of each parameter in mamba2.py of state-spaces/mamba."""


class Mamba2(SequenceModel):
    """The Mamba-2 block."""

    paper = Paper(
        "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space Duality",
        2024,
        "https://arxiv.org/abs/2405.21060",
    )
    family = "linear recurrence and state space"
    display_name = "Mamba-2"
    wrapper = "residual"
    golden = ("mamba2", "mamba2_d_ssm", "mamba2_init", "mamba2_nonorm")
    deviations = {
        "inner width": (
            "expand · H is rounded up to whole heads, where the authors' code refuses other widths. A network that is "
            "fitted to a number of parameters can so have any width."
        ),
        "groups": "All heads share one B and one C, as in the authors' default. Their code also has several groups.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (mamba2.py), except the width, which is our residual wrapper's.

        `at_width` takes Mamba's state of 16, so that a small budget goes into channels, and heads of 16 channels, so
        that a narrow layer has more than one. Both are 8 in the narrowest, whose sizes would else grow in large steps.
        """

        units = ("hidden_size", "state_size", "head_size")
        hidden_size: int = 128
        state_size: int = 128
        """N, the state numbers of each inner channel."""
        head_size: int = 64
        """P, the channels of a head."""
        expand: int = 2
        """E/H, before E is rounded up to a whole number of heads."""
        conv_size: int = 4
        """K, the inputs that an output of the convolution sees."""
        norm: bool = True
        """Normalise the gated output."""
        ssm_size: int | None = None
        """The inner channels that pass the state-space model. None means all E."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "state_size", "head_size", "expand", "conv_size")
            size = self.inner_size if self.ssm_size is None else self.ssm_size
            if size not in range(self.head_size, self.inner_size + 1, self.head_size):
                raise ValueError(
                    f"ssm_size={size} must be a multiple of head_size={self.head_size} up to the {self.inner_size} "
                    "inner channels"
                )

        @property
        def inner_size(self) -> int:
            """E."""
            return -(-self.expand * self.hidden_size // self.head_size) * self.head_size

        @classmethod
        def at_width(cls, width: int) -> Self:
            size = 16 if width >= 16 else 8
            return cls(hidden_size=width, state_size=size, head_size=size)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.state_size, self.head_size = config.hidden_size, config.state_size, config.head_size
        self.ssm_size = config.ssm_size or config.inner_size
        self.heads, self.beside = self.ssm_size // config.head_size, config.inner_size - self.ssm_size
        convolved = self.ssm_size + 2 * config.state_size
        self.parts = [*[self.beside] * (2 if self.beside else 0), self.ssm_size, convolved, self.heads]
        self.enter = nn.Linear(self.input_size, sum(self.parts), bias=False)
        self.conv = ShortConv(convolved, config.conv_size, silu=True)
        self.dt_bias = nn.Parameter(step_size_bias(self.heads, DT_MIN, DT_MAX))
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(A_MIN, A_MAX).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.Parameter(torch.ones(self.ssm_size)) if config.norm else None
        self.leave = Linear(config.inner_size, config.hidden_size, bias=False)
        with torch.no_grad():
            self.leave.weight.div_(self.layers**0.5)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        *gates, z_BTS, xbc_BTF, dt_BTM = self.entered(x_BTD)
        x_BTMP, b_BTN, c_BTN = self.split(self.conv(xbc_BTF))
        dt_BTM, log_decay_BTM = self.time_steps(dt_BTM)
        y_BTMP = ssd(c_BTN.unsqueeze(2), b_BTN.unsqueeze(2), x_BTMP, log_decay_BTM, dt_BTM, self.D)
        return self.left(y_BTMP, z_BTS, gates)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        s_BMPN, window_BKF = state
        *gates, z_BS, xbc_BF, dt_BM = self.entered(x_BD)
        xbc_BF, window_BKF = self.conv.step(xbc_BF, window_BKF)
        x_BMP, b_BN, c_BN = self.split(xbc_BF)
        dt_BM, log_decay_BM = self.time_steps(dt_BM)
        y_BMP, s_BMPN = attention_step(c_BN.unsqueeze(1), b_BN.unsqueeze(1), x_BMP, log_decay_BM, dt_BM, self.D, s_BMPN)
        return self.left(y_BMP, z_BS, gates), (s_BMPN, window_BKF)

    def initial_state(self, batch_size: int) -> State:
        s_BMPN = self.D.new_zeros(batch_size, self.heads, self.head_size, self.state_size)
        return s_BMPN, self.conv.window(batch_size)

    def entered(self, x_D: Tensor) -> list[Tensor]:
        """Return the two halves of the gated unit, if any, z, what is convolved, and δ, each (…, its part of F)."""
        # One product for each part: the parts of a single product would be copied to become contiguous.
        dtype = self.D.dtype
        return [linear(x_D, weight_FD).to(dtype) for weight_FD in self.enter.weight.split(self.parts)]

    def split(self, xbc_F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x (…, M, P), B and C (…, N), in full precision."""
        x_S, b_N, c_N = xbc_F.to(self.D.dtype).split([self.ssm_size, self.state_size, self.state_size], dim=-1)
        return x_S.unflatten(-1, (self.heads, self.head_size)), b_N, c_N

    def time_steps(self, dt_M: Tensor) -> tuple[Tensor, Tensor]:
        """Return Δ and Δ A, (…, M)."""
        dt_M = F.softplus(dt_M + self.dt_bias)
        return dt_M, -self.A_log.exp() * dt_M

    def left(self, y_MP: Tensor, z_S: Tensor, gates: list[Tensor]) -> Tensor:
        """Return the block's output, (…, H), from that of the heads, the gate and the two halves of the gated unit."""
        y_S = y_MP.flatten(-2) * F.silu(z_S)
        beside_HG, after_HS = self.leave.weight.split([self.beside, self.ssm_size], dim=1)
        out_H = self.mapped(y_S, after_HS)
        if not gates:
            return out_H
        gate_G, value_G = gates
        return out_H + linear(F.silu(gate_G) * value_G, beside_HG)

    def mapped(self, y_S: Tensor, weight_HS: Tensor) -> Tensor:
        """Return W RMSNorm(y), (…, H). The norm divides by one number a step, which is cheaper after W than before."""
        if self.norm is None:
            return linear(y_S, weight_HS)
        scale_1 = torch.rsqrt(torch.linalg.vecdot(y_S, y_S).unsqueeze(-1) / self.ssm_size + EPS)
        return scale_1 * linear(y_S, self.norm * weight_HS)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        spared = [self.dt_bias, self.A_log, self.D, self.conv.bias, *([] if self.norm is None else [self.norm])]
        return [{"params": spared, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        return authors.renamed(self, AUTHORS_NAMES | ({} if self.norm is None else {"norm": "norm.weight"}))

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [8, 16, 32]),  # the paper's are up to 256
            "head_size": trial.suggest_categorical("head_size", [8, 16]),  # the paper's are 64 and more
            "norm": trial.suggest_categorical("norm", [True, False]),
        }
