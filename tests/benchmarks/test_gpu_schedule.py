"""The GPU's kernels in the compiler: it refuses some things that the interpreter lets pass."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Triton brings NVIDIA's assembler for Linux only")


def run(*words: str) -> str:
    """What a Python process without the interpreter prints."""
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    call = [sys.executable, *words]
    answer = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, env={**env, "PYTHONPATH": str(ROOT)})
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
@LINUX
def test_every_kernel_compiles_for_a_gpu_that_is_not_here() -> None:
    rows = [line.strip("| ").split(" | ") for line in run("benchmarks/gpu_schedule.py").splitlines()[2:]]
    assert len(rows) == 22
    for name, _warps, registers, spilled, shared, instructions, cycles in rows:
        assert int(registers) <= 255, name
        assert int(spilled) <= (200 if "large" in name else 16), f"{name}: the state belongs in registers"
        assert int(shared) <= 99 * 1024, name  # what a program may have on the smallest GPUs since 2020
        assert 0 < int(instructions) <= int(cycles), name  # one warp issues one instruction a cycle


@pytest.mark.slow
@LINUX
def test_every_launch_of_every_layer_compiles() -> None:
    launches = json.loads(run("-m", "tests.support.unlaunched"))
    assert len(launches) == 13
    # Four sizes, with lengths and without, every step and the last, there and back.
    assert all(count >= 32 for count in launches.values()), launches
