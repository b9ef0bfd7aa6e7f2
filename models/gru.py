"""GRU: the gated recurrent unit, in torch's form, where the reset gate acts after the recurrent product.

    r_t = σ(W_r x_t + U_r h_{t−1} + b_r)
    z_t = σ(W_z x_t + U_z h_{t−1} + b_z)
    n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t−1} + c_n))
    h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t−1}                       (Cho et al. 2014, §2.3)

The chrono initialisation (Tallec & Ollivier 2018, arXiv 1804.11188, §2) spreads the memory times of the units over the
sequence: b_z = log u with u uniform in [1, T − 1]. Its sign is theirs turned round, since their z_t admits what torch's
keeps out.

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H²).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from torch import nn

from models.recurrences.torch_layers import TorchConfig, TorchRecurrent, start_keeping
from models.shared.contract import Paper, Place, later

if TYPE_CHECKING:
    from optuna import Trial


class GRU(TorchRecurrent):
    """One layer of torch.nn.GRU."""

    paper = Paper(
        "Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine Translation",
        2014,
        "https://arxiv.org/abs/1406.1078",
    )
    display_name = "GRU"
    family = "gated recurrence"
    wrapper = "plain"
    torch_layer = nn.GRU

    @dataclass(frozen=True, kw_only=True)
    class Config(TorchConfig):
        chrono: bool = field(default=False, metadata=later(False))
        """Use the chrono initialisation: start the gate's bias from memory times spread over the training length."""

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        if config.chrono:
            start_keeping(self.rnn, gate=1, max_memory=max(2, self.seq_len))

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"chrono": trial.suggest_categorical("chrono", [False, True])}
