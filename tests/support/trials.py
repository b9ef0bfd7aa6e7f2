"""How tests look at what a study holds."""

import sqlite3

from optuna.trial import FrozenTrial

from bench.tuning.storage import Studies
from tests.conftest import Bench


def trials_of(bench: Bench) -> list[FrozenTrial]:
    (study,) = Studies(str(bench.db)).all()
    return study.trials


def states(bench: Bench) -> list[str]:
    """Of each trial, also while another process is at the study."""
    path = bench.folder / "board-studies.sqlite"
    if not path.exists():
        return []
    try:
        return [state for (state,) in sqlite3.connect(path).execute("SELECT state FROM trials ORDER BY number")]
    except sqlite3.OperationalError:  # the tables are being made
        return []
