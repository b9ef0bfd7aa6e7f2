"""A run has one result, and may also have corrections. Each names the attempt that it corrects."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FIRST_RESULT = sa.text("status != 'interrupted' AND corrects IS NULL")


def upgrade() -> None:
    op.add_column("runs", sa.Column("corrects", sa.Integer))
    op.create_index("one_correction_per_result", "runs", ["run_id", "corrects"], unique=True)
    op.drop_index("one_result_per_run", "runs")
    op.create_index(
        "one_result_per_run", "runs", ["run_id"], unique=True, sqlite_where=FIRST_RESULT, postgresql_where=FIRST_RESULT
    )
