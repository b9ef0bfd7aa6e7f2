"""Bring a database's schema up to date, in one transaction, and refuse databases that are not ours."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from db.errors import StoreError

UPGRADE_LOCK = 1803_06585  # PostgreSQL's advisory lock of this project


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    scripts = str(Path(__file__).resolve().parent / "migrations")
    config.set_main_option("script_location", scripts.replace("%", "%%"))  # a single % would begin a name
    return config


def head() -> str:
    """Return the revision that this code writes."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def revision(connection: Connection, name: str) -> str | None:
    """Return the database's revision, or None if the database is empty.

    Args:
        name: the database's name in messages.

    Raises:
        StoreError: the database holds another program's tables, or a newer version of this code wrote it.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and inspect(connection).get_table_names():
        raise StoreError(f"{name} holds tables of another program; nothing was changed. Give another --db.")
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"{name} has schema {found!r}, which this code does not know: a newer version wrote it. "
            "Nothing was changed. Update the code (git pull), or give another --db."
        )
    return found


def upgrade(engine: Engine, name: str) -> bool:
    """Bring the schema up to date. Return whether anything was done. Processes that call this at once take turns.

    Args:
        name: as in `revision`.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        if revision(connection, name) == head():
            return False
        command.upgrade(_config(connection), "head")
        return True
