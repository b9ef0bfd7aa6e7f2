"""Gated DeltaNet: linear attention whose memory decays and is corrected by what it already holds for a key.

    q, k, v = SiLU(causal depthwise convolutions of W_q x, W_k x, W_v x, width `conv_size`), in heads
    q_t, k_t ← q_t / |q_t|, k_t / |k_t|
    β_t = σ(W_β x_t),    α_t = exp(−exp(A_log) softplus(W_α x_t + b_dt))              a number each for each head
    S_t = S_{t−1} α_t (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ,    o_t = S_t q_t / √d         (Yang et al. 2024, eq. 10, §3.4)
    y_t = W_o (RMSNorm(o_t) ⊙ SiLU(W_z x_t))                                          normalised in each head

The code keeps S transposed, (d, e). Settings give the relatives:
- `gate=False` is DeltaNet (Yang et al. 2024, arXiv 2406.06484): α = 1, and no SiLU(W_z x). Its authors' `expand_v`: 1.
- `negative_eigenvalues=True` doubles β, so that I − β k kᵀ has eigenvalues in [−1, 1] (Grazzi et al. 2024).
- `householders=n` is DeltaProduct (Siems et al. 2025): n keys, values and β a step, which write one after another, and
  a single decay and read. It always has SiLU(W_z x), and its authors set `negative_eigenvalues=True`.

Shapes: B batch, T time, D input, H output, N heads, d key size, e value size, n writes a step, E channels of the
convolution, K its width. State: N d e + (K − 1) E numbers a sequence. Time O(T (H E + N C (d + e) + N d e)) in chunks
of C steps, whose states alone are stored. In single precision on a CPU, a compiled loop over time replaces them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.recurrences.delta_rule import gated_delta_rule
from models.recurrences.head_norm import HeadNorm, unit
from models.recurrences.short_conv import ShortConv
from models.recurrences.state_space import step_size_bias
from models.recurrences.stepwise import full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, final_step
from models.shared.linear import Linear, linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor]  # S_BNde, the last K − 1 inputs of the convolution (B, K − 1, E)

DT_MIN, DT_MAX = 1e-3, 1e-1  # the range in which softplus(b_dt) starts, as in fla/layers/gated_deltanet.py
LARGEST_RATE = 16.0  # exp(A_log) starts uniform up to it
EPSILON = 1e-6  # of the keys' and queries' norm
KEY_SHARE = 0.75  # the authors' keys of all heads, N d, as a share of the width


class GatedDeltaNet(SequenceModel):
    """The gated delta rule with its convolution, norm and output gate."""

    paper = Paper("Gated Delta Networks: Improving Mamba2 with Delta Rule", 2024, "https://arxiv.org/abs/2412.06464")
    display_name = "Gated DeltaNet"
    family = "linear attention and delta rule"
    wrapper = "residual"
    golden = (
        "deltanet",
        "deltanet_init",
        "deltanet_neg",
        "deltaproduct2",
        "gated_deltanet",
        "gated_deltanet_init",
        "gated_deltanet_neg",
        "gated_deltaproduct2",
        "gated_deltaproduct2_init",
    )
    deviations = {
        "head size": (
            "16 by default and 8 in a tier, where the authors have 256: a width of 20 to 100 would not hold one of "
            "their heads. The heads together have three quarters of the width, as theirs."
        ),
        "start": (
            "That of the authors' layer by itself. Their language models draw every linear map and convolution again "
            "with a standard deviation of 0.02, which suits their width of 2,048."
        ),
        "decay": "At its strongest exp(−30) a step, which rounds to zero beside any number that is written.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (fla/layers/gated_deltanet.py), except the width and the size of a head."""

        units = ("hidden_size", "head_size")
        hidden_size: int = 128
        head_size: int = 16
        """d, the size of a key."""
        num_heads: int | None = None
        """N. None means as many as have three quarters of the width together, and at least one."""
        expand_v: int = 2
        """The size of a value for that of a key, e/d."""
        conv_size: int = 4
        """K, the inputs that an output of the convolution sees."""
        gate: bool = True
        """Let S decay. Without it and with one write a step, there is no output gate either."""
        negative_eigenvalues: bool = False
        """Let β reach 2, so that a write can turn the sign of what a key holds."""
        householders: int = 1
        """n, the writes of a step."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "head_size", "expand_v", "conv_size", "householders")
            if self.num_heads is not None:
                self.require_positive("num_heads")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, head_size=8)

        @property
        def heads(self) -> int:
            return self.num_heads or max(1, round(KEY_SHARE * self.hidden_size / self.head_size))

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.heads, self.head_size = config.hidden_size, config.heads, config.head_size
        self.value_size, self.writes = config.expand_v * config.head_size, config.householders
        self.beta_scale = 2 if config.negative_eigenvalues else 1
        keys, values = self.heads * self.head_size, self.heads * self.value_size
        self.sizes = [keys, keys * self.writes, values * self.writes]  # of q, k and v
        self.gate_sizes = [
            values if config.gate or self.writes > 1 else 0,
            self.heads * self.writes,
            self.heads if config.gate else 0,
        ]  # of z, β and α
        self.qkv = Linear(self.input_size, sum(self.sizes), bias=False)
        self.conv = ShortConv(sum(self.sizes), config.conv_size, silu=True, bias=False)
        self.gates = Linear(self.input_size, sum(self.gate_sizes), bias=False)
        self.norm = HeadNorm(self.value_size, divisor=config.head_size**0.5)
        self.leave = Linear(values, self.output_size, bias=False)
        if config.gate:
            self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(0, LARGEST_RATE).clamp(min=1e-4).log())
            self.dt_bias = nn.Parameter(step_size_bias(self.heads, DT_MIN, DT_MAX))

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.read_out(self.remembered(x_BTD), x_BTD)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.read_out(*(final_step(each, lengths_B) for each in (self.remembered(x_BTD), x_BTD)))

    def remembered(self, x_BTD: Tensor) -> Tensor:
        """Return o √d, (B, T, N, e)."""
        q_BTNd, k_BTnNd, v_BTnNe = self.split_heads(self.conv(self.qkv(x_BTD)))
        beta_BTn, log_decay_BTN = self.rates(x_BTD)
        with full_precision(x_BTD):
            beta_BTnN = beta_BTn.unflatten(-1, (self.writes, self.heads))
            writes = [each.flatten(1, 2) for each in (k_BTnNd, v_BTnNe, beta_BTnN)]
            return gated_delta_rule(q_BTNd, writes[0], writes[1], writes[2], log_decay_BTN)

    def read_out(self, o_Ne: Tensor, x_D: Tensor) -> Tensor:
        """Return y, (…, H), from any steps' o √d and input."""
        z_V = linear(x_D, self.gates.weight[: self.gate_sizes[0]]) if self.gate_sizes[0] else None
        y_H: Tensor = self.leave(self.norm(o_Ne, z_V))
        return y_H

    def split_heads(self, qkv_E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (…, N, d) and the keys (…, n, N, d), both of length 1, and the values (…, n, N, e)."""
        q_K, k_K, v_V = qkv_E.to(self.leave.weight.dtype).split(self.sizes, dim=-1)
        q_Nd = unit(q_K.unflatten(-1, (self.heads, self.head_size)), EPSILON)
        k_nNd = unit(k_K.unflatten(-1, (self.writes, self.heads, self.head_size)), EPSILON)
        return q_Nd, k_nNd, v_V.unflatten(-1, (self.writes, self.heads, self.value_size))

    def rates(self, x_D: Tensor) -> tuple[Tensor, Tensor]:
        """Return β (…, n N) and log α (…, N)."""
        rates = linear(x_D, self.gates.weight[self.gate_sizes[0] :]).to(self.leave.weight.dtype)
        beta_n, alpha_N = rates.split(self.gate_sizes[1:], dim=-1)
        beta_n = self.beta_scale * torch.sigmoid(beta_n)
        if not self.gate_sizes[2]:
            return beta_n, beta_n.new_zeros(*x_D.shape[:-1], self.heads)
        return beta_n, -self.A_log.exp() * F.softplus(alpha_N + self.dt_bias)

    def initial_state(self, batch_size: int) -> State:
        s_BNde = self.leave.weight.new_zeros(batch_size, self.heads, self.head_size, self.value_size)
        return s_BNde, self.conv.window(batch_size)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        s_BNde, window_BKE = state
        qkv_BE, window_BKE = self.conv.step(self.qkv(x_BD), window_BKE)
        q_BNd, k_BnNd, v_BnNe = self.split_heads(qkv_BE)
        beta_Bn, log_decay_BN = self.rates(x_BD)
        beta_BnN1 = beta_Bn.unflatten(-1, (self.writes, self.heads)).unsqueeze(-1)
        with full_precision(x_BD):
            s_BNde = log_decay_BN.exp()[..., None, None] * s_BNde
            for k_BNd, v_BNe, beta_BN1 in zip(k_BnNd.unbind(1), v_BnNe.unbind(1), beta_BnN1.unbind(1), strict=True):
                error_BNe = v_BNe - (k_BNd.unsqueeze(-2) @ s_BNde).squeeze(-2)
                s_BNde = s_BNde + k_BNd.unsqueeze(-1) * (beta_BN1 * error_BNe).unsqueeze(-2)
            o_BNe = (q_BNd.unsqueeze(-2) @ s_BNde).squeeze(-2)
        return self.read_out(o_BNe, x_BD), (s_BNde, window_BKE)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.A_log, self.dt_bias], "weight_decay": 0.0}] if self.gate_sizes[2] else []

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        convolved = dict(zip("qkv", self.sizes, strict=True))
        gates = {name: size for name, size in zip("gba", self.gate_sizes, strict=True) if size}
        filters = [
            authors(f"{name}_conv1d.weight", size, 1, *self.conv.kernel_size) for name, size in convolved.items()
        ]
        names = {"norm.weight": "o_norm.weight", "leave.weight": "o_proj.weight"}
        names |= {"A_log": "A_log", "dt_bias": "dt_bias"} if "a" in gates else {}
        return authors.renamed(self, names) | {
            "qkv.weight": self.stacked(authors, convolved),
            "gates.weight": self.stacked(authors, gates),
            "conv.weight": torch.cat(filters),
        }

    def stacked(self, authors: AuthorsWeights, sizes: dict[str, int]) -> Tensor:
        """Return the authors' maps of the input, one below the other, by their letters and sizes."""
        return torch.cat([authors(f"{name}_proj.weight", size, self.input_size) for name, size in sizes.items()])

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "head_size": trial.suggest_categorical("head_size", [8, 16]),
            "expand_v": trial.suggest_categorical("expand_v", [1, 2]),
            "negative_eigenvalues": trial.suggest_categorical("negative_eigenvalues", [False, True]),
        }
