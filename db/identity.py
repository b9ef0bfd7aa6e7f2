"""What a run is, as one short name."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

PARTS = ("protocol", "model", "wrapper", "task", "task_version", "config", "budget", "seed")
"""What makes a run the run that it is; all are columns of the table."""


def run_id(parts: Mapping[str, Any]) -> str:
    """The id of a run: the hash of PARTS, whatever else there is."""
    identity = {name: parts[name] for name in PARTS}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
