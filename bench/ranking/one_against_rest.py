"""Compare one entry with each of the others, to judge a claim about that entry alone.

Ranks have to be right about all pairs of a board, so they widen with every entry that joins. A claim about one entry
has as many comparisons as there are others. Holm's correction runs over those (Demšar 2006: a control and its rivals).
"""

from typing import NamedTuple

import numpy as np

from bench.ranking.cells import Cells, EntryKey
from bench.ranking.difference import Difference, differences
from bench.ranking.permutation import p_values
from bench.ranking.rank_interval import holm


class Rival(NamedTuple):
    """Another entry, compared with the one."""

    entry: EntryKey
    above: Difference
    """By how much it scores higher, over all tasks."""
    p: float
    """Adjusted p of the permutation test: at most 0.05 where the two are told apart."""


def against(table: Cells, tasks: tuple[str, ...], one: EntryKey) -> list[Rival]:
    """Compare the entry with each other one of the table, in the table's order.

    Args:
        table: complete entries, with the tasks in the order of `tasks`.
        one: an entry of the table.
    """
    own = table.entries.index(one)
    others = [index for index in range(len(table.entries)) if index != own]
    p_E = holm(p_values(table.values, np.array([[own, other] for other in others], dtype=int).reshape(-1, 2)))
    rivals = []
    for other, p in zip(others, p_E.tolist(), strict=True):
        above = differences(table, tasks, other, own).overall
        assert above is not None, "complete entries share all tasks"
        rivals.append(Rival(table.entries[other], above, p))
    return rivals
