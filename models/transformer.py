"""Transformer: a causal, pre-norm block of self-attention and a feed-forward network, with rotary positions.

    q_t, k_t, v_t = W_q, W_k, W_v applied to LN(u_t), per head; q and k rotated by angles t ω_i, ω_i = 10000^{−2i/d}
    a_t = Σ_{s≤t} softmax_s(q_t · k_s / √d) v_s
    v_t = u_t + W_o a_t,    y_t = v_t + W_2 GELU(W_1 LN(v_t) + b_1) + b_2
                                  (Vaswani et al. 2017, §3; pre-norm: Xiong et al. 2020; rotary: Su et al. 2021)

The mixer is the whole block, including its feed-forward network and its two shortcuts: without them, a stack of
attention layers is not the papers' architecture. The wrapper adds its norm and gate around the block, as around any
model.

Shapes: B batch, T time, D input, H width, N heads, d head size. State: none fixed; a step needs every key and value.
Time O(T² N d + T H²), memory O(T H): the T × T weights are never stored where torch has a fused kernel.
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import fuses
from models.recurrences.rotary import Rotate, rotations
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, resize
from models.shared.layer_norm import LayerNorm
from models.shared.linear import Linear

if TYPE_CHECKING:
    from optuna import Trial


class Transformer(SequenceModel):
    """One transformer block. The wrapper stacks several."""

    paper = Paper("Attention Is All You Need", 2017, "https://arxiv.org/abs/1706.03762")
    display_name = "Transformer"
    family = "attention"
    wrapper = "residual"
    deviations = {
        "norm": "Before attention and the feed-forward network, as in GPT-2. The paper's follows their sums.",
        "positions": "Rotary by default. The paper adds sinusoids to the input, which is `positions=sinusoidal`.",
        "activation": "GELU, as in GPT-2. The paper's is ReLU.",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The default width is our residual wrapper's. Heads of 64 (§3.2.2) and `expand` (§3.3) are the paper's."""

        units = ("hidden_size",)
        hidden_size: int = 128
        min_head_size: int = 64
        """The smallest size of a head. There are as many heads as have room for it in the width, and at least one."""
        expand: int = 4
        """Width of the feed-forward network, as a multiple of `hidden_size`."""
        positions: Literal["rotary", "sinusoidal"] = "rotary"
        """Turn queries and keys by angles that grow with time, or add sinusoids to the input of the first layer."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "min_head_size", "expand")
            self.require_one_of("positions", "rotary", "sinusoidal")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return heads of 16 or more: with the paper's 64, a small budget would have a single head."""
            return cls(hidden_size=width, min_head_size=16)

        @property
        def num_heads(self) -> int:
            """N. The heads share the width equally."""
            return max(1, self.hidden_size // self.min_head_size)

        @property
        def head_size(self) -> int:
            """d, the smallest even size at which the heads hold the width. A rotation turns pairs, so d is even."""
            return 2 * ceil(self.hidden_size / (2 * self.num_heads))

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = hidden = config.hidden_size
        self.num_heads, self.head_size, self.positions = config.num_heads, config.head_size, config.positions
        self.encoder = resize(self.input_size, hidden)
        self.norm = LayerNorm(hidden)
        self.qkv = Linear(hidden, 3 * self.num_heads * self.head_size, bias=False)
        self.out = Linear(self.num_heads * self.head_size, hidden, bias=False)
        self.feed_forward = nn.Sequential(
            LayerNorm(hidden),
            Linear(hidden, config.expand * hidden),
            nn.GELU(),
            Linear(config.expand * hidden, hidden),
        )

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        u_BTH = self.encode(x_BTD)
        q_BNTd, k_BNTd, v_BNTd = self.heads(self.norm(u_BTH))
        return self.finish(u_BTH, F.scaled_dot_product_attention(q_BNTd, k_BNTd, v_BNTd, is_causal=True))

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is not None:
            return super().last(x_BTD, lengths_B)
        u_BTH = self.encode(x_BTD)
        q_BNTd, k_BNTd, v_BNTd = self.heads(self.norm(u_BTH))
        attended_BN1d = F.scaled_dot_product_attention(q_BNTd[:, :, -1:], k_BNTd, v_BNTd)
        return self.finish(u_BTH[:, -1:], attended_BN1d).squeeze(1)

    def heads(self, u_BTH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries, rotated keys and values, (B, N, T, d) each."""
        q_BNTd, k_BNTd, v_BNTd = (
            self.qkv(u_BTH).unflatten(-1, (3, self.num_heads, self.head_size)).permute(2, 0, 3, 1, 4)
        )
        if self.positions != "rotary":
            return q_BNTd, k_BNTd, v_BNTd
        time_T = torch.arange(q_BNTd.shape[-2], device=q_BNTd.device)
        cos_Td, sin_Td = rotations(time_T, self.head_size, q_BNTd.dtype)
        return Rotate.apply(q_BNTd, cos_Td, sin_Td), Rotate.apply(k_BNTd, cos_Td, sin_Td), v_BNTd

    def encode(self, x_BTD: Tensor) -> Tensor:
        """Return the block's input u, (B, T, H)."""
        u_BTH = self.encoder(x_BTD)
        if self.positions != "sinusoidal" or self.layer > 0:
            return u_BTH
        steps, width = u_BTH.shape[1:]
        turns = rotations(torch.arange(steps, device=u_BTH.device), width + width % 2, u_BTH.dtype)
        return u_BTH + torch.cat(turns[::-1], dim=-1)[:, :width]

    def finish(self, u_BTH: Tensor, attended_BNTd: Tensor) -> Tensor:
        """Return the block's output y, (B, T, H), from its input u and the heads' outputs a."""
        v_BTH = u_BTH + self.out(attended_BNTd.transpose(1, 2).flatten(2))
        norm, enter, _, leave = cast(tuple[LayerNorm, Linear, nn.GELU, Linear], self.feed_forward)
        if not fuses(v_BTH, enter.weight):
            return v_BTH + self.feed_forward(v_BTH)
        from models.kernels.cpu.feed_forward import FeedForward  # numba takes a second to import

        weights = norm.weight, norm.bias, enter.weight, enter.bias, leave.weight, leave.bias
        y_MH: Tensor = FeedForward.apply(v_BTH.flatten(0, -2), *weights, norm.eps)
        return y_MH.view_as(v_BTH)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "min_head_size": trial.suggest_categorical("min_head_size", [8, 16, 64]),
            "positions": trial.suggest_categorical("positions", ["rotary", "sinusoidal"]),
        }
