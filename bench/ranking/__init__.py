"""From a table of runs to a table of rows: pure functions, one idea a file.

`leaderboard` lists each task by itself; `rank_suite` ranks entries over the tasks of a suite, as docs/ranking.md says.
"""

from bench.ranking.by_task import Row, chosen_settings, leaderboard
from bench.ranking.rows import Board, SuiteRow, TaskScore
from bench.ranking.suite import rank_suite
from bench.ranking.utility import score, utility

__all__ = [
    "Board",
    "Row",
    "SuiteRow",
    "TaskScore",
    "chosen_settings",
    "leaderboard",
    "rank_suite",
    "score",
    "utility",
]
