"""Runs, curves and events, all append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("runs", "curves", "events")
RESULT = sa.text("status != 'interrupted'")


def upgrade() -> None:
    create_runs()
    create_curves_and_events()
    forbid_changes()


def create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("protocol", sa.Integer, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("wrapper", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("task_version", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("budget", sa.String),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("config_source", sa.JSON, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("metric_name", sa.String, nullable=False),
        sa.Column("metric_value", sa.Double),
        sa.Column("chance", sa.Double, nullable=False),
        sa.Column("solved", sa.Double, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("best_epoch", sa.Integer),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("params_total", sa.Integer, nullable=False),
        sa.Column("params_core", sa.Integer, nullable=False),
        sa.Column("params_embedding", sa.Integer, nullable=False),
        sa.Column("params_readout", sa.Integer, nullable=False),
        sa.Column("params_buffers", sa.Integer, nullable=False),
        sa.Column("state_bytes", sa.Integer),
        sa.Column("samples_per_second", sa.Double),
        sa.Column("train_seconds", sa.Double, nullable=False),
        sa.Column("wall_seconds", sa.Double, nullable=False),
        sa.Column("peak_memory_host", sa.BigInteger, nullable=False),
        sa.Column("peak_memory_device", sa.BigInteger),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("source_hash", sa.String, nullable=False),
        sa.Column("command", sa.String, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("run_id", "attempt", name="uq_runs_run_id_attempt"),
    )
    op.create_index("one_result_per_run", "runs", ["run_id"], unique=True, sqlite_where=RESULT, postgresql_where=RESULT)
    op.create_index("ix_runs_task_model", "runs", ["task", "model"])


def create_curves_and_events() -> None:
    op.create_table(
        "curves",
        sa.Column("run_row", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("value", sa.Double),
        sa.PrimaryKeyConstraint("run_row", "name", "step", name="pk_curves"),
        sa.ForeignKeyConstraint(["run_row"], ["runs.id"], name="fk_curves_run_row"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_row", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(["run_row"], ["runs.id"], name="fk_events_run_row"),
    )
    op.create_index("ix_events_run_row", "events", ["run_row"])


def forbid_changes() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'results are append-only'; END $$"
        )
        for table in TABLES:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in TABLES:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'results are append-only'); END"
            )
