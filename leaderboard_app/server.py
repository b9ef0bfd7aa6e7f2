"""Starting Streamlit on the app."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from db.store import Store

APP = Path(__file__).resolve().parent / "app.py"
OPTIONS = ("--server.headless=true", "--browser.gatherUsageStats=false", "--client.toolbarMode=minimal")


class AppError(Exception):
    """The app can't be started as asked."""

    exit_code = 2


def serve(store: Store, *, host: str, port: int) -> None:
    """Serve the leaderboard of a database until it is interrupted."""
    if find_spec("streamlit") is None or find_spec("altair") is None:
        raise AppError("the app needs Streamlit and Altair: pip install -e '.[app]'")
    print(f"Leaderboard of {store} at http://{host}:{port}  (Ctrl-C stops it)", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}", f"--server.address={host}"]
    environment = os.environ | {"BENCH_DB": store.url.render_as_string(hide_password=False)}
    status = subprocess.run([*command, *OPTIONS], env=environment, check=False).returncode  # noqa: S603
    if status != 0:
        raise AppError(f"Streamlit ended with exit code {status}; is port {port} in use? --port gives another.")
