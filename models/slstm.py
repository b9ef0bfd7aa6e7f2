"""sLSTM: an LSTM with exponential gates, a normaliser and a state mixed within heads, in the layer of xLSTM.

    v_t = SiLU(causal depthwise convolution of x, width K)                 or x_t without it
    ĩ_t = W_i v_t + R_i h_{t−1} + b_i,    f̃_t = W_f v_t + R_f h_{t−1} + b_f
    z_t = tanh(W_z x_t + R_z h_{t−1} + b_z),    o_t = σ(W_o x_t + R_o h_{t−1} + b_o)
    m_t = max(log σ(f̃_t) + m_{t−1}, ĩ_t),    i′ = exp(ĩ_t − m_t),    f′ = exp(log σ(f̃_t) + m_{t−1} − m_t)
    c_t = f′ ⊙ c_{t−1} + i′ ⊙ z_t,    n_t = f′ ⊙ n_{t−1} + i′,    h_t = o_t ⊙ c_t / n_t
    y_t = LN(h_t) within each head                             (Beck et al. 2024, §2.2 and appendix, Figure 10)

W and R are block-diagonal, a block for each head. m keeps the exponentials in range and cancels in h. R starts at zero,
and b_f falls from 5 to −7 over the units of a head, by a power that grows with the layer's number.

Shapes: B batch, T time, D input, H output, N heads, d = H/N their size, K convolution width.
State: H (4 + K − 1) numbers a sequence. Time O(T H d), one step after the other.
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.recurrences.block_diagonal import BlockDiagonal
from models.recurrences.short_conv import ShortConv
from models.recurrences.stepwise import State, StepwiseRecurrence, full_precision
from models.recurrences.xlstm import HeadLayerNorm, small_start
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place
from models.shared.linear import Linear

if TYPE_CHECKING:
    from optuna import Trial

EMPTY = -1e30  # m before the first step

AUTHORS_NAMES = {
    "input_gate.weight": "fgate.weight",
    "forget_gate.weight": "igate.weight",
    "candidate.weight": "zgate.weight",
    "output_gate.weight": "ogate.weight",
}
"""The name of each map in xlstm/blocks/slstm/layer.py of NX-AI/xlstm, where two of them have the other's name."""
MAPS = tuple(name.removesuffix(".weight") for name in AUTHORS_NAMES)
"""What feeds i, f, z and o, in the order in which R has them."""


