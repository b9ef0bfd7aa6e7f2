"""Hyena: products of the input with itself, between convolutions as long as the sequence.

    x_0, …, x_{n−1}, v = causal depthwise convolution of W_in u + b_in, of width 3          H channels each, n = `order`
    for i = n − 1, …, 1:    v ← h_j * (x_i ⊙ v) + d_j ⊙ (x_i ⊙ v),    j = n − 1 − i, * causal over the whole sequence
    out = W_out (x_0 ⊙ v) + b_out                                                (Poli et al. 2023, §3, Algorithm 3)

The filters h are functions of time, window · FFN(position), one for each channel and convolution:

    position_t = t/(L − 1), cos(2π f t/L), −sin(2π f t/L)               F features, frequencies f from 10⁻⁴ to (F − 3)/2
    FFN = W₄ sin(ω ⊙ (W₃ sin(ω ⊙ (W₂ sin(ω ⊙ (W₁ position + b₁)) + b₂)) + b₃))       S units, one ω for the three sines
    window_t = exp(−|δ| t/(L − 1))                              δ fixed, linear from log(0.01)/1.5 to log(0.01)/0.3

L is the training length. ω starts at `frequency`, d from N(0, 1), the rest as torch's linear layers.

Shapes: B batch, T time, D input, H output, n order, J = n − 1 convolutions, F features, S units of the filters' FFN.
State: none kept; a step needs all inputs before it. Time O(T H (D + H + n log T)) and O(T S (S + J H)) a batch.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn

from models.recurrences.short_conv import ShortConv
from models.recurrences.state_space import fft_convolve
from models.recurrences.stepwise import full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, computed
from models.shared.linear import Linear

if TYPE_CHECKING:
    from optuna import Trial

SHORT = 3  # the width of the short convolution
INNER = 2  # hidden maps of the filters' FFN
SLOWEST, FASTEST = math.log(0.01) / 1.5, math.log(0.01) / 0.3  # a window falls to 1% at 1.5 L or at 0.3 L
FILTER_LR, POSITION_LR = 1e-3, 1e-5
"""The learning rates of the filters' FFN and of learned positions in HazyResearch/safari. Neither has weight decay. Our
main learning rate is tuned, so that these are upper bounds."""

AUTHORS_NAMES = {
    "enter.weight": "in_proj.weight",
    "enter.bias": "in_proj.bias",
    "short.weight": "short_filter.weight",
    "short.bias": "short_filter.bias",
    "leave.weight": "out_proj.weight",
    "leave.bias": "out_proj.bias",
    **{
        f"filters.{k}.{part}": f"filter_fn.implicit_filter.{2 * k}.{part}"
        for k in range(INNER + 1)
        for part in ("weight", "bias")
    },
    f"filters.{INNER + 1}.weight": f"filter_fn.implicit_filter.{2 * INNER + 2}.weight",
}
"""The name of each parameter of the same shape in hyena.py of HazyResearch/safari."""


class Hyena(SequenceModel):
    """The Hyena operator."""

    positions: Tensor
    fall: Tensor

    paper = Paper(
        "Hyena Hierarchy: Towards Larger Convolutional Language Models", 2023, "https://arxiv.org/abs/2302.10866"
    )
    family = "convolution"
    display_name = "Hyena"
    wrapper = "residual"
    golden = ("hyena", "hyena_init")
    deviations = {
        "learned positions": (
            "Off unless asked for. The authors learn each step's position features at a rate of 1e-5, which hardly "
            "moves them. There are as many as steps, so that they would take a parameter budget from the layer."
        ),
        "longer sequences": (
            "Beyond the training length, positions and windows go on by their formulas. The authors' code refuses such "
            "inputs."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (hyena.py), except the width, which is our residual wrapper's.

        `at_width` takes FFNs that grow with the width, from a quarter of the authors' units to all.
        """

        units = ("hidden_size", "filter_size")
        hidden_size: int = 128
        order: int = 2
        """n, one more than the long convolutions."""
        filter_size: int = 64
        """S, the units of the FFN that computes the filters."""
        features: int = 3
        """F, odd: a step's time and a cosine and a sine of it for each frequency."""
        frequency: float = 1.0
        """ω at the start. The authors' language models have 10 to 14."""
        learned_positions: bool = False
        """Learn the features of each step."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "filter_size", "frequency")
            if self.order < 2:
                raise ValueError(f"order={self.order} must be at least 2, or there is no long convolution")
            if self.features < 3 or self.features % 2 == 0:
                raise ValueError(f"features={self.features} must be odd and at least 3")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, filter_size=min(max(16, -(-width // 2)), 64))

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.order, hidden = config.hidden_size, config.order, config.hidden_size
        channels = (config.order - 1) * hidden
        self.enter = Linear(self.input_size, (config.order + 1) * hidden)
        self.short = ShortConv((config.order + 1) * hidden, SHORT, silu=False)
        self.skip = nn.Parameter(torch.randn(config.order - 1, hidden))
        sizes = [config.features, *[config.filter_size] * (INNER + 1)]
        maps = [nn.Linear(inputs, config.filter_size) for inputs in sizes[:-1]]
        self.filters = nn.ModuleList([*maps, nn.Linear(config.filter_size, channels, bias=False)])
        self.frequency = nn.Parameter(torch.full((config.filter_size,), config.frequency))
        self.leave = Linear(hidden, hidden)
        shape = self.seq_len, config.features
        positions_LF = computed(shape, lambda: position_features(torch.arange(shape[0]), *shape))
        if config.learned_positions:
            self.positions = nn.Parameter(positions_LF)
        else:
            self.register_buffer("positions", positions_LF, persistent=False)
        fall_C = computed((channels,), lambda: -torch.linspace(SLOWEST, FASTEST, channels, dtype=torch.float64))
        self.register_buffer("fall", fall_C, persistent=False)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        steps, dtype = x_BTD.shape[1], self.skip.dtype
        filters_JTH = self.every_filter(steps)
        *gates, v_BTH = self.short(self.enter(x_BTD)).to(dtype).chunk(self.order + 1, dim=-1)
        for j, gate_BTH in enumerate(reversed(gates[1:])):
            v_BTH = v_BTH * gate_BTH
            v_BTH = torch.addcmul(fft_convolve(v_BTH, filters_JTH[j]), self.skip[j], v_BTH)
        return self.leave(v_BTH * gates[0])

    def every_filter(self, steps: int) -> Tensor:
        """Return the filters' values over a number of steps, (J, T, H)."""
        with full_precision(self.skip):
            h_TS = self.positions_of(steps)
            for layer in self.filters[:-1]:
                h_TS = torch.sin(self.frequency * layer(h_TS))
            times_T = torch.arange(steps, device=h_TS.device, dtype=h_TS.dtype) / max(self.seq_len - 1, 1)
            filters_TC = self.filters[-1](h_TS) * torch.exp(-times_T[:, None] * self.fall)
        return filters_TC.unflatten(1, (self.output_size, -1)).movedim(2, 0)  # the convolutions of a channel in a row

    def positions_of(self, steps: int) -> Tensor:
        """Return the features of a number of steps, (T, F)."""
        learned = self.positions[:steps]
        if steps <= self.seq_len:
            return learned
        beyond_T = torch.arange(self.seq_len, steps, device=learned.device)
        return torch.cat([learned, position_features(beyond_T, *self.positions.shape).to(learned)])

    def optimizer_groups(self) -> list[dict[str, Any]]:
        groups = [{"params": [*self.filters.parameters(), self.frequency], "lr_max": FILTER_LR, "weight_decay": 0.0}]
        if isinstance(self.positions, nn.Parameter):
            groups.append({"params": [self.positions], "lr_max": POSITION_LR, "weight_decay": 0.0})
        return groups

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        ours = authors.renamed(self, AUTHORS_NAMES)
        convolutions, hidden = self.skip.shape
        ours["skip"] = authors("filter_fn.bias", hidden * convolutions).view(hidden, convolutions).T
        ours["frequency"] = authors("filter_fn.implicit_filter.1.freq", 1, len(self.frequency))[0]
        positions_LF = authors("filter_fn.pos_emb.z", 1, *self.positions.shape)[0]
        return ours | ({"positions": positions_LF} if isinstance(self.positions, nn.Parameter) else {})

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "order": trial.suggest_categorical("order", [2, 3]),  # of the paper's Figure 4.1 and §4.2
            "features": trial.suggest_categorical("features", [3, 33]),
            "frequency": trial.suggest_categorical("frequency", [1.0, 10.0]),
        }


def position_features(time_T: Tensor, length: int, features: int) -> Tensor:
    """Return the features of steps, (T, F), in double precision.

    Args:
        time_T: the numbers of the steps, from 0.
        length: L.
        features: F.
    """
    time_T1 = time_T.double().unsqueeze(1)
    bands = (features - 1) // 2
    angle = 2 * math.pi * time_T1 / length * torch.linspace(1e-4, bands - 1, bands, device=time_T.device).double()
    return torch.cat([time_T1 / max(length - 1, 1), angle.cos(), -angle.sin()], dim=1)
