"""expRNN: a recurrent network whose matrix is the exponential of a skew-symmetric one, so it stays orthogonal.

    W = exp(A − Aᵀ),  A strictly upper triangular; or Cayley's map (I + A − Aᵀ)⁻¹ (I − A + Aᵀ)
    h_t = modReLU(W h_{t−1} + T x_t),   modReLU(z) = sign(z) ReLU(|z| + b)      (Lezcano-Casado & Martínez-Rubio 2019)

A − Aᵀ starts with 2 × 2 blocks on its diagonal, one angle each (§5). The angle comes from Cayley's map,
√((1 − cos θ)/(1 + cos θ)) with θ uniform in [0, π/2] (Helfrich et al. 2018), or is uniform in [−π, π] (Henaff et al.
2016).

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(H³ + T H²).
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.recurrences.stepwise import State, StepwiseRecurrence
from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import HiddenSizeConfig, Paper, Place, later

if TYPE_CHECKING:
    from optuna import Trial

ORTHOGONAL_LR_SCALE = 0.1  # learning-rate factor of A, as in the authors' MNIST (Lezcano/expRNN: 7e-5 next to 7e-4)
BIAS_RANGE = 0.01  # modReLU's b starts uniform between minus and plus this, as in the authors' code


class ExpRNN(StepwiseRecurrence):
    """The exponential recurrent network."""

    paper = Paper(
        "Cheap Orthogonal Constraints in Neural Networks: A Simple Parametrization of the Orthogonal and Unitary Group",
        2019,
        "https://arxiv.org/abs/1901.08428",
    )
    display_name = "expRNN"
    family = "nonlinear recurrence"
    wrapper = "plain"
    golden = ("exprnn", "exprnn_cayley", "exprnn_cayley_init", "exprnn_init")
    deviations = {
        "base point": (
            "A − Aᵀ is exponentiated at the identity, as this paper proposes. The authors' scripts by default "
            "move the base point every 100 updates (their second paper's dynamic trivialisation)."
        ),
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(HiddenSizeConfig):
        hidden_size: int = 170
        init: Literal["cayley", "henaff"] = "cayley"
        """How the angles of A − Aᵀ start: from Cayley's map, or uniform in [−π, π] as in Henaff et al."""
        parametrization: Literal["exp", "cayley"] = field(default="exp", metadata=later("exp"))
        """How a skew-symmetric matrix becomes an orthogonal one: by the exponential, or by Cayley's map as in the
        scoRNN (Helfrich et al. 2018), which the authors compare."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.require_one_of("init", "cayley", "henaff")
            self.require_one_of("parametrization", "exp", "cayley")

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = hidden = config.hidden_size
        self.map = cayley if config.parametrization == "cayley" else skew_exp
        self.input = nn.Linear(self.input_size, hidden, bias=False)
        nn.init.kaiming_normal_(self.input.weight, nonlinearity="relu")
        self.bias = nn.Parameter(torch.empty(hidden).uniform_(-BIAS_RANGE, BIAS_RANGE))
        self.register_buffer("upper", torch.triu_indices(hidden, hidden, 1), persistent=False)
        self.upper: Tensor
        self.A = nn.Parameter(initial_blocks(config)[self.upper[0], self.upper[1]])

    def drive(self, x_D: Tensor) -> Tensor:
        return self.input(x_D)

    def orthogonal(self) -> Tensor:
        """Return W, (H, H)."""
        upper_HH = self.A.new_zeros(self.output_size, self.output_size).index_put(tuple(self.upper), self.A)
        return self.map(upper_HH - upper_HH.T)

    def weights(self) -> tuple[Tensor, ...]:
        return self.orthogonal().T, self.bias

    def initial_state(self, batch_size: int) -> State:
        return (self.zeros(batch_size, self.output_size),)

    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        (h_BH,), (w_HH, bias_H) = state, weights
        z_BH = torch.addmm(drive_BK, h_BH, w_HH)
        return (z_BH.sign() * (z_BH.abs() + bias_H).relu(),)

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.cpu.product import ProductLoop  # numba takes a second to import

        return ProductLoop.apply(drive_BTK, *weights, "modrelu")

    def fits_registers(self) -> bool:
        return self.output_size <= 256

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        from models.kernels.gpu.product import product_loop

        return product_loop(drive_BTK, *weights, "modrelu")

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.A], "lr_scale": ORTHOGONAL_LR_SCALE, "weight_decay": 0.0}]

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        a_HH = authors("recurrent_kernel.A", self.output_size, self.output_size)
        names = {"input.weight": "input_kernel.weight", "bias": "nonlinearity.b"}
        # Their matrix multiplies rows from the right: it is our Wᵀ, and exp(S)ᵀ = exp(−S), as with Cayley's map.
        return authors.renamed(self, names) | {"A": -a_HH[self.upper[0], self.upper[1]]}

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"init": trial.suggest_categorical("init", ["cayley", "henaff"])}


def skew_exp(s_HH: Tensor) -> Tensor:
    """Return exp(S) of a skew-symmetric S, (H, H)."""
    # On a CPU, SkewExp takes a fifth of matrix_exp's time, backward included.
    if s_HH.device.type == "cpu" and s_HH.isfinite().all():
        w_HH: Tensor = SkewExp.apply(s_HH)
        return w_HH
    return torch.linalg.matrix_exp(s_HH)


def cayley(s_HH: Tensor) -> Tensor:
    """Return (I + S)⁻¹ (I − S) of a skew-symmetric S, (H, H)."""
    one_HH = torch.eye(len(s_HH), dtype=s_HH.dtype, device=s_HH.device)
    return torch.linalg.solve(one_HH + s_HH, one_HH - s_HH)


class SkewExp(torch.autograd.Function):
    """exp(S) = U exp(iα) Uᴴ, where −iS = U α Uᴴ is Hermitian.

    The derivative in the direction E is U (Φ ⊙ Uᴴ E U) Uᴴ with the divided differences
    Φ_jk = (exp(iα_j) − exp(iα_k)) / (iα_j − iα_k) = exp(i (α_j + α_k)/2) sin(x)/x, x = (α_j − α_k)/2
    (Daleckii & Krein 1965). The last form has no quotient that equal or close eigenvalues would spoil.
    """

    @staticmethod
    def forward(ctx: Any, s_HH: Tensor) -> Tensor:
        alpha_H, u_HH = torch.linalg.eigh(-1j * s_HH)
        ctx.save_for_backward(alpha_H, u_HH)
        return (u_HH * torch.polar(torch.ones_like(alpha_H), alpha_H) @ u_HH.mH).real

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_HH: Tensor) -> Tensor:
        alpha_H, u_HH = ctx.saved_tensors
        half_H = alpha_H / 2
        sum_HH, difference_HH = half_H[:, None] + half_H, half_H[:, None] - half_H
        phi_HH = torch.sinc(difference_HH / math.pi) * torch.polar(torch.ones_like(sum_HH), sum_HH)
        inner_HH = phi_HH.conj() * (u_HH.mH @ grad_HH.to(u_HH.dtype) @ u_HH)
        return (u_HH @ inner_HH @ u_HH.mH).real


def initial_blocks(config: ExpRNN.Config) -> Tensor:
    """Return the initial A, (H, H): zero except for the upper entry of each 2 × 2 block."""
    even = torch.arange(0, config.hidden_size - 1, 2)
    a_HH = torch.zeros(config.hidden_size, config.hidden_size)
    if config.init == "henaff":
        a_HH[even, even + 1] = torch.empty(len(even)).uniform_(-math.pi, math.pi)
    else:
        theta = torch.empty(len(even)).uniform_(0, math.pi / 2)
        a_HH[even, even + 1] = ((1 - theta.cos()) / (1 + theta.cos())).sqrt()
    return a_HH
