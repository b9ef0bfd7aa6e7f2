"""SLiCE: a linear controlled differential equation whose matrix is structured and depends on the input.

    dh_s = Σ_i A^i h_s dω^i_s,    ω the path of the inputs and of time                    (Walker et al. 2025, §3)
    h_0 = W x_0 + b,    h_t = h_{t−1} + A(δ [1, x_t]) h_{t−1},    A(ω) = Σ_i ω_i A^i      an Euler step of size δ

The input enters through the matrix and h_0 alone. The structure of A is one of

    block      b × b blocks along the diagonal, the paper's own proposal; 1 × 1 is the diagonal that Mamba has
    dense      one block of H × H
    dplr       diag(a(ω)) + U(ω) V(ω)ᵀ of rank r
    hadamard   the Walsh–Hadamard matrix / √H times diag(Σ_i ω_i tanh(A^i))

The A^i start normal with standard deviation σ/√b, U and V with σ/√r, W and the bias with σ. As in the authors' code, a
step changes a number by κ tanh(change/κ) with κ = 10¹¹, which keeps a diverging state finite.

Shapes: B batch, T time, D input, H state and output, G blocks of b numbers, C = D + 1 channels of ω, K columns.
State: H numbers a sequence. Time O(T H b (D + b)) for blocks, O(T H² (D + H)) for the other structures, depth O(log T)
within chunks of time. On a CPU, a compiled loop over time takes O(T H b) after the matrices are made.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.kernels.backend import runs_compiled
from models.recurrences.stepwise import full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, computed
from models.shared.linear import linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor]  # h_BH, whether there was a step before: (B,), boolean

CHUNK = 16  # steps whose matrices are multiplied with one another. Products of more could overflow in float32
LIMIT = 1e11  # κ
LARGEST_BLOCK = 4  # of the search space


class SLiCE(SequenceModel):
    """The structured linear controlled differential equation."""

    paper = Paper(
        "Structured Linear CDEs: Maximally Expressive and Parallel-in-Time Sequence Models",
        2025,
        "https://arxiv.org/abs/2505.17761",
    )
    display_name = "SLiCE"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = (
        "slice_block",
        "slice_block_init",
        "slice_dense",
        "slice_diag",
        "slice_dplr",
        "slice_residual_block",
        "slice_wh",
    )
    deviations = {
        "overflow": (
            "Each step's change passes κ tanh(·/κ), as in the authors' code, in the compiled loop and in `step` only. "
            "Where steps are computed in parallel they have to be linear, so a state is clipped at ±κ instead."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The width, the block's size and δ are those of the authors' experiments (experiment_configs)."""

        units = ("hidden_size",)
        hidden_size: int = 128
        structure: Literal["block", "dense", "dplr", "hadamard"] = "block"
        block_size: int = 4
        """b, of the structure "block", where it has to divide the width."""
        rank: int = 2
        """r, of the structure "dplr"."""
        init_std: float = 1.0
        """σ. The authors use ½ and 1."""
        step_size: float = 1 / 40
        """δ."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "block_size", "rank", "init_std", "step_size")
            self.require_one_of("structure", "block", "dense", "dplr", "hadamard")
            if self.structure == "block" and self.hidden_size % self.block_size:
                raise ValueError(f"block_size={self.block_size} must divide hidden_size={self.hidden_size}")
            if self.structure == "hadamard" and self.hidden_size & (self.hidden_size - 1):
                raise ValueError(f"hidden_size={self.hidden_size} must be a power of two with structure='hadamard'")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return a width that every block of the search space divides."""
            return cls(hidden_size=LARGEST_BLOCK * max(1, round(width / LARGEST_BLOCK)))

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        hidden, std = config.hidden_size, config.init_std
        self.output_size, self.structure, self.step_size = hidden, config.structure, config.step_size
        stored = {"block": config.block_size, "dense": hidden}.get(config.structure, 1)
        self.block_size = stored if config.structure == "block" else hidden
        self.initial = nn.Linear(self.input_size, hidden)
        for parameter in self.initial.parameters():
            nn.init.normal_(parameter, std=std)
        self.A = self.field(hidden * stored, std / stored**0.5)
        if config.structure == "dplr":
            self.U, self.V = (self.field(hidden * config.rank, std / config.rank**0.5) for _ in "UV")
        if config.structure == "hadamard":
            signs_HH = computed((hidden, hidden), lambda: sylvester(hidden))
            self.register_buffer("signs_HH", signs_HH, persistent=False)

    def field(self, columns: int, std: float) -> nn.Parameter:
        """Return the numbers of each channel of ω, (C, K), time first."""
        return nn.Parameter(std * torch.randn(1 + self.input_size, columns))

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        with full_precision(x_BTD):
            x_BTD = x_BTD.to(self.A.dtype)
            outputs = [self.initial(x_BTD[:, :1])]
            for x_BCD in x_BTD[:, 1:].split(self.chunk(x_BTD), dim=1):
                outputs.append(self.chunk_states(x_BCD, outputs[-1][:, -1]))
            return torch.cat(outputs, dim=1)

    def chunk(self, x_BTD: Tensor) -> int:
        """Return how many steps to take at once: all where a compiled loop does and the blocks are small."""
        return x_BTD.shape[1] if self.structure == "block" and runs_compiled(x_BTD) else CHUNK

    def chunk_states(self, x_BCD: Tensor, h_BH: Tensor) -> Tensor:
        """Return h of every step of a chunk, (B, steps, H). The backward pass makes H × H matrices again."""
        if self.structure == "block":
            return self.states(x_BCD, h_BH)
        h_BCH: Tensor = checkpoint(self.states, x_BCD, h_BH, use_reentrant=False)
        return h_BCH

    def states(self, x_BTD: Tensor, h_BH: Tensor) -> Tensor:
        a_BTGbb, h_BGb = self.matrix(x_BTD), h_BH.unflatten(-1, (-1, self.block_size))
        if not runs_compiled(a_BTGbb, h_BGb):
            return in_pairs(a_BTGbb + self.identity(), h_BGb.unsqueeze(-1)).flatten(2)
        from models.kernels.cpu.blocks import BlockStates  # numba takes a second to import

        h_BTGb: Tensor = BlockStates.apply(a_BTGbb, h_BGb)
        return h_BTGb.flatten(2)

    def matrix(self, x_D: Tensor) -> Tensor:
        """Return A(δ [1, x]), (…, G, b, b)."""
        if self.structure == "hadamard":
            diagonal_1H = self.control(x_D, self.A.tanh()).unsqueeze(-2) / self.output_size**0.5
            return (self.signs_HH * diagonal_1H).unsqueeze(-3)
        a_K = self.control(x_D, self.A)
        if self.structure != "dplr":
            return a_K.unflatten(-1, (-1, self.block_size, self.block_size))
        u_HR, v_HR = (self.control(x_D, field).unflatten(-1, (self.output_size, -1)) for field in (self.U, self.V))
        return (torch.diag_embed(a_K) + u_HR @ v_HR.mT).unsqueeze(-3)

    def control(self, x_D: Tensor, field_CK: Tensor) -> Tensor:
        """Return Σ_i ω_i A^i for ω = δ [1, x], (…, K)."""
        time_K, inputs_DK = (self.step_size * field_CK).tensor_split([1])
        return linear(x_D, inputs_DK.T, time_K[0])

    def identity(self) -> Tensor:
        return torch.eye(self.block_size, device=self.A.device, dtype=self.A.dtype)

    def initial_state(self, batch_size: int) -> State:
        h_BH = self.A.new_zeros(batch_size, self.output_size)
        return h_BH, torch.zeros(batch_size, dtype=torch.bool, device=h_BH.device)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, started_B = state
        with full_precision(x_BD):
            x_BD = x_BD.to(h_BH.dtype)
            change_BGb1 = self.matrix(x_BD) @ h_BH.unflatten(-1, (-1, self.block_size)).unsqueeze(-1)
            moved_BH = h_BH + LIMIT * torch.tanh(change_BGb1.flatten(1) / LIMIT)
            h_BH = torch.where(started_B.unsqueeze(-1), moved_BH, self.initial(x_BD))
        return h_BH, (h_BH, torch.ones_like(started_B))

    def facts(self) -> dict[str, str]:
        return {"states": "numba" if runs_compiled(self.A) else "torch"}

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        names = {"initial.weight": "init_layer.weight", "initial.bias": "init_layer.bias"}
        if self.structure == "dense":
            dense_CK = authors("vf_A.weight", *self.A.shape[::-1]).T
            return authors.renamed(self, names) | {"A": dense_CK}
        low_rank = {"U": "vf_A_u", "V": "vf_A_v"} if self.structure == "dplr" else {}
        return authors.renamed(self, names | {"A": "vf_A"} | low_rank)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "block_size": trial.suggest_categorical("block_size", [1, 2, LARGEST_BLOCK]),
            "init_std": trial.suggest_categorical("init_std", [0.5, 1.0]),
        }


