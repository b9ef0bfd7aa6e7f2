"""The threads of CPU kernels and of torch, and how they round."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

LOOK = """
import ctypes, json, sys, threading
import torch
from models.kernels.cpu.toolkit.threads import ENTRY, call_in_parallel

SMALLEST = sys.float_info.min
torch.set_num_threads(2)
x = torch.randn(300, 300)
x @ x  # the pool exists from here on
{act}
barrier, seen = threading.Barrier(2, timeout=20), {{}}

def look(_):
    barrier.wait()  # so that no thread does the work of both
    seen[threading.get_ident()] = SMALLEST / 2 == 0

call_in_parallel(ENTRY(look), 0, 2)
print(json.dumps([seen.pop(threading.get_ident()), *seen.values()]))
"""
MEASURE = (
    "from bench.speed.measure import Setup, measure; measure(['rnn'], Setup(seq_len=4, batch=2, width=4, repeats=1))"
)


@pytest.mark.parametrize(
    ("act", "flushed"),
    [
        ("torch.set_flush_denormal(True)", [True, False]),
        ("from bench.training.process_settings import prepare_process; prepare_process()", [True, True]),
        pytest.param(MEASURE, [True, True], marks=pytest.mark.slow),
    ],
    ids=["by torch alone", "in training", "in bench speed"],
)
def test_denormals_are_flushed_in_threads_that_exist_already(act: str, flushed: list[bool]) -> None:
    """torch alone sets the flag of the thread that asks; of this one and of the pool's other one."""
    command = [sys.executable, "-c", LOOK.format(act=act)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == flushed
