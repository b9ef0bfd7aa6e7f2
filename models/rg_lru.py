"""RG-LRU: the real-gated linear recurrent unit, in the recurrent block of Hawk and Griffin.

    r_t = σ(W_a x_t + b_a),    i_t = σ(W_x x_t + b_x)                      W_a and W_x block-diagonal
    a_t = a^{c r_t},  a = σ(Λ),  c = 8:    log a_t = −c r_t softplus(−Λ)
    h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ (i_t ⊙ x_t)                        (De et al. 2024, §2.4)

and around it the block, in which x_t is a causal convolution of width K of W_1 u_t + b_1:

    y_t = W_3 (GELU(W_2 u_t + b_2) ⊙ h_t) + b_3                            (§2.3, Figure 2c)

As in the authors' code, the first step has no factor √(1 − a²), the GELU is the one by tanh, and the parameter is −Λ.
|a|² starts uniform between `r_min`² and `r_max`². The mixer is the whole block, because convolution and gate belong to
the architecture.

Shapes: B batch, T time, D input, H output, L inner channels, N blocks of W_a and W_x, K convolution width.
State: L K numbers a sequence. Time O(T L (D + H + L/N)), depth O(log T).
"""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import fuses, loop_backend
from models.recurrences.block_diagonal import BlockDiagonal
from models.recurrences.scan import linear_scan
from models.recurrences.short_conv import ShortConv
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel
from models.shared.linear import Linear, affine

if TYPE_CHECKING:
    from optuna import Trial

State = tuple[Tensor, Tensor, Tensor]  # h_BL, the last K − 1 inputs of the convolution (B, K − 1, L), steps done (B)

C = 8.0
STEEPEST = 1000.0  # the largest derivative of √(1 − a²) with respect to 1 − a² that the authors let through
CONV_STD = 0.05  # the convolution's weights start with variance 0.01/4


