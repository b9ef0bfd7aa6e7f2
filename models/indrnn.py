"""IndRNN: units that see only their own past, each with one recurrent weight.

    h_t = ReLU(W x_t + u ⊙ h_{t−1} + b)                             (Li et al. 2018, §3)

|u| is kept at or below 2^{1/T}, so that no gradient grows by more than a factor of 2 over the sequence (§3.2). u starts
uniform in [0, 1], so that the units have memories of every length. Units of one layer never interact, so a second layer
is needed to mix them: the authors stack two for the adding problem. As in their code, u and b have no weight decay.

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H D).
"""

from typing import Any, Unpack

import torch
from torch import Tensor, nn

from models.kernels.backend import made_again
from models.recurrences.stepwise import State, StepwiseRecurrence, full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import HiddenSizeConfig, Paper, Place
from models.shared.linear import Linear

GROWTH = 2.0  # the largest factor by which a unit may grow over the training length


class IndRNN(StepwiseRecurrence):
    """The independently recurrent network."""

    paper = Paper(
        "Independently Recurrent Neural Network (IndRNN): Building A Longer and Deeper RNN",
        2018,
        "https://arxiv.org/abs/1803.04831",
    )
    family = "nonlinear recurrence"
    wrapper = "plain"
    depth = 2
    deviations = {
        "normalisation": "No BatchNorm, which the authors put after each layer (or before). To be mended.",
        "start": "W is uniform up to 1/√D and b too; the authors' W up to 0.304/√D, and b is 0. To be mended.",
        "recurrent weights": (
            "They are kept at or below 2^{1/T} and start up to 1; in the authors' code both are up to 5^{1/T}, "
            "and their residual network starts its last layer in [5^{−1/T}, 5^{1/T}]. To be mended."
        ),
    }
    Config = HiddenSizeConfig

    def __init__(self, config: HiddenSizeConfig, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        self.bound = GROWTH ** (1 / self.seq_len)
        self.input = Linear(self.input_size, config.hidden_size)
        self.u = nn.Parameter(torch.rand(config.hidden_size))

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.u, self.input.bias], "weight_decay": 0.0}]

    def drive(self, x_D: Tensor) -> Tensor:
        return self.input(x_D)

    def weights(self) -> tuple[Tensor, ...]:
        # The bound is a projection of the parameter after each update, not a function that gradients pass through.
        self.u.data.clamp_(-self.bound, self.bound)
        return (self.u,)

    def initial_state(self, batch_size: int) -> State:
        return (self.zeros(batch_size, self.output_size),)

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        (h_BH,), (u_H,) = state, weights
        return (torch.addcmul(drive_BK, u_H, h_BH).relu(),)

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.diagonal import every_state  # numba takes a second to import

        return every_state("indrnn", drive_BTK, *weights)

    def fits_registers(self) -> bool:
        return True  # a unit has one weight and one state number

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.indrnn import every_state

        return every_state(drive_BTK, *weights)

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        """Return ours from the first layer of the authors' plain network."""
        names = {"input.weight": "DIs.0.fc.weight", "input.bias": "DIs.0.fc.bias"}
        return authors.renamed(self, names | {"u": "RNNs.0.indrnn1.indrnn_cell.weight_hh"})

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if not made_again(x_BTD, self.u):
            return super().last(x_BTD, lengths_B)
        from models.kernels.cpu.diagonal import last_state

        with full_precision(x_BTD):
            return last_state("indrnn", x_BTD, lengths_B, self.input.weight, self.input.bias, *self.weights())
