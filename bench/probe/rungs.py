"""A rung of a search over ever harder tasks or ever longer trainings: what its runs have reached."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bench.ranking.utility import score
from db.schema import Run

THRESHOLD = 0.9  # of the way from the trivial predictor to a solved task


def reached(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the mean utility over the seeds of a rung, and whether that counts as solved."""
    mean = fmean(score(run) for run in runs) / 100
    return {"utility": mean, "solved": mean >= THRESHOLD, "run_ids": [run.run_id for run in runs]}
