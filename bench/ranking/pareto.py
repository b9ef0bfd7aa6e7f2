"""Which entries are worth their parameters.

Shapes: E entries, R draws.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from bench.ranking.cells import BoolArray, EntryKey, FloatArray

DRAWS = 1_000


def on_front(score_RE: FloatArray, params_E: FloatArray) -> BoolArray:
    """Return whether each entry is dominated by no other, for each draw (R × E). Entry b dominates a if

    S_b ≥ S_a and P_b ≤ P_a, one of them strictly.
    """
    order = np.argsort(params_E, kind="stable")
    score_RE, params_E = score_RE[:, order], params_E[order]
    best_RE = np.maximum.accumulate(score_RE, axis=1)
    smaller = np.searchsorted(params_E, params_E, side="left")
    as_small = np.searchsorted(params_E, params_E, side="right")
    best_smaller_RE = np.where(smaller > 0, best_RE[:, smaller - 1], -np.inf)
    front_RE = np.empty(score_RE.shape, dtype=bool)
    front_RE[:, order] = (score_RE > best_smaller_RE) & (score_RE >= best_RE[:, as_small - 1])
    return front_RE


def front_probability(
    entries: Sequence[EntryKey], score_E: FloatArray, error_E: FloatArray, freedom_E: FloatArray, params_E: FloatArray
) -> FloatArray:
    """Return how often each entry is on the front when every score is drawn as S + SE t_ν, as its interval supposes.

    An entry's draws are seeded by its own name, so that no other entry moves them.

    Args:
        error_E: SE, the standard errors.
        freedom_E: ν, the degrees of freedom; NaN where no spread is seen.
    """
    if not entries:
        return np.empty(0)
    noise_RE = np.stack([_noise(entry, freedom) for entry, freedom in zip(entries, freedom_E, strict=True)], axis=1)
    return on_front(score_E + error_E * noise_RE, params_E).mean(0)


def _noise(entry: EntryKey, freedom: float) -> FloatArray:
    if np.isnan(freedom):  # no spread is seen: its score stays as it is
        return np.zeros(DRAWS)
    seed = hashlib.sha256(repr(tuple(entry)).encode()).digest()
    return np.random.default_rng(list(seed)).standard_t(freedom, DRAWS)
