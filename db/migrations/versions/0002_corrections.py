"""A run has one result, and besides it corrections, each of which names the row that it corrects."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FIRST_RESULT = sa.text("status != 'interrupted' AND corrects IS NULL")


def upgrade() -> None:
    # In words that SQLite and PostgreSQL share: Alembic would add the foreign key apart, which SQLite can't.
    op.execute("ALTER TABLE runs ADD COLUMN corrects INTEGER CONSTRAINT fk_runs_corrects REFERENCES runs (id)")
    op.create_index("one_correction_per_result", "runs", ["corrects"], unique=True)
    op.drop_index("one_result_per_run", "runs")
    op.create_index(
        "one_result_per_run", "runs", ["run_id"], unique=True, sqlite_where=FIRST_RESULT, postgresql_where=FIRST_RESULT
    )
