"""RNN: the simple recurrent network, with tanh or with ReLU started at the identity.

    h_t = f(W_x x_t + b_x + W_h h_{t−1} + b_h)                  (Elman 1990)

With f = ReLU it starts as the IRNN of Le et al. 2015 (arXiv 1504.00941): W_h = I, biases 0, W_x from N(0, 0.001²). At
first it therefore copies its state and adds W_x x_t.

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H²).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from torch import nn

from models.recurrences.torch_layers import TorchConfig, TorchRecurrent
from models.shared.contract import Paper, Place

if TYPE_CHECKING:
    from optuna import Trial

IDENTITY_INPUT_STD = 0.001


class RNN(TorchRecurrent):
    """One layer of torch.nn.RNN."""

    paper = Paper("Finding Structure in Time", 1990, "https://doi.org/10.1207/s15516709cog1402_1")
    display_name = "RNN"
    family = "nonlinear recurrence"
    wrapper = "plain"
    torch_layer = nn.RNN

    @dataclass(frozen=True, kw_only=True)
    class Config(TorchConfig):
        nonlinearity: Literal["tanh", "relu"] = "tanh"
        """f. "relu" also starts the network at the identity."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_one_of("nonlinearity", "tanh", "relu")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        if config.nonlinearity == "relu":
            self.start_at_identity()

    @staticmethod
    def layer_options(config: Config) -> dict[str, Any]:
        return {"nonlinearity": config.nonlinearity}

    def start_at_identity(self) -> None:
        input_weight, hidden_weight, *biases = self.rnn.parameters()
        nn.init.normal_(input_weight, std=IDENTITY_INPUT_STD)
        nn.init.eye_(hidden_weight)
        for bias in biases:
            nn.init.zeros_(bias)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"nonlinearity": trial.suggest_categorical("nonlinearity", ["tanh", "relu"])}
