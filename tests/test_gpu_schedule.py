"""The GPU's kernels in the compiler: it refuses some things that the interpreter lets pass."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

CALL = [sys.executable, "benchmarks/gpu_schedule.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="Triton brings NVIDIA's assembler for Linux only")
def test_every_kernel_compiles_for_a_gpu_that_is_not_here() -> None:
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    answer = subprocess.run(CALL, cwd=ROOT, capture_output=True, text=True, env={**env, "PYTHONPATH": str(ROOT)})
    assert answer.returncode == 0, answer.stderr
    rows = [line.strip("| ").split(" | ") for line in answer.stdout.splitlines()[2:]]
    assert len(rows) == 22
    for name, _warps, registers, spilled, shared, instructions, cycles in rows:
        assert int(registers) <= 255, name
        assert int(spilled) <= (200 if "large" in name else 16), f"{name}: the state belongs in registers"
        assert int(shared) <= 99 * 1024, name  # what a program may have on the smallest GPUs since 2020
        assert 0 < int(instructions) <= int(cycles), name  # one warp issues one instruction a cycle
