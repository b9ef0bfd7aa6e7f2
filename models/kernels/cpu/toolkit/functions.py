"""Elementary functions for the CPU kernels, in operations that the compiler can vectorise. float32 only.

The functions of numba's `math` call a library once a number.
"""

from typing import Any

import numpy as np

from models.kernels.cpu.toolkit import vector
from models.kernels.cpu.toolkit.compile import FLOAT, helper

LOG2_E, LN_2_HIGH, LN_2_LOW = (FLOAT(x) for x in (vector.LOG2_E, vector.LN_2_HIGH, vector.LN_2_LOW))
EXP = tuple(FLOAT(c) for c in vector.EXP)
TANH = tuple(FLOAT(c) for c in (62 / 2835, -17 / 315, 2 / 15, -1 / 3, 1))  # in x², for |x| under a quarter
LOWEST = FLOAT(vector.LOWEST)
BIAS, MANTISSA = np.int32(127), np.int32(vector.MANTISSA)  # of a float's exponent; bits


@helper
def exp_of_negative(v: Any) -> Any:
    """exp for v ≤ 0 to float32 precision: 2^k, made of its bits, times a polynomial. NaN does not survive."""
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
    e = exp_of_negative(FLOAT(-2) * abs(x))
    large = (FLOAT(1) - e) / (FLOAT(1) + e)
    square, series = x * x, TANH[0]
    for coefficient in TANH[1:]:
        series = series * square + coefficient
    value = x * series if square < FLOAT(0.0625) else (large if x > 0 else -large)
    return value + FLOAT(0) * x  # NaN stays NaN


@helper
def sigmoid(x: Any) -> Any:
    e = exp_of_negative(-abs(x))
    larger = FLOAT(1) / (FLOAT(1) + e)
    return (larger if x > 0 else e * larger) + FLOAT(0) * x


@helper
def relax_backward(gate: Any, target: Any, before: Any, step: Any, to_state: Any, to_gate: Any, to_target: Any) -> None:
    """The adjoint of s = before + gate (target − before), gate = Δt σ(·), target = tanh(·)."""
    for j in range(len(gate)):
        to_target[j] = to_state[j] * gate[j] * (FLOAT(1) - target[j] * target[j])
        to_gate[j] = to_state[j] * (target[j] - before[j]) * gate[j] * (FLOAT(1) - gate[j] / step)
        to_state[j] *= FLOAT(1) - gate[j]
