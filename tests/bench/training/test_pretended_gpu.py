"""Whole runs on a device that refuses to be mixed with the host: what would break on a GPU is found without one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils import backend_registration

from bench.catalog.registry import find_model
from tests.conftest import CHECKOUT, Bench

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices in Python",
)
RUNS = {
    "fru": ("--task", "adding-25"),
    "mamba": ("--task", "digits", "--precision", "bf16-mixed"),
    "transformer": ("--task", "copy-25"),
}


def run(bench: Bench, *words: str) -> dict[str, Any]:
    """The record of a run on the device."""
    call = [sys.executable, "-m", "tests.support.pretended_gpu", "run", *words, "--set", "max_steps=3", "--json"]
    answer = subprocess.run(call, cwd=CHECKOUT, env=os.environ | bench.env, capture_output=True, text=True)
    assert answer.stdout, answer.stderr
    record: dict[str, Any] = bench.json("show", json.loads(answer.stdout)["run_id"])
    return record


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_keeps_its_devices_apart(bench: Bench, name: str) -> None:
    record = run(bench, "--model", name, "--budget", "10k", *RUNS[name])
    assert (record["status"], record["reason"]) == ("finished", None)
    assert record["metrics"]["test"]
    assert (record["facts"]["step_seconds"] is not None) == find_model(name).cls.is_recurrent()


@pytest.mark.slow
def test_a_tensor_that_stays_on_the_host_is_noticed(bench: Bench, write_model: Callable[[str, str], Path]) -> None:
    path = write_model("mine", "x_BTD = x_BTD + torch.arange(x_BTD.shape[1])[:, None]")
    record = run(bench, "--model", str(path))
    assert (record["status"], record["reason"]) == ("failed", "RuntimeError: aten::add mixes devices")


@pytest.mark.slow
def test_other_devices_are_what_they_are() -> None:
    """A checkpoint is looked at on the meta device before a run resumes from it."""
    code = "import torch; from tests.support.pretended_gpu import Factories\nwith Factories(): "
    code += "print(*(torch.ones(2, device=name).device for name in ('meta', 'cpu', 'pretended')))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert answer.stdout == "meta cpu pretended:0\n", answer.stderr


@pytest.mark.slow
def test_the_contract_holds_there() -> None:
    """But for the checks that save weights, change their type or ask for a tensor's numbers."""
    answer = subprocess.run([sys.executable, "-c", CONTRACT], cwd=CHECKOUT, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr


CONTRACT = """
from bench.contributing.rules import RULES
from bench.catalog.registry import find_model
from tests.support.pretended_gpu import DEVICE, FromNumbers, Factories

for name in ("bag", "cornn", "lmu", "mingru"):
    for check in RULES.keys() - {"saves", "float64", "lengths"}:
        with Factories(), FromNumbers(), DEVICE:
            finding = RULES[check].run(find_model(name).cls)
        if finding:
            print(name, check, finding.problem)
"""
