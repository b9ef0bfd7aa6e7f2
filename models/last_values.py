"""Last values: a linear map of the last few inputs. A floor for tasks that need no memory.

    y_t = b + Σ_{j<k} W_j x_{t−j}                                   (linear autoregression; Yule 1927)

Shapes: B batch, T time, D input, H output, k window. State: none kept; a step needs k inputs. Time O(T k D H).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

from torch import Tensor, nn
from torch.nn import functional as F

from models.shared.contract import ModelConfig, Paper, Place, SequenceModel

if TYPE_CHECKING:
    from optuna import Trial


class LastValues(SequenceModel):
    """A causal linear filter of finite length."""

    paper = Paper(
        "On a Method of Investigating Periodicities in Disturbed Series",
        1927,
        "https://doi.org/10.1098/rsta.1927.0007",
    )
    display_name = "Last values"
    family = "floor"
    wrapper = "plain"

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are our choice: a floor needs few inputs, and its paper sets no width."""

        window: int = 16
        """k, the inputs that an output sees: the present one and the `k − 1` before it."""
        hidden_size: int = 128

        def __post_init__(self) -> None:
            self.require_positive("window", "hidden_size")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.window = config.hidden_size, config.window
        self.conv = nn.Conv1d(self.input_size, config.hidden_size, config.window)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        padded_BDT = F.pad(x_BTD.transpose(1, 2), (self.window - 1, 0))
        return self.conv(padded_BDT).transpose(1, 2)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is not None:
            return super().last(x_BTD, lengths_B)
        return self(x_BTD[:, -self.window :])[:, -1]

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"window": trial.suggest_categorical("window", [1, 4, 16])}