def in_pairs(m_BTGbb: Tensor, h_BGb1: Tensor) -> Tensor:
    """Return M_t … M_1 h for every step, (B, T, G, b, 1). A pair of steps is one step of a recurrence of half as many.

    Only pairs are multiplied with one another. The steps between follow from the states before them. A diverging state
    is clipped.
    """
    steps = m_BTGbb.shape[1]
    if steps <= 1:
        return (m_BTGbb @ h_BGb1.unsqueeze(1)).clamp(-LIMIT, LIMIT)
    pairs = in_pairs(m_BTGbb[:, 1::2] @ m_BTGbb[:, : steps - 1 : 2], h_BGb1)
    before = torch.cat([h_BGb1.unsqueeze(1), pairs], dim=1)[:, : (steps + 1) // 2]
    h_BTGb1 = m_BTGbb.new_empty(*m_BTGbb.shape[:-1], 1)
    h_BTGb1[:, ::2], h_BTGb1[:, 1::2] = (m_BTGbb[:, ::2] @ before).clamp(-LIMIT, LIMIT), pairs
    return h_BTGb1


def sylvester(order: int) -> Tensor:
    """Return the Walsh–Hadamard matrix of ±1 by Sylvester's construction. The order is a power of two."""
    matrix = torch.ones(1, 1)
    while len(matrix) < order:
        matrix = torch.cat([torch.cat([matrix, matrix], dim=1), torch.cat([matrix, -matrix], dim=1)])
    return matrix
