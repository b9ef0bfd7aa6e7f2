"""Recurrences whose gates depend on the input only, so that a scan computes every step at once.

    h_t = a(x_t) ⊙ h_{t−1} + b(x_t)

Shapes: B batch, T time, D input, H hidden, Q = H times the projections.
"""

from abc import abstractmethod
from typing import Unpack

import torch
from torch import Tensor

from models.kernels.backend import loop_backend, made_again, runs_compiled
from models.recurrences.scan import linear_scan
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import HiddenSizeConfig, Place, SequenceModel
from models.shared.linear import Linear


class GatedLinearRecurrence(SequenceModel):
    """The shared recurrence. A subclass defines `projections`, `cell` and `coefficients`."""

    projections: int
    """The number of linear maps from the input to the H units."""
    cell: str
    """The name of the same `coefficients` in models/kernels/cpu/diagonal_cells.py."""
    authors_name: str
    """The name of the weight in lucidrains/minGRU-pytorch, which has the candidate's rows first and no bias."""

    def __init__(self, config: HiddenSizeConfig, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        self.project = Linear(self.input_size, self.projections * config.hidden_size)

    @abstractmethod
    def coefficients(self, z_Q: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b, (…, H), of the projected input, (…, Q)."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        z_BTQ = self.project(x_BTD).to(self.project.weight.dtype)  # gates in bfloat16 would forget far too soon
        if not runs_compiled(z_BTQ):
            return linear_scan(*self.coefficients(z_BTQ))
        from models.kernels.cpu.diagonal import every_state  # numba takes a second to import

        return every_state(self.cell, z_BTQ, z_BTQ.new_zeros(self.output_size))

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if not made_again(x_BTD, self.project.weight):
            return super().last(x_BTD, lengths_B)
        from models.kernels.cpu.diagonal import last_state

        weight, bias = self.project.weight, self.project.bias
        return last_state(self.cell, x_BTD, lengths_B, weight, bias, bias.new_zeros(self.output_size))

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        weight_QD = authors(self.authors_name, *self.project.weight.shape)
        bias_Q = weight_QD.new_zeros(len(weight_QD))
        return {"project.weight": weight_QD.roll(-self.output_size, dims=0), "project.bias": bias_Q}

    def facts(self) -> dict[str, str]:
        return {"scan": loop_backend(self.project.weight)}

    def initial_state(self, batch_size: int) -> Tensor:
        return self.project.weight.new_zeros(batch_size, self.output_size)

    def step(self, x_BD: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a_BH, b_BH = self.coefficients(self.project(x_BD))
        h_BH = torch.addcmul(b_BH, a_BH, state)
        return h_BH, h_BH
