"""Mix-poly: sequences of 176 numbers that mix five polynomials of degree 5, 10 or 15 (Zhang et al. 2018, §5.1).

    curve_j(x) = Σ_d c_jd x^d,   d = 1 … D

with coefficients from U(−1, 1). The model reads the sequence and reproduces all but its first value (`_mixtures.py` has
the rest).

>>> task = MixPoly("mix-poly-10")
>>> task.spec.chance, task.spec.solved
(0.037958, 0.0001)
>>> x_NT = task.draw(200, task.rng("example")).x[:, :, 0].double().numpy()
>>> x_NT[0, :3].round(3).tolist()
[0.401, 0.397, 0.392]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._mixtures import CURVES, MixtureTask


class MixPoly(MixtureTask):
    """Reproduce a mixture of polynomials. The squared error of predicting the mean is the variance."""

    degree: int
    summary = "reconstruct a mixture of five polynomials"
    shortcuts = {"bag": 17, "hidden-bag": 27, "first-16": 100, "last-16": 100}  # the data have rank six
    variants = {f"mix-poly-{degree}": {"degree": degree} for degree in (5, 10, 15)}

    def curves(self, x_T: NDArray[np.float64]) -> NDArray[np.float64]:
        coefficients_JD = self.rng("curves").uniform(-1, 1, size=(CURVES, self.degree))
        return coefficients_JD @ x_T ** np.arange(1, self.degree + 1)[:, None]
