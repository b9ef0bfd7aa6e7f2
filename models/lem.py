"""LEM: long expressive memory, two coupled states that each set their own time steps.

    Δt_n = Δt σ(W₁ y_{n−1} + V₁ u_n + b₁),    Δ̄t_n = Δt σ(W₂ y_{n−1} + V₂ u_n + b₂)
    z_n = (1 − Δt_n) ⊙ z_{n−1} + Δt_n ⊙ tanh(W_z y_{n−1} + V_z u_n + b_z)
    y_n = (1 − Δ̄t_n) ⊙ y_{n−1} + Δ̄t_n ⊙ tanh(W_y z_n + V_y u_n + b_y)           (Rusch et al. 2022, eq. 3)

Everything starts uniform within ±1/√H. Where the authors' code adds two biases, ours has one, their sum.

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


class LEM(StepwiseRecurrence):
    """Long expressive memory."""

    paper = Paper("Long Expressive Memory for Sequence Modeling", 2022, "https://arxiv.org/abs/2110.04744")
    display_name = "LEM"
    family = "gated recurrence"
    wrapper = "plain"
    golden = ("lem", "lem_init")
    deviations = {
        "biases": (
            "One for each sum, as in the paper's equations, where the authors' code adds two. Ours starts as their "
            "sum. Then it takes one step of the optimiser where theirs take two."
        ),
        "readout": (
            "It belongs to the wrapper, which starts it alike for all architectures, 2.4 times narrower than "
            "the authors'."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(HiddenSizeConfig):
        hidden_size: int = 128
        """The default is that of the authors' sMNIST experiment (tk-rusch/LEM, sMNIST_task.py)."""
        dt: float = 0.21
        """Δt, the bound on both time steps, at most 1, or a state would overshoot. The authors tune Δt for each task.
        The default is that of sMNIST."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 < self.dt <= 1:
                raise ValueError(f"dt={self.dt} must be above 0 and at most 1, or a state would overshoot")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.dt = config.hidden_size, config.dt
        self.input = nn.Linear(self.input_size, 4 * config.hidden_size)  # V₁, V₂, V_z, V_y and the four biases
        self.hidden = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)  # W₁, W₂, W_z
        self.cross = nn.Linear(config.hidden_size, config.hidden_size, bias=False)  # W_y
        bound = config.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        with torch.no_grad():
            self.input.bias.add_(torch.empty_like(self.input.bias).uniform_(-bound, bound))

    def drive(self, x_D: Tensor) -> Tensor:
        return self.input(x_D)

    def weights(self) -> tuple[Tensor, ...]:
        return self.hidden.weight.T, self.cross.weight.T

    def initial_state(self, batch_size: int) -> State:
        return self.zeros(batch_size, self.output_size), self.zeros(batch_size, self.output_size)

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        (y_BH, z_BH), (hidden_H3H, cross_HH) = state, weights
        from_y, to_y = drive_BK.tensor_split((3 * self.output_size,), dim=1)
        gates, to_z = torch.addmm(from_y, y_BH, hidden_H3H).tensor_split((2 * self.output_size,), dim=1)
        dt_z, dt_y = (self.dt * gates.sigmoid()).chunk(2, dim=1)
        z_BH = torch.lerp(z_BH, to_z.tanh(), dt_z)
        return torch.lerp(y_BH, torch.addmm(to_y, z_BH, cross_HH).tanh(), dt_y), z_BH

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.lem import LEMLoop  # numba takes a second to import

        return LEMLoop.apply(drive_BTK, *weights, self.dt)

    def fits_registers(self) -> bool:
        return self.output_size <= 64

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.lem import lem_loop

        return lem_loop(drive_BTK, *weights, self.dt)[0]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        hidden = self.output_size
        input_4HD = authors("inp2hid.weight", 4 * hidden, self.input_size)
        hidden_3HH, hidden_3H = authors("hid2hid.weight", 3 * hidden, hidden), authors("hid2hid.bias", 3 * hidden)
        cross_HH, cross_H = authors("transform_z.weight", hidden, hidden), authors("transform_z.bias", hidden)
        # Their chunks are Δt of y, Δt of z, then what feeds y, then what feeds z. Their other maps have biases too.
        bias_4H = authors("inp2hid.bias", 4 * hidden) + torch.cat(
            [hidden_3H[: 2 * hidden], cross_H, hidden_3H[2 * hidden :]]
        )
        return {
            "input.weight": reordered(input_4HD, 1, 0, 3, 2),
            "input.bias": reordered(bias_4H, 1, 0, 3, 2),
            "hidden.weight": reordered(hidden_3HH, 1, 0, 2),
            "cross.weight": cross_HH,
        }

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        # The authors' values run from 0.0242 (adding) to 0.44 (noisy CIFAR) where sequences have hundreds of steps.
        return {"dt": trial.suggest_float("dt", 0.02, 1.0, log=True)}


def reordered(rows: Tensor, *order: int) -> Tensor:
    """Return equal chunks of the rows in another order."""
    chunks = rows.chunk(len(order))
    return torch.cat([chunks[i] for i in order])
