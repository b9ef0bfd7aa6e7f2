"""GLA: gated linear attention, whose matrix state decays by gates that depend on the input.

    q_t, k_t, v_t = W_q x_t, W_k x_t, W_v x_t                                         in heads
    α_t = σ(W_2 (W_1 x_t) + b)^{1/τ}                                                  one for each row of the state
    S_t = diag(α_t) S_{t−1} + k_t v_tᵀ,    o_t = S_tᵀ q_t / √d                        (Yang et al. 2024, §4.4, eq. 3–5)
    y_t = W_o (RMSNorm(o_t) ⊙ SiLU(W_z x_t))                                          normalised in each head

τ is 16, and W_1 leads to few numbers. Other values of `decay` give the relatives:
- "fixed" is RetNet (Sun et al. 2023): α = 1 − 2^{−5−h} in head h, and rotary positions turn q and k. Its authors'
  `expand_k` and `expand_v` are 1 and 2.
- "none" is linear attention (Katharopoulos et al. 2020): α = 1, φ = elu + 1 acts on q and k, o_t is divided by
  Σ_{s≤t} φ(q_t) · φ(k_s), and there is no SiLU(W_z x). Its `expand_k` and `expand_v` are 1.

Shapes: B batch, T time, D input, H output, N heads, d key size, e value size, R rank of the gates. State: N d e numbers
a sequence. Time O(T (H (d + e) N + N d e)), depth O(log T) over chunks of time, whose states alone are stored. In
single precision on a CPU, a compiled loop over time replaces them, and a compiled operator the whole of GLA.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import fuses
from models.recurrences.decayed_attention import decayed_attention
from models.recurrences.head_norm import HeadNorm
from models.recurrences.rotary import Rotate, rotations
from models.recurrences.stepwise import full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel
from models.shared.linear import Linear, affine, linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, ...]  # S (B, N, d, e), and the time (B,) where positions are rotary

TEMPERATURE = 16.0  # τ
EPSILON = 1e-10  # of linear attention's normaliser


class GLA(SequenceModel):
    """Gated linear attention with its norm and output gate."""

    paper = Paper(
        "Gated Linear Attention Transformers with Hardware-Efficient Training", 2024, "https://arxiv.org/abs/2312.06635"
    )
    display_name = "GLA"
    family = "linear attention and delta rule"
    wrapper = "residual"
    golden = ("gla", "gla_init", "linear_attn", "retnet", "retnet_init")
    deviations = {
        "head size": (
            "Values of 16 in a head of a tier, where the authors have 256 and more: a width of 20 to 100 would not "
            "hold one of their heads. The rank of the gates shrinks with the width too."
        ),
        "start": (
            "That of the authors' layer by itself. Their language models draw every linear map again with a standard "
            "deviation of 0.02, which suits their width of 1,024 and more."
        ),
        "RetNet": "As in fla-org/flash-linear-attention: RMSNorm for the paper's GroupNorm, rotary positions for xPos.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' four heads (fla/layers/gla.py) at our residual wrapper's width."""

        units = ("hidden_size", "head_size")
        hidden_size: int = 128
        head_size: int = 32
        """e, the size of a value. There are as many heads as have `expand_v` widths together, and at least one."""
        expand_k: float = 0.5
        """The keys of all heads, N d, for the width."""
        expand_v: float = 1.0
        """The values of all heads, N e, for the width."""
        decay: Literal["gated", "fixed", "none"] = "gated"
        """What S keeps from step to step: a learned share, the same share always, or all."""
        gate_rank: int = 16
        """R, the numbers that the gates are computed from."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "head_size", "expand_k", "expand_v", "gate_rank")
            self.require_one_of("decay", "gated", "fixed", "none")
            multiple = 2 if self.decay == "fixed" else 1  # a rotation turns pairs
            size = self.head_size * self.expand_k / self.expand_v
            if size < 1 or size % multiple:
                raise ValueError(
                    f"head_size={self.head_size} × expand_k={self.expand_k} / expand_v={self.expand_v} is the size of "
                    f"a key and must be a positive multiple of {multiple}"
                )

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, head_size=16, gate_rank=min(16, max(2, width // 4)))

        @property
        def key_size(self) -> int:
            """d."""
            return int(self.head_size * self.expand_k / self.expand_v)

        @property
        def heads(self) -> int:
            return max(1, round(self.expand_v * self.hidden_size / self.head_size))

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.heads, self.decay = config.hidden_size, config.heads, config.decay
        self.key_size, self.value_size = config.key_size, config.head_size
        keys, values = self.heads * self.key_size, self.heads * self.value_size
        self.sizes = [keys, keys, values, 0 if config.decay == "none" else values]  # of q, k, v and z
        self.enter = Linear(self.input_size, sum(self.sizes), bias=False)
        self.norm = HeadNorm(self.value_size, divisor=1.0 if config.decay == "none" else self.key_size**0.5)
        self.leave = Linear(values, self.output_size, bias=False)
        if config.decay == "gated":
            self.gate = nn.Sequential(
                Linear(self.input_size, config.gate_rank, bias=False), Linear(config.gate_rank, keys)
            )

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if self.decay == "gated" and fuses(x_BTD, self.leave.weight):
            return self.fused(x_BTD)
        time_T = torch.arange(x_BTD.shape[1], device=x_BTD.device)
        q_BTNd, k_BTNd, v_BTNe, z_BTV = self.projected(x_BTD, time_T.unsqueeze(1))
        log_decay = self.log_decay(x_BTD)
        with full_precision(x_BTD):
            o_BTNe = decayed_attention(q_BTNd, k_BTNd, v_BTNe, log_decay)
        return self.leave(self.norm(self.normalised(o_BTNe), z_BTV))

    def fused(self, x_BTD: Tensor) -> Tensor:
        """Return all outputs by one compiled operator."""
        from models.kernels.cpu.gla import GatedAttention  # numba takes a second to import

        low, gate = cast(tuple[Linear, Linear], self.gate)
        maps, norm = (torch.cat([self.enter.weight, low.weight]), affine(gate)), self.norm
        y_BTH: Tensor = GatedAttention.apply(x_BTD, *maps, norm.weight, self.leave.weight, norm.epsilon, TEMPERATURE)
        return y_BTH

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return the last output. It is W_v of a sum of all x, weighted by k, q and what S keeps of each step."""
        if lengths_B is not None:
            return super().last(x_BTD, lengths_B)
        _, key_KD, value_VD, _ = self.enter.weight.split(self.sizes)
        end_1 = torch.tensor([x_BTD.shape[1] - 1], device=x_BTD.device)
        q_BNd, _, _, z_BV = self.projected(x_BTD[:, -1], end_1)
        sums_BND = self.weighted_inputs(x_BTD, q_BNd, key_KD)
        with full_precision(x_BTD):
            o_BNe = torch.einsum(
                "bnd,ned->bne", sums_BND[..., : self.input_size], value_VD.unflatten(0, (self.heads, -1))
            )
            # Linear attention has the sum of the weights beside it.
            o_BNe = torch.cat([o_BNe, sums_BND[..., self.input_size :]], dim=-1)
        y_BH: Tensor = self.leave(self.norm(self.normalised(o_BNe), z_BV))
        return y_BH

    def weighted_inputs(self, x_BTD: Tensor, q_BNd: Tensor, key_KD: Tensor) -> Tensor:
        """Return Σ_t w_t x_t, (B, N, D), and in linear attention Σ_t w_t as one more column."""
        if self.decay == "gated" and fuses(x_BTD, key_KD):
            from models.kernels.cpu.gla_last import WeightedInputs  # numba takes a second to import

            low, gate = cast(tuple[Linear, Linear], self.gate)
            maps = torch.cat([key_KD, low.weight]), affine(gate)
            sums_BND: Tensor = WeightedInputs.apply(x_BTD, q_BNd, *maps, TEMPERATURE)
            return sums_BND
        time_T1 = torch.arange(x_BTD.shape[1], device=x_BTD.device).unsqueeze(1)
        k_BTNd, log_decay = self.features(linear(x_BTD, key_KD), time_T1), self.log_decay(x_BTD)
        with full_precision(x_BTD):
            later_BTNd = log_decay[:, 1:].flip(1).cumsum(1).flip(1)
            kept_BTNd = F.pad(later_BTNd, (0, 0, 0, 0, 0, 1)).exp()
            weight_BTN = (q_BNd.unsqueeze(1) * kept_BTNd * k_BTNd).sum(-1)
            added = int(self.decay == "none")
            return weight_BTN.mT @ F.pad(x_BTD.to(weight_BTN.dtype), (0, added), value=1.0)

    def projected(self, x_D: Tensor, time_1: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return q, k (…, N, d), v (…, N, e), in full precision, and z (…, N e) or None.

        Args:
            time_1: the number of each step from 0, (…, 1), for rotary positions.
        """
        q_K, k_K, v_V, z_V = self.enter(x_D).split(self.sizes, dim=-1)
        v = v_V.to(self.leave.weight.dtype).unflatten(-1, (self.heads, -1))
        if self.decay == "none":  # a column of ones makes S the sum of k beside that of k vᵀ
            v = F.pad(v, (0, 1), value=1.0)
        return self.features(q_K, time_1), self.features(k_K, time_1), v, z_V if self.sizes[-1] else None

    def features(self, q_K: Tensor, time_1: Tensor) -> Tensor:
        """Return what is made of q or k, (…, N, d), in full precision."""
        q = q_K.to(self.leave.weight.dtype).unflatten(-1, (self.heads, -1))
        if self.decay == "none":
            return F.elu(q) + 1
        return q if self.decay == "gated" else Rotate.apply(q, *rotations(time_1, self.key_size, q.dtype))

    def log_decay(self, x_D: Tensor) -> Tensor:
        """Return log α, (…, N, d), or (…, N, 1) where it is the same for all rows of S."""
        if self.decay == "gated":
            gate_K = self.gate(x_D).to(self.leave.weight.dtype)
            return F.logsigmoid(gate_K.unflatten(-1, (self.heads, -1))) / TEMPERATURE
        log_N = self.leave.weight.new_zeros(self.heads)
        if self.decay == "fixed":
            log_N = torch.log1p(-torch.exp2(-5 - torch.arange(self.heads, device=log_N.device, dtype=log_N.dtype)))
        return log_N.expand(*x_D.shape[:-1], self.heads).unsqueeze(-1)

    def normalised(self, o_Ne: Tensor) -> Tensor:
        """Divide linear attention's values by its last column, the sum of their weights."""
        return o_Ne[..., :-1] / (o_Ne[..., -1:] + EPSILON) if self.decay == "none" else o_Ne

    def initial_state(self, batch_size: int) -> State:
        columns = self.value_size + (self.decay == "none")
        s_BNde = self.leave.weight.new_zeros(batch_size, self.heads, self.key_size, columns)
        if self.decay != "fixed":
            return (s_BNde,)
        return s_BNde, torch.zeros(batch_size, dtype=torch.long, device=s_BNde.device)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        s_BNde, *time = state
        q_BNd, k_BNd, v_BNe, z_BV = self.projected(x_BD, time[0].unsqueeze(1) if time else x_BD[:, :1])
        decay = self.log_decay(x_BD).exp().unsqueeze(-1)
        with full_precision(x_BD):
            s_BNde = decay * s_BNde + k_BNd.unsqueeze(-1) * v_BNe.unsqueeze(-2)
            o_BNe = (q_BNd.unsqueeze(-2) @ s_BNde).squeeze(-2)
        y_BH: Tensor = self.leave(self.norm(self.normalised(o_BNe), z_BV))
        return y_BH, (s_BNde, *(t_B + 1 for t_B in time))

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        sizes = {name: size for name, size in zip("qkvg", self.sizes, strict=True) if size}
        maps = [authors(f"{name}_proj.weight", size, self.input_size) for name, size in sizes.items()]
        names = {"leave.weight": "o_proj.weight"}
        names["norm.weight"] = "norm.weight" if self.decay == "none" else "g_norm_swish_gate.weight"
        if self.decay == "gated":
            names |= {f"gate.{name}": f"gk_proj.{name}" for name in ("0.weight", "1.weight", "1.bias")}
        return authors.renamed(self, names) | {"enter.weight": torch.cat(maps)}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "head_size": trial.suggest_categorical("head_size", [8, 16]),
            "expand_k": trial.suggest_categorical("expand_k", [0.5, 1.0]),
        }
