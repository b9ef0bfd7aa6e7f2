"""FRU: the Fourier Recurrent Unit, which summarises the past by its projections on a few cosines.

    r_t = σ(W_r u_{t−1} + b_r)
    φ_t = σ(W_x x_t + W_h r_t + b_φ)
    u_t[f] = m_f u_{t−1}[f] + (1/T) cos(2π f t/T + 2π θ_f) φ_t
    y_t = σ(W_y u_t + b_y)                                          (Zhang et al. 2018, §3.1)

with k frequencies f (fixed), learned phases θ, S statistics, R recurrent features, T the training length (which stays
the same on longer inputs), t from 0, σ = ReLU. m_f = 0 for f = 0 when k > 1, as in the authors' code, so that frequency
shows the present step only. Every other frequency accumulates (m_f = 1).

Shapes: B batch, T time, D input, k frequencies, S statistics, R recurrent features, H output.
State: k·S numbers a sequence. Time O(T k S (R + H)).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, get_args

import numpy as np
import torch
from torch import Tensor, nn

from models.kernels.backend import loop_backend
from models.recurrences.statistical import State, StatisticalConfig, StatisticalRecurrence, truncated_normal_
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import LEAST_UNITS, GainBounds, Paper, Place, later

if TYPE_CHECKING:
    from optuna import Trial

Backend = Literal["auto", "eager", "fused"]
LARGEST_EXPONENT = 700  # exp of much more overflows float64
LOWEST_FREQ = 0.25  # the authors' lowest frequency above zero, in periods over the sequence


class FRU(StatisticalRecurrence):
    """The Fourier Recurrent Unit."""

    paper = Paper(
        "Learning Long Term Dependencies via Fourier Recurrent Units", 2018, "https://arxiv.org/abs/1803.06585"
    )
    display_name = "FRU"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = ("fru_k1", "fru_k6")
    authors_cell = "FRUCell"

    @dataclass(frozen=True, kw_only=True)
    class Config(StatisticalConfig):
        units = ("stat_size", "recur_size", "output_size")
        stat_size: int = 10
        """S, the statistics kept for each frequency."""
        num_freqs: int = 40
        """k, the number of frequencies. Unused where `freqs` lists them."""
        max_freq: float | None = None
        """The highest frequency, in periods over the training length T. None means that `min_period` sets it."""
        min_period: float = field(default=1.0, metadata=later(1.0))
        """The period of the highest frequency, in steps. Unused where `max_freq` or `freqs` is given. The authors have
        1 on MNIST, and 3 on their mixtures and on IMDB."""
        freqs: tuple[float, ...] | None = None
        """The frequencies, in periods over the training length. None means 0 and `num_freqs − 1` log-spaced ones."""
        recur_scale: float = field(default=1.0, metadata=later(1.0))
        """A factor of `recur_size`. Tuning varies it, and the width still sets both sizes."""
        backend: Backend = "auto"
        """How the layer is computed: "eager" step by step in torch, "fused" by the kernel, which must support the
        input, or "auto" by the kernel where it supports the input and in torch elsewhere."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_positive("num_freqs", "recur_scale")
            if self.max_freq is not None and self.max_freq < LOWEST_FREQ:
                raise ValueError(f"max_freq={self.max_freq} must be at least {LOWEST_FREQ}")
            if self.min_period < 1:
                raise ValueError(f"min_period={self.min_period} must be at least 1, a period a step")
            if self.freqs is not None and (not self.freqs or min(self.freqs) < 0):
                raise ValueError(f"freqs={self.freqs} must be one or more numbers ≥ 0")
            if self.backend not in get_args(Backend):
                raise ValueError(f"backend={self.backend!r} must be one of {', '.join(get_args(Backend))}")
            if self.freqs is not None and self.max_freq is not None:
                raise ValueError("freqs lists every frequency: leave max_freq out")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return the authors' smallest statistics and frequencies at a small width, their proportions at 200.

            They have 5 or 10 statistics in all experiments, never fewer. With 10, the network that reads inputs which
            are never negative is dead at the start once in 1,024. Frequencies are 10 up to width 100 and grow to the 40
            of their network of 100,000 numbers at 200. Recurrent features and outputs grow with the width alone, so
            that they take what a budget leaves, whatever the other two sizes are set to.
            """
            recur_size, output_size = (max(LEAST_UNITS, size) for size in (round(0.3 * width), width))
            return cls(
                stat_size=10,
                num_freqs=min(max(10, 3 * width // 10 - 20), 40),
                recur_size=recur_size,
                output_size=output_size,
            )

        @property
        def recur_features(self) -> int:
            """R: `recur_size` times `recur_scale`, which takes it no lower than LEAST_UNITS."""
            return max(min(self.recur_size, LEAST_UNITS), round(self.recur_scale * self.recur_size))

        def frequencies(self, seq_len: int) -> tuple[float, ...]:
            """Return the k frequencies, in periods over the training length `seq_len`."""
            if self.freqs is not None:
                return self.freqs
            highest = seq_len / self.min_period if self.max_freq is None else self.max_freq
            exponents = np.linspace(math.log2(LOWEST_FREQ), math.log2(highest), self.num_freqs - 1)
            return (0.0, *(2.0**exponents).tolist())

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        freqs = config.frequencies(place["seq_len"])
        super().__init__(config, num_summaries=len(freqs), **place)
        self.backend = config.backend
        self.phase = nn.Parameter(torch.empty(len(freqs)))
        truncated_normal_(self.phase)
        self.register_buffer("freqs_k", torch.tensor(freqs), persistent=False)
        self.freqs_k: Tensor

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None, state: State | None = None) -> Tensor:
        kernel = self.kernel(x_BTD) if state is None else None
        if kernel is None:
            return super().forward(x_BTD, lengths_B, state)
        self.check(x_BTD, lengths_B)
        weight_kSH = self.by_frequency(self.output.weight)
        return kernel.every_output(*self.operands(x_BTD), weight_kSH, self.output.bias, lengths_B)

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None, state: State | None = None) -> Tensor:
        kernel = self.kernel(x_BTD) if state is None else None
        if kernel is None:
            return super().last(x_BTD, lengths_B, state)
        self.check(x_BTD, lengths_B)
        return self.read_out(kernel.last_summaries(*self.operands(x_BTD), lengths_B))

    def operands(self, x_BTD: Tensor) -> tuple[Tensor, ...]:
        """Return what the fused operators take: x, gain, keep, weight_kSR, bias_R, weight_SZ, bias_S."""
        gain_Tk = self.gain(torch.arange(x_BTD.shape[1], device=x_BTD.device))
        weight_kSR = self.by_frequency(self.recur_feats.weight)
        return x_BTD, gain_Tk, self.decay(), weight_kSR, self.recur_feats.bias, self.stats.weight, self.stats.bias

    def by_frequency(self, weight_HQ: Tensor) -> Tensor:
        """Rearrange a weight from (H, k·S) to (k, S, H)."""
        return weight_HQ.T.unflatten(0, (self.num_summaries, self.stat_size)).contiguous()

    def kernel(self, x_BTD: Tensor) -> ModuleType | None:
        """Return the module of the fused kernel for this input, or None where the loop computes it.

        Raises:
            ValueError: the backend is "fused" and no kernel supports the input.
        """
        backend = loop_backend(self.phase)
        can = backend != "torch" and self.takes(x_BTD)
        if self.backend == "fused" and not can:
            raise ValueError(
                "backend='fused' needs float32 on the CPU or on a GPU where Triton works; the input is "
                f"{x_BTD.dtype} on {x_BTD.device}, the weights {self.phase.dtype} on {self.phase.device}"
            )
        if not can or self.backend == "eager":
            return None
        if backend == "numba":
            from models.kernels.cpu.fru import operators  # numba takes a second to import

            return operators
        from models.kernels.gpu import fru_operators

        return fru_operators

    def takes(self, x_BTD: Tensor) -> bool:
        """Whether the input is on the weights' device and has a type that the kernel for that device supports."""
        types = (torch.float32,) if x_BTD.device.type == "cpu" else (torch.float32, torch.bfloat16, torch.float16)
        return x_BTD.dtype in types and x_BTD.device == self.phase.device

    def facts(self) -> Mapping[str, str]:
        return {"backend": "eager" if self.kernel(self.phase) is None else "fused"}

    def decay(self) -> Tensor:
        """Return m, (k,): 0 for the frequency 0 unless it is the only one, 1 for the others."""
        accumulates_k = self.freqs_k > 0 if len(self.freqs_k) > 1 else torch.ones_like(self.freqs_k)
        return accumulates_k.to(self.phase.dtype)

    def gain(self, t: Tensor) -> Tensor:
        """Return (1/T) cos(2π f t/T + 2π θ_f) for times t, (…,) to (…, k)."""
        # In float64 and without whole turns, because f·t/T reaches T, where float32 has no digits left for the phase.
        turns = (t.double()[..., None] * self.freqs_k.double() / self.seq_len).frac().to(self.phase.dtype)
        return torch.cos(2 * math.pi * (turns + self.phase)) / self.seq_len

    def gain_bounds(self, steps: int) -> GainBounds:
        """Return e^{−2σ} and e^{σ} for T steps, whatever T is (Zhang et al. 2018). The exponents scale with `steps`/T.

        A step maps du to (M + (1/T) C_t D_φ W_h D_r W_r) du. C_t holds the k cosines, D_φ and D_r the ReLUs' zeros and
        ones. The norm of the second part is at most σ/T, where σ = √k σ_max(W_h) σ_max(W_r). A product of T such steps
        is therefore at most (1 + σ/T)^T ≤ e^σ. Where M is the identity and T ≥ 2σ, the product is at least
        (1 − σ/T)^T ≥ e^{−2σ}. In the paper's linear unit with one frequency, the two maps act as one, and
        σ = σ_max(W_h W_r).
        """
        with torch.no_grad():
            maps = self.stats.weight[:, self.input_size :], self.recur_feats.weight
            sigma = math.sqrt(self.num_summaries) * math.prod(torch.linalg.matrix_norm(w, 2).item() for w in maps)
        share = steps / self.seq_len
        upper = math.exp(min(sigma * share, LARGEST_EXPONENT))
        if not bool(self.decay().all()):
            return GainBounds(sigma, None, upper, "no lower bound: the frequency 0 does not accumulate")
        if self.seq_len < 2 * sigma:
            return GainBounds(sigma, None, upper, f"no lower bound: it holds from T = 2σ on, and T is {self.seq_len}")
        return GainBounds(sigma, math.exp(-2 * sigma * share), upper, "")

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        phase_k = authors(f"rnn/{self.authors_cell}/phase", self.num_summaries)
        return super().from_authors(authors) | {"phase": phase_k}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "stat_size": trial.suggest_categorical("stat_size", [4, 5, 8, 10]),
            "num_freqs": trial.suggest_int("num_freqs", 5, 40, log=True),
            "min_period": trial.suggest_categorical("min_period", [1.0, 3.0]),
            "recur_scale": trial.suggest_categorical("recur_scale", [0.25, 0.5, 1.0]),
        }
