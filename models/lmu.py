"""LMU: the Legendre memory unit, a linear memory of a sliding window coupled to a nonlinear state.

    u_t = e_x · x_t + e_h · h_{t−1} + e_m · m_{t−1}
    m_t = Ā m_{t−1} + B̄ u_t
    h_t = tanh(W_x x_t + W_h h_{t−1} + W_m m_t)                     (Voelker et al. 2019, eq. 4–7)

m holds the first N Legendre coefficients of the last θ values of u: θ dm/dt = A m + B u with
A_ij = (2i + 1) (−1 if i < j else (−1)^{i−j+1}) and B_i = (2i + 1) (−1)^i, made discrete by a zero-order hold.

Without its recurrent terms (e_h = e_m = W_h = 0; Chilkuri & Eliasmith 2021, arXiv 2102.11417) the memory is one long
convolution of u, and no step waits for another.

Shapes: B batch, T time, D input, H hidden, N order of the memory. State: H + N numbers a sequence.
Time O(T (H + N)²); without recurrent terms O(T H (N + log T)).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from models.recurrences.state_space import fft_convolve, weighted_sum
from models.recurrences.stepwise import State, StepwiseRecurrence, full_precision
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, computed

if TYPE_CHECKING:
    from optuna import Trial


class LMU(StepwiseRecurrence):
    """The Legendre memory unit."""

    paper = Paper(
        "Legendre Memory Units: Continuous-Time Representation in Recurrent Neural Networks",
        2019,
        "https://proceedings.neurips.cc/paper/2019/hash/952285b9b7e7a1be5aa7849f32ffff05-Abstract.html",
    )
    display_name = "LMU"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = ("lmu", "lmu_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The defaults are those of the authors' permuted sMNIST (§5)."""

        units = ("hidden_size", "order")
        hidden_size: int = 212
        order: int = 256
        """N, the number of Legendre coefficients in the memory."""
        theta: float | None = None
        """θ, the length of the window, in steps. None means the training length."""
        recurrent: bool = True
        """Keep the terms e_h, e_m and W_h, which make each step wait for the one before it."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size", "order")
            if self.theta is not None:
                self.require_positive("theta")

        @classmethod
        def at_width(cls, width: int) -> Self:
            """Return fewer coefficients than the authors' 256, which alone would take a small budget."""
            return cls(hidden_size=width, order=16)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size, self.order = config.hidden_size, config.order
        self.recurrent = config.recurrent
        self.encode_x = nn.Linear(self.input_size, 1, bias=False)
        self.kernel_x = nn.Linear(self.input_size, config.hidden_size, bias=False)
        self.kernel_m = nn.Linear(config.order, config.hidden_size, bias=False)
        if config.recurrent:
            self.encode_h = nn.Linear(config.hidden_size, 1, bias=False)
            self.encode_m = nn.Linear(config.order, 1, bias=False)
            self.kernel_h = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.start()
        window = float(self.seq_len) if config.theta is None else config.theta
        matrices = computed((config.order, config.order + 1), lambda: discretised_delay(config.order, window))
        self.register_buffer("A", matrices[:, :-1].contiguous(), persistent=False)
        self.register_buffer("B", matrices[:, -1].contiguous(), persistent=False)
        self.A: Tensor
        self.B: Tensor

    def start(self) -> None:
        """Start the kernels from Glorot's normal, the encoders from LeCun's uniform, and e_m at 0 (§3, experiments)."""
        for name, linear in self.named_children():
            assert isinstance(linear, nn.Linear)
            if name.startswith("kernel"):
                nn.init.xavier_normal_(linear.weight)
            else:
                nn.init.uniform_(linear.weight, -((3 / linear.in_features) ** 0.5), (3 / linear.in_features) ** 0.5)
        if self.recurrent:
            nn.init.zeros_(self.encode_m.weight)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if self.recurrent:
            return super().forward(x_BTD)
        with full_precision(x_BTD):  # the transforms have no half precision
            x_BTD = x_BTD.to(self.A.dtype)
            kernel_TH = self.kernel_m(self.impulse_response(x_BTD.shape[1]))  # so W_m m_t is computed without m_t
            return torch.tanh(self.kernel_x(x_BTD) + fft_convolve(self.encode_x(x_BTD), kernel_TH))

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if self.recurrent or lengths_B is not None:
            return super().last(x_BTD, lengths_B)
        with full_precision(x_BTD):
            x_BTD = x_BTD.to(self.A.dtype)
            m_B1N = weighted_sum(self.encode_x(x_BTD), self.impulse_response(x_BTD.shape[1]).flip(0))
            return torch.tanh(self.kernel_x(x_BTD[:, -1]) + self.kernel_m(m_B1N.squeeze(1)))

    def impulse_response(self, steps: int) -> Tensor:
        """Return Ā^l B̄ for every l below T = `steps`, (T, N), by doubling."""
        response_TN, power_NN = self.B.unsqueeze(0), self.A
        while len(response_TN) < steps:
            response_TN = torch.cat([response_TN, response_TN @ power_NN.T])
            power_NN = power_NN @ power_NN
        return response_TN[:steps]

    def drive(self, x_D: Tensor) -> Tensor:
        """Return what x adds to W_x x + W_m m and to m, (…, D) to (…, H + N)."""
        from_u_H = self.kernel_m.weight @ self.B
        u_1 = self.encode_x(x_D)
        return torch.cat([self.kernel_x(x_D) + u_1 * from_u_H, u_1 * self.B], dim=-1)

    def weights(self) -> tuple[Tensor, ...]:
        """Return the step's linear maps multiplied out, (H + N, H + N): one product a step does the work of six."""
        if self.recurrent:
            encode = torch.cat([self.encode_h.weight, self.encode_m.weight], dim=1)
            h_to_h = self.kernel_h.weight
        else:
            encode, h_to_h = (
                self.zeros(1, self.output_size + self.order),
                self.zeros(self.output_size, self.output_size),
            )
        to_m = self.B[:, None] * encode + torch.cat([self.zeros(self.order, self.output_size), self.A], dim=1)
        to_h = self.kernel_m.weight @ to_m + torch.cat([h_to_h, self.zeros(self.output_size, self.order)], dim=1)
        return (torch.cat([to_h, to_m]).T,)

    def initial_state(self, batch_size: int) -> State:
        return self.zeros(batch_size, self.output_size), self.zeros(batch_size, self.order)

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        both_BK = torch.addmm(drive_BK, torch.cat(state, dim=1), weights[0])
        h_BH, m_BN = both_BK.split([self.output_size, self.order], dim=1)
        return h_BH.tanh(), m_BN

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.product import ProductLoop  # numba takes a second to import

        states_BTK = ProductLoop.apply(drive_BTK, *weights, self.zeros(self.output_size), "tanh")
        return states_BTK[..., : self.output_size]

    def fits_registers(self) -> bool:
        return self.output_size + self.order <= 256

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.product import product_loop

        return product_loop(drive_BTK, *weights, self.zeros(self.output_size), "tanh")[..., : self.output_size]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        names = {
            f"{name}.weight": name.replace("encode", "e").replace("kernel", "W") for name, _ in self.named_children()
        }
        return authors.renamed(self, names)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {
            "order": trial.suggest_categorical("order", [16, 32, 64]),
            "theta": trial.suggest_categorical("theta", [None, 50.0]),
            "recurrent": trial.suggest_categorical("recurrent", [True, False]),
        }


def delay_system(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A, (N, N), and B, (N,), for a window of length 1."""
    i, j = np.indices((order, order))
    scale = 2.0 * np.arange(order) + 1
    return scale[:, None] * np.where(i < j, -1.0, (-1.0) ** (i - j + 1)), scale * (-1.0) ** np.arange(order)


def discretised_delay(order: int, theta: float) -> Tensor:
    """Return Ā and B̄ side by side, (N, N + 1), for a window of `theta` steps.

    A zero-order hold is the exponential of [[A, B], [0, 0]] / θ.
    """
    a, b = delay_system(order)
    generator = np.zeros((order + 1, order + 1))
    generator[:order] = np.concatenate([a, b[:, None]], axis=1) / theta
    return torch.linalg.matrix_exp(torch.tensor(generator, device="cpu"))[:order]
