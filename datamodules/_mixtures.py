"""The base of the FRU paper's synthetic tasks: noise-free mixtures of five fixed curves. Shapes: N samples, T time.

A sample is b + Σ_j a_j curve_j(x_i) at x_i = 2(i − 88)/176, i = 0 … 175, with b and the five a_j drawn from N(0, 0.1)
(0.1 is the standard deviation). The target is the sequence without its first value, read from the last state. So the
task is to reconstruct data of rank 6. Linear regression on seven evenly spaced values solves it exactly.
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Continuous, TaskSpec, Value

CURVES = 5
SCALE = 0.1  # the standard deviation of a mixture's coefficients


class MixtureTask(GeneratedTask):
    """A task: memorise a curve and reproduce it."""

    length = 176
    noise = 0.0
    """The standard deviation of the noise that is added to what is read, not to the target."""
    asked: int | None = None
    """How many evenly spaced steps of the curve are the target; all but the first, unless set."""
    chance: float | None = None
    solved = 1e-4
    summary: str
    counts = {"train": 2_800, "validation": 400, "test": 800}  # a fifth of 4,000 tests; an eighth of the rest validates
    tiny = {"length": 16}

    @abstractmethod
    def curves(self, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the five curves at the given points, (5, T). They are the same for every sample."""

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=self.summary,
            seq_len=self.length,
            input=Continuous(1),
            output=Value(len(self.targets())),
            metric="mse",
            chance=self._variance() if self.chance is None else self.chance,
            solved=self.solved,
            source="generated",
            license="MIT",
            citation="Zhang, Lin, Song & Dhillon, Fourier Recurrent Units, ICML 2018, arXiv 1803.06585",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        coefficients_N6 = rng.normal(scale=SCALE, size=(count, 1 + CURVES))
        x_NT = (coefficients_N6 @ self._basis()).astype(np.float32)
        y_NV = x_NT[:, self.targets()]
        if self.noise:
            x_NT = x_NT + self.noise * rng.standard_normal(x_NT.shape, dtype=np.float32)
        return samples(x_NT[:, :, None], y_NV)

    def targets(self) -> NDArray[np.int64]:
        """Return the steps whose values are the target."""
        if self.asked is None:
            return np.arange(1, self.length)
        asked = min(self.asked, self.length)
        return np.arange(1, asked + 1) * (self.length // asked) - 1

    def _basis(self) -> NDArray[np.float64]:
        """Return the constant and the five curves at the task's points, (6, T)."""
        return np.vstack([np.ones(self.length), self.curves(self.points())])

    def points(self) -> NDArray[np.float64]:
        """Return the task's points in [−1, 1), (T,)."""
        half = self.length / 2
        return (np.arange(self.length, dtype=np.float64) - half) / half

    def _variance(self) -> float:
        """Return the squared error of predicting zero, the mean of every value, rounded to be equal on all machines."""
        return round(float(SCALE**2 * (self._basis()[:, self.targets()] ** 2).sum(0).mean()), 6)


def regress_on_seven(fit_NT: NDArray[np.float64], score_NT: NDArray[np.float64]) -> float:
    """Fit linear regression from seven evenly spaced values of a sequence to all but its first value.

    Returns:
        The mean squared error on `score_NT` of the regression that is fitted on `fit_NT`.
    """
    seven = np.linspace(0, fit_NT.shape[1] - 1, 7).round().astype(int)
    weights, *_ = np.linalg.lstsq(fit_NT[:, seven], fit_NT[:, 1:])
    return float(np.mean((score_NT[:, seven] @ weights - score_NT[:, 1:]) ** 2))
