"""What a reader of the board looks at, for whatever draws or saves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.catalog.suites import Suite
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import SuiteRow
from bench.reports.board_formats import entry_name
from leaderboard_app.views.leaderboard.contests import Contest
from leaderboard_app.views.leaderboard.table import TIER, TRAIN_TIME, Naming, shown_name


def name_of(contests: Sequence[Contest]) -> Naming:
    """Return how entries are called: with their wrapper where it is not the same for all."""
    wrappers = {contest.wrapper for contest in contests}
    return entry_name if len(wrappers) == 1 and None not in wrappers else shown_name


@dataclass(frozen=True)
class Shown:
    """What a reader looks at."""

    suite: Suite
    contests: tuple[Contest, ...]
    rows: tuple[SuiteRow, ...]
    """The rows that are shown, in their order."""
    wide: tuple[SuiteRow, ...]
    """The rows of all tiers."""
    name: Naming
    """How an entry is called, without its tier."""

    @property
    def apart(self) -> bool:
        """Whether there are several blocks."""
        return len({contest.wrapper for contest in self.contests}) > 1

    @property
    def tier(self) -> str | None:
        """The tier, if there is one."""
        tiers = {contest.tier for contest in self.contests if isinstance(contest, InTier)}
        return tiers.pop() if len(tiers) == 1 else None

    @property
    def in_all_tiers(self) -> tuple[SuiteRow, ...]:
        """The rows of all tiers of the architectures that are shown."""
        models = {row.model for row in self.rows}
        return tuple(row for row in self.wide if row.model in models)

    @property
    def timed(self) -> bool:
        return isinstance(self.contests[0], InTime)

    @property
    def told_apart(self) -> tuple[str, ...]:
        """The columns that tell entries of several tiers apart."""
        return (TIER, TRAIN_TIME) if self.timed else () if self.tier else (TIER,)

    @property
    def full_name(self) -> Callable[[SuiteRow], str]:
        """How an entry is called, with its tier where there are several."""
        return self.name if self.tier else self._with_tier

    def _with_tier(self, row: SuiteRow) -> str:
        return f"{self.name(row)} · {row.budget}"
