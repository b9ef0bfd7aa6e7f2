"""FitzHugh–Nagumo: predict the next value of a neuron model's voltage at every step (Rusch et al. 2022, LEM, §5).

    v' = v − v³/3 − w + 0.5,    w' = 0.02 (v + 0.7 − 0.8 w),    v(0) uniform in [−1, 1), w(0) = 0

on t from 0 to 400, at 1,000 evenly spaced points; four Runge–Kutta steps lie between two points. The input at each
step is v, the target the next v. The fast spikes and the slow recovery w, which is not shown, are two scales of time.
As in the paper, 128 sequences are for training, 128 for validation and 1,024 for testing.

The curves are smooth, so that the last few values predict the next one well: least squares on the last sixteen has a
squared error of 1e-3, which is 0 points. Solved means a hundredth of it.

>>> task = FitzHughNagumo(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0, :6, 0].mul(100).round().int().tolist()
[-81, -87, -93, -99, -106, -112]
>>> batch.y[0, :6, 0].mul(100).round().int().tolist()
[-87, -93, -99, -106, -112, -117]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Continuous, TaskSpec, ValuePerStep

LONGEST_TIME, POINTS = 400.0, 1_000
FINER = 4  # steps of the solver between two points
RECOVERY, CURRENT, A, B = 0.02, 0.5, 0.7, 0.8

Floats = NDArray[np.float64]


class FitzHughNagumo(GeneratedTask):
    """Predict the next voltage."""

    length = POINTS - 1
    counts = {"train": 128, "validation": 128, "test": 1_024}
    variants = {"fitzhugh-nagumo": {}}
    tiny = {"length": 30}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary="the next voltage of a neuron model, at every step",
            seq_len=self.length,
            input=Continuous(1),
            output=ValuePerStep(1),
            metric="mse",
            chance=1e-3,
            solved=1e-5,
            source="generated",
            license="MIT",
            citation="Rusch, Mishra, Erichson & Mahoney, Long Expressive Memory, ICLR 2022, arXiv 2110.04744",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        v_NT = solve(rng.uniform(-1, 1, size=count), self.length + 1).astype(np.float32)
        return samples(v_NT[:, :-1, None].copy(), v_NT[:, 1:, None].copy())


def solve(start_N: Floats, points: int) -> Floats:
    """Return v (N, points) from its starting values, by the classical Runge–Kutta method."""
    step = LONGEST_TIME / (POINTS - 1) / FINER
    state_2N = np.stack([start_N, np.zeros_like(start_N)])
    v_NT = np.empty((len(start_N), points))
    for point in range(points):
        v_NT[:, point] = state_2N[0]
        for _ in range(FINER):
            one = slope(state_2N)
            two = slope(state_2N + step / 2 * one)
            three = slope(state_2N + step / 2 * two)
            four = slope(state_2N + step * three)
            state_2N = state_2N + step / 6 * (one + 2 * two + 2 * three + four)
    return v_NT


def slope(state_2N: Floats) -> Floats:
    v_N, w_N = state_2N
    return np.stack([v_N - v_N * v_N * v_N / 3 - w_N + CURRENT, RECOVERY * (v_N + A - B * w_N)])
