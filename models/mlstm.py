"""mLSTM: an LSTM whose memory is a matrix and whose input gate is an exponential, in the layer of xLSTM.

    i_t = exp(ĩ_t),    f_t = σ(f̃_t),    ĩ_t and f̃_t linear in [q_t; k_t; v_t], one number for each head
    C_t = f_t C_{t−1} + i_t v_t k_tᵀ / √d,    n_t = f_t n_{t−1} + i_t k_t / √d
    h̃_t = C_t q_t / max(|n_t · q_t|, 1)                                    (Beck et al. 2024, §2.3)

In range only with a stabiliser m_t = max(log f_t + m_{t−1}, ĩ_t): all of C, n and the 1 are kept divided by exp(m_t).
The layer around this cell (appendix, Figure 11):

    x_t, z_t = W_up u_t                                                    I channels each
    c_t = SiLU(causal depthwise convolution of x, width K)
    q_t = W_q c_t,  k_t = W_k c_t,  v_t = W_v x_t                          block-diagonal, in blocks of `block_size`
    y_t = W_down ((LN(h̃_t) + s ⊙ c_t) ⊙ SiLU(z_t))                         LN within each head; s is learned

Within a chunk, step i reads step j ≤ i with the weight exp(ĩ_j + Σ_{j<s≤i} log f_s − m_i). A chunk reads those before
it through the memory at its start. In single precision on a CPU, a compiled loop over time replaces the chunks.

Shapes: B batch, T time, D input, H output, I inner channels, N heads, d = I/N their size, K convolution width, P chunks
of C steps; e is d + 1, where the last column is n. State: I (d + 1) + N + I (K − 1) numbers a sequence.
Time O(T I (D + H + d + C)).
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled
from models.recurrences.block_diagonal import BlockDiagonal
from models.recurrences.chunks import cut
from models.recurrences.scan import linear_scan
from models.recurrences.short_conv import ShortConv
from models.recurrences.stepwise import full_precision
from models.recurrences.xlstm import HeadLayerNorm, small_start
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, final_step
from models.shared.linear import Linear, linear

if TYPE_CHECKING:
    from optuna import Trial

Memory = tuple[Tensor, Tensor]  # C and n as one matrix (B, N, d, e), m (B, N)
State = tuple[Tensor, Tensor, Tensor]  # a Memory, the last K − 1 inputs of the convolution (B, K − 1, I)

CHUNK = 32  # the least C. With C = d, the memories of all chunks have no more numbers than q, k and v
EPSILON = 1e-6  # what the authors add to the divisor
EMPTY = -1e30  # m of a memory in which nothing is stored
LARGEST = 80.0  # exp of more has no room in float32


class MatrixMemory(nn.Module):
    """The cell: a memory for each head, read and written at every step; and LN, for the reader of h̃ to apply.

    Args:
        size: I, a multiple of `heads`.
        heads: N.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, size // heads
        self.gates = nn.Linear(3 * size, 2 * heads)  # ĩ first
        self.norm = HeadLayerNorm(size, heads)
        nn.init.zeros_(self.gates.weight)
        with torch.no_grad():
            self.gates.bias.copy_(torch.cat([0.1 * torch.randn(heads), torch.linspace(3.0, 6.0, heads)]))

    def forward(self, q_BTI: Tensor, k_BTI: Tensor, v_BTI: Tensor) -> Tensor:
        """Return h̃, (B, T, I)."""
        steps = q_BTI.shape[1]
        given = *self.in_heads(q_BTI, k_BTI, v_BTI), *self.gates_of(q_BTI, k_BTI, v_BTI)
        with full_precision(q_BTI):
            size = min(max(CHUNK, self.head_size), steps)
            h_BTNd = read_in_chunks(*(cut(each, size).transpose(2, 3) for each in given))[:, :steps]
            return h_BTNd.flatten(2)

    def gates_of(self, *qkv_I: Tensor) -> tuple[Tensor, Tensor]:
        """Return ĩ and log f, (…, N) each. Their input is never laid side by side."""
        parts = self.gates.weight.chunk(3, dim=1)
        from_q, from_k, from_v = (linear(each, part) for each, part in zip(qkv_I, parts, strict=True))
        both = from_q + from_k + from_v + self.gates.bias
        write, keep = both.to(self.gates.bias.dtype).chunk(2, dim=-1)
        return write, F.logsigmoid(keep)

    def in_heads(self, q_I: Tensor, k_I: Tensor, v_I: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k/√d (…, N, d), and v with a 1 behind it (…, N, e), so that n is a column of C."""
        dtype = self.gates.bias.dtype
        q, k, v = (each.to(dtype).unflatten(-1, (self.heads, self.head_size)) for each in (q_I, k_I, v_I))
        return q, k * self.head_size**-0.5, F.pad(v, (0, 1), value=1.0)

    def initial_state(self, batch_size: int) -> Memory:
        zeros_BN = self.gates.bias.new_zeros(batch_size, self.heads)
        return zeros_BN.new_zeros(*zeros_BN.shape, self.head_size, self.head_size + 1), zeros_BN + EMPTY

    def step(self, q_BI: Tensor, k_BI: Tensor, v_BI: Tensor, state: Memory) -> tuple[Tensor, Memory]:
        """Return h̃ of one step, (B, I), and the next memory."""
        (q_BNd, k_BNd, v_BNe), (write_BN, keep_BN) = self.in_heads(q_BI, k_BI, v_BI), self.gates_of(q_BI, k_BI, v_BI)
        with full_precision(q_BI):
            memory_BNde, m_BN = state
            next_BN = torch.maximum(keep_BN + m_BN, write_BN)
            kept_BN11 = (keep_BN + m_BN - next_BN).exp()[..., None, None]
            written_BN1 = (write_BN - next_BN).exp().unsqueeze(-1)
            memory_BNde = kept_BN11 * memory_BNde + (written_BN1 * k_BNd).unsqueeze(-1) * v_BNe.unsqueeze(-2)
            read_BNe = (q_BNd.unsqueeze(-2) @ memory_BNde).squeeze(-2)
            h_BNd = divided(read_BNe, next_BN, torch.full_like(next_BN, EPSILON))
            return h_BNd.flatten(1), (memory_BNde, next_BN)


def read_in_chunks(q_BPNCd: Tensor, k_BPNCd: Tensor, v_BPNCe: Tensor, write_BPNC: Tensor, keep_BPNC: Tensor) -> Tensor:
    """Return h̃, (B, P C, N, d), from ĩ and log f.

    Let F_i be the sum of log f from the chunk's first step to i, g_j = ĩ_j − F_j and top_i = m_i − F_i. The weight of
    step j at step i is exp(g_j − top_i). That of the memory at the chunk's start, where m is `start`, is
    exp(start − top_i).
    """
    total_BPNC = keep_BPNC.cumsum(-1)
    g_BPNC = write_BPNC - total_BPNC
    exact_BPNC = running_top(g_BPNC, total_BPNC)
    # What all is divided by cancels in h̃ but for ε. So only ε needs the gradient of the maximum.
    top_BPNC = exact_BPNC.detach()
    m_BPNC = top_BPNC + total_BPNC
    start_BPN1 = torch.cat([torch.full_like(m_BPNC[:, :1, :, -1:], EMPTY), m_BPNC[:, :-1, :, -1:]], dim=1)
    weight_BPNCC = (q_BPNCd @ k_BPNCd.mT) * (g_BPNC.unsqueeze(-2) - top_BPNC.unsqueeze(-1) + unseen(g_BPNC)).exp()
    memory_BPNde = memories(k_BPNCd, v_BPNCe, g_BPNC - top_BPNC[..., -1:], start_BPN1 - top_BPNC[..., -1:])
    from_start_BPNCd = q_BPNCd * (start_BPN1 - top_BPNC).exp().unsqueeze(-1)
    read_BPNCe = weight_BPNCC @ v_BPNCe + from_start_BPNCd @ memory_BPNde
    epsilon_BPNC = EPSILON * (exact_BPNC - top_BPNC).exp()
    return divided(read_BPNCe, m_BPNC, epsilon_BPNC).transpose(2, 3).flatten(1, 2)


def running_top(g_BPNC: Tensor, total_BPNC: Tensor) -> Tensor:
    """Return m_i − F_i of every step: the largest g up to it in its chunk or, where larger, m at the chunk's start."""
    local_BPNC = g_BPNC.cummax(-1).values
    tops, start_BN1 = [], torch.full_like(local_BPNC[:, 0, :, :1], EMPTY)
    for local_BNC, total_BNC in zip(local_BPNC.unbind(1), total_BPNC.unbind(1), strict=True):
        tops.append(torch.maximum(local_BNC, start_BN1))
        start_BN1 = tops[-1][..., -1:] + total_BNC[..., -1:]
    return torch.stack(tops, dim=1)


def unseen(g_BPNC: Tensor) -> Tensor:
    """Return what is added to the exponents of a chunk, (C, C): a step reads no later one."""
    steps = g_BPNC.shape[-1]
    return g_BPNC.new_full((steps, steps), EMPTY).triu(1)


def memories(k_BPNCd: Tensor, v_BPNCe: Tensor, written_BPNC: Tensor, kept_BPN1: Tensor) -> Tensor:
    """Return the memory at the start of every chunk, (B, P, N, d, e).

    Args:
        written_BPNC: the logarithm of the weight of each step at the end of its chunk.
        kept_BPN1: that of the memory at the chunk's start.
    """
    added_BPNde = (k_BPNCd * written_BPNC.exp().unsqueeze(-1)).mT @ v_BPNCe
    after_BPNde = linear_scan(kept_BPN1.exp().unsqueeze(-1), added_BPNde)
    return torch.cat([torch.zeros_like(after_BPNde[:, :1]), after_BPNde[:, :-1]], dim=1)


def divided(read_e: Tensor, m: Tensor, epsilon: Tensor) -> Tensor:
    """Return h̃, (…, d), from C q and n · q, (…, e), both divided by exp(m), (…)."""
    h_d, n = read_e[..., :-1], read_e[..., -1]
    one = (-m).clamp(max=LARGEST).exp()
    return h_d / (torch.maximum(n.abs(), one) + epsilon).unsqueeze(-1)


class MLSTM(SequenceModel):
    """The mLSTM layer of xLSTM."""

    paper = Paper("xLSTM: Extended Long Short-Term Memory", 2024, "https://arxiv.org/abs/2405.04517")
    family = "linear attention and delta rule"
    wrapper = "residual"
    display_name = "mLSTM"
    golden = ("mlstm", "mlstm_cell", "mlstm_init")
    deviations = {
        "step": (
            "m starts at −∞, as in the authors' parallel form, which they train with. Their step starts it at 0. The "
            "two differ by 2e-7, through the ε in the divisor."
        ),
        "inner width": (
            "At a tier, it is a multiple of 4. The authors' multiple of 64 would leave 10,000 numbers a choice of one "
            "inner width."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (NX-AI/xlstm), except the width, which is our residual wrapper's."""

        units = ("hidden_size",)
        hidden_size: int = 128
        expansion: float = 2.0
        """I / H, before I is rounded up."""
        multiple: int = 64
        """I is a multiple of this."""
        heads: int = 4
        """N."""
        block_size: int = 4
        """The channels of a block of W_q, W_k and W_v."""
        conv_size: int = 4
        """K, the inputs that an output of the convolution sees."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "expansion", "multiple", "heads", "block_size", "conv_size")
            for name in ("heads", "block_size"):
                if self.inner_size % getattr(self, name):
                    raise ValueError(f"{name}={getattr(self, name)} must divide the inner width {self.inner_size}")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return two heads: with four, a small budget would have heads of less than 16."""
            return cls(hidden_size=width, multiple=4, heads=2)

        @property
        def inner_size(self) -> int:
            """I."""
            return self.multiple * ceil(round(self.expansion * self.hidden_size) / self.multiple)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.inner_size = config.hidden_size, config.inner_size
        inner, blocks, std = self.inner_size, self.inner_size // config.block_size, small_start(config.hidden_size)
        self.enter = Linear(self.input_size, 2 * inner, bias=False)
        self.conv = ShortConv(inner, config.conv_size, silu=True)
        self.query, self.key, self.value = (BlockDiagonal(inner, blocks, std=std) for _ in range(3))
        self.cell = MatrixMemory(inner, config.heads)
        self.skip = nn.Parameter(torch.ones(inner))
        self.leave = Linear(inner, config.hidden_size, bias=False)
        nn.init.normal_(self.enter.weight, std=small_start(self.input_size))
        nn.init.normal_(self.leave.weight, std=2 / self.layers / config.hidden_size**0.5)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.read_out(*self.remembered(x_BTD), x_BTD)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.read_out(*(final_step(each, lengths_B) for each in (*self.remembered(x_BTD), x_BTD)))

    def remembered(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return h̃ and c, (B, T, I)."""
        x_BTI = linear(x_BTD, self.enter.weight[: self.inner_size])
        c_BTI = self.conv(x_BTI)
        if not runs_compiled(c_BTI):
            return self.cell(self.query(c_BTI), self.key(c_BTI), self.value(x_BTI)), c_BTI
        from models.kernels.cpu.mlstm import Memory  # numba takes a second to import

        maps, gates = (self.query.weight, self.key.weight, self.value.weight), self.cell.gates
        return Memory.apply(c_BTI, x_BTI, *maps, gates.weight, gates.bias, EPSILON), c_BTI

    def read_out(self, h_I: Tensor, c_I: Tensor, x_D: Tensor) -> Tensor:
        """Return y, (…, H), of any steps' h̃, c and input."""
        z_I = linear(x_D, self.enter.weight[self.inner_size :])
        y_H: Tensor = self.leave(torch.addcmul(self.cell.norm(h_I), self.skip, c_I) * F.silu(z_I))
        return y_H

    def initial_state(self, batch_size: int) -> State:
        return *self.cell.initial_state(batch_size), self.conv.window(batch_size)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        memory_BNde, m_BN, window_BKI = state
        x_BI = linear(x_BD, self.enter.weight[: self.inner_size])
        c_BI, window_BKI = self.conv.step(x_BI, window_BKI)
        q_BI, k_BI, v_BI = self.query(c_BI), self.key(c_BI), self.value(x_BI)
        h_BI, (memory_BNde, m_BN) = self.cell.step(q_BI, k_BI, v_BI, (memory_BNde, m_BN))
        return self.read_out(h_BI, c_BI, x_BD), (memory_BNde, m_BN, window_BKI)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return what the authors spare from weight decay: biases, the norm and the skip."""
        spared = [self.conv.bias, self.cell.gates.bias, self.cell.norm.scale, self.skip]
        return [{"params": spared, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        return authors.renamed(self, AUTHORS_NAMES) | {
            f"cell.{name}": values for name, values in cell_from_authors(authors, self.cell, "mlstm_cell.").items()
        }

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "heads": trial.suggest_categorical("heads", [1, 2, 4]),  # of their formal languages: 1; of the rest: 4
            "expansion": trial.suggest_categorical("expansion", [1.0, 2.0]),
        }


AUTHORS_NAMES = {
    "skip": "learnable_skip",
    "enter.weight": "proj_up.weight",
    "query.weight": "q_proj.weight",
    "key.weight": "k_proj.weight",
    "value.weight": "v_proj.weight",
    "conv.weight": "conv1d.conv.weight",
    "conv.bias": "conv1d.conv.bias",
    "leave.weight": "proj_down.weight",
}
"""The name of each parameter in xlstm/blocks/mlstm/layer.py of NX-AI/xlstm."""


def cell_from_authors(authors: AuthorsWeights, cell: MatrixMemory, prefix: str) -> dict[str, Tensor]:
    """Return a cell's parameters from those of the authors' cell, whose names begin with `prefix`."""
    size, heads = len(cell.norm.scale), cell.heads
    gates = [f"{prefix}{gate}." for gate in ("igate", "fgate")]
    return {
        "gates.weight": torch.cat([authors(f"{gate}weight", heads, 3 * size) for gate in gates]),
        "gates.bias": torch.cat([authors(f"{gate}bias", heads) for gate in gates]),
        "norm.scale": 1 + authors(f"{prefix}outnorm.weight", size),
    }
