"""None: each step is passed through as it is. The floor that shows what a residual block does without a mixer.

    y_t = x_t                                            (the residual block of He et al. 2015 around nothing)

Shapes: B batch, T time, D input. State: none. Time O(1), and no parameters.
"""

from dataclasses import dataclass
from typing import Self, Unpack

from torch import Tensor

from models.shared.contract import ModelConfig, Paper, Place, SequenceModel


class NoMixer(SequenceModel):
    """No mixer at all."""

    paper = Paper("Deep Residual Learning for Image Recognition", 2015, "https://arxiv.org/abs/1512.03385")
    display_name = "No mixer"
    family = "floor"
    wrapper = "residual"
    wrappers = ("residual",)
    mixes = False

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """There is nothing to set."""

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls()

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = self.input_size

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return x_BTD

    def initial_state(self, batch_size: int) -> tuple[()]:
        return ()

    def step(self, x_BD: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
        return x_BD, state
