"""Bag: the running mean of features of single inputs. A floor for tasks where the order does not matter.

    y_t = (1/(t + 1)) Σ_{s≤t} ReLU(W x_s + b),  t from 0            (deep averaging; Iyyer et al. 2015)

Shapes: B batch, T time, D input, H output. State: H numbers a sequence and the time. Time O(T D H).
"""

from typing import Unpack

import torch
from torch import Tensor

from models.kernels.backend import made_again, runs_compiled
from models.shared.contract import HiddenSizeConfig, Paper, Place, SequenceModel
from models.shared.linear import Linear

State = tuple[Tensor, Tensor]  # sum_BH, t_B


class Bag(SequenceModel):
    """A running mean of per-step features."""

    paper = Paper(
        "Deep Unordered Composition Rivals Syntactic Methods for Text Classification",
        2015,
        "https://aclanthology.org/P15-1162",
    )
    display_name = "Bag"
    family = "floor"
    wrapper = "plain"
    Config = HiddenSizeConfig

    def __init__(self, config: HiddenSizeConfig, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        self.feature = Linear(self.input_size, config.hidden_size)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        sums_BTH = self.sums(self.feature(x_BTD))
        return sums_BTH / torch.arange(1, x_BTD.shape[1] + 1, device=x_BTD.device).unsqueeze(-1)

    def sums(self, z_BTH: Tensor) -> Tensor:
        """Return the sums of ReLU(z) up to each step, (B, T, H)."""
        if not runs_compiled(z_BTH):
            return z_BTH.relu().cumsum(1)
        from models.kernels.cpu.diagonal import every_state  # numba takes a second to import

        return every_state("sum", z_BTH, z_BTH.new_zeros(self.output_size))

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if made_again(x_BTD, self.feature.weight):
            from models.kernels.cpu.diagonal import last_state

            weight, bias = self.feature.weight, self.feature.bias
            sum_BH = last_state("sum", x_BTD, lengths_B, weight, bias, torch.zeros_like(bias))
            return sum_BH / (x_BTD.shape[1] if lengths_B is None else lengths_B.unsqueeze(-1))
        if lengths_B is not None:
            return super().last(x_BTD, lengths_B)
        return self.feature(x_BTD).relu().mean(1)

    def initial_state(self, batch_size: int) -> State:
        sum_BH = self.feature.weight.new_zeros(batch_size, self.output_size)
        return sum_BH, torch.zeros(batch_size, dtype=torch.long, device=sum_BH.device)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        sum_BH, t_B = state[0] + self.feature(x_BD).relu(), state[1] + 1
        return sum_BH / t_B.unsqueeze(-1), (sum_BH, t_B)
