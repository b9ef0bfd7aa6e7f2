"""Elementary functions for the CPU kernels, in operations that the compiler can vectorise. float32 only.

The functions of numba's `math` call a library for every single number.
"""

from typing import Any

import numpy as np

from models.kernels.cpu.toolkit import vector
from models.kernels.cpu.toolkit.compile import FLOAT, helper

LOG2_E, LN_2_HIGH, LN_2_LOW = (FLOAT(x) for x in (vector.LOG2_E, vector.LN_2_HIGH, vector.LN_2_LOW))
EXP = tuple(FLOAT(c) for c in vector.EXP)
TANH = tuple(FLOAT(c) for c in (62 / 2835, -17 / 315, 2 / 15, -1 / 3, 1))  # coefficients in x², for |x| < ¼
ATANH = tuple(FLOAT(c) for c in vector.ATANH)
LOWEST = FLOAT(vector.LOWEST)
BIAS, MANTISSA = np.int32(127), np.int32(vector.MANTISSA)  # a float's exponent bias and mantissa bits


@helper
def exp_of_negative(v: Any) -> Any:
    """Return exp(v) for v ≤ 0, to float32 precision. NaN does not survive."""
    # exp(v) = 2^k exp(rest), where k is the whole number nearest to v / ln 2: a polynomial suffices for the small rest,
    # and 2^k is put together from its bits. ln 2 is subtracted in two parts, so that no digits are lost.
    v = v if v > LOWEST else LOWEST
    v = v if v < 0 else FLOAT(0)
    k = np.floor(v * LOG2_E + FLOAT(0.5))
    rest = (v - k * LN_2_HIGH) - k * LN_2_LOW
    value = EXP[0]
    for coefficient in EXP[1:]:
        value = value * rest + coefficient
    return value * np.int32((np.int32(k) + BIAS) << MANTISSA).view(np.float32)


@helper
def relu(x: Any) -> Any:
    return FLOAT(0) if x < 0 else x  # NaN stays NaN


@helper
def tanh(x: Any) -> Any:
    # Both forms are computed and one is selected, which vectorises. Near zero, 1 − e loses its digits: a series there.
    e = exp_of_negative(FLOAT(-2) * abs(x))
    large = (FLOAT(1) - e) / (FLOAT(1) + e)
    square, series = x * x, TANH[0]
    for coefficient in TANH[1:]:
        series = series * square + coefficient
    value = x * series if square < FLOAT(0.0625) else (large if x > 0 else -large)
    return value + FLOAT(0) * x  # NaN stays NaN


@helper
def sigmoid(x: Any) -> Any:
    e = exp_of_negative(-abs(x))  # at most 1, so that nothing overflows
    larger = FLOAT(1) / (FLOAT(1) + e)
    return (larger if x > 0 else e * larger) + FLOAT(0) * x  # NaN stays NaN


@helper
def log_sigmoid(x: Any) -> Any:
    # log σ(x) = min(x, 0) − log(1 + e), where log(1 + e) = 2 atanh(e / (2 + e)).
    e = exp_of_negative(-abs(x))
    s = e / (FLOAT(2) + e)
    square, series = s * s, ATANH[0]
    for coefficient in ATANH[1:]:
        series = series * square + coefficient
    return (FLOAT(0) if x > 0 else x) - FLOAT(2) * s * series  # NaN stays NaN


@helper
def relax_backward(gate: Any, target: Any, before: Any, step: Any, to_state: Any, to_gate: Any, to_target: Any) -> None:
    """Run the adjoint of s = before + gate (target − before), where gate = Δt σ(·) and target = tanh(·).

    to_state, the gradient of s, becomes that of `before`. to_gate and to_target are written: the gradients of what σ
    and tanh act on. `step` is Δt.
    """
    for j in range(len(gate)):
        to_target[j] = to_state[j] * gate[j] * (FLOAT(1) - target[j] * target[j])
        to_gate[j] = to_state[j] * (target[j] - before[j]) * gate[j] * (FLOAT(1) - gate[j] / step)
        to_state[j] *= FLOAT(1) - gate[j]
