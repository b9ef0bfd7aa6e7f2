"""HiPPO: a recurrent network that keeps its whole past, projected on Legendre polynomials.

    u_t = W_u [x_t, h_{t−1}] + b_u                                  one number, the function that is remembered
    c_0 = (u_0, 0, …, 0)
    c_t = (I + A/2k)⁻¹ ((I − A/2k) c_{t−1} + (1/k) B u_t),  k = min(t, max_length), t from 1
    g_t = σ(W_g [x_t, c_t] + b_g)
    h_t = (1 − g_t) ⊙ h_{t−1} + g_t ⊙ tanh(W_h [x_t, c_t] + b_h)

                     (Gu et al. 2020, Figure 2 and eq. 3; discretisation, first step and cap as in the authors' code)

LegS (Theorem 2): A_nk = √(2n+1) √(2k+1) for n > k, n + 1 for n = k, 0 for n < k, and B_n = √(2n+1). c_t holds the
coefficients of u on all of [0, t]. Each moment has equal weight, and no time scale is set.

LegT (Theorem 1) remembers a window of 1/Δ steps only: A_nk = √(2n+1) √(2k+1) (−1)^{n−k} for n < k, without the sign for
n ≥ k. Its c_t follows from c_{t−1} by the same equation with Δ in place of 1/k at every step, from c_{−1} = 0.

There may be M numbers u, each with coefficients of its own, which W_g and W_h read side by side.

Shapes: B batch, T time, D input, H hidden, M memories, N order, K = 2H + M. State: H + MN numbers a sequence and the
time. Time O(T (H MN + N²)), without N² in the kernels.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import Backend
from models.recurrences.scan import linear_scan
from models.recurrences.state_space import hippo_legs
from models.recurrences.stepwise import State, StepwiseRecurrence
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, computed

if TYPE_CHECKING:
    from optuna import Trial


class HiPPO(StepwiseRecurrence):
    """The HiPPO recurrent network."""

    paper = Paper(
        "HiPPO: Recurrent Memory with Optimal Polynomial Projections", 2020, "https://arxiv.org/abs/2008.07669"
    )
    display_name = "HiPPO"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = ("hippo", "hippo_init", "hippo_legt", "hippo_m2_nogate", "hippo_maxlen")
    deviations = {
        "LegT": (
            "Bilinear, with a window of the training length unless set. The authors' code can do the same, but "
            "defaults to a zero-order hold with a step of 0.01. LegS, the default, does not differ."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        units = ("hidden_size",)  # the order is as large, unless someone sets it
        hidden_size: int = 256
        """H. The default is that of the authors' code (HazyResearch/hippo-code, cfg/config.yaml)."""
        order: int | None = None
        """N, the number of Legendre coefficients kept. None means H, as in the authors' code."""
        memory_size: int = 1
        """M, the numbers that are remembered."""
        gate: bool = True
        """Mix the candidate into h_{t−1} by a gate. Without one it is h_t."""
        measure: Literal["legs", "legt"] = "legs"
        max_length: int = 1024
        """The step from which on LegS's time stands still. The default is that of the authors' code."""
        dt: float | None = None
        """Δ, LegT's step. None means 1/T for a training length of T."""

        def __post_init__(self) -> None:
            sizes = ("hidden_size", "memory_size", "max_length")
            self.require_positive(*sizes, *(name for name in ("order", "dt") if getattr(self, name) is not None))
            self.require_one_of("measure", "legs", "legt")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.config, self.output_size = config, config.hidden_size
        self.order = config.hidden_size if config.order is None else config.order
        self.function = nn.Linear(self.input_size + config.hidden_size, config.memory_size)  # W_u
        maps = 2 if config.gate else 1
        self.reader = nn.Linear(  # W_g, W_h
            self.input_size + config.memory_size * self.order, maps * config.hidden_size
        )
        self.start()
        system = computed((self.order, self.order + 1), self.system)
        self.register_buffer("A", system[:, :-1].contiguous(), persistent=False)
        self.register_buffer("B", system[:, -1].contiguous(), persistent=False)
        self.A: Tensor
        self.B: Tensor

    def start(self) -> None:
        """Start the weights as the authors do, who give the candidate's two blocks a start each (model/memory.py)."""
        nn.init.kaiming_uniform_(self.function.weight, nonlinearity="linear")
        nn.init.kaiming_normal_(self.reader.weight, nonlinearity="linear")  # the gate's
        with torch.no_grad():
            for block in self.reader.weight[-self.output_size :].tensor_split((self.input_size,), dim=1):
                nn.init.xavier_normal_(block)

    def system(self) -> Tensor:
        """Return A and B side by side, (N, N + 1): LegS's in continuous time, LegT's made discrete."""
        if self.config.measure == "legs":
            a, b = hippo_legs(self.order)
        else:
            a, b = discretised_window(self.order, self.config.dt or 1 / self.seq_len)
        return torch.cat([torch.tensor(a, device="cpu"), torch.tensor(b, device="cpu")[:, None]], dim=1)

    def drive(self, x_D: Tensor) -> Tensor:
        maps = self.reader, self.function
        weight_KD = torch.cat([each.weight[:, : self.input_size] for each in maps])
        return F.linear(x_D, weight_KD, torch.cat([each.bias for each in maps]))

    def weights(self) -> tuple[Tensor, ...]:
        """Return what reads the memory, (MN, 2H) with a gate, and what of W_u reads h, (M, H)."""
        from_c, from_h_MH = (each.weight[:, self.input_size :] for each in (self.reader, self.function))
        return from_c.T, from_h_MH

    def initial_state(self, batch_size: int) -> State:
        c_BMN = self.zeros(batch_size, self.config.memory_size, self.order)
        passed_B = torch.zeros(batch_size, dtype=torch.long, device=self.A.device)
        return self.zeros(batch_size, self.output_size), c_BMN, passed_B

    @torch.compiler.disable  # its steps take longer when compiled
    def loop(self, drive_BTK: Tensor, state: State, *weights: Tensor) -> Tensor:
        """Run the base's loop with one time for the whole batch, so that a step solves for all sequences at once."""
        (h_BH, c_BMN, _), outputs = state, []
        for t, drive_BK in enumerate(drive_BTK.unbind(1)):
            c_BMN = self.remember(c_BMN, self.remembered(drive_BK, h_BH, weights[1]), t)
            h_BH = self.read(drive_BK, h_BH, c_BMN, weights[0])
            outputs.append(h_BH)
        return torch.stack(outputs, dim=1)

    def backend(self, tensor: Tensor, weights: tuple[Tensor, ...]) -> Backend:
        """The kernels are for one gated memory of all the past."""
        has_kernels = self.config.measure == "legs" and self.config.memory_size == 1 and self.config.gate
        return super().backend(tensor, weights) if has_kernels else "torch"

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.hippo import HiPPOLoop  # numba takes a second to import

        return HiPPOLoop.apply(drive_BTK, *weights, self.B, self.config.max_length)

    def fits_registers(self) -> bool:
        return max(self.output_size, self.order) <= 128

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.hippo import hippo_loop

        return hippo_loop(drive_BTK, *weights, self.B, self.config.max_length)[0]

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        h_BH, c_BMN, passed_B = state
        c_BMN = self.remember_each(c_BMN, self.remembered(drive_BK, h_BH, weights[1]), passed_B)
        return self.read(drive_BK, h_BH, c_BMN, weights[0]), c_BMN, passed_B + 1

    def remembered(self, drive_BK: Tensor, h_BH: Tensor, from_h_MH: Tensor) -> Tensor:
        """Return u_t, (B, M)."""
        return torch.addmm(drive_BK[:, -self.config.memory_size :], h_BH, from_h_MH.T)

    def read(self, drive_BK: Tensor, h_BH: Tensor, c_BMN: Tensor, from_c: Tensor) -> Tensor:
        """Return h_t, (B, H), from h_{t−1} and c_t."""
        sums = torch.addmm(drive_BK[:, : -self.config.memory_size], c_BMN.flatten(1), from_c)
        if not self.config.gate:
            return sums.tanh()
        gate_BH, candidate_BH = sums.chunk(2, dim=1)
        return torch.lerp(h_BH, candidate_BH.tanh(), gate_BH.sigmoid())

    # With X = A/2k and w = B u/2k, (I + X)⁻¹ ((I − X) c + 2w) = 2 (I + X)⁻¹ (c + w) − c: one triangular solve.

    def remember(self, c_BMN: Tensor, u_BM: Tensor, t: int) -> Tensor:
        """Return c_t, (B, M, N), where all sequences are at the same time t."""
        if self.config.measure == "legt":
            return self.slide(c_BMN, u_BM)
        if t == 0:
            return self.first(u_BM)
        alpha = 0.5 / min(t, self.config.max_length)
        system_NN = self.A * alpha
        system_NN.diagonal().add_(1)
        target_BMN = torch.add(c_BMN, u_BM.unsqueeze(-1) * self.B, alpha=alpha)
        solved = torch.linalg.solve_triangular(system_NN.T, target_BMN.flatten(0, 1), upper=True, left=False)
        return solved.view_as(c_BMN).mul(2) - c_BMN

    def remember_each(self, c_BMN: Tensor, u_BM: Tensor, passed_B: Tensor) -> Tensor:
        """Return c_t, (B, M, N), where each sequence has its own time t, the number of steps that it has passed.

        Solve by a recurrence over the order n, in O(N) (Gu et al., App. E). Row n of (I + X) y = v is
        (1 + α (n + 1)) y_n + α B_n S_n = v_n with α = 1/2k and S_n = Σ_{m<n} B_m y_m, so that S_{n+1} = S_n + B_n y_n
        is linear in S_n.
        """
        if self.config.measure == "legt":
            return self.slide(c_BMN, u_BM)
        alpha_B11 = 0.5 / passed_B.clamp(1, self.config.max_length).to(c_BMN.dtype)[:, None, None]
        rows, scale = alpha_B11 * torch.arange(self.order, device=c_BMN.device), alpha_B11 * self.B
        pivot = 1 + alpha_B11 + rows
        target_BMN = torch.addcmul(c_BMN, scale, u_BM.unsqueeze(-1))
        sums_BMN = linear_scan(((1 - rows) / pivot).mT, (self.B * target_BMN / pivot).mT).mT
        before_BMN = F.pad(sums_BMN[..., :-1], (1, 0))
        later_BMN = 2 * torch.addcmul(target_BMN, scale, before_BMN, value=-1) / pivot - c_BMN
        return torch.where((passed_B == 0)[:, None, None], self.first(u_BM), later_BMN)

    def first(self, u_BM: Tensor) -> Tensor:
        """Return LegS's c_0: the past is one moment long, and constant."""
        return F.pad(u_BM.unsqueeze(-1), (0, self.order - 1))

    def slide(self, c_BMN: Tensor, u_BM: Tensor) -> Tensor:
        """Return LegT's c_t."""
        return c_BMN @ self.A.T + u_BM.unsqueeze(-1) * self.B

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        readers = ["W_gxm.W_g", "W_hxm"] if self.config.gate else ["W_hxm"]
        sizes = {"weight": (self.output_size, self.reader.in_features), "bias": (self.output_size,)}
        return authors.renamed(self, {f"function.{part}": f"W_uxh.{part}" for part in sizes}) | {
            f"reader.{part}": torch.cat([authors(f"{name}.{part}", *size) for name in readers])
            for part, size in sizes.items()
        }

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"order": trial.suggest_categorical("order", [None, 64, 128])}


def discretised_window(order: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return LegT's Ā, (N, N), and B̄, (N,): dc/dt = −A c + B u, made discrete by the bilinear rule with steps of dt."""
    n, k = np.indices((order, order))
    scale = np.sqrt(2 * np.arange(order) + 1)
    half = np.where(n < k, (-1.0) ** (n - k), 1.0) * np.outer(scale, scale) * dt / 2
    both = np.concatenate([np.eye(order) - half, dt * scale[:, None]], axis=1)
    solved = np.linalg.solve(np.eye(order) + half, both)
    return solved[:, :-1], solved[:, -1]
