"""torch's own recurrent layers as sequence models. Shapes: B batch, T time, D input, H hidden."""

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from models.recurrences.stepwise import full_precision
from models.shared.contract import HiddenSizeConfig, Place, SequenceModel


class TorchRecurrent(SequenceModel):
    """A single recurrent layer of `torch.nn`. Its state is (B, H), or a pair of them for the LSTM."""

    torch_layer: ClassVar[Callable[..., nn.RNNBase]]
    states: ClassVar[int] = 1

    def __init__(self, config: HiddenSizeConfig, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        self.rnn: nn.RNNBase = self.torch_layer(
            self.input_size, config.hidden_size, batch_first=True, **self.layer_options(config)
        )

    @staticmethod
    def layer_options(config: Any) -> dict[str, Any]:
        """Return further arguments for torch's layer."""
        return {}

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        y_BTH, _ = self._run(x_BTD)
        return y_BTH

    def _run(self, x_BTD: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run torch's layer. On a CPU it uses the weights' precision and ignores autocast.

        Not every processor has an LSTM in bfloat16.
        """
        if x_BTD.device.type != "cpu":
            return self.rnn(x_BTD, state)
        with full_precision(x_BTD):
            return self.rnn(x_BTD.to(next(self.parameters()).dtype), state)

    def initial_state(self, batch_size: int) -> Any:
        zeros_BH = next(self.parameters()).new_zeros(batch_size, self.output_size)
        return zeros_BH if self.states == 1 else (zeros_BH,) * self.states

    def step(self, x_BD: Tensor, state: Any) -> tuple[Tensor, Any]:
        y_B1H, state = self._run(x_BD.unsqueeze(1), tree_map(lambda h_BH: h_BH.unsqueeze(0), state))
        return y_B1H.squeeze(1), tree_map(lambda h_1BH: h_1BH.squeeze(0), state)


@torch.no_grad()
def start_keeping(rnn: nn.RNNBase, *, gate: int, max_memory: int) -> Tensor:
    """Start the bias of the gate that keeps the state from memory times spread over [1, max_memory − 1] steps.

    A gate of bias log u, alone, keeps the state for about u steps (Tallec & Ollivier 2018, §2).

    Args:
        gate: its place among the gates of torch's layer.

    Returns:
        The bias, (H,).
    """
    _, _, bias, other_bias = rnn.parameters()  # torch adds the two biases
    size = rnn.hidden_size
    rows = slice(gate * size, (gate + 1) * size)
    other_bias[rows] = 0
    return bias[rows].uniform_(1, max_memory - 1).log_()
