"""Mix-sin: sequences of 176 numbers that mix five sums of sines (Zhang et al. 2018, §5.1).

    curve_j(x) = Σ_d c_jd sin(2π x f_d + 2π p_jd),   d = 1 … 15

with frequencies f_d = 0.1 · randint(1, 30) shared by the five curves, coefficients and phases from U(−1, 1). The model
reads the sequence and reproduces all but its first value (`_mixtures.py` has the rest). Linear regression on seven
values solves the task, also on the last eight.

`mix-sin-noise` adds noise from N(0, 0.05²) to every number that is read. The target is the curve without noise at 25
steps: 7, 14, … 175. So the noise has to be averaged over the whole sequence. The least error that can be had from the
last 16 values is 0.060, from the first 16 0.054, which is 0 points, and from all values 8.4e-5.

>>> task = MixSin()
>>> task.spec.seq_len, task.spec.output.width, task.spec.chance, task.spec.solved
(176, 175, 0.170278, 0.0001)
>>> x_NT = task.draw(200, task.rng("example")).x[:, :, 0].double().numpy()
>>> x_NT[0, :3].round(3).tolist()
[-0.761, -0.75, -0.732]
>>> regress_on_seven(x_NT[:100], x_NT[100:]) < 1e-10
True
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._base import named_rng
from datamodules._mixtures import CURVES, MixtureTask, regress_on_seven

__all__ = ["MixSin", "regress_on_seven"]

SINES = 15
RANK_SIX = {"bag": 1, "hidden-bag": 3, "first-16": 100, "last-16": 100}
NOISY = "reconstruct a mixture of five sums of sines that is read with noise"


class MixSin(MixtureTask):
    """Reproduce a mixture of sums of sines. The squared error of predicting the mean is the variance."""

    summary = "reconstruct a mixture of five sums of sines"
    variants = {
        "mix-sin": {"shortcuts": RANK_SIX},
        "mix-sin-noise": {"noise": 0.05, "asked": 25, "chance": 0.054, "solved": 2e-4, "summary": NOISY},
    }

    def curves(self, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        rng = named_rng("mix-sin/v1/curves")  # the same curves in all variants
        frequencies_D = 0.1 * rng.integers(1, 30, size=SINES)
        coefficients_JD, phases_JD = rng.uniform(-1, 1, size=(2, CURVES, SINES))
        waves_JDT = np.sin(2 * np.pi * (x_T * frequencies_D[:, None] + phases_JD[:, :, None]))
        return (coefficients_JD[:, :, None] * waves_JDT).sum(1)
