"""Start Streamlit on the app."""

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from db.store import Store

APP = Path(__file__).resolve().parent / "asgi.py"


class AppError(Exception):
    """The app can't be started as asked."""

    exit_code = 2


def serve(store: Store, *, host: str, port: int) -> NoReturn:
    """Replace this process by a server of a database's leaderboard, which runs until a signal ends it.

    Raises:
        AppError: the extra is not installed, or the port is taken.
    """
    if find_spec("streamlit") is None or find_spec("altair") is None:
        raise AppError("the app needs Streamlit and Altair: pip install -e '.[app]'")
    _check_port(host, port)
    print(f"Leaderboard of {store} at http://{host}:{port}  (Ctrl-C stops it)", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}", f"--server.address={host}"]
    environment = os.environ | {"BENCH_DB": store.url.render_as_string(hide_password=False)}
    # exec, so that a signal to this process reaches the server.
    os.execve(sys.executable, command, environment)  # noqa: S606


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AppError(
                f"can't listen on {host}:{port}: {error.strerror}. --port and --host give another."
            ) from error
