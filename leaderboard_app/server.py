"""Start Streamlit on the app."""

import os
import socket
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from bench.common.import_path import child_environment
from db.store import Store

APP = Path(__file__).resolve().parent / "asgi.py"


class AppError(Exception):
    """The app can't be started as asked."""

    exit_code = 2


def serve(store: Store, *, host: str, port: int) -> NoReturn:
    """Replace this process by a server of a database's leaderboard, which runs until a signal ends it.

    Raises:
        AppError: the extra is not installed, or the address can't be listened on.
    """
    if find_spec("streamlit") is None or find_spec("altair") is None:
        raise AppError("the app needs Streamlit and Altair: pip install -e '.[app]'")
    address = _bindable(host, port)
    print(f"Leaderboard of {store} at http://{_place(host, port)}  (Ctrl-C stops it)", file=sys.stderr, flush=True)
    command = [sys.executable, "-P", "-m", "leaderboard_app.streamlit_process", "run", str(APP)]
    command += [f"--server.port={port}", f"--server.address={address}"]
    environment = child_environment() | {"BENCH_DB": store.address}
    # exec, so that a signal to this process reaches the server.
    os.execve(sys.executable, command, environment)  # noqa: S606


def _place(host: str, port: int) -> str:
    """Write an address as URLs do: one of IPv6 stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bindable(host: str, port: int) -> str:
    """Return a host's first address that can be listened on. Streamlit knows IPv6 by the colons of an address.

    Raises:
        AppError: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _refusal(host, port, error) from error
    problems = []
    for family, kind, protocol, _, place in found:
        try:
            with closing(socket.socket(family, kind, protocol)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
        except OSError as error:
            problems.append(error)
        else:
            return host if ":" in host else str(place[0])  # which has lost the interface of fe80::1%eth0
    raise _refusal(host, port, problems[0]) from problems[0]


def _refusal(host: str, port: int, error: OSError) -> AppError:
    return AppError(f"can't listen on {_place(host, port)}: {error.strerror}. --port and --host give another.")
