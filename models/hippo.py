"""HiPPO-LegS: a gated recurrent network with the whole past, projected on Legendre polynomials, beside it.

    g_t = σ(W_g [h_{t−1}, c_{t−1}, x_t] + b_g)
    h_t = (1 − g_t) ⊙ h_{t−1} + g_t ⊙ tanh(W_h [h_{t−1}, c_{t−1}, x_t] + b_h)
    f_t = L_f h_t + b_f                                             one number, the function that is remembered
    c_t = (I + A/2t)⁻¹ ((I − A/2t) c_{t−1} + (1/t) B f_t),  t from 1
                                  (Gu et al. 2020, Figure 2 and eq. 3, bilinear discretisation as in the authors' code)

A_nk = √(2n+1) √(2k+1) for n > k, n + 1 for n = k, 0 for n < k, and B_n = √(2n+1) (LegS, Theorem 2): c_t holds the
coefficients of f on all of [0, t], each moment with equal weight, at no time scale.

Shapes: B batch, T time, D input, H hidden, N order. State: H + N numbers a sequence and the time.
Time O(T (H (H + N) + N²)).
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from models._base import ModelConfig, Paper, computed
from models._ssm import hippo_legs
from models._stepwise import State, StepwiseRecurrence
from models._wrappers import Plain


class HiPPO(StepwiseRecurrence):
    """The HiPPO-LegS recurrent network."""

    paper = Paper(
        "HiPPO: Recurrent Memory with Optimal Polynomial Projections", 2020, "https://arxiv.org/abs/2008.07669"
    )
    family = "orthogonal-polynomial memory"
    wrapper = Plain

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        hidden_size: int = 512
        order: int = 512

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "order")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, order=width)

    def __init__(self, config: Config, *, input_size: int, seq_len: int) -> None:
        super().__init__(config, input_size=input_size, seq_len=seq_len)
        self.output_size, self.order, self.input_size = config.hidden_size, config.order, input_size
        self.gated = nn.Linear(input_size + config.hidden_size + config.order, 2 * config.hidden_size)
        self.function = nn.Linear(config.hidden_size, 1)
        system = computed((config.order, config.order + 1), lambda: legs_system(config.order))
        self.register_buffer("A", system[:, :-1].contiguous(), persistent=False)
        self.register_buffer("B", system[:, -1].contiguous(), persistent=False)
        self.A: Tensor
        self.B: Tensor

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        h_BH, c_BN, t_B = self.initial_state(len(x_BTD))
        return self.run(x_BTD, (h_BH, c_BN, t_B[0]))  # one time for the batch: one matrix a step, not one a sequence

    def drive(self, x_D: Tensor) -> Tensor:
        return nn.functional.linear(x_D, self.gated.weight[:, : self.input_size], self.gated.bias)

    def weights(self) -> tuple[Tensor, ...]:
        return (self.gated.weight[:, self.input_size :].T,)

    def initial_state(self, batch_size: int) -> State:
        time_B = torch.zeros(batch_size, dtype=torch.long, device=self.A.device)
        return self.zeros(batch_size, self.output_size), self.zeros(batch_size, self.order), time_B

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        h_BH, c_BN, t = state[0], state[1], state[2] + 1
        gate_BH, candidate_BH = torch.addmm(drive_BK, torch.cat([h_BH, c_BN], dim=1), weights[0]).chunk(2, dim=1)
        h_BH = h_BH + gate_BH.sigmoid() * (candidate_BH.tanh() - h_BH)
        return h_BH, self.remember(c_BN, self.function(h_BH), t), t

    def remember(self, c_BN: Tensor, f_B1: Tensor, t: Tensor) -> Tensor:
        """c_t, for one t or for a t of each sequence.

        With X = A/2t and w = B f/2t, (I + X)⁻¹ ((I − X) c + 2w) = 2 (I + X)⁻¹ (c + w) − c: one triangular solve.
        """
        half_step = (1 / (2 * t)).to(c_BN.dtype)[..., None]
        system_NN = torch.eye(self.order, dtype=c_BN.dtype, device=c_BN.device) + half_step.unsqueeze(-1) * self.A
        target_BN = torch.addcmul(c_BN, half_step * self.B, f_B1)
        rows = target_BN.unsqueeze(1) if t.dim() else target_BN
        solved = torch.linalg.solve_triangular(system_NN.mT, rows, upper=True, left=False)
        return 2 * solved.reshape(c_BN.shape) - c_BN


def legs_system(order: int) -> Tensor:
    """A and B side by side, (N, N + 1)."""
    a, b = hippo_legs(order)
    return torch.cat([torch.tensor(a, device="cpu"), torch.tensor(b, device="cpu")[:, None]], dim=1)
