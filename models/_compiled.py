"""What the compiled CPU kernels share: threads, elementary functions, and a product of a vector and a matrix.

The functions of numba's `math` call a library once a number; these are operations that the compiler can vectorise. A
kernel's file keeps its machine code on disk and does not notice a change here: touch it after one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

FLOAT = np.float32
FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered; infinities and NaN stay what they are
POWERS_OF_2 = (2.0 ** np.arange(-127, 1)).astype(FLOAT)
LOG2_E, LN_2_HIGH, LN_2_LOW = FLOAT(np.log2(np.e)), FLOAT(0.693359375), FLOAT(np.log(2) - 0.693359375)
EXP = tuple(FLOAT(1 / factorial) for factorial in (5040, 720, 120, 24, 6, 2, 1, 1))
TANH = tuple(FLOAT(c) for c in (62 / 2835, -17 / 315, 2 / 15, -1 / 3, 1))  # in x², for |x| under a quarter
LOWEST = FLOAT(-87)  # exp of less is no normal number


def run(kernel: Any, *tensors: Tensor) -> None:
    """Call a kernel on as many threads as torch may use, each with a part of the batch.

    Plain threads, not numba's: its OpenMP beside torch's own makes both wait for each other.
    """
    arrays = [tensor.detach().numpy() for tensor in tensors]
    bounds = np.linspace(0, len(arrays[0]), torch.get_num_threads() + 1).astype(int)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(lambda first, last: kernel(first, last, *arrays), bounds[:-1], bounds[1:]))


@njit(fastmath=FAST, inline="always")
def exp_of_negative(v: Any) -> Any:
    """exp for v ≤ 0 to float32 precision, 2^k times a polynomial, in operations that the compiler can vectorise."""
    v = v if v > LOWEST else LOWEST  # NaN, too, so that no table is read out of bounds; it survives in Δ x
    v = v if v < 0 else FLOAT(0)
    k = np.floor(v * LOG2_E + FLOAT(0.5))
    rest = (v - k * LN_2_HIGH) - k * LN_2_LOW
    value = EXP[0]
    for coefficient in EXP[1:]:
        value = value * rest + coefficient
    return value * POWERS_OF_2[np.int32(k) + 127]


@njit(fastmath=FAST, inline="always")
def tanh(x: Any) -> Any:
    e = exp_of_negative(FLOAT(-2) * abs(x))
    large = (FLOAT(1) - e) / (FLOAT(1) + e)
    square, series = x * x, TANH[0]
    for coefficient in TANH[1:]:
        series = series * square + coefficient
    value = x * series if square < FLOAT(0.0625) else (large if x > 0 else -large)
    return value + FLOAT(0) * x  # NaN stays NaN


@njit(fastmath=FAST, inline="always")
def sigmoid(x: Any) -> Any:
    return FLOAT(0.5) + FLOAT(0.5) * tanh(FLOAT(0.5) * x)


@njit(fastmath=FAST)
def add_product(out: Any, vector: Any, matrix: Any) -> None:
    """out += vector · matrix, four rows at a time."""
    rows = len(vector)
    whole = rows - rows % 4
    for j in range(0, whole, 4):
        a, b, c, d = vector[j], vector[j + 1], vector[j + 2], vector[j + 3]
        for i in range(len(out)):
            out[i] += a * matrix[j, i] + b * matrix[j + 1, i] + c * matrix[j + 2, i] + d * matrix[j + 3, i]
    for j in range(whole, rows):
        for i in range(len(out)):
            out[i] += vector[j] * matrix[j, i]


@njit(fastmath=FAST)
def relax_backward(gate: Any, target: Any, before: Any, step: Any, to_state: Any, to_gate: Any, to_target: Any) -> None:
    """The adjoint of s = before + gate (target − before), gate = Δt σ(·), target = tanh(·)."""
    for j in range(len(gate)):
        to_target[j] = to_state[j] * gate[j] * (FLOAT(1) - target[j] * target[j])
        to_gate[j] = to_state[j] * (target[j] - before[j]) * gate[j] * (FLOAT(1) - gate[j] / step)
        to_state[j] *= FLOAT(1) - gate[j]
