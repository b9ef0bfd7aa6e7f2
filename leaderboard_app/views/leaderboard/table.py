"""The board's rows as a table."""

from collections.abc import Callable, Collection, Mapping, Sequence

from bench.ranking.cells import EntryKey
from bench.ranking.rows import SuiteRow
from bench.reports.board_formats import entry_name, rank_text
from bench.reports.listings import ModelFacts, model_facts
from leaderboard_app.views.leaderboard.filters import described
from leaderboard_app.views.leaderboard.sentences import VERIFIED, duration, interval
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.figures import bytes_text
from leaderboard_app.widgets.grid import Column, Line, Link, Score, number, share
from leaderboard_app.widgets.links import page_url

Cell = str | Link | Score
Computed = Callable[[str], Mapping[EntryKey, str]]
"""Returns the cells of one of the COMPUTED columns. An entry without a cell has none to show."""

Naming = Callable[[SuiteRow], str]
"""Names an entry: `entry_name` where all are in the same wrapper, else `shown_name`."""

ARCHITECTURE = Column("architecture", heads_row=True)
COLUMNS: Mapping[Column, Callable[[SuiteRow], Cell]] = {
    Column("rank", "Best and worst rank that the data allow. Entries that can't be told apart share ranks."): rank_text,
    ARCHITECTURE: lambda row: Link(shown_name(row), page_url("architecture", name=row.model)),
    Column("tier", "The parameter tier."): lambda row: row.budget,
    Column("train time", "Time to train one seed of every task, on the entry's hardware.", True):
        lambda row: "" if row.train_seconds is None else duration(row.train_seconds),
    Column("score", "0: remembers nothing, 100: solved. The mean over tasks of the mean over seeds.", True):
        lambda row: score(row),
    Column("95% interval", "The range in which the score would lie for other seeds.", True): interval,
    Column("learned", "Share of the seeds that learned their task: half of the way to solved. Mean over tasks.", True):
        lambda row: share(row.learned),
    Column("parameters", "Learned parameters, without token embeddings. Tiers limit this number.", True):
        lambda row: count(row.params),
    Column("core", "Parameters of the layers between embedding and readout.", True): lambda row: count(row.params_core),
    Column("state", "What one sequence carries from step to step. Empty if it carries nothing.", True):
        lambda row: "" if row.state_bytes is None else bytes_text(row.state_bytes),
    Column("samples/s", "Training throughput on the entry's hardware, geometric mean over tasks.", True):
        lambda row: count(row.samples_per_second),
    Column("tasks", "Tasks with five seeds or more and none left out. Only complete entries are ranked."):
        lambda row: f"{row.tasks_done} of {row.tasks_total}",
    Column("seeds", "Fewest seeds on any task.", True): lambda row: str(row.seeds),
    Column("failures", "Runs that diverged, failed, or ran out of memory or time. They count as zero.", True):
        lambda row: str(row.failures),
    Column("verification", "✓ the host scored the weights again; ✓✓ the host trained the model again."):
        lambda row: VERIFIED[row.verification],
}  # fmt: skip
EXTRA: Mapping[Column, Callable[[SuiteRow], Cell]] = {
    Column("on front", "Probability that no other entry is as good with fewer parameters.", True):
        lambda row: share(row.p_front),
    Column("BudgetAUC", "Mean of the best score over budgets up to ten times the largest tier; needs all tiers.", True):
        lambda row: number(row.budget_auc),
    Column("for other tasks", "95% interval: where the score would lie for other tasks like these.", True):
        lambda row: "" if row.score_low_tasks is None else f"{row.score_low_tasks:.1f} – {row.score_high_tasks:.1f}",
    Column("embedding", "Of token embeddings, mean over tasks.", True): lambda row: count(row.params_embedding),
    Column("readout", "Parameters of the last layer.", True): lambda row: count(row.params_readout),
    Column("wrapper", "The network that the layer is put in."): lambda row: row.wrapper,
    Column("family"): lambda row: described(model_facts().get(row.model))[0],
    Column("year", "Year of the paper.", True): lambda row: str(described(model_facts().get(row.model))[2] or ""),
    Column("hardware", "Hardware that the entry's runs were trained on."): lambda row: "; ".join(row.hardware),
}  # fmt: skip
"""Columns that can be switched on, whose values the board has."""
COMPUTED = (
    Column("mixer", "Share of the parameters in the sequence layers themselves. Empty if it is not known.", True),
    Column("latency", "Time of one step of one sequence, all layers, on the entry's hardware.", True),
    Column("memory", "Peak memory of training: the GPU's where one was used, else the process's.", True),
    Column("energy", "Of the GPU, to train one seed of every task. Empty where none was measured.", True),
    Column("audit flags", "What a sceptic would ask about; the Audit page says why."),
)
"""Columns whose values are only computed where they are shown."""
TIER, TRAIN_TIME = "tier", "train time"
CHOSEN = (*(column.name for column in EXTRA), TRAIN_TIME, *(column.name for column in COMPUTED))
"""The columns, in addition to each task's, that a reader can switch on."""


def show(
    rows: Sequence[SuiteRow], tasks: Sequence[str], extra: Collection[str], computed: Computed, name: Naming
) -> None:
    """Draw the table.

    Args:
        tasks: the tasks whose scores are shown.
        extra: names of CHOSEN columns, and TIER where entries of several tiers stand in one table.
        name: how an entry is called.
    """
    shown = {
        column: cell
        for column, cell in COLUMNS.items()
        if column.name not in (TIER, TRAIN_TIME) or column.name in extra
    }
    shown[ARCHITECTURE] = lambda row: Link(name(row), page_url("architecture", name=row.model))
    for task in tasks:
        shown |= {
            Column(task, f"Score on {task}.", numeric=True): task_score(task),
            Column(f"{task} learned", f"Share of the seeds that learned {task}.", numeric=True): task_learned(task),
        }
    shown |= {column: cell for column, cell in EXTRA.items() if column.name in extra}
    shown |= {column: looked_up(computed(column.name)) for column in COMPUTED if column.name in extra}
    lines = [Line([cell(row) for cell in shown.values()], faded=row.rank_low is None) for row in rows]
    grid.show(list(shown), lines, caption="The entries, best first")


def looked_up(cells: Mapping[EntryKey, str]) -> Callable[[SuiteRow], str]:
    return lambda row: cells.get(row.key, "")


def shown_name(row: SuiteRow) -> str:
    """Return the entry's name, with its wrapper if that is not the wrapper of the architecture's paper."""
    facts: ModelFacts | None = model_facts().get(row.model)
    foreign = facts is not None and row.wrapper != facts.wrapper
    return f"{entry_name(row)} in {row.wrapper}" if foreign else entry_name(row)


def score(row: SuiteRow) -> Cell:
    if row.score is None:
        return ""
    low, high = (row.score, row.score) if row.score_low is None else (row.score_low, row.score_high)
    return Score(row.score, low, high or row.score)


def task_score(task: str) -> Callable[[SuiteRow], str]:
    return lambda row: number(next(cell.score for cell in row.tasks if cell.task == task))


def task_learned(task: str) -> Callable[[SuiteRow], str]:
    return lambda row: share(next(cell.learned for cell in row.tasks if cell.task == task))


def count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
