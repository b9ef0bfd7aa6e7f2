"""torch's own recurrent layers as sequence models, on the CPU by a kernel where it is faster.

Shapes: B batch, T time, D input, H hidden; K, X, J: see models/kernels/cpu/gated.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from models.kernels.backend import runs_compiled
from models.recurrences.stepwise import KERNEL_WEIGHTS, full_precision
from models.shared.contract import HiddenSizeConfig, Place, SequenceModel, later


@dataclass(frozen=True, kw_only=True)
class TorchConfig(HiddenSizeConfig):
    """The settings of a layer of torch's."""

    backend: Literal["auto", "torch"] = field(default="auto", metadata=later("auto"))
    """What runs the loop over time: "torch" its own layer, "auto" the kernel for CPUs where it is faster."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("backend", "auto", "torch")


class TorchRecurrent(SequenceModel):
    """A single recurrent layer of `torch.nn`. Its state is (B, H), or a pair of them for the LSTM."""

    torch_layer: ClassVar[Callable[..., nn.RNNBase]]
    states: ClassVar[int] = 1
    kernel_batch: ClassVar[int] = 1
    """The fewest sequences for which the kernel is faster than torch's layer. It computes a whole vector of them."""

    def __init__(self, config: TorchConfig, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.backend = config.hidden_size, config.backend
        self.rnn: nn.RNNBase = self.torch_layer(
            self.input_size, config.hidden_size, batch_first=True, **self.layer_options(config)
        )

    @staticmethod
    def layer_options(config: Any) -> dict[str, Any]:
        """Return further arguments for torch's layer."""
        return {}

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if self.takes_kernel(x_BTD):
            from models.kernels.cpu.gated import every_state  # numba takes a second to import

            return every_state(*self._operands(x_BTD))
        y_BTH, _ = self._run(x_BTD)
        return y_BTH

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if self.takes_kernel(x_BTD):
            from models.kernels.cpu.gated import last_state

            return last_state(*self._operands(x_BTD), lengths_B)
        return super().last(x_BTD, lengths_B)

    def takes_kernel(self, x_BTD: Tensor) -> bool:
        """Whether the kernel for CPUs can run the layer and is faster than torch's."""
        return x_BTD.device.type == "cpu" and len(x_BTD) >= self.kernel_batch and self.has_kernel()

    def has_kernel(self) -> bool:
        """Whether there is a kernel for the layer's type, device and size."""
        input_KD, hidden_KH, *_ = self.rnn.parameters()
        fits = input_KD.numel() + hidden_KH.numel() <= KERNEL_WEIGHTS
        return self.backend == "auto" and fits and runs_compiled(input_KD, hidden_KH)

    def _operands(self, x_BTD: Tensor) -> tuple[str, Tensor, Tensor, Tensor]:
        """Return what the kernel takes: the cell's name, the input, and the weights with the biases beside them."""
        input_KD, hidden_KH, *biases = self.rnn.parameters()
        weights = [torch.cat([w, b_K[:, None]], 1) for w, b_K in zip((input_KD, hidden_KH), biases, strict=True)]
        return self.rnn.mode.lower(), x_BTD.to(input_KD.dtype), weights[0], weights[1]

    def facts(self) -> Mapping[str, str]:
        return {"loop": "numba" if self.has_kernel() else "torch"}

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
