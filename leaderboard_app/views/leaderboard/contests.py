"""The contests that are shown: one, or one for each block and tier."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow

Contest = InTier | InTime


@dataclass(frozen=True)
class Block:
    """What one table shows: the contests of one block, which differ in their tier."""

    boards: Mapping[Contest, Board]

    @property
    def rows(self) -> tuple[SuiteRow, ...]:
        """The rows as ranked; those of several tiers with the ranked ones first, by their score."""
        rows = [row for board in self.boards.values() for row in board.rows]
        if len(self.boards) == 1:
            return tuple(rows)
        return tuple(sorted(rows, key=lambda row: (row.rank_low is None, row.score is None, -(row.score or 0))))


def by_block(boards: Mapping[Contest, Board]) -> list[Block]:
    wrappers = dict.fromkeys(contest.wrapper for contest in boards)
    return [Block({contest: boards[contest] for contest in boards if contest.wrapper == each}) for each in wrappers]
