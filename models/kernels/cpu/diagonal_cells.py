"""The steps of recurrences whose units see their own past only, and their adjoints, for CPU kernels.

    sum       h_t = h_{t−1} + ReLU(z)
    indrnn    h_t = ReLU(z + u h_{t−1})
    mingru    h_t = h_{t−1} + s (g(c) − h_{t−1}),  s = σ(z),  (z, c) given
    minlstm   h_t = g(c) + s (h_{t−1} − g(c)),  s = σ(f) / (σ(f) + σ(i)),  (f, i, c) given

    g(c) = c + ½ for c ≥ 0, else σ(c)

Shapes: H units; what is given lies side by side, (P, H). float32 only.
"""

from typing import Any

from models.kernels.cpu.toolkit.compile import FLOAT, helper, part
from models.kernels.cpu.toolkit.functions import exp_of_negative, relu, sigmoid

CELLS = ("sum", "indrnn", "mingru", "minlstm")
SUM, INDRNN, MINGRU, MINLSTM = range(4)


@helper
def share(f: Any, i: Any) -> Any:
    """Return σ(f) / (σ(f) + σ(i)). It is computed as 1 / (1 + e^m r), with m and r in range for any f and i."""
    m = min(i, FLOAT(0)) - min(f, FLOAT(0))
    r = (FLOAT(1) + exp_of_negative(-abs(f))) / (FLOAT(1) + exp_of_negative(-abs(i)))
    e = exp_of_negative(-abs(m))
    return (e / (e + r) if m > 0 else FLOAT(1) / (FLOAT(1) + e * r)) + FLOAT(0) * (f + i)  # NaN stays NaN


@helper
def positive(c: Any) -> Any:
    """Return g(c)."""
    e = exp_of_negative(c)  # 1 where c is not negative
    return relu(c) + e / (FLOAT(1) + e)


@helper
def positive_slope(c: Any) -> Any:
    """Return g′(c)."""
    e = exp_of_negative(c)
    s = FLOAT(1) / (FLOAT(1) + e)
    return e * s * s if c < 0 else FLOAT(1)


@part
def advance(cell: Any, z: Any, u: Any, before: Any, now: Any) -> None:
    """Compute h_t, `now`, from h_{t−1}, `before`."""
    size = len(now)
    if cell == SUM:
        for j in range(size):
            now[j] = before[j] + relu(z[j])
    elif cell == INDRNN:
        for j in range(size):
            now[j] = relu(z[j] + u[j] * before[j])
    elif cell == MINGRU:
        for j in range(size):
            now[j] = before[j] + sigmoid(z[j]) * (positive(z[size + j]) - before[j])
    else:
        for j in range(size):
            c = positive(z[2 * size + j])
            now[j] = c + share(z[j], z[size + j]) * (before[j] - c)


@part
def retreat(cell: Any, z: Any, u: Any, before: Any, now: Any, to_h: Any, to_z: Any, to_u: Any) -> None:
    """Run the adjoint: to_h, the gradient of h_t, becomes that of h_{t−1}. to_z is written, to_u is added to."""
    size = len(now)
    if cell == SUM:
        for j in range(size):
            to_z[j] = to_h[j] if z[j] > 0 else FLOAT(0)
    elif cell == INDRNN:
        for j in range(size):
            to_z[j] = to_h[j] if now[j] > 0 else FLOAT(0)
            to_u[j] += to_z[j] * before[j]
            to_h[j] = to_z[j] * u[j]
    elif cell == MINGRU:
        for j in range(size):
            s, c = sigmoid(z[j]), z[size + j]
            to_z[size + j] = to_h[j] * s * positive_slope(c)
            to_z[j] = to_h[j] * (positive(c) - before[j]) * s * (FLOAT(1) - s)
            to_h[j] *= FLOAT(1) - s
    else:
        for j in range(size):
            f, i, c = z[j], z[size + j], z[2 * size + j]
            s = share(f, i)
            to_s = to_h[j] * (before[j] - positive(c)) * s * (FLOAT(1) - s)
            to_z[j], to_z[size + j] = to_s * sigmoid(-f), -to_s * sigmoid(-i)
            to_z[2 * size + j] = to_h[j] * (FLOAT(1) - s) * positive_slope(c)
            to_h[j] *= s


@part
def project(x: Any, weight: Any, z: Any) -> None:
    """Compute z = W x + b of one step. The last row of the weights is b."""
    size, bias = len(x), weight[len(x)]
    for j in range(len(z)):
        z[j] = bias[j] + x[0] * weight[0, j]
    for d in range(1, size):
        for j in range(len(z)):
            z[j] += x[d] * weight[d, j]


@part
def project_backward(x: Any, to_z: Any, to_weight: Any) -> None:
    size = len(x)
    for j in range(len(to_z)):
        to_weight[size, j] += to_z[j]
    for d in range(size):
        for j in range(len(to_z)):
            to_weight[d, j] += to_z[j] * x[d]


@part
def project_to_input(weight: Any, to_z: Any, to_x: Any) -> None:
    for d in range(len(to_x)):
        total = FLOAT(0)
        for j in range(len(to_z)):
            total += to_z[j] * weight[d, j]
        to_x[d] += total
