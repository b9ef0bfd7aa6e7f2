"""Where tuning studies are stored: in Optuna's own tables, apart from the results.

Both Optuna and the results store have a table named `alembic_version`, so they can't share a schema. If the results are
in the SQLite file `board.sqlite`, the studies are in `board-studies.sqlite` next to it. In a PostgreSQL database they
are in the schema `bench_studies`, which needs no right to create databases. Optuna's dashboard and plots open either by
its `url`.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna import Study
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateSchema

from bench.common.kept_answers import sqlite_stamps
from db.engine import (
    DEFAULT_PATH,
    check_writable,
    connect,
    connector,
    database_url,
    quoted,
    read_only_url,
    shown,
)
from db.errors import StoreError

SCHEMA = "bench_studies"
PLAIN = re.compile(r"[\w/.+-]*")
STORAGE_ERRORS = (DBAPIError, StorageInternalError)

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Studies:
    """The studies that belong to a database of results.

    Args:
        db: the value of `--db`: a SQLAlchemy URL or a path; None for BENCH_DB or the default.
        read_only: open existing studies without the right to write, and create nothing.
    """

    def __init__(self, db: str | None, *, read_only: bool = False) -> None:
        self.results, self.read_only = database_url(db), read_only
        self.on_postgres = self.results.get_backend_name() == "postgresql"

    @property
    def url(self) -> URL:
        if self.on_postgres:
            return self.results.update_query_dict({"options": f"-csearch_path={SCHEMA}"})
        path = self._path
        return self.results.set(database=str(path.with_name(f"{path.stem}-studies.sqlite")))

    @property
    def address(self) -> str:
        """The text by which Optuna's own programs open the studies, without a password.

        A path with letters such as ? or # is quoted as in SQLite's own URLs, which every version of SQLAlchemy keeps.
        """
        if self.on_postgres or PLAIN.fullmatch(self.url.database or ""):
            return self.url.render_as_string()
        return URL.create(
            "sqlite", database=f"file:{quoted(self.url.database or '')}", query={"uri": "true"}
        ).render_as_string()

    @property
    def _path(self) -> Path:
        """The SQLite file of the results or, where the results are in PostgreSQL, the default file."""
        return DEFAULT_PATH if self.on_postgres else Path(self.results.database or DEFAULT_PATH)

    @property
    def state(self) -> list[Any] | None:
        """What changes with the content of the SQLite file; None for another database."""
        return None if self.on_postgres else sqlite_stamps(Path(self.url.database or ""))

    def folder(self, name: str) -> Path:
        """Return a study's folder: for its best weights and the running trial's checkpoints. Its lock is next to it."""
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self._path.with_name(f"{self._path.stem}-artifacts") / f"study-{digest}"

    def check_writable(self) -> None:
        """Check that studies can be written.

        Raises:
            StoreError: they can't.
        """
        if not self.on_postgres:
            check_writable(Path(self.url.database or ""))

    @cached_property
    def storage(self) -> RDBStorage:
        """Optuna's storage. Its tables are created if missing, unless `read_only`."""
        url = read_only_url(self.url) if self.read_only else self.url
        with self.translated(RuntimeError):  # Optuna raises it for tables of another version of Optuna
            if self.on_postgres and not self.read_only:
                with connect(self.results, read_only=False).begin() as connection:
                    connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            # Optuna takes addresses as text only, and versions of SQLAlchemy read text differently.
            options = {"creator": connector(url), "poolclass": QueuePool, "pool_pre_ping": self.on_postgres}
            return RDBStorage(f"{url.drivername}://", engine_kwargs=options, skip_table_creation=self.read_only)

    def exist(self) -> bool:
        """Whether anything was ever tuned here."""
        if not self.on_postgres:
            return Path(self.url.database or "").exists()
        with self.translated():
            return SCHEMA in inspect(connect(self.results, read_only=True)).get_schema_names()

    def all(self) -> list[Study]:
        if not self.exist():
            return []
        with self.translated():
            names = optuna.get_all_study_names(self.storage)
            return [optuna.load_study(study_name=name, storage=self.storage) for name in names]

    @contextmanager
    def translated(self, *others: type[Exception]) -> Iterator[None]:
        """Turn errors of the database driver and of Optuna's storage, and `others`, into a `StoreError`."""
        known: tuple[type[Exception], ...] = (*STORAGE_ERRORS, *others)
        try:
            yield
        except known as error:
            told = error.__cause__ or error  # Optuna's own message leaves out what the database said
            cause = str(getattr(told, "orig", told)).strip().rstrip(".")
            raise StoreError(f"studies in {shown(self.url)}: {cause}.") from error
