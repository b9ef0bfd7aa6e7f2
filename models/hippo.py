"""HiPPO-LegS: a gated recurrent network that also keeps its whole past, projected on Legendre polynomials.

    g_t = σ(W_g [h_{t−1}, c_{t−1}, x_t] + b_g)
    h_t = (1 − g_t) ⊙ h_{t−1} + g_t ⊙ tanh(W_h [h_{t−1}, c_{t−1}, x_t] + b_h)
    f_t = L_f h_t + b_f                                             one number, the function that is remembered
    c_t = (I + A/2t)⁻¹ ((I − A/2t) c_{t−1} + (1/t) B f_t),  t from 1
                                  (Gu et al. 2020, Figure 2 and eq. 3, bilinear discretisation as in the authors' code)

A_nk = √(2n+1) √(2k+1) for n > k, n + 1 for n = k, 0 for n < k, and B_n = √(2n+1) (LegS, Theorem 2). c_t holds the
coefficients of f on all of [0, t]. Each moment has equal weight, and no time scale is set.

Shapes: B batch, T time, D input, H hidden, N order. State: H + N numbers a sequence and the time.
Time O(T (H (H + N) + N²)), without N² in the kernel for CPUs.
"""

from dataclasses import dataclass
from typing import Self, Unpack

import torch
from torch import Tensor, nn

from models.recurrences.scan import linear_scan
from models.recurrences.state_space import hippo_legs
from models.recurrences.stepwise import State, StepwiseRecurrence
from models.shared.contract import ModelConfig, Paper, Place, computed


class HiPPO(StepwiseRecurrence):
    """The HiPPO-LegS recurrent network."""

    paper = Paper(
        "HiPPO: Recurrent Memory with Optimal Polynomial Projections", 2020, "https://arxiv.org/abs/2008.07669"
    )
    family = "orthogonal-polynomial memory"
    wrapper = "plain"
    deviations = {
        "cell": (
            "Gate and candidate read x, h and the old memory, and the memory then takes a number from h alone. "
            "In the authors' code the memory comes first and takes a number from x and h; gate and candidate "
            "read x and the new memory. To be mended."
        ),
        "first step": (
            "The memory starts at t = 1 from 0. The authors set it to its first input and go on with t = 1. To "
            "be mended with the cell."
        ),
        "cap of the time": "None. The authors' t stays at 1024 on longer sequences. To be mended with the cell.",
        "start": "Torch's own start, where the authors have Kaiming's and Glorot's. To be mended with the cell.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        hidden_size: int = 512
        order: int = 512
        """N, the number of Legendre coefficients kept."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "order")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, order=width)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.order = config.hidden_size, config.order
        self.gated = nn.Linear(self.input_size + config.hidden_size + config.order, 2 * config.hidden_size)
        self.function = nn.Linear(config.hidden_size, 1)
        system = computed((config.order, config.order + 1), lambda: legs_system(config.order))
        self.register_buffer("A", system[:, :-1].contiguous(), persistent=False)
        self.register_buffer("B", system[:, -1].contiguous(), persistent=False)
        self.A: Tensor
        self.B: Tensor

    def drive(self, x_D: Tensor) -> Tensor:
        return nn.functional.linear(x_D, self.gated.weight[:, : self.input_size], self.gated.bias)

    def weights(self) -> tuple[Tensor, ...]:
        return (self.gated.weight[:, self.input_size :].T,)

    def initial_state(self, batch_size: int) -> State:
        time_B = torch.zeros(batch_size, dtype=torch.long, device=self.A.device)
        return self.zeros(batch_size, self.output_size), self.zeros(batch_size, self.order), time_B

    @torch.compiler.disable  # its steps take longer when compiled
    def loop(self, drive_BTK: Tensor, state: State, *weights: Tensor) -> Tensor:
        """Run the base's loop with one time for the whole batch, so that a step solves for all sequences at once."""
        (h_BH, c_BN, _), outputs = state, []
        identity_NN = torch.eye(self.order, dtype=c_BN.dtype, device=c_BN.device)
        for t, drive_BK in enumerate(drive_BTK.unbind(1), start=1):
            h_BH = self.update(drive_BK, h_BH, c_BN, *weights)
            outputs.append(h_BH)
            c_BN = self.remember(c_BN, self.function(h_BH), t, identity_NN)
        return torch.stack(outputs, dim=1)

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.hippo import HiPPOLoop  # numba takes a second to import

        return HiPPOLoop.apply(drive_BTK, *weights, self.function.weight[0], self.function.bias, self.B)

    def fits_registers(self) -> bool:
        return max(self.output_size, self.order) <= 64

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.hippo import hippo_loop

        return hippo_loop(drive_BTK, *weights, self.function.weight[0], self.function.bias, self.B)[0]

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        h_BH, c_BN, t_B = state[0], state[1], state[2] + 1
        h_BH = self.update(drive_BK, h_BH, c_BN, *weights)
        return h_BH, self.remember_each(c_BN, self.function(h_BH), t_B), t_B

    def update(self, drive_BK: Tensor, h_BH: Tensor, c_BN: Tensor, *weights: Tensor) -> Tensor:
        """Return h_t, (B, H), from h_{t−1} and c_{t−1}."""
        gate_BH, candidate_BH = torch.addmm(drive_BK, torch.cat([h_BH, c_BN], dim=1), weights[0]).chunk(2, dim=1)
        return torch.lerp(h_BH, candidate_BH.tanh(), gate_BH.sigmoid())

    # With X = A/2t and w = B f/2t, (I + X)⁻¹ ((I − X) c + 2w) = 2 (I + X)⁻¹ (c + w) − c: one triangular solve.

    def remember(self, c_BN: Tensor, f_B1: Tensor, t: int, identity_NN: Tensor) -> Tensor:
        """Return c_t, (B, N), where all sequences are at the same time t."""
        system_NN = torch.add(identity_NN, self.A, alpha=0.5 / t)
        target_BN = torch.addmm(c_BN, f_B1, self.B.unsqueeze(0), alpha=0.5 / t)
        return torch.linalg.solve_triangular(system_NN.T, target_BN, upper=True, left=False).mul(2) - c_BN

    def remember_each(self, c_BN: Tensor, f_B1: Tensor, t_B: Tensor) -> Tensor:
        """Return c_t, (B, N), where each sequence has its own time.

        Solve by a recurrence over the order n, in O(N) (Gu et al., App. E). Row n of (I + X) y = v is
        (1 + α (n + 1)) y_n + α B_n S_n = v_n with α = 1/2t and S_n = Σ_{m<n} B_m y_m, so that S_{n+1} = S_n + B_n y_n
        is linear in S_n.
        """
        alpha_B1 = (0.5 / t_B).to(c_BN.dtype).unsqueeze(-1)
        n = torch.arange(self.order, device=c_BN.device)
        pivot_BN = 1 + alpha_B1 * (n + 1)
        target_BN = c_BN + alpha_B1 * self.B * f_B1
        sums_BN = linear_scan((1 - alpha_B1 * n) / pivot_BN, self.B * target_BN / pivot_BN)
        before_BN = nn.functional.pad(sums_BN[:, :-1], (1, 0))
        return 2 * (target_BN - alpha_B1 * self.B * before_BN) / pivot_BN - c_BN


def legs_system(order: int) -> Tensor:
    """Return A and B side by side, (N, N + 1)."""
    a, b = hippo_legs(order)
    return torch.cat([torch.tensor(a, device="cpu"), torch.tensor(b, device="cpu")[:, None]], dim=1)
