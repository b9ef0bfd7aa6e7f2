"""The identity of a run, and its short id."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

PARTS = ("protocol", "model", "wrapper", "task", "task_version", "config", "budget", "seed")
"""The parts of a run's identity. All are columns of the table."""


def run_id(parts: Mapping[str, Any]) -> str:
    """Return the id of a run: the hash of its PARTS. Other entries of `parts` are ignored."""
    identity = {name: parts[name] for name in PARTS}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
