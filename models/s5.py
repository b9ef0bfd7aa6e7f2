"""S5: one state-space model with many inputs and outputs, computed by a parallel scan.

    dx/dt = Λ x + B̃ u,    y = C̃ x + D ⊙ u
    Λ̄ = exp(Λ Δ),    B̄ = Λ⁻¹ (Λ̄ − I) B̃                            zero-order hold, a time step Δ for each state
    x_t = Λ̄ x_{t−1} + B̄ u_t,    y_t = 2 Re(C̃ x_t) + D ⊙ u_t        (Smith et al. 2023, §3, with conjugate pairs)

Λ starts at the eigenvalues of HiPPO-LegS's normal part, B̃ = V⁻¹ B and C̃ = C V with its eigenvectors V (§4.1). Several
blocks repeat a smaller such matrix along the diagonal. B is real with variance 1/P, as in the authors' code; C is
complex (see `c_init`). The layer ends with GELU, as in the paper's block.

Shapes: B batch, T time, D input, H channels, N = P/2 complex state numbers (the paper's P counts both of a pair), or P
without pairs. State: 2N numbers a sequence. Time O(T P H), depth O(log T).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from models.recurrences.state_space import (
    DiagonalStateSpace,
    StateSpaceConfig,
    complex_parameter,
    discretise,
    hippo_normal_eigen,
    log_uniform,
)
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import Paper, Place, later

if TYPE_CHECKING:
    from optuna import Trial

STATE_LR = 1e-3
"""The largest learning rate of Λ, B̃ and Δ: ssm_lr_base in the scripts of lindermanlab/S5, whose rate for the rest is
never lower. None of the three has weight decay."""
TRUNCATED = 0.8796256610342398  # the standard deviation of a normal distribution of 1 that is cut off at 2


class S5(DiagonalStateSpace):
    """The simplified state-space layer."""

    paper = Paper("Simplified State Space Layers for Sequence Modeling", 2023, "https://arxiv.org/abs/2208.04933")
    display_name = "S5"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("s5", "s5_bilinear_noconj", "s5_complexnormal_init", "s5_lecun_init", "s5_truncnormal_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(StateSpaceConfig):
        blocks: int = 1
        """Equal blocks that the initial HiPPO matrix is made of. The default is our choice: the authors split a state
        of 256 into 8 blocks, and our state of 64 is only two blocks of their size."""
        c_init: Literal["trunc_standard_normal", "lecun_normal", "complex_normal"] = field(
            default="trunc_standard_normal", metadata=later("trunc_standard_normal")
        )
        """How C starts. Its parts have variance 1/P, 1/(H P), or ½ without V. The names are the authors'; their
        lecun_normal takes the fan-in of the whole array."""
        conj_sym: bool = field(default=True, metadata=later(True))
        """Keep one state of each conjugate pair, as the authors' experiments do, or all of them."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_positive("blocks")
            self.require_one_of("c_init", "trunc_standard_normal", "lecun_normal", "complex_normal")
            if self.state_size % (2 * self.blocks):
                raise ValueError(f"state_size={self.state_size} must be a multiple of 2 × blocks={2 * self.blocks}")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        eigenvalues, vectors = blockwise_eigen(config.state_size, config.blocks, config.conj_sym)
        super().__init__(config, hidden_size=config.hidden_size, state_size=len(eigenvalues), **place)
        self.discretisation, self.conj_sym = config.discretisation, config.conj_sym
        v_PN = torch.tensor(vectors, dtype=torch.complex64)
        self.log_decay = nn.Parameter(torch.tensor(np.log(-eigenvalues.real), dtype=torch.float32))
        self.frequency = nn.Parameter(torch.tensor(eigenvalues.imag, dtype=torch.float32))
        self.log_dt = nn.Parameter(log_uniform(self.state_size, config.dt_min, config.dt_max))
        b_PH = truncated_normal(config.state_size, config.hidden_size, variance=1 / config.state_size)
        self.B = complex_parameter(v_PN.mH @ b_PH.to(v_PN.dtype))
        self.C = complex_parameter(initial_c(config, v_PN))

    def discretised(self) -> tuple[Tensor, Tensor]:
        """Return log Λ̄ and the factor of B̃, which is Λ⁻¹ (Λ̄ − I) in a zero-order hold, (N,) complex each."""
        lam_N = torch.complex(-self.log_decay.exp(), self.frequency)
        return discretise(lam_N, self.log_dt.exp(), self.discretisation)

    def transition(self) -> Tensor:
        return self.discretised()[0].exp()

    def input_matrix(self) -> Tensor:
        return self.discretised()[1][:, None] * torch.view_as_complex(self.B)

    def output_matrix(self) -> Tensor:
        return (2 if self.conj_sym else 1) * torch.view_as_complex(self.C)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        state = [self.log_decay, self.frequency, self.log_dt, self.B]
        return [{"params": state, "lr_max": STATE_LR, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        same = authors.renamed(self, {"frequency": "Lambda_im", "B": "B", "C": "C", "D": "D"})
        log_decay_N = torch.log(-authors("Lambda_re", self.state_size))
        return same | {"log_decay": log_decay_N, "log_dt": authors("log_step", self.state_size, 1)[:, 0]}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "state_size": trial.suggest_categorical("state_size", [16, 32, 64]),
            "dt_min": trial.suggest_categorical("dt_min", [1e-3, 1e-2]),  # the tasks are shorter than the authors'
            "blocks": trial.suggest_categorical("blocks", [1, 4]),
            "c_init": trial.suggest_categorical("c_init", ["trunc_standard_normal", "lecun_normal"]),
        }


def blockwise_eigen(state_size: int, blocks: int, conj_sym: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (N,) and eigenvectors (P, N) of a block-diagonal matrix of equal HiPPO matrices."""
    eigenvalues, vectors = hippo_normal_eigen(state_size // blocks)
    if not conj_sym:
        eigenvalues = np.concatenate([eigenvalues.conj()[::-1], eigenvalues])
        vectors = np.concatenate([vectors.conj()[:, ::-1], vectors], axis=1)
    return np.tile(eigenvalues, blocks), np.kron(np.eye(blocks), vectors)


def initial_c(config: S5.Config, v_PN: Tensor) -> Tensor:
    """Return the initial C, (H, N) complex."""
    channels, states = config.hidden_size, config.state_size
    if config.c_init == "complex_normal":
        return torch.randn(channels, v_PN.shape[1], dtype=v_PN.dtype)
    fan_in = states if config.c_init == "trunc_standard_normal" else channels * states
    c_HP = torch.view_as_complex(truncated_normal(channels, states, 2, variance=1 / fan_in))
    return c_HP.to(v_PN.dtype) @ v_PN


def truncated_normal(*shape: int, variance: float) -> Tensor:
    """Return numbers of this variance from a normal distribution that is cut off at two standard deviations."""
    std = variance**0.5 / TRUNCATED
    return nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std)
