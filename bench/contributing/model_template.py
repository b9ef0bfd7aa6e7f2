"""The draft of an architecture that `bench new-model NAME` writes: a commented file that already works."""

TEMPLATE = '''"""@NAME@: one line that says what is new about it.

    h_t = a ⊙ h_{t−1} + √(1 − a²) ⊙ (W x_t + b),   a = σ(α)         (the paper's equations, in its symbols, and where)

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T D H), depth O(log T).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn

from models.recurrences.scan import linear_scan
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel

if TYPE_CHECKING:
    from optuna import Trial


class @CLASS@(SequenceModel):
    """One line for a reader of the class."""

    paper = Paper("The title of the paper", 2026, "https://arxiv.org/abs/…")
    display_name = "@CLASS@"  # the name as the paper writes it
    family = "linear recurrence and state space"  # see bench/catalog/families.py
    wrapper = "plain"  # or "residual": the wrapper that the paper uses

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """Every field has a default that works: the paper's."""

        hidden_size: int = 128
        memory: float = 100.0
        """The longest time scale at the start, in steps."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "memory")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """All sizes from one number, so that the model can be fitted to a parameter budget."""
            return cls(hidden_size=width)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)  # sets input_size, seq_len and, for starts by depth, layer and layers
        self.output_size = config.hidden_size  # H: the harness reads it
        self.input = nn.Linear(self.input_size, config.hidden_size)
        time_scale_H = 1 + config.memory * torch.rand(config.hidden_size)
        self.alpha = nn.Parameter(time_scale_H.log())  # σ(log τ) = τ / (1 + τ)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return the output at every step. A causal model does not need lengths_B: padding comes after."""
        return linear_scan(*self.coefficients(x_BTD))

    def coefficients(self, x_D: Tensor) -> tuple[Tensor, Tensor]:
        """a, and √(1 − a²) ⊙ (W x + b). The factor keeps the size of the state the same at every time scale."""
        a_H = self.alpha.sigmoid()
        return a_H, (1 - a_H**2).sqrt() * self.input(x_D)

    # A recurrent model can also go one step at a time. Leave both methods out where there is no fixed-size state.

    def initial_state(self, batch_size: int) -> Tensor:
        return self.alpha.new_zeros(batch_size, self.output_size)

    def step(self, x_BD: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a_H, input_BH = self.coefficients(x_BD)
        h_BH = a_H * state + input_BH
        return h_BH, h_BH

    # Optional: parameters that need their own learning rate, and what tuning may choose in addition to the width.

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.alpha], "lr_scale": 0.3, "weight_decay": 0.0}]

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"memory": trial.suggest_float("memory", 10.0, 1000.0, log=True)}
'''
