"""Keep the working directory off the import path: a `models/` or a stray `lightning.py` there is never ours to run.

Python puts the working directory there by `python -m`, by `python -c`, and for an empty entry of PYTHONPATH. This file
is imported while it may still be there, so it imports nothing that Python has not loaded by then.
"""

import os
import sys

PACKAGES = ("datamodules", "models", "db")
"""Our packages that have names which a user's own folder may have, too."""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def leave_out_working_directory() -> None:
    """Put our packages first on this process's path, and take the working directory off it.

    Every Python that this process starts does the same, for it inherits the environment that is set here. PYTHONPATH
    may still name the working directory in full: then it is meant.
    """
    here, meant = _working_directory(), _absolute_entries()
    sys.path[:] = [ROOT, *(entry for entry in sys.path if entry in meant or entry not in ("", ROOT, here))]
    os.environ.update(child_environment())


def child_environment() -> dict[str, str]:
    """Return the environment for a Python that we start: it finds our packages, and not the working directory."""
    path = os.pathsep.join(dict.fromkeys([ROOT, *_absolute_entries()]))
    return os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed, so there is nothing in it
        return None


def _absolute_entries() -> list[str]:
    """Return what PYTHONPATH names in full. Its other entries begin at the working directory."""
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(entry)]


def claim_package_names() -> None:
    """Import our packages with general names before a folder of the same name on the path is taken for them.

    The path stays as it is: in somebody's notebook the working directory is meant.

    Raises:
        ImportError: another package of that name has been imported already.
    """
    sys.path.insert(0, ROOT)
    try:
        found = [__import__(name) for name in PACKAGES]
    finally:
        sys.path.remove(ROOT)
    for package in found:
        place = os.path.dirname(os.path.realpath(package.__file__ or ""))
        if place != os.path.join(ROOT, package.__name__):
            raise ImportError(
                f"bench needs its package {package.__name__!r}, but {place} was imported under this name. Import bench "
                "first, or give that folder another name."
            )
