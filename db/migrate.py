"""Bring a database's schema up to date, in one transaction, and refuse databases that are not ours."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from db.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
UPGRADE_LOCK = 1803_06585  # PostgreSQL's advisory lock of this project


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # a single % would begin a name
    return config


def known_revisions() -> list[str]:
    """Return the revisions that this code can read, oldest first: the numbers that the migrations' files begin with."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Return the revision that this code writes."""
    return known_revisions()[-1]


def revision(connection: Connection, name: str) -> str | None:
    """Return the database's revision, or None if the database is empty.

    Args:
        name: the database's name in messages.

    Raises:
        StoreError: the database holds another program's tables, or a newer version of this code wrote it.
    """
    tables = inspect(connection).get_table_names()
    found = connection.scalar(text("SELECT version_num FROM alembic_version")) if "alembic_version" in tables else None
    if found is None and tables:
        raise StoreError(f"{name} holds tables of another program; nothing was changed. Give another --db.")
    if found is not None and found not in known_revisions():
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
        from alembic import command  # imported only where it is needed: that takes as long as SQLAlchemy

        command.upgrade(_config(connection), "head")
        return True
