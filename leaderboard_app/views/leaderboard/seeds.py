"""The scores of single seeds for the board's pictures, read once for each version of the database."""

from bench.catalog.suites import Suite
from bench.reports.seed_scores import SeedScores, over_tasks, seed_scores
from db.store import Store
from leaderboard_app.data import snapshot
from leaderboard_app.views.leaderboard.charts import Seeds
from leaderboard_app.views.leaderboard.shown import Shown


def load_seeds(store: Store, suite: Suite) -> SeedScores:
    seen = snapshot(store)
    return seen.once(("seeds", suite.name), lambda: seed_scores(seen.runs, seen.standing, suite))


def suite_seeds(store: Store, shown: Shown) -> Seeds:
    """Return the scores of each row's seeds, as means over the suite's tasks."""
    scores = load_seeds(store, shown.suite)
    return tuple(over_tasks(scores, row.key, shown.suite) for row in shown.rows)
