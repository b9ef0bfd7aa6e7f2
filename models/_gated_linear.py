"""Recurrences whose gates see the input only, so that a scan computes every step at once.

    h_t = a(x_t) ⊙ h_{t−1} + b(x_t)

Shapes: B batch, T time, D input, H hidden.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from models._base import SequenceModel
from models._scan import linear_scan
from models._torch_rnn import HiddenSizeConfig


class GatedLinearRecurrence(SequenceModel):
    """The shared recurrence. A subclass gives the number of linear maps of the input and what a and b make of them."""

    projections: int

    def __init__(self, config: HiddenSizeConfig, *, input_size: int, seq_len: int) -> None:
        super().__init__(config, input_size=input_size, seq_len=seq_len)
        self.output_size = config.hidden_size
        self.project = nn.Linear(input_size, self.projections * config.hidden_size)

    @abstractmethod
    def coefficients(self, x_D: Tensor) -> tuple[Tensor, Tensor]:
        """a and b, (…, D) to (…, H) each."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return linear_scan(*self.coefficients(x_BTD))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.project.weight.new_zeros(batch_size, self.output_size)

    def step(self, x_BD: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a_BH, b_BH = self.coefficients(x_BD)
        h_BH = torch.addcmul(b_BH, a_BH, state)
        return h_BH, h_BH
