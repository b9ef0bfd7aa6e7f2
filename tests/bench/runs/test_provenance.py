"""What a record says of the machine; the GPU's part with a driver that is played by a script."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from bench.runs.provenance import environment, gpu_bytes_of_others, gpu_joules
from tests.conftest import ROOT, Bench

Writer = Callable[[str, str], Path]
UUID = "0123abcd"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A GPU as torch describes one; returns the folder for programs that comes first on the path."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=UUID))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def nvidia_smi(folder: Path, body: str) -> None:
    program(folder, "nvidia-smi", body)


def test_which_of_torchs_kernels_ran() -> None:
    """Processors of one name may have different vector units, and round differently."""
    code = "from bench.runs.provenance import environment; print(environment()['cpu_capability'])"
    env = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "DEFAULT"


def test_what_the_driver_says(gpu: Path) -> None:
    nvidia_smi(gpu, f'[ "$1" = --id=GPU-{UUID} ] && echo "580.1, 81559 MiB, 700.00 W, 1980 MHz, Enabled, Disabled"')
    found = environment()
    assert (found["gpu"], found["gpu_count"]) == ("Card 0", 2)
    assert (found["gpu_driver"], found["gpu_memory"], found["gpu_power_limit"]) == ("580.1", "81559 MiB", "700.00 W")
    assert (found["gpu_clock_limit"], found["gpu_ecc"], found["gpu_mig"]) == ("1980 MHz", "Enabled", "Disabled")


def test_a_driver_that_does_not_answer(gpu: Path) -> None:
    nvidia_smi(gpu, "exit 9")
    found = environment()
    assert found["gpu"] == "Card 0"
    assert "gpu_driver" not in found


def test_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert environment()["gpu"] is None
    assert gpu_joules(torch.device("cpu")) is None


def test_memory_of_others(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 20 * 2**30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 80 * 2**30))
    assert gpu_bytes_of_others() == 58 * 2**30
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: int(78.5 * 2**30))
    assert gpu_bytes_of_others() == 0


OUT_OF_MEMORY = (
    "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')",
    "RuntimeError('CUDA error: out of memory')",
    "RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`')",
    "RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED')",
    "RuntimeError('Triton Error [CUDA]: out of memory')",
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_memory_that_others_held_is_no_fault_of_the_run(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    monkeypatch.setattr("bench.training.run.gpu_bytes_of_others", lambda: 3 * 2**30)
    marker = bench.folder / "marker"
    body = f"if not os.path.exists('{marker}'): open('{marker}', 'w'); raise {error}"
    words = ("run", "--model", str(write_model("mine", body)), "--epochs", "1")
    stopped = bench.json(*words, code=130)
    assert stopped["reason"].startswith("other processes held 3.0 GiB of the GPU: ")
    assert bench.json(*words, "--resume")["status"] == "finished"


def test_a_gpu_without_room_for_a_context_is_no_fault_of_the_run(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_context() -> int:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr("bench.training.run.gpu_bytes_of_others", no_context)
    path = write_model("mine", "raise RuntimeError('CUDA error: out of memory')")
    stopped = bench.json("run", "--model", str(path), "--epochs", "1", code=130)
    assert stopped["reason"] == "the GPU had no room for this process: RuntimeError: CUDA error: out of memory"


@pytest.mark.parametrize(("error", "others"), [*((error, 0) for error in OUT_OF_MEMORY), ("MemoryError()", 3 * 2**30)])
def test_memory_that_nobody_else_held_is(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch, error: str, others: int
) -> None:
    monkeypatch.setattr("bench.training.run.gpu_bytes_of_others", lambda: others)
    path = write_model("mine", f"raise {error}")
    assert bench.json("run", "--model", str(path), "--epochs", "1", code=1)["status"] == "oom"


def test_the_energy_of_training_is_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = iter((1_000.0, 1_250.5))
    monkeypatch.setattr("bench.training.attempt.gpu_joules", lambda device: next(meter))
    run = bench.json("run", "--model", "bag", "--epochs", "1")
    assert bench.json("show", run["run_id"])["facts"]["gpu_joules"] == 250.5


def test_energy(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = ModuleType("pynvml")
    nvml.__spec__ = SimpleNamespace()
    nvml.NVMLError = type("NVMLError", (Exception,), {})
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetHandleByUUID = lambda uuid: {f"GPU-{UUID}": "handle"}[uuid]
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda handle: 12_500
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpu_joules(torch.device("cuda")) == 12.5
    assert gpu_joules(torch.device("cpu")) is None

    def refuse(handle: str) -> int:
        raise nvml.NVMLError

    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    assert gpu_joules(torch.device("cuda")) is None
