"""The recurrence that the statistical and the Fourier recurrent unit share (Oliva et al. 2017; Zhang et al. 2018).

    r_t = σ(W_r u_{t−1} + b_r)                     recurrent features, R
    φ_t = σ(W_x x_t + W_h r_t + b_φ)               statistics of the present, S
    u_t[j] = d_j u_{t−1}[j] + g_t[j] φ_t           k summaries of the statistics, u_{−1} = 0
    y_t = σ(W_y u_t + b_y)                         output, H

with σ = ReLU. The two units differ in the fixed decay d and the gain g_t. This file is the reference: one loop over
time.

Shapes: B batch, T time, D input, k summaries, S statistics, R recurrent features, H output.
State: k·S numbers a sequence (and the time). Time O(T k S (R + H)).
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor, nn

from models.kernels.lengths import check_lengths
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Place, SequenceModel

INIT_STD = 0.1
"""The standard deviation that the FRU's authors use for all of its weights and phases, truncated at two standard
deviations. The SRU draws its own."""

State = tuple[Tensor, Tensor]  # u_BkS, t_B


@dataclass(frozen=True, kw_only=True)
class StatisticalConfig(ModelConfig):
    units = ("stat_size", "recur_size", "output_size")
    stat_size: int
    recur_size: int = 60
    output_size: int = 200

    def __post_init__(self) -> None:
        self.require_positive("stat_size", "recur_size", "output_size")

    @property
    def recur_features(self) -> int:
        """R."""
        return self.recur_size


class StatisticalRecurrence(SequenceModel):
    """The shared recurrence. A subclass defines the number of summaries, their decays and their gains.

    Args:
        num_summaries: k.
    """

    authors_cell: str
    """The name of the cell in the FRU authors' checkpoints."""

    def __init__(self, config: StatisticalConfig, *, num_summaries: int, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.output_size
        self.num_summaries, self.stat_size = num_summaries, config.stat_size
        summary_size = num_summaries * config.stat_size
        self.recur_feats = nn.Linear(summary_size, config.recur_features)
        self.stats = nn.Linear(self.input_size + config.recur_features, config.stat_size)  # its first D columns are W_x
        self.output = nn.Linear(summary_size, config.output_size)
        for linear in (self.recur_feats, self.stats, self.output):
            truncated_normal_(linear.weight)
            nn.init.zeros_(linear.bias)

    @abstractmethod
    def decay(self) -> Tensor:
        """Return d, (k,)."""

    @abstractmethod
    def gain(self, t: Tensor) -> Tensor:
        """Return g_t at the given times, (…,) to (…, k)."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None, state: State | None = None) -> Tensor:
        """Return the output at every step, from a state that `step` returned or, if None, from the beginning.

        Raises:
            ValueError: see `check`.
        """
        self.check(x_BTD, lengths_B)
        u_BTkS = torch.stack(list(self.summaries(x_BTD, state)), dim=1)
        return self.read_out(u_BTkS)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None, state: State | None = None) -> Tensor:
        self.check(x_BTD, lengths_B)
        u_BkS, _ = state or self.initial_state(len(x_BTD))
        for t, next_u_BkS in enumerate(self.summaries(x_BTD, state)):
            u_BkS = next_u_BkS if lengths_B is None else torch.where((t < lengths_B)[:, None, None], next_u_BkS, u_BkS)
        return self.read_out(u_BkS)

    def check(self, x_BTD: Tensor, lengths_B: Tensor | None) -> None:
        """Refuse an input or lengths that do not fit.

        Raises:
            ValueError: the input is no (B, T, D) of the weights' type, or the lengths are not B integers in [1, T].
        """
        if x_BTD.dim() != 3 or x_BTD.shape[1] < 1 or x_BTD.shape[2] != self.input_size:
            raise ValueError(f"expected an input (batch, time ≥ 1, {self.input_size}); got {tuple(x_BTD.shape)}")
        dtype = self.stats.weight.dtype
        if x_BTD.dtype != dtype and not torch.is_autocast_enabled(x_BTD.device.type):
            raise ValueError(f"expected an input of {dtype}, as the weights are; got {x_BTD.dtype}")
        if lengths_B is not None:
            check_lengths(lengths_B, x_BTD)

    def initial_state(self, batch_size: int) -> State:
        u_BkS = self.output.weight.new_zeros(batch_size, self.num_summaries, self.stat_size)
        return u_BkS, torch.zeros(batch_size, dtype=torch.long, device=u_BkS.device)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        u_BkS, t_B = state
        u_BkS = self.update(u_BkS, x_BD, self.decay(), self.gain(t_B))
        return self.read_out(u_BkS), (u_BkS, t_B + 1)

    def summaries(self, x_BTD: Tensor, state: State | None) -> Iterator[Tensor]:
        """Yield u_t of each step, (B, k, S)."""
        u_BkS, t_B = state or self.initial_state(len(x_BTD))
        decay_k = self.decay()
        time_T = torch.arange(x_BTD.shape[1], device=x_BTD.device)
        gain_Tk = self.gain(time_T if state is None else time_T[:, None] + t_B)  # with a state: for each sequence
        for x_BD, gain_k in zip(x_BTD.unbind(1), gain_Tk, strict=True):
            u_BkS = self.update(u_BkS, x_BD, decay_k, gain_k)
            yield u_BkS

    def update(self, u_BkS: Tensor, x_BD: Tensor, decay_k: Tensor, gain_k: Tensor) -> Tensor:
        r_BR = self.recur_feats(u_BkS.flatten(1)).relu()
        phi_BS = self.stats(torch.cat([x_BD, r_BR], dim=-1)).relu()
        return decay_k[:, None] * u_BkS + gain_k[..., None] * phi_BS[:, None]

    def read_out(self, u_kS: Tensor) -> Tensor:
        """Return y, (…, H), for summaries (…, k, S)."""
        return self.output(u_kS.flatten(-2)).relu()

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        """Return ours from the weights of the FRU authors' own cell (github.com/limbo018/FRU)."""
        ours = {}
        for name in ("recur_feats", "stats", "output"):
            outputs, inputs = getattr(self, name).weight.shape
            ours[f"{name}.weight"] = authors(f"rnn/{self.authors_cell}/{name}/Matrix", inputs, outputs).T
            ours[f"{name}.bias"] = authors(f"rnn/{self.authors_cell}/{name}/Bias", outputs)
        return ours


def truncated_normal_(weight: Tensor) -> None:
    nn.init.trunc_normal_(weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD)
