"""What a result was computed with: packages, machine, numerical settings. `code_version` adds the commit."""

import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bench.runs.code_version import PROJECT, package_version, project_version

GPU_FACTS = {
    "gpu_driver": "driver_version",
    "gpu_memory": "memory.total",
    "gpu_power_limit": "power.limit",
    "gpu_clock_limit": "clocks.max.sm",
    "gpu_ecc": "ecc.mode.current",
    "gpu_mig": "mig.mode.current",
}
"""Name in a record → name in `nvidia-smi --query-gpu`."""
CONTEXT_BYTES = 2**30
"""The most GPU memory that CUDA takes for a process in addition to what torch has reserved."""
PACKAGES = ("torch", "lightning", "torchmetrics", "numpy", "numba", "scikit-learn", "triton")


def environment() -> dict[str, Any]:
    """Return the packages, the machine and the numerical settings that a run records."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name, found in _versions() if found},
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),  # AVX2, AVX512, …: torch's kernels round accordingly
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "flush_denormal": True,
        **_gpu(),
    }


def _versions() -> Iterator[tuple[str, str | None]]:
    yield PROJECT, project_version()
    yield from ((name, package_version(name)) for name in PACKAGES)


def _cpu_model() -> str:
    """The processor's name: from the kernel on Linux, from the platform module on macOS and Windows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _gpu() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"gpu": None}
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"gpu": names[0], "gpu_count": len(names), "cuda": torch.version.cuda, **_nvidia_smi()}


def _nvidia_smi() -> dict[str, str]:
    """The driver's facts about the first GPU that this process sees; empty where `nvidia-smi` fails."""
    uuid = torch.cuda.get_device_properties(0).uuid
    query = ["nvidia-smi", f"--id=GPU-{uuid}", f"--query-gpu={','.join(GPU_FACTS.values())}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603
            query, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(GPU_FACTS, map(str.strip, answer.stdout.split(",")), strict=False))


def gpu_bytes_of_others() -> int:
    """Return the bytes that other processes hold on the GPU in use; 0 without a GPU.

    Raises:
        RuntimeError: the GPU has no room even for a context of this process.
    """
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return max(0, total - free - torch.cuda.memory_reserved() - CONTEXT_BYTES)


def gpu_joules(device: torch.device) -> float | None:
    """Return the joules that a GPU has used since its driver was loaded, by all processes; None where unknown."""
    if device.type != "cuda" or find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
    except pynvml.NVMLError:
        return None
