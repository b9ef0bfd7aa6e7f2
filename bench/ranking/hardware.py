"""A short name for what a run was trained on."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"


def hardware(environment: Mapping[str, Any]) -> str:
    """Return the name of the GPUs, or of the processor and its threads. Times can be compared where names are equal.

    Args:
        environment: the environment that a run records.
    """
    execution = environment.get("execution", {})
    beside = execution.get("beside", 0)
    shared = f", {beside + 1} runs at a time" if beside else ""
    if on_gpu(environment):
        devices = str(execution.get("devices", "1"))
        return f"{environment['gpu']}{f' × {devices}' * (devices != '1')}{shared}"
    if not environment.get("cpu"):
        return UNKNOWN
    threads, capability = environment.get("threads"), environment.get("cpu_capability")
    processor = f"{environment['cpu']} with {capability}" if capability else environment["cpu"]
    return f"{processor}, {threads} thread{'s' * (threads != 1)}{shared}"


def on_gpu(environment: Mapping[str, Any]) -> bool:
    """Whether a run with this environment was trained on GPUs."""
    return bool(environment.get("gpu")) and environment.get("execution", {}).get("accelerator") != "cpu"
