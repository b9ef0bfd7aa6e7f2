"""What the tests share: the command line as a user calls it, and a database of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("--set", "epochs=2", "--set", "hidden_size=8")


class Bench:
    """`python -m bench …` with a database in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.db = folder, folder / "board.sqlite"
        # One thread: on two busy cores two processes of one thread each are faster than two that fight over both.
        self.env = os.environ | {"BENCH_DB": str(self.db), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def __call__(self, *words: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command and check its exit code."""
        done = subprocess.run(
            self.command(words), capture_output=True, text=True, env=self.env, cwd=self.folder, **options
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code).stdout)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(self.command(words), env=self.env, cwd=self.folder, **pipes, **options)

    def refused(self, *words: str) -> str:
        """What a wrong request is told."""
        return self(*words, code=2).stderr

    @staticmethod
    def command(words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "bench", *words]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A database with three quick runs: GRU seeds 0 and 1, and an LSTM that diverged."""
    bench = Bench(tmp_path_factory.mktemp("board"))
    bench("run", "--model", "gru", *QUICK)
    bench("run", "--model", "gru", "--seed", "1", *QUICK)
    bench("run", "--model", "lstm", *QUICK, "--set", "lr=1e30", "--set", "clip_norm=none", code=1)
    return bench


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a model file whose `forward` has the given body; returns its path."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(MODEL.format(body=body))
        return path

    return write


MODEL = """
from dataclasses import dataclass
import os, signal, time
import torch
from torch import nn
from models._base import ModelConfig, Paper, SequenceModel
from models._wrappers import Plain

class Mine(SequenceModel):
    paper = Paper("None yet", 2026, "https://example.org")
    family = "test"
    wrapper = Plain

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        size: int = 4

        @classmethod
        def at_width(cls, width):
            return cls(size=width)

    def __init__(self, config, *, input_size, seq_len):
        super().__init__(config, input_size=input_size, seq_len=seq_len)
        self.output_size = config.size
        self.linear = nn.Linear(input_size, config.size)
        self.drop = nn.Dropout(0.3)
        self.calls = 0

    def forward(self, x_BTD, lengths_B=None):
        self.calls += 1
        {body}
        return self.drop(self.linear(x_BTD)).cumsum(1)
"""
