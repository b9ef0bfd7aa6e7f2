"""The board's sentences, as Streamlit's Markdown with names escaped."""

from collections.abc import Collection, Sequence

from bench.catalog.suites import SUITES, Suite
from bench.common.text import counted
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board_formats import entry_name
from leaderboard_app.views.leaderboard.contests import Block
from leaderboard_app.widgets.text import plain

VERIFIED = {"self-reported": "self-reported", "rescored": "✓ rescored", "reproduced": "✓✓ reproduced"}
TRUST = {
    "self-reported": "nobody else has verified it yet",
    "rescored": "the host scored its weights again",
    "reproduced": "the host trained it again and found the same",
}
IN_BLOCK = {"residual": "in the same block for all", "plain": "in plain layers as in the RNN papers"}
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
MOST_NAMED = 5


def claim(block: Block) -> str:
    """Say who is best in a block, at each of its tiers, how certain that is, and how far it has been verified."""
    ((first, board), *others) = block.boards.items()
    return across_tiers(block) if others else headline(board, contest(first))


def across_tiers(block: Block) -> str:
    """Say who is best at each tier, how certain that is, and who is best over all budgets."""
    best = {contest.tier: board.rows[0] for contest, board in block.boards.items() if isinstance(contest, InTier)}
    ranked = {tier: row for tier, row in best.items() if row.rank_low is not None}
    (wrapper,) = {contest.wrapper for contest in block.boards}
    within = f", {IN_BLOCK[wrapper]}" if wrapper else ""
    if not ranked:
        return (
            f"#### Nothing is ranked at any tier yet{within}\n\nA ranked entry has at least five seeds on every task."
        )
    leads = ", ".join(f"at {tier} **{plain(entry_name(row))}** ({row.score:.1f})" for tier, row in ranked.items())
    sure = " ".join(
        f"At {contest.tier}, {compared[0].lower()}{compared[1:]}"
        for contest, board in block.boards.items()
        if isinstance(contest, InTier) and (rows := [row for row in board.rows if row.rank_low is not None])
        for compared in [_compared(rows)]
    )
    return f"#### Highest scores of 100{within}: {leads}\n\n{sure} {_over_budgets(block)}".rstrip()


def _over_budgets(block: Block) -> str:
    """Say who scores highest over all budgets."""
    whole = [row for row in block.rows if row.budget_auc is not None]
    if not whole:
        return ""
    best = max(whole, key=lambda row: row.budget_auc or 0)
    return f"Over all budgets, {plain(entry_name(best))} scores highest: BudgetAUC {best.budget_auc:.1f}."


def superseded(suite: Suite, with_runs: Collection[str]) -> str:
    """Say why a suite takes no new runs, and that no other has results yet if so.

    Args:
        with_runs: the suites that have results.
    """
    why = f"**{suite.name} is superseded:** {plain(suite.superseded)}"
    if any(SUITES[name].superseded is None for name in with_runs):
        return why
    return f"{why} No suite that takes new runs has results yet."


def headline(board: Board, where: str) -> str:
    """Say who is best, how certain that is, and how far it has been verified.

    Args:
        where: the contest, such as "at 10k parameters".
    """
    ranked = [row for row in board.rows if row.rank_low is not None]
    if not ranked:
        return f"#### Nothing is ranked {where} yet\n\nA ranked entry has at least five seeds on every task."
    best = ranked[0]
    interval = "" if best.score_low is None else f" (95% interval {best.score_low:.1f} to {best.score_high:.1f})"
    claim = f"#### **{plain(entry_name(best))}** scores highest {where}: {best.score:.1f} of 100{interval}"
    return f"{claim}\n\n{_compared(ranked)} {_believed(best)}"


def _compared(ranked: Sequence[SuiteRow]) -> str:
    """Say how certain the first place is."""
    best, *others = ranked
    alike = (best.rank_high or 1) - 1
    if not others:
        return "No other entry is complete."
    if not alike:
        return "It can be told apart from every other entry."
    first_too = [plain(entry_name(row)) for row in others if row.rank_low == 1]
    if alike == len(first_too) <= MOST_NAMED:
        return f"It can't be told apart from {', '.join(first_too)}."
    return f"It can't be told apart from {alike} other{'s' * (alike > 1)}."


def _believed(row: SuiteRow) -> str:
    failures = f"{row.failures} of its runs failed" if row.failures else "none of its runs failed"
    return f"It is based on {counted(row.seeds, 'seed')} per task; {failures}; {TRUST[row.verification]}."


def contest(chosen: InTier | InTime) -> str:
    """Name the contest, as in "… scores highest at 10k parameters, in the same block for all"."""
    within = f", {IN_BLOCK[chosen.wrapper]}" if chosen.wrapper else ""
    if isinstance(chosen, InTier):
        return f"at {chosen.tier} parameters{within}"
    return f"within {duration(chosen.seconds)} of training on {plain(chosen.hardware)}{within}"


def explained(suite: Suite, block: Block) -> str:
    """Say how to read the table."""
    if len(block.boards) == 1:
        parts = [detectable(board) for board in block.boards.values()]
    else:
        parts = ["Ranks are among the entries of a tier."]
    chosen = next(iter(block.boards))
    if chosen.wrapper is None:
        parts.append("Entries in different blocks are ranked against one another, as this suite was published.")
    if any(row.rank_low is None for row in block.rows):
        parts.append("An entry that lacks one of seeds 0 to 4 on any task, or a seed before its last, is not ranked.")
    if isinstance(chosen, InTime):
        parts.append(
            f"The table shows entries of every size that trained one seed of all {len(suite.tasks)} tasks in at most "
            "this time, on this hardware. Times on other hardware can't be compared. Every model is trained for the "
            "same number of steps, so a fast model is not trained for longer. Times are wall-clock times without "
            "tuning, and a busy machine counts against an entry."
        )
    return " ".join(filter(None, parts))


def detectable(board: Board) -> str:
    """Say what the smallest difference is that could have been seen."""
    if sum(row.rank_low is not None for row in board.rows) < 2:
        return ""
    if board.smallest_difference is None:
        return "With so few tasks and seeds **no difference** would be enough to tell two of these entries apart."
    return f"Two entries must differ by about **{board.smallest_difference:.1f} points** to be told apart here."


def interval(row: SuiteRow) -> str:
    """Return the 95% interval as a cell of a table."""
    if row.score_low is not None:
        return f"{row.score_low:.1f} – {row.score_high:.1f}"
    return "no spread seen" if row.score is not None and row.seeds > 1 else ""


def duration(seconds: float) -> str:
    """Format a duration to about two digits: 45 s, 12 min, 3.5 h, 2 d."""
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    value = f"{seconds / size:.1f}" if seconds < 10 * size else f"{seconds / size:.0f}"
    return f"{value.removesuffix('.0')} {unit}"
