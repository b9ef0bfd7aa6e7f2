"""RWKV-7: a delta rule whose rows decay one by one, and whose removal and replacement of a key are set apart.

    x_t^□ = x_t + μ_□ ⊙ (x_{t−1} − x_t),    □ ∈ {r, w, k, v, a, g}                                    token shift
    r_t, k_t, v_t = W_r x_t^r, W_k x_t^k, W_v x_t^v
    log w_t = −e^{−1/2} σ(w_0 + tanh(x_t^w w_1) w_2),    a_t = σ(a_0 + x_t^a a_1 a_2),    g_t = σ(x_t^g g_1) g_2
    κ_t = (ξ ⊙ k_t) / |ξ ⊙ k_t|  in each head,    k̃_t = k_t ⊙ (1 + (a_t − 1) ⊙ α)
    S_t = S_{t−1} (diag(w_t) − κ_t (a_t ⊙ κ_t)ᵀ) + v_t k̃_tᵀ,    o_t = S_t r_t
    p_t = LayerNorm(o_t) + (r_t · (ρ ⊙ k̃_t)) v_t,    y_t = W_o (g_t ⊙ p_t)               (Peng et al. 2025, §4.1)

LayerNorm and the product before v_t are for each head. The code keeps S transposed, with the keys' numbers as rows.

Shapes: B batch, T time, D input, H output, N heads, d head size, C = N d channels, R the three ranks together, P = 3C
+ R maps of the shifted input. State: N d² + D numbers a sequence. Time O(T C (H + d)) in chunks of time, whose states
alone are stored. In single precision on a CPU, a compiled loop over time replaces them.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.recurrences.delta_rule import diagonal_delta_rule
from models.recurrences.head_norm import unit
from models.recurrences.stepwise import full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, computed
from models.shared.linear import Linear, linear

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor]  # S_BNdd, the last input (B, D)

SHIFTED = ("r", "k", "v", "w", "a", "g")
"""What reads the shifted input, in the order of ours."""
POWERS = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}
"""How the start of μ falls along the channels, in RWKV-v7/rwkv_v7_demo.py of BlinkDL/RWKV-LM."""
DECAY_LR_SCALE = 2.0  # the authors train w_0 at twice the learning rate
EPSILON = 64e-5  # of the norm
SHORTEST = 1e-12  # a key of this length or less is left short
SMALL = 0.1  # the gain of W_k and of the second low-rank maps at the start
NEARLY_SILENT = 0.01  # that of W_o


class RWKV7(SequenceModel):
    """RWKV-7's time mixing."""

    paper = Paper('RWKV-7 "Goose" with Expressive Dynamic State Evolution', 2025, "https://arxiv.org/abs/2503.14456")
    display_name = "RWKV-7"
    family = "linear attention and delta rule"
    wrapper = "residual"
    golden = ("rwkv7", "rwkv7_init")
    deviations = {
        "value residual": (
            "None: in the authors' network, v of a later layer is mixed with v of the first one. A mixer here sees "
            "nothing but its own input, so that each layer is as their first one."
        ),
        "output": (
            "Starts orthogonal with a gain of 0.01, where the authors start it at 0. From 0 no gradient reaches "
            "anything else of the layer in the first step of training, and the contract asks for one."
        ),
        "heads": (
            "Of 8 in a tier, where the authors have 64: a width of 20 would not hold one of their heads. The ranks "
            "shrink with the width too, to a quarter of it for w and a and a half for g."
        ),
        "channel mixing": "It belongs to the wrapper, whose gated unit is the same for all architectures.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' at our residual wrapper's width."""

        units = ("hidden_size", "head_size")
        hidden_size: int = 128
        head_size: int = 64
        """d. There are as many heads as have the width together, and at least one."""
        decay_rank: int = 32
        """The numbers that w_t is computed from."""
        rate_rank: int = 32
        """The numbers that a_t is computed from."""
        gate_rank: int = 64
        """The numbers that g_t is computed from."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "decay_rank", "rate_rank", "gate_rank")
            if self.head_size < 2:
                raise ValueError(f"head_size={self.head_size} must be at least 2: a start varies along a head")

        @classmethod
        def at_width(cls, width: int) -> Self:
            quarter, half = max(2, width // 4), max(4, width // 2)
            ranks = {"decay_rank": min(32, quarter), "rate_rank": min(32, quarter), "gate_rank": min(64, half)}
            return cls(hidden_size=width, head_size=8 if width >= 16 else 4, **ranks)

        @property
        def heads(self) -> int:
            return max(1, round(self.hidden_size / self.head_size))

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.heads, self.head_size = config.hidden_size, config.heads, config.head_size
        self.channels = channels = config.heads * config.head_size
        self.sizes = [channels] * 3 + [config.decay_rank, config.rate_rank, config.gate_rank]  # as in SHIFTED
        self.mu = nn.Parameter(computed((len(SHIFTED), self.input_size), self.start_of_shift))
        self.rkv = nn.Linear(self.input_size, 3 * channels, bias=False)
        self.low = nn.Linear(self.input_size, sum(self.sizes[3:]), bias=False)  # w_1, a_1 and g_1
        self.decay, self.rate = Linear(config.decay_rank, channels), Linear(config.rate_rank, channels)
        self.gate = Linear(config.gate_rank, channels, bias=False)
        self.removal_key = nn.Parameter(computed((channels,), lambda: 0.71 - 0.1 * along(channels)))  # ξ
        self.replacement_rate = nn.Parameter(torch.full((channels,), 1.02))  # α
        self.bonus = nn.Parameter(torch.full((config.heads, config.head_size), -0.04))  # ρ
        self.norm = nn.GroupNorm(config.heads, channels, eps=EPSILON)
        self.leave = Linear(channels, self.output_size, bias=False)
        self.start()

    def start_of_shift(self) -> Tensor:
        """Return μ at the start, (6, D): 1 − (i/D)^p in channel i, where p falls with the layer."""
        share_D = torch.arange(self.input_size) / self.input_size
        later = 1 - self.layer / self.layers
        return torch.stack([1 - share_D ** (POWERS[name] * later) for name in SHIFTED])

    @torch.no_grad()
    def start(self) -> None:
        for weight_CD, gain in zip(self.rkv.weight.split(self.channels), (1.0, SMALL, 1.0), strict=True):
            nn.init.orthogonal_(weight_CD, gain)
        nn.init.zeros_(self.low.weight)
        for each in (self.decay, self.rate, self.gate):
            rank = each.in_features
            nn.init.orthogonal_(each.weight, SMALL * max(1, rank / self.channels) ** 0.5)
        nn.init.orthogonal_(self.leave.weight, NEARLY_SILENT)
        nn.init.constant_(self.norm.weight, ((self.layer + 1) / self.layers) ** 0.7)
        self.decay.bias.copy_(computed((self.channels,), self.start_of_decay))
        self.rate.bias.copy_(
            computed((self.channels,), lambda: -0.19 + 0.3 * self.along_head() + 0.4 * along(self.channels))
        )

    def start_of_decay(self) -> Tensor:
        """Return w_0 at the start, (C,): slow channels first, and more of them in a later layer."""
        power = 1 + (self.layer / max(1, self.layers - 1)) ** 0.3
        return -5.5 + 6 * (along(self.channels) + 0.5) ** power + 2.5 * self.along_head()

    def along_head(self) -> Tensor:
        """Return z |z| for z from −1 to 1 along each head, (C,)."""
        z_d = torch.linspace(-1, 1, self.head_size)
        return (z_d * z_d.abs()).repeat(self.heads)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        *rule, g_BTC = self.prepared(x_BTD, F.pad(x_BTD, (0, 0, 1, -1)))
        with full_precision(x_BTD):
            o_BTNd = diagonal_delta_rule(*rule)
        return self.finish(o_BTNd, rule[:3], g_BTC)

    def prepared(self, x_D: Tensor, before_D: Tensor) -> tuple[Tensor, ...]:
        """Return r, k̃, v, log w, κ and a ⊙ κ, (…, N, d) each in full precision, and g (…, C).

        Args:
            before_D: x of the step before.
        """
        r, k, v, *low = (each.to(self.mu.dtype) for each in self.shifted(x_D, before_D))
        log_w = -math.exp(-0.5) * torch.sigmoid(self.decay(low[0].tanh()).to(r.dtype))
        a = torch.sigmoid(self.rate(low[1]).to(r.dtype))
        kappa = unit(self.in_heads(k * self.removal_key), SHORTEST**2)
        k = k * torch.addcmul(1 - self.replacement_rate, a, self.replacement_rate)
        r, k, v, log_w, a = (self.in_heads(each) for each in (r, k, v, log_w, a))
        return r, k, v, log_w, kappa, a * kappa, self.gate(low[2].sigmoid())

    def shifted(self, x_D: Tensor, before_D: Tensor) -> tuple[Tensor, ...]:
        """Return the six maps of the shifted input, as W (x − μ ⊙ x) + W (μ ⊙ x of the step before)."""
        weight_PD = torch.cat([self.rkv.weight, self.low.weight])
        mu_PD = torch.cat([mu_D.expand(size, -1) for mu_D, size in zip(self.mu, self.sizes, strict=True)])
        before_PD = weight_PD * mu_PD
        both_P2D = torch.cat([weight_PD - before_PD, before_PD], dim=1)
        return linear(torch.cat([x_D, before_D], dim=-1), both_P2D).split(self.sizes, dim=-1)

    def in_heads(self, x_C: Tensor) -> Tensor:
        return x_C.unflatten(-1, (self.heads, self.head_size))

    def finish(self, o_Nd: Tensor, rkv_Nd: list[Tensor], g_C: Tensor) -> Tensor:
        """Return y, (…, H), from the state's output o, from r, k̃ and v, and from g."""
        r_Nd, k_Nd, v_Nd = rkv_Nd
        normed_Nd = F.layer_norm(o_Nd, (self.head_size,), eps=EPSILON)  # on a CPU, twice as fast as group_norm
        scaled_C = torch.addcmul(self.norm.bias, normed_Nd.flatten(-2), self.norm.weight)
        seen_Nd = (r_Nd * k_Nd * self.bonus).sum(-1, keepdim=True) * v_Nd
        y_H: Tensor = self.leave((scaled_C + seen_Nd.flatten(-2)) * g_C)
        return y_H

    def initial_state(self, batch_size: int) -> State:
        s_BNdd = self.mu.new_zeros(batch_size, self.heads, self.head_size, self.head_size)
        return s_BNdd, self.mu.new_zeros(batch_size, self.input_size)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        s_BNdd, before_BD = state
        *rule, g_BC = self.prepared(x_BD, before_BD)
        with full_precision(x_BD):
            r_BNd1, k, v, log_w, read, write = (each.unsqueeze(-1) for each in rule)
            s_BNdd = log_w.exp() * s_BNdd + k @ v.mT - write @ (read.mT @ s_BNdd)
            o_BNd = (s_BNdd.mT @ r_BNd1).squeeze(-1)
        return self.finish(o_BNd, rule[:3], g_BC), (s_BNdd, x_BD)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return w_0, faster, and apart from it all that the authors spare from weight decay."""
        maps = (self.rkv.weight, self.leave.weight, self.decay.bias)
        spared = [each for each in self.parameters() if all(each is not other for other in maps)]
        w_0 = {"params": [self.decay.bias], "lr_scale": DECAY_LR_SCALE, "weight_decay": 0.0}
        return [w_0, {"params": spared, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        inputs, channels = self.input_size, self.channels
        low = [authors(f"{name}1", inputs, rank).T for name, rank in zip("wag", self.sizes[3:], strict=True)]
        second = zip(("decay", "rate", "gate"), "wag", self.sizes[3:], strict=True)
        rkv = [authors(f"{name}.weight", channels, inputs) for name in ("receptance", "key", "value")]
        vectors = {"decay.bias": "w0", "rate.bias": "a0", "removal_key": "k_k", "replacement_rate": "k_a"}
        same = {"bonus": "r_k", "norm.weight": "ln_x.weight", "norm.bias": "ln_x.bias", "leave.weight": "output.weight"}
        return (
            authors.renamed(self, same)
            | {ours: authors(theirs, 1, 1, channels)[0, 0] for ours, theirs in vectors.items()}
            | {f"{ours}.weight": authors(f"{name}2", rank, channels).T for ours, name, rank in second}
            | {"mu": torch.cat([authors(f"x_{name}", 1, 1, inputs)[0] for name in SHIFTED])}
            | {"rkv.weight": torch.cat(rkv), "low.weight": torch.cat(low)}
        )

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"head_size": trial.suggest_categorical("head_size", [8, 16])}


def along(size: int) -> Tensor:
    """Return numbers from −½ to ½."""
    return torch.linspace(-0.5, 0.5, size)
