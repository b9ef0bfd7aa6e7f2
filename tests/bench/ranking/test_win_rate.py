"""How often one entry scores higher than another."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from bench.ranking.win_rate import win_rate


def test_by_hand() -> None:
    assert win_rate([3.0, 1.0], [2.0]) == 0.5
    assert win_rate([2.0], [2.0]) == 0.5  # a tie counts half
    assert win_rate([5.0, 2.0], [2.0, 1.0]) == 3.5 / 4


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_statistic_of_mann_and_whitney(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, 6, size).astype(float).tolist() for size in (5, 7))
    assert win_rate(first, second) == pytest.approx(mannwhitneyu(first, second).statistic / 35)
    assert win_rate(first, second) + win_rate(second, first) == pytest.approx(1)


@pytest.mark.parametrize("scores", [([], [1.0]), ([1.0], [])])
def test_it_needs_a_score_of_each(scores: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="a score of each"):
        win_rate(*scores)
