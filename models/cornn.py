"""coRNN: a network of damped, driven, coupled oscillators.

    z_t = z_{t−1} + Δt (tanh(W y_{t−1} + 𝒲 z_{t−1} + V u_t + b) − γ y_{t−1} − ε z_{t−1})
    y_t = y_{t−1} + Δt z_t                                          (Rusch & Mishra 2021, eq. 3, explicit damping)

Shapes: B batch, T time, D input, H hidden. State: 2H numbers a sequence. Time O(T H²).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor, nn

from models.recurrences.stepwise import State, StepwiseRecurrence
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import HiddenSizeConfig, Paper, Place

if TYPE_CHECKING:
    from optuna import Trial


class CoRNN(StepwiseRecurrence):
    """The coupled oscillatory recurrent network."""

    paper = Paper("Coupled Oscillatory Recurrent Neural Network (coRNN)", 2021, "https://arxiv.org/abs/2010.00951")
    display_name = "coRNN"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = ("cornn", "cornn_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(HiddenSizeConfig):
        """The defaults are those of the authors' sMNIST experiment (tk-rusch/coRNN, sMNIST_task.py)."""

        hidden_size: int = 256
        dt: float = 0.042
        """Δt, the step size of the discretisation."""
        gamma: float = 2.7
        """γ, the squared frequency of the oscillators."""
        epsilon: float = 4.7
        """ε, the damping of the oscillators."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_positive("dt", "gamma", "epsilon")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.config, self.output_size = config, config.hidden_size
        self.linear = nn.Linear(self.input_size + 2 * config.hidden_size, config.hidden_size)  # V, W, 𝒲 side by side

    def drive(self, x_D: Tensor) -> Tensor:
        return nn.functional.linear(x_D, self.linear.weight[:, : self.input_size], self.linear.bias)

    def weights(self) -> tuple[Tensor, ...]:
        return (self.linear.weight[:, self.input_size :].T,)

    def initial_state(self, batch_size: int) -> State:
        return self.zeros(batch_size, self.output_size), self.zeros(batch_size, self.output_size)

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        (y_BH, z_BH), (w_2HH,) = state, weights
        dt, gamma, epsilon = self.config.dt, self.config.gamma, self.config.epsilon
        force_BH = torch.addmm(drive_BK, torch.cat(state, dim=1), w_2HH).tanh()
        z_BH = (1 - dt * epsilon) * z_BH + dt * (force_BH - gamma * y_BH)
        return y_BH + dt * z_BH, z_BH

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.cornn import CoRNNLoop  # numba takes a second to import

        return CoRNNLoop.apply(drive_BTK, *weights, (self.config.dt, self.config.gamma, self.config.epsilon))

    def fits_registers(self) -> bool:
        return self.output_size <= 128

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.cornn import cornn_loop

        return cornn_loop(drive_BTK, *weights, self.config.dt, self.config.gamma, self.config.epsilon)[0]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        hidden = self.output_size
        weight_HK = authors("i2h.weight", hidden, self.input_size + 2 * hidden)
        from_x, from_z, from_y = weight_HK.split([self.input_size, hidden, hidden], dim=1)
        return {"linear.weight": torch.cat([from_x, from_y, from_z], dim=1), "linear.bias": authors("i2h.bias", hidden)}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        # The authors' values, between those of adding (Δt 0.06, γ 66, ε 15), sMNIST (0.042, 2.7, 4.7), permuted sMNIST
        # (0.076, 0.4, 8) and noisy CIFAR (0.034, 1.3, 12.7).
        return {
            "dt": trial.suggest_float("dt", 0.03, 0.08, log=True),
            "gamma": trial.suggest_float("gamma", 0.4, 70.0, log=True),
            "epsilon": trial.suggest_float("epsilon", 4.0, 16.0, log=True),
        }
