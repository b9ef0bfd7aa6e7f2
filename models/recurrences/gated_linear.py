"""Recurrences whose gates depend on the input only, so that a scan computes every step at once.

    h_t = a(x_t) ⊙ h_{t−1} + b(x_t)

Shapes: B batch, T time, D input, H output, E units, Q = E times the projections.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor, nn

from models.kernels.backend import loop_backend, made_again, runs_compiled
from models.recurrences.scan import linear_scan
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import HiddenSizeConfig, Place, SequenceModel, later
from models.shared.linear import Linear

if TYPE_CHECKING:
    from optuna import Trial


class GatedLinearRecurrence(SequenceModel):
    """The shared recurrence. A subclass defines `projections`, `cell` and `coefficients`."""

    projections: int
    """The number of linear maps from the input to the E units."""
    cell: str
    """The name of the same `coefficients` in models/kernels/cpu/diagonal_cells.py."""
    authors_name: str
    """The name of the weight in lucidrains/minGRU-pytorch, which has the candidate's rows first."""

    @dataclass(frozen=True, kw_only=True)
    class Config(HiddenSizeConfig):
        expansion: float = field(default=1.0, metadata=later(1.0))
        """E / H, rounded down to a whole E. If it is not 1, a linear map leads from the E units to H outputs."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.expansion >= 1:
                raise ValueError(f"expansion={self.expansion!r} must be at least 1")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.inner_size = config.hidden_size, int(config.expansion * config.hidden_size)
        self.project = Linear(self.input_size, self.projections * self.inner_size, bias=False)
        expands = config.expansion != 1
        self.leave = Linear(self.inner_size, self.output_size, bias=False) if expands else nn.Identity()

    @abstractmethod
    def coefficients(self, z_Q: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b, (…, E), of the projected input, (…, Q)."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        y_BTH: Tensor = self.leave(self.states(x_BTD))
        return y_BTH

    def states(self, x_BTD: Tensor) -> Tensor:
        """Return h, (B, T, E)."""
        z_BTQ = self.project(x_BTD).to(self.project.weight.dtype)  # gates in bfloat16 would forget far too soon
        if not runs_compiled(z_BTQ):
            return linear_scan(*self.coefficients(z_BTQ))
        from models.kernels.cpu.diagonal import every_state  # numba takes a second to import

        return every_state(self.cell, z_BTQ, z_BTQ.new_zeros(self.inner_size))

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        weight_QD = self.project.weight
        if not made_again(x_BTD, weight_QD):
            return super().last(x_BTD, lengths_B)
        from models.kernels.cpu.diagonal import last_state

        h_BE = last_state(self.cell, x_BTD, lengths_B, weight_QD, None, weight_QD.new_zeros(self.inner_size))
        y_BH: Tensor = self.leave(h_BE)
        return y_BH

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"expansion": trial.suggest_categorical("expansion", [1.0, 1.5, 2.0])}

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        weight_QD = authors(self.authors_name, *self.project.weight.shape)
        ours = {"project.weight": weight_QD.roll(-self.inner_size, dims=0)}
        if isinstance(self.leave, Linear):
            ours["leave.weight"] = authors("to_out.weight", *self.leave.weight.shape)
        return ours

    def facts(self) -> dict[str, str]:
        return {"scan": loop_backend(self.project.weight)}

    def initial_state(self, batch_size: int) -> Tensor:
        return self.project.weight.new_zeros(batch_size, self.inner_size)

    def step(self, x_BD: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a_BE, b_BE = self.coefficients(self.project(x_BD))
        h_BE = torch.addcmul(b_BE, a_BE, state)
        return self.leave(h_BE), h_BE


def positive(candidate_E: Tensor) -> Tensor:
    """Return g(v) = v + ½ for v ≥ 0, else σ(v). The authors compute h_t in logarithms, so it must be positive."""
    return torch.where(candidate_E >= 0, candidate_E + 0.5, torch.sigmoid(candidate_E))
