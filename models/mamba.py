"""Mamba: a state-space model whose step size, input and output matrices depend on the input.

    x, z = W_in u                                                     E channels each, E = expand · H
    x = SiLU(causal depthwise convolution of x, width `conv_size`)
    Δ_t = softplus(W_Δ (W_δ x_t) + b_Δ),    B_t = W_B x_t,    C_t = W_C x_t
    h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t B_t x_t,    y_t = C_t · h_t + D ⊙ x_t       a state of N for each channel
    out_t = W_out (y_t ⊙ SiLU(z_t))                                  (Gu & Dao 2023, §3, Algorithm 2, Figure 3)

A = −exp(A_log) starts at −(1, …, N) in every channel (S4D-Real), and W_out at torch's start divided by √layers, as in
the authors' models. The mixer is the whole block, because convolution, selection and gate belong to the architecture.

Shapes: B batch, T time, D input, H output, E inner channels, N state, R rank of the step size, K convolution width.
State: E (N + K − 1) numbers a sequence. Time O(T E (H + N)), depth O(log T) within chunks of time; only the states of
one chunk exist at once, and the backward pass computes them again. In single precision, a compiled loop over time
replaces the chunks, on a CPU and on a GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from models.kernels.backend import loop_backend, runs_compiled
from models.recurrences.scan import linear_scan
from models.recurrences.short_conv import ShortConv
from models.recurrences.state_space import step_size_bias
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, final_step
from models.shared.linear import Linear, linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor]  # h_BEN, the last K − 1 inputs of the convolution (B, K − 1, E)

CHUNK = 128  # steps whose states (B, CHUNK, E, N) exist at once; fastest on a CPU between 16 and 128
DT_MIN, DT_MAX = 1e-3, 1e-1  # the range in which Δ starts, as in mamba_simple.py of state-spaces/mamba

AUTHORS_NAMES = {
    "enter.weight": "in_proj.weight",
    "conv.weight": "conv1d.weight",
    "conv.bias": "conv1d.bias",
    "select.weight": "x_proj.weight",
    "dt.weight": "dt_proj.weight",
    "dt.bias": "dt_proj.bias",
    "A_log": "A_log",
    "D": "D",
    "leave.weight": "out_proj.weight",
}
"""The name of each parameter in mamba_simple.py of state-spaces/mamba."""


class Mamba(SequenceModel):
    """The Mamba block."""

    paper = Paper(
        "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, "https://arxiv.org/abs/2312.00752"
    )
    display_name = "Mamba"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("mamba", "mamba_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (mamba_simple.py), except the width, which is our residual wrapper's."""

        units = ("hidden_size", "state_size")
        hidden_size: int = 128
        state_size: int = 16
        """N, the state numbers of each inner channel."""
        expand: int = 2
        """Inner channels for each output channel, E/H."""
        conv_size: int = 4
        """K, the inputs that an output of the convolution sees."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "state_size", "expand", "conv_size")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.state_size = config.hidden_size, config.state_size
        self.inner_size = config.expand * config.hidden_size
        self.rank = ceil(config.hidden_size / 16)
        self.enter = nn.Linear(self.input_size, 2 * self.inner_size, bias=False)
        self.conv = ShortConv(self.inner_size, config.conv_size, silu=True)
        self.select = Linear(self.inner_size, self.rank + 2 * config.state_size, bias=False)
        self.dt = nn.Linear(self.rank, self.inner_size)
        self.start_dt()
        self.A_log = nn.Parameter(torch.arange(1.0, config.state_size + 1).log().repeat(self.inner_size, 1))
        self.D = nn.Parameter(torch.ones(self.inner_size))
        self.leave = Linear(self.inner_size, config.hidden_size, bias=False)
        with torch.no_grad():
            self.leave.weight.div_(self.layers**0.5)

    def start_dt(self) -> None:
        """Start b_Δ so that its softplus is log-uniform between Δ's bounds."""
        nn.init.uniform_(self.dt.weight, -(self.rank**-0.5), self.rank**-0.5)
        with torch.no_grad():
            self.dt.bias.copy_(step_size_bias(self.inner_size, DT_MIN, DT_MAX))

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        y_BTH: Tensor = self.leave(self.gated(x_BTD))
        return y_BTH

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        y_BH: Tensor = self.leave(final_step(self.gated(x_BTD), lengths_B))
        return y_BH

    def gated(self, x_BTD: Tensor) -> Tensor:
        """Return y ⊙ SiLU(z), (B, T, E)."""
        x_BTE, z_BTE = (linear(x_BTD, weight_ED) for weight_ED in self.enter.weight.chunk(2))
        x_BTE = self.conv(x_BTE)
        if runs_compiled(x_BTE):
            from models.kernels.cpu.mamba import selective_scan as compiled  # numba takes a second to import

            maps = self.select.weight, self.dt.weight, self.dt.bias
            return compiled(x_BTE, z_BTE, *maps, -self.A_log.exp(), self.D)
        y_BTE = selective_scan(*self.selected(x_BTE)) + self.D * x_BTE
        return y_BTE * F.silu(z_BTE)

    def initial_state(self, batch_size: int) -> State:
        h_BEN = self.A_log.new_zeros(batch_size, self.inner_size, self.state_size)
        return h_BEN, self.conv.window(batch_size)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        h_BEN, window_BKE = state
        x_BE, z_BE = self.enter(x_BD).chunk(2, dim=-1)
        x_BE, window_BKE = self.conv.step(x_BE, window_BKE)
        y_B1E, h_BEN = scan_chunk(*self.selected(x_BE.unsqueeze(1)), h_BEN)
        y_BE = y_B1E.squeeze(1) + self.D * x_BE
        return self.leave(y_BE * F.silu(z_BE)), (h_BEN, window_BKE)

    def selected(self, x_BTE: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return x and Δ (B, T, E), A (E, N), B and C (B, T, N), in full precision."""
        rank_BTR, b_BTN, c_BTN = self.select(x_BTE).split([self.rank, self.state_size, self.state_size], dim=-1)
        dt_BTE, a_EN = F.softplus(self.dt(rank_BTR)), -self.A_log.exp()
        dtype = a_EN.dtype
        return x_BTE.to(dtype), dt_BTE.to(dtype), a_EN, b_BTN.to(dtype), c_BTN.to(dtype)

    def facts(self) -> dict[str, str]:
        return {"scan": loop_backend(self.A_log)}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.A_log, self.D, self.dt.bias, self.conv.bias], "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        return authors.renamed(self, AUTHORS_NAMES)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [4, 8, 16]),  # of the paper's Table 10
            "expand": trial.suggest_categorical("expand", [1, 2]),
        }


def selective_scan(x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor) -> Tensor:
    """Return y, (B, T, E), without the term D ⊙ x."""
    if loop_backend(x_BTE) != "triton":
        return torch.cat(list(scan_in_chunks(x_BTE, dt_BTE, a_EN, b_BTN, c_BTN)), dim=1)
    from models.kernels.gpu import mamba as kernel

    return kernel.selective_scan(x_BTE, dt_BTE, a_EN, b_BTN, c_BTN)


def scan_in_chunks(x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor) -> Iterator[Tensor]:
    """Yield y one chunk of time after another, (B, up to CHUNK, E)."""
    h_BEN = x_BTE.new_zeros(len(x_BTE), *a_EN.shape)
    for x, dt, b, c in zip(*(tensor.split(CHUNK, dim=1) for tensor in (x_BTE, dt_BTE, b_BTN, c_BTN)), strict=True):
        y_BCE, h_BEN = checkpoint(scan_chunk, x, dt, a_EN, b, c, h_BEN, use_reentrant=False)
        yield y_BCE


def scan_chunk(
    x_BTE: Tensor, dt_BTE: Tensor, a_EN: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BEN: Tensor
) -> tuple[Tensor, Tensor]:
    """Return y, (B, T, E), and the state after the last step, (B, E, N), from the state before the first."""
    decay_BTEN = torch.exp(dt_BTE.unsqueeze(-1) * a_EN)
    input_BTEN = (dt_BTE * x_BTE).unsqueeze(-1) * b_BTN.unsqueeze(2)
    h_BTEN = linear_scan(decay_BTEN, input_BTEN, h_BEN)
    with torch.autocast(x_BTE.device.type, enabled=False):
        return (h_BTEN @ c_BTN.unsqueeze(-1)).squeeze(-1), h_BTEN[:, -1]
