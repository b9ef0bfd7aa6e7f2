"""Trials of published tuning studies, append-only like all else."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("protocol", sa.Integer, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("wrapper", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("task_version", sa.Integer, nullable=False),
        sa.Column("budget", sa.String, nullable=False),
        sa.Column("metric_name", sa.String, nullable=False),
        sa.Column("higher_is_better", sa.Boolean, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("value", sa.Double),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("params_total", sa.Integer),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.UniqueConstraint("study", "number", name="uq_trials_study_number"),
    )
    forbid_changes()


def forbid_changes() -> None:
    """Refuse to change, remove or replace a trial, in each database's own way (revisions 0001 and 0003)."""
    if op.get_bind().dialect.name == "postgresql":
        for name, change, each in (
            ("append_only", "UPDATE OR DELETE", "FOR EACH ROW"),
            ("no_truncate", "TRUNCATE", "FOR EACH STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER trials_{name} BEFORE {change} ON trials {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    same = "EXISTS (SELECT 1 FROM trials WHERE id = NEW.id) OR "
    same += "EXISTS (SELECT 1 FROM trials WHERE study = NEW.study AND number = NEW.number)"
    for name, change in (("update", "UPDATE ON trials"), ("delete", "DELETE ON trials"),
                         ("replace", f"INSERT ON trials WHEN {same}")):  # fmt: skip
        op.execute(
            f"CREATE TRIGGER trials_no_{name} BEFORE {change} BEGIN SELECT RAISE(ABORT, 'results are append-only'); END"
        )
