"""A folder with files that Python would import if it looked there: a user's own `models/`, a stray `lightning.py`."""

import os
from pathlib import Path

PACKAGES = ("models", "datamodules", "db", "leaderboard_app")
MODULES = ("lightning", "torch", "numpy", "pydantic", "sqlalchemy", "rich", "typer", "streamlit", "uvicorn", "ray")
MODULES += ("json", "socket", "random", "queue", "tempfile", "multiprocessing", "logging")
STRAY = """
import os
os.write(os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), (__name__ + chr(10)).encode())
raise SystemExit(0)
"""


class ForeignFolder:
    """Its files note that they ran, and end the process as if it had done its work."""

    def __init__(self, path: Path) -> None:
        self.path, self._log = path, path.parent / f"{path.name}.log"
        path.mkdir()
        for name in PACKAGES:
            (path / name).mkdir()
        for name in (*(f"{package}/__init__.py" for package in PACKAGES), *(f"{module}.py" for module in MODULES)):
            (path / name).write_text(STRAY.format(log=str(self._log)))

    def ran(self) -> list[str]:
        """Return the names of its files that were run."""
        return self._log.read_text().split() if self._log.exists() else []


def careless_path() -> str:
    """Return a PYTHONPATH as `export PYTHONPATH=$PYTHONPATH:…` leaves it: its empty entry is the working directory."""
    return os.pathsep + os.environ.get("PYTHONPATH", "")