class SLSTM(StepwiseRecurrence):
    """The sLSTM layer of xLSTM."""

    paper = Paper("xLSTM: Extended Long Short-Term Memory", 2024, "https://arxiv.org/abs/2405.04517")
    family = "gated recurrence"
    wrapper = "residual"
    display_name = "sLSTM"
    golden = ("slstm", "slstm_init")
    deviations = {
        "width": (
            "A width that the heads do not divide is rounded up, and the input is padded with zeros. The authors "
            "refuse it. A parameter budget would then allow few widths."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (NX-AI/xlstm), except the width, which is our residual wrapper's."""

        units = ("hidden_size",)
        hidden_size: int = 128
        """H, before it is rounded up to a multiple of `heads`."""
        heads: int = 4
        """N."""
        conv_size: int = 4
        """K, the inputs that an output of the convolution sees. 0 means no convolution."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "heads")
            if self.conv_size < 0:
                raise ValueError(f"conv_size={self.conv_size} must be positive, or 0 for none")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return two heads: with four, a small budget would have heads of four to six."""
            return cls(hidden_size=width, heads=2)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.heads, self.head_size = config.heads, ceil(config.hidden_size / config.heads)
        self.output_size = hidden = self.heads * self.head_size
        padding = nn.ZeroPad1d((0, hidden - config.hidden_size))
        self.enter = padding if self.input_size == config.hidden_size else Linear(self.input_size, hidden)
        self.conv = ShortConv(hidden, config.conv_size, silu=True) if config.conv_size else None
        std = small_start(hidden)
        self.input_gate, self.forget_gate, self.candidate, self.output_gate = (
            BlockDiagonal(hidden, self.heads, std=std, bias=True) for _ in MAPS
        )
        # R: heads, gates, outputs, inputs
        self.recurrent = nn.Parameter(torch.zeros(self.heads, len(MAPS), self.head_size, self.head_size))
        self.norm = HeadLayerNorm(hidden, self.heads)
        with torch.no_grad():
            self.biases()[1].copy_(self.first_forget().repeat(self.heads))

    def first_forget(self) -> Tensor:
        """Return b_f of a head at the start, (d,)."""
        power = 0.3 + 1.3 * self.layer / max(1, self.layers - 1)
        return 5 - 12 * (torch.arange(self.head_size) / max(1, self.head_size - 1)) ** power

    def biases(self) -> list[Tensor]:
        return [self.get_parameter(f"{name}.bias") for name in MAPS]

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        x_BTH = self.enter(x_BTD)
        v_BTH = x_BTH if self.conv is None else self.conv(x_BTH)
        y_BTH: Tensor = self.norm(self.every_output(self.mapped(v_BTH, x_BTH)))
        return y_BTH

    def mapped(self, v_H: Tensor, x_H: Tensor) -> Tensor:
        """Return the drive, (…, 4H)."""
        gates = self.input_gate(v_H), self.forget_gate(v_H)
        return torch.cat([*gates, self.candidate(x_H), self.output_gate(x_H)], dim=-1)

    def weights(self) -> tuple[Tensor, ...]:
        """Return R as one matrix, (H, 4H)."""
        between = torch.eye(self.heads, dtype=self.recurrent.dtype, device=self.recurrent.device)
        dense = torch.einsum("ngoi,nm->nigmo", self.recurrent, between)
        return (dense.reshape(self.output_size, len(MAPS) * self.output_size),)

    def initial_state(self, batch_size: int) -> State:
        h_BH, c_BH, n_BH, m_BH = (self.zeros(batch_size, self.output_size) for _ in range(4))
        window = () if self.conv is None else (self.conv.window(batch_size),)
        return h_BH, c_BH, n_BH, m_BH + EMPTY, *window

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        h_BH, c_BH, n_BH, m_BH, *window = state
        i_BH, f_BH, z_BH, o_BH = torch.addmm(drive_BK, h_BH, weights[0]).chunk(4, dim=1)
        kept_BH = F.logsigmoid(f_BH) + m_BH
        m_BH = torch.maximum(kept_BH, i_BH)
        keep_BH, write_BH = (kept_BH - m_BH).exp(), (i_BH - m_BH).exp()
        c_BH = torch.addcmul(keep_BH * c_BH, write_BH, z_BH.tanh())
        n_BH = torch.addcmul(write_BH, keep_BH, n_BH)
        return o_BH.sigmoid() * c_BH / n_BH, c_BH, n_BH, m_BH, *window

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.slstm import SLSTMLoop  # numba takes a second to import

        return SLSTMLoop.apply(drive_BTK, *weights)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        x_BH = v_BH = self.enter(x_BD)
        if self.conv is not None:
            v_BH, window_BKH = self.conv.step(x_BH, state[-1])
            state = *state[:-1], window_BKH
        drive_BK = self.mapped(v_BH, x_BH).to(self.recurrent.dtype)
        with full_precision(x_BD):
            state = self.advance(drive_BK, state, *self.weights())
            return self.norm(state[0]), state

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return what the authors spare from weight decay: R, the biases and the norm."""
        conv = [] if self.conv is None else [self.conv.bias]
        return [{"params": [self.recurrent, *self.biases(), self.norm.scale, *conv], "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        shape = len(MAPS), self.head_size, self.head_size
        kernel = authors("slstm_cell._recurrent_kernel_", self.heads, shape[0] * shape[1], shape[2])
        biases = authors("slstm_cell._bias_", len(MAPS) * self.output_size).chunk(len(MAPS))
        conv = {} if self.conv is None else {f"conv.{part}": f"conv1d.conv.{part}" for part in ("weight", "bias")}
        return {
            **authors.renamed(self, AUTHORS_NAMES | conv),
            **{f"{name}.bias": bias for name, bias in zip(MAPS, biases, strict=True)},
            "recurrent": kernel.view(self.heads, *shape),
            "norm.scale": 1 + authors("group_norm.weight", self.output_size),
        }

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "heads": trial.suggest_categorical("heads", [1, 2, 4]),
            "conv_size": trial.suggest_categorical("conv_size", [0, 4]),
        }
