"""IndRNN: units that see only their own past, each with one recurrent weight.

    h_t = ReLU(W x_t + b + u ⊙ h_{t−1})                             (Li et al. 2018, §3)
    y_t = BN(h_t)                                                   (§4; Li et al. 2019, arXiv 1910.06251)

BN normalises each unit over the batch and the sequence. It may also stand before the recurrence, around W x_t + b.

|u| is kept at or below M^{1/T}, M = 5, so that no gradient grows by more than a factor of 5 over the sequence (§3.2). u
starts uniform in [0, M^{1/T}], so that the units have memories of every length, and in a network's last layer in
[M^{−1/T}, M^{1/T}], so that what it reads at the end has come from everywhere. Units of one layer never interact, so a
second layer is needed to mix them: the authors stack two for the adding problem. As in their code, u and the biases
have no weight decay.

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H D).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack

import torch
from torch import Tensor, nn

from models.kernels.backend import made_again
from models.recurrences.stepwise import State, StepwiseRecurrence, full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.batch_norm import SequenceBatchNorm
from models.shared.contract import HiddenSizeConfig, Paper, Place, later
from models.shared.linear import Linear

if TYPE_CHECKING:
    from optuna import Trial

GROWTH = 5.0  # M, the largest factor by which a unit may grow over the training length
INPUT_SLOPE = 8.0  # W starts as Kaiming's uniform for a leaky ReLU of this slope: up to 0.304/√D


class IndRNN(StepwiseRecurrence):
    """The independently recurrent network."""

    paper = Paper(
        "Independently Recurrent Neural Network (IndRNN): Building A Longer and Deeper RNN",
        2018,
        "https://arxiv.org/abs/1803.04831",
    )
    display_name = "IndRNN"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = (
        "indrnn_bn_after",
        "indrnn_bn_before",
        "indrnn_init",
        "indrnn_recurrent_only",
        "indrnn_residual",
        "indrnn_residual_init",
    )
    depth = 2
    deviations = {
        "start of the last layer": (
            "It starts with long memories in plain networks too (unless long_last=false). In the authors' plain "
            "network the option for it compares with a name that no parameter has, so only their residual one does."
        ),
        "residual blocks": (
            "Those of the wrapper, the same for all architectures. The authors' have two layers each, with the "
            "recurrence and BatchNorm before the linear map."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(HiddenSizeConfig):
        batch_norm: Literal["after", "before", "none"] = field(default="after", metadata=later("none"))
        """Where BatchNorm stands: after the recurrence, before it, or nowhere."""
        long_last: bool = field(default=True, metadata=later(False))
        """Start u of the network's last layer in [M^{−1/T}, M^{1/T}], as the authors' residual network does."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_one_of("batch_norm", "after", "before", "none")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        self.bound = GROWTH ** (1 / self.seq_len)
        self.input = Linear(self.input_size, config.hidden_size)
        self.u = nn.Parameter(torch.empty(config.hidden_size))
        self.before, self.after = (
            SequenceBatchNorm(config.hidden_size) if config.batch_norm == place else None
            for place in ("before", "after")
        )
        self.start(long=config.long_last and self.layer == self.layers - 1)

    def start(self, *, long: bool) -> None:
        nn.init.kaiming_uniform_(self.input.weight, a=INPUT_SLOPE)
        nn.init.zeros_(self.input.bias)
        nn.init.uniform_(self.u, 1 / self.bound if long else 0.0, self.bound)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        biases = [norm.bias for norm in (self.before, self.after) if norm is not None]
        return [{"params": [self.u, self.input.bias, *biases], "weight_decay": 0.0}]

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"batch_norm": trial.suggest_categorical("batch_norm", ["after", "before"])}

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        drive_BTH = self.input(x_BTD)
        if self.before is not None:
            drive_BTH = self.before(drive_BTH, lengths_B)
        y_BTH = self.every_output(drive_BTH)
        return y_BTH if self.after is None else self.after(y_BTH, lengths_B)

    def step(self, x_BD: Tensor, state: Any) -> tuple[Tensor, State]:
        """Return a step's output and the next state. BatchNorm uses its running averages, also in training."""
        h_BH, state = super().step(x_BD, state)
        return h_BH if self.after is None else self.after.one_step(h_BH), state

    def drive(self, x_D: Tensor) -> Tensor:
        """Return what the input contributes to a single step."""
        drive_H: Tensor = self.input(x_D)
        return drive_H if self.before is None else self.before.one_step(drive_H)

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
        """Return ours from the layer of this number of the authors' plain network."""
        linear, recurrence = f"DIs.{self.layer}.fc", f"RNNs.{self.layer}"
        names = {"input.weight": f"{linear}.weight", "input.bias": f"{linear}.bias"}
        names["u"] = f"{recurrence}.indrnn1.indrnn_cell.weight_hh"
        for norm in (name for name in ("before", "after") if getattr(self, name) is not None):
            names |= {f"{norm}.{part}": f"{recurrence}.norm1.bn.{part}" for part in ("weight", "bias")}
        return authors.renamed(self, names)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        every_step = self.before is not None or (self.after is not None and self.training)
        if every_step or not made_again(x_BTD, self.u):
            return super().last(x_BTD, lengths_B)
        from models.kernels.cpu.diagonal import last_state

        with full_precision(x_BTD):
            h_BH = last_state("indrnn", x_BTD, lengths_B, self.input.weight, self.input.bias, *self.weights())
            return h_BH if self.after is None else self.after.one_step(h_BH)
