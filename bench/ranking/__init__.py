"""From a table of runs to a table of rows: pure functions, one idea a file.

`leaderboard` lists each task by itself; `rank` and `rank_suite` rank entries over the tasks of a suite, as
docs/ranking.md says.
"""

from bench.ranking.by_task import Row, chosen_settings, leaderboard
from bench.ranking.cells import EntryKey
from bench.ranking.contest import Contest, InTier, InTime
from bench.ranking.rows import Board, SuiteRow, TaskScore
from bench.ranking.suite import rank, rank_suite
from bench.ranking.utility import score, utility

__all__ = [
    "Board",
    "Contest",
    "EntryKey",
    "InTier",
    "InTime",
    "Row",
    "SuiteRow",
    "TaskScore",
    "chosen_settings",
    "leaderboard",
    "rank",
    "rank_suite",
    "score",
    "utility",
]
