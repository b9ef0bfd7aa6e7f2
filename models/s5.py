"""S5: one state-space model with many inputs and outputs, computed by a parallel scan.

    dx/dt = Λ x + B̃ u,    y = C̃ x + D ⊙ u
    Λ̄ = exp(Λ Δ),    B̄ = Λ⁻¹ (Λ̄ − I) B̃                            zero-order hold, a time step Δ for each state
    x_t = Λ̄ x_{t−1} + B̄ u_t,    y_t = 2 Re(C̃ x_t) + D ⊙ u_t        (Smith et al. 2023, §3, with conjugate pairs)

Λ starts at the eigenvalues of HiPPO-LegS's normal part, B̃ = V⁻¹ B and C̃ = C V with its eigenvectors V (§4.1). Several
blocks repeat a smaller such matrix along the diagonal. The layer ends with GELU, as in the paper's block.

Shapes: B batch, T time, D input, H channels, N = P/2 complex state numbers (the paper's P counts both of a pair).
State: P numbers a sequence. Time O(T P H), depth O(log T).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from models.recurrences.state_space import (
    SharedStateSpace,
    StateSpaceConfig,
    complex_parameter,
    hippo_normal_eigen,
    log_uniform,
    zero_order_hold,
)
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import Paper, Place

if TYPE_CHECKING:
    from optuna import Trial

# The learning rate of Λ, B̃ and Δ: ssm_lr_base in the scripts of lindermanlab/S5, which give none of them weight decay.
STATE_LR = 1e-3


class S5(SharedStateSpace):
    """The simplified state-space layer."""

    paper = Paper("Simplified State Space Layers for Sequence Modeling", 2023, "https://arxiv.org/abs/2208.04933")
    family = "state-space model"
    wrapper = "residual"
    deviations = {
        "start of B": "Before V it has variance 1/H; the authors' code gives it 1/P. To be mended.",
        "start of C": (
            "Before V it is real; the authors' is complex with parts of variance 1/P, so that ours starts "
            "smaller by √2. To be mended."
        ),
        "GELU": "The exact one, where the authors have the approximation by tanh. They differ by 5e-4 at most.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(StateSpaceConfig):
        blocks: int = 1
        """Equal blocks that the initial HiPPO matrix is made of. The default is our choice: the authors split a state
        of 256 into 8 blocks, and our state of 64 is only two blocks of their size."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_positive("blocks")
            if self.state_size % (2 * self.blocks):
                raise ValueError(f"state_size={self.state_size} must be a multiple of 2 × blocks={2 * self.blocks}")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        hidden, pairs = config.hidden_size, config.state_size // 2
        super().__init__(config, hidden_size=hidden, state_size=pairs, **place)
        eigenvalues, vectors = blockwise_eigen(config.state_size, config.blocks)
        v_PN = torch.tensor(vectors, dtype=torch.complex64)
        self.log_decay = nn.Parameter(torch.tensor(np.log(-eigenvalues.real), dtype=torch.float32))
        self.frequency = nn.Parameter(torch.tensor(eigenvalues.imag, dtype=torch.float32))
        self.log_dt = nn.Parameter(log_uniform(pairs, config.dt_min, config.dt_max))
        b_PH = torch.randn(config.state_size, hidden) / hidden**0.5
        c_HP = torch.randn(hidden, config.state_size) / config.state_size**0.5
        self.B = complex_parameter(v_PN.mH @ b_PH.to(v_PN.dtype))
        self.C = complex_parameter(c_HP.to(v_PN.dtype) @ v_PN)

    def discretised(self) -> tuple[Tensor, Tensor]:
        """Return Λ̄ and the factor Λ⁻¹ (Λ̄ − I) of B̃, (N,) complex each."""
        lam_N = torch.complex(-self.log_decay.exp(), self.frequency)
        return zero_order_hold(lam_N, self.log_dt.exp())

    def transition(self) -> Tensor:
        return self.discretised()[0]

    def input_matrix(self) -> Tensor:
        return self.discretised()[1][:, None] * torch.view_as_complex(self.B)

    def output_matrix(self) -> Tensor:
        return 2 * torch.view_as_complex(self.C)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.log_decay, self.frequency, self.log_dt, self.B], "lr": STATE_LR, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        same = authors.renamed(self, {"frequency": "Lambda_im", "B": "B", "C": "C", "D": "D"})
        log_decay_N = torch.log(-authors("Lambda_re", self.state_size))
        return same | {"log_decay": log_decay_N, "log_dt": authors("log_step", self.state_size, 1)[:, 0]}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [16, 64, 256]),
            "dt_min": trial.suggest_categorical("dt_min", [1e-4, 1e-3, 1e-2]),
            "blocks": trial.suggest_categorical("blocks", [1, 4, 8]),
        }


def blockwise_eigen(state_size: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (P/2,) and eigenvectors (P, P/2) of a block-diagonal matrix of equal HiPPO matrices."""
    eigenvalues, vectors = hippo_normal_eigen(state_size // blocks)
    return np.tile(eigenvalues, blocks), np.kron(np.eye(blocks), vectors)
