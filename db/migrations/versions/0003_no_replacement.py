"""Rows can't be replaced (SQLite's REPLACE fires no DELETE trigger), nor tables emptied (PostgreSQL's TRUNCATE)."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SAME = {
    "runs": (
        "id = NEW.id",
        "run_id = NEW.run_id AND attempt = NEW.attempt",
        "run_id = NEW.run_id AND corrects = NEW.corrects",
        "run_id = NEW.run_id AND corrects IS NULL AND status != 'interrupted'"
        " AND NEW.corrects IS NULL AND NEW.status != 'interrupted'",
    ),
    "curves": ("run_row = NEW.run_row AND name = NEW.name AND step = NEW.step",),
    "events": ("id = NEW.id",),
}
"""Table → conditions that at most one row may meet, by its keys and unique indexes."""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in SAME:
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for table, same in SAME.items():
        # One search for each key: with OR between them SQLite would read the whole table.
        found = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {condition})" for condition in same)  # noqa: S608
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found} "
            "BEGIN SELECT RAISE(ABORT, 'results are append-only'); END"
        )
