"""The host's secret: it seeds the test splits that nobody else can have seen."""

import os
import secrets
from pathlib import Path

from bench.common.errors import RequestError
from db.store import Store

VARIABLE = "BENCH_HOST_SEED"
SHORTEST = 16  # characters
CLOSED = 0o600


def host_secret(store: Store) -> str:
    """Return BENCH_HOST_SEED or, if unset, the content of a file next to the database. It is made when first needed.

    Raises:
        RequestError: the secret is too short, or its file can't be written or may be read by others.
    """
    secret = os.environ.get(VARIABLE) or _from_file(store.beside("host-seed"))
    if len(secret) < SHORTEST:
        raise RequestError(f"the host's secret has {len(secret)} characters; {VARIABLE} needs at least {SHORTEST}.")
    return secret


def _from_file(path: Path) -> str:
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise RequestError(f"others may read {path}, so it is no secret. Remove it; a new one is made when needed.")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise RequestError(f"the host's secret can't be kept in {path}: {error}. Set {VARIABLE} instead.") from error


def _make(path: Path) -> None:
    """Write a secret to a file next to `path`, then link it there. If two processes do so, the first one's stays."""
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, CLOSED), "w", encoding="utf-8") as stream:
            stream.write(secrets.token_hex(32))
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink(missing_ok=True)