class RGLRU(SequenceModel):
    """The recurrent block of Hawk and Griffin with its real-gated linear recurrent unit."""

    paper = Paper(
        "Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models",
        2024,
        "https://arxiv.org/abs/2402.19427",
    )
    family = "linear recurrence and state space"
    wrapper = "residual"
    display_name = "RG-LRU"
    golden = ("rglru", "rglru_block", "rglru_block_init")
    deviations = {
        "weight decay": (
            "None on Λ. The paper names no exception, but decay would make every unit forget sooner, and the LRU's "
            "recurrence has none."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are the authors' (google-deepmind/recurrentgemma), except the sizes, which are ours."""

        units = ("hidden_size", "block_size")
        hidden_size: int = 128
        expansion: float = 1.0
        """L / H, before L is rounded up to whole blocks. The paper's models have 4/3, the code's default is 1."""
        block_size: int = 16
        """The channels of a block of W_a and W_x. Their 2B model has ten blocks of 256."""
        conv_size: int = 4
        """K, the inputs that an output of the convolution sees."""
        r_min: float = 0.9
        """The smallest a at the start. At zero input the gate is ½, so that the decay is a⁴."""
        r_max: float = 0.999
        """The largest a at the start."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "expansion", "block_size", "conv_size")
            if not 0 <= self.r_min < self.r_max < 1:
                raise ValueError(f"r_min={self.r_min} and r_max={self.r_max} must satisfy 0 ≤ r_min < r_max < 1")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return blocks of 8 at small widths: with the default of 16, they would have one or two."""
            return cls(hidden_size=width, block_size=8 if width < 40 else 16)

        @property
        def blocks(self) -> int:
            """N."""
            return ceil(round(self.expansion * self.hidden_size) / self.block_size)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.blocks, self.block_size = config.hidden_size, config.blocks, config.block_size
        self.inner_size = inner = config.blocks * config.block_size
        self.enter, self.gate = Linear(self.input_size, inner), Linear(self.input_size, inner)
        self.conv = ShortConv(inner, config.conv_size, silu=False)
        self.recurrence_gate, self.input_gate = (
            BlockDiagonal(inner, self.blocks, std=config.block_size**-0.5, bias=True) for _ in range(2)
        )
        radius_L = torch.empty(inner).uniform_(config.r_min**2, config.r_max**2).clamp(min=1e-12).sqrt()
        self.decay = nn.Parameter(torch.log(torch.expm1(-radius_L.log())))  # softplus(−Λ) = −log a
        self.leave = Linear(inner, config.hidden_size)
        self.start()

    def start(self) -> None:
        for layer in (self.enter, self.gate):
            nn.init.normal_(layer.weight, std=self.input_size**-0.5)
        nn.init.normal_(self.conv.weight, std=CONV_STD)
        # The authors' models take 2/layers, and their block alone takes 1.
        nn.init.normal_(self.leave.weight, std=(min(1.0, 2 / self.layers) / self.inner_size) ** 0.5)
        for bias in (self.enter.bias, self.gate.bias, self.conv.bias, self.leave.bias):
            nn.init.zeros_(bias)  # type: ignore[arg-type]  # all have one

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if fuses(x_BTD, self.decay):
            into, leave = torch.cat([affine(self.enter), affine(self.gate)]), affine(self.leave)
            return self.fused(x_BTD, into, leave)[0]
        a_BTL, input_BTL, scale_BTL = coefficients(*self.gates(self.conv(self.enter(x_BTD))), self.rate())
        # The first step has no state to make room for.
        scaled_BTL = torch.cat([input_BTL[:, :1], input_BTL[:, 1:] * scale_BTL[:, 1:]], dim=1)
        return self.read_out(linear_scan(a_BTL, scaled_BTL), x_BTD)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is not None or not fuses(x_BTD, self.decay):
            return super().last(x_BTD, lengths_B)
        into = affine(self.enter)
        return self.read_out(self.fused(x_BTD, into, into.new_empty(0, self.inner_size + 1))[1], x_BTD[:, -1])

    def fused(self, x_BTD: Tensor, into: Tensor, leave: Tensor) -> tuple[Tensor, Tensor]:
        """Return all outputs and the last h by one compiled operator, from W_1 above W_2 and W_3, with biases."""
        from models.kernels.cpu.rg_lru import RecurrentBlock  # numba takes a second to import

        gates = self.recurrence_gate, self.input_gate
        weight_NPI = torch.cat([gate.weight for gate in gates], dim=1)
        bias_NP = torch.cat([cast(Tensor, gate.bias).unflatten(0, (self.blocks, -1)) for gate in gates], dim=1)
        conv = affine(self.conv)
        both: tuple[Tensor, Tensor] = RecurrentBlock.apply(
            x_BTD, into, conv, weight_NPI, bias_NP, self.rate(), leave, STEEPEST
        )
        return both

    def gates(self, x_L: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what r and i take, and x, (…, L) each. Decays in bfloat16 would forget far too soon."""
        r_L, i_L, dtype = self.recurrence_gate(x_L), self.input_gate(x_L), self.decay.dtype
        return r_L.to(dtype), i_L.to(dtype), x_L.to(dtype)

    def rate(self) -> Tensor:
        """Return −c log a, (L,)."""
        return C * F.softplus(self.decay)

    def read_out(self, h_L: Tensor, x_D: Tensor) -> Tensor:
        y_H: Tensor = self.leave(F.gelu(self.gate(x_D), approximate="tanh") * h_L)
        return y_H

    def initial_state(self, batch_size: int) -> State:
        steps_B = torch.zeros(batch_size, dtype=torch.long, device=self.decay.device)
        return self.decay.new_zeros(batch_size, self.inner_size), self.conv.window(batch_size), steps_B

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        h_BL, window_BKL, steps_B = state
        x_BL, window_BKL = self.conv.step(self.enter(x_BD), window_BKL)
        a_BL, input_BL, scale_BL = coefficients(*self.gates(x_BL), self.rate())
        scale_BL = torch.where(steps_B[:, None] == 0, 1, scale_BL)
        h_BL = torch.addcmul(input_BL * scale_BL, a_BL, h_BL)
        return self.read_out(h_BL, x_BD), (h_BL, window_BKL, steps_B + 1)

    def facts(self) -> dict[str, str]:
        return {"scan": loop_backend(self.decay)}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.decay], "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        names = {"enter": "linear_x", "gate": "linear_y", "leave": "linear_out"}
        ours = authors.renamed(self, {f"{o}.{part}": f"{a}.{part}" for o, a in names.items() for part in PARTS})
        shape = self.blocks, self.block_size
        for gate, name in (("recurrence_gate", "rg_lru.a_gate"), ("input_gate", "rg_lru.input_gate")):
            ours[f"{gate}.weight"] = authors(f"{name}.w", *shape, self.block_size).mT
            ours[f"{gate}.bias"] = authors(f"{name}.b", *shape).flatten()
        ours["conv.weight"] = authors("conv_1d.w", *self.conv.kernel_size, self.inner_size).T.unsqueeze(1)
        return ours | authors.renamed(self, {"conv.bias": "conv_1d.b", "decay": "rg_lru.a_param"})

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "expansion": trial.suggest_categorical("expansion", [1.0, 4 / 3]),  # of their code and of their models
            "block_size": trial.suggest_categorical("block_size", [8, 16]),
            "r_min": trial.suggest_categorical("r_min", [0.0, 0.9]),  # 0 is the LRU's
        }


PARTS = ("weight", "bias")


def coefficients(r_L: Tensor, i_L: Tensor, x_L: Tensor, rate_L: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a_t, i_t ⊙ x_t and √(1 − a_t²), (…, L) each, from what the gates take before σ."""
    log_a_L = -rate_L * r_L.sigmoid()
    scale_L: Tensor = BoundedRoot.apply(-torch.expm1(2 * log_a_L))
    return log_a_L.exp(), i_L.sigmoid() * x_L, scale_L


class BoundedRoot(torch.autograd.Function):
    """The square root, with a derivative of at most STEEPEST: at a = 1 it would be infinite."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        root = u.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        return grad / (2 * root).clamp(min=1 / STEEPEST)
