"""LSTM: long short-term memory with a forget gate.

    i_t, f_t, o_t = σ(W x_t + U h_{t−1} + b)  for each gate
    g_t = tanh(W_g x_t + U_g h_{t−1} + b_g)
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)                         (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)

The chrono initialisation (Tallec & Ollivier 2018, arXiv 1804.11188, §2) spreads the memory times of the units over the
sequence: b_f = log u with u uniform in [1, T − 1], and b_i = −b_f.

Shapes: B batch, T time, D input, H hidden. State: 2H numbers a sequence. Time O(T H²).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import nn

from models.recurrences.torch_layers import TorchConfig, TorchRecurrent, start_keeping
from models.shared.contract import Paper, Place

if TYPE_CHECKING:
    from optuna import Trial


class LSTM(TorchRecurrent):
    """One layer of torch.nn.LSTM."""

    paper = Paper("Long Short-Term Memory", 1997, "https://doi.org/10.1162/neco.1997.9.8.1735")
    display_name = "LSTM"
    family = "gated recurrence"
    wrapper = "plain"
    torch_layer = nn.LSTM
    states = 2
    kernel_batch = 12  # oneDNN's LSTM, which torch calls, is good at few sequences

    @dataclass(frozen=True, kw_only=True)
    class Config(TorchConfig):
        chrono: bool = False
        """Use the chrono initialisation: start the gates' biases from memory times spread over the training length."""

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        if config.chrono:
            self.start_chrono(max_memory=max(2, self.seq_len))

    def start_chrono(self, max_memory: int) -> None:
        """Set the biases of the input and forget gates for memory times up to `max_memory` steps."""
        forget_bias_H = start_keeping(self.rnn, gate=1, max_memory=max_memory)
        _, _, bias, other_bias = self.rnn.parameters()  # torch adds the two biases
        with torch.no_grad():
            other_bias[: self.output_size] = 0
            bias[: self.output_size] = -forget_bias_H

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"chrono": trial.suggest_categorical("chrono", [False, True])}
