"""SRU: the Statistical Recurrent Unit, which summarises the past by moving averages at several time scales.

(Not the Simple Recurrent Unit of Lei et al. 2018, which shares the abbreviation.)

    r_t = σ(W_r μ_{t−1} + b_r)
    φ_t = σ(W_x x_t + W_h r_t + b_φ)
    μ_t[α] = α μ_{t−1}[α] + (1 − α) φ_t
    y_t = σ(W_y μ_t + b_y)                          (Oliva et al. 2017, §3)

with k decays α (fixed), S statistics, R recurrent features, σ = ReLU. Weights start from Glorot's uniform distribution,
TensorFlow's default in the authors' code, and biases at 0.

Shapes: B batch, T time, D input, k decays, S statistics, R recurrent features, H output.
State: k·S numbers a sequence. Time O(T k S (R + H)).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch import Tensor, nn

from models.kernels.backend import Backend, loop_backend
from models.recurrences.scan import linear_scan
from models.recurrences.statistical import State, StatisticalConfig, StatisticalRecurrence
from models.recurrences.stepwise import full_precision
from models.shared.contract import LEAST_UNITS, Paper, Place, final_step

if TYPE_CHECKING:
    from optuna import Trial


class SRU(StatisticalRecurrence):
    """The Statistical Recurrent Unit."""

    paper = Paper("The Statistical Recurrent Unit", 2017, "https://arxiv.org/abs/1703.00381")
    display_name = "Statistical RU"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = ("sru", "sru_init")
    authors_cell = "SimpleSRUCell"

    @dataclass(frozen=True, kw_only=True)
    class Config(StatisticalConfig):
        stat_size: int = 200
        """S, the statistics averaged at each decay."""
        decays: tuple[float, ...] = (0.0, 0.25, 0.5, 0.9, 0.99)
        """α of each moving average, in [0, 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.decays or not all(0 <= decay < 1 for decay in self.decays):
                raise ValueError(f"decays={self.decays} must be one or more numbers in [0, 1)")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return R/H = 0.3 as in the authors' experiments (60 and 200), and few statistics.

            Each of the k decays multiplies them, and the outputs and recurrent features get the rest of a budget.
            """
            return cls(output_size=width, recur_size=max(LEAST_UNITS, round(0.3 * width)), stat_size=10)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, num_summaries=len(config.decays), **place)
        for linear in (self.recur_feats, self.stats, self.output):
            nn.init.xavier_uniform_(linear.weight)
        self.register_buffer("decays_k", torch.tensor(config.decays), persistent=False)
        self.decays_k: Tensor

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None, state: State | None = None) -> Tensor:
        if state is not None or self.backend() == "torch":
            return super().forward(x_BTD, lengths_B, state)
        self.check(x_BTD, lengths_B)
        return self.read_out(self.every_summary(x_BTD))

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None, state: State | None = None) -> Tensor:
        if state is not None or self.backend() == "torch":
            return super().last(x_BTD, lengths_B, state)
        self.check(x_BTD, lengths_B)
        return self.read_out(final_step(self.every_summary(x_BTD), lengths_B))

    def backend(self) -> Backend:
        """Return what runs the loop over time."""
        backend = loop_backend(self.decays_k)
        if backend != "triton":
            return backend
        from models.kernels.gpu.sru import fits_registers

        return "triton" if fits_registers(self.num_summaries, len(self.recur_feats.bias), self.stat_size) else "torch"

    def every_summary(self, x_BTD: Tensor) -> Tensor:
        """Return μ at every step, (B, T, k, S), by a kernel."""
        with full_precision(x_BTD):
            input_SD, recurrent_SR = self.stats.weight.tensor_split((self.input_size,), dim=1)
            drive_BTS = torch.nn.functional.linear(x_BTD.to(input_SD.dtype), input_SD, self.stats.bias)
            kernel = self.compiled if self.backend() == "numba" else self.on_gpu
            return kernel(drive_BTS, self.recur_feats.weight, self.recur_feats.bias, recurrent_SR)

    def compiled(self, drive_BTS: Tensor, weight_RQ: Tensor, bias_R: Tensor, weight_SR: Tensor) -> Tensor:
        from models.kernels.cpu.sru import SRULoop  # numba takes a second to import

        mu_BTQ: Tensor = SRULoop.apply(drive_BTS, weight_RQ, bias_R, weight_SR, self.decays_k)
        return mu_BTQ.unflatten(-1, (self.num_summaries, self.stat_size))

    def on_gpu(self, drive_BTS: Tensor, weight_RQ: Tensor, bias_R: Tensor, weight_SR: Tensor) -> Tensor:
        from models.kernels.gpu.sru import statistics

        weight_kRS = weight_RQ.unflatten(1, (self.num_summaries, self.stat_size)).transpose(0, 1)
        phi_BTS, _ = statistics(drive_BTS, weight_kRS, bias_R, weight_SR.T, self.decays_k)
        decay_k1 = self.decays_k[:, None]
        return linear_scan(decay_k1, (1 - decay_k1) * phi_BTS.unsqueeze(2))

    def facts(self) -> dict[str, str]:
        return {"loop": self.backend()}

    def decay(self) -> Tensor:
        return self.decays_k

    def gain(self, t: Tensor) -> Tensor:
        return (1 - self.decays_k).expand(*t.shape, -1)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"stat_size": trial.suggest_categorical("stat_size", [5, 10, 20])}
