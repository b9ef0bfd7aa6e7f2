"""The rules of tasks notice what they are for: each broken task breaks the rule that names its fault."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.catalog.registry import family_names, find_family
from bench.contributing.task_rules import TASK_RULES, check_task, split_hashes
from datamodules.adding import Adding
from datamodules.copy import Copy
from datamodules.digits import Digits
from tests.conftest import ROOT, Bench

CALLS = iter(range(10**6))


@pytest.mark.parametrize("family", family_names())
def test_every_task_of_the_project_keeps_them(family: str) -> None:
    assert [(name, finding) for name, finding in check_task(find_family(family)) if finding] == []


class Unnamed(Adding):
    """Describes itself as another."""

    variants = {"mine": {"length": 10}}

    def describe(self):
        return Adding("adding-200").spec


class NoVariants(Adding):
    """Has none."""

    variants = {}


class Missing(Digits):
    """Needs a file."""

    def missing(self):
        return "its file is not here"


class Empty(Adding):
    """Draws nothing."""

    def draw(self, count, rng):
        return super().draw(0, rng)


class TimeFirst(Adding):
    """Puts time before the batch."""

    def decode(self, batch):
        return super().decode(batch)._replace(x=super().decode(batch).x.transpose(0, 1))


class Undecoded(Adding):
    """Shows models its stored form, in double precision."""

    def decode(self, batch):
        return super().decode(batch)._replace(x=super().decode(batch).x.double())


class NotANumber(Adding):
    """Divides by zero."""

    def draw(self, count, rng):
        drawn = super().draw(count, rng)
        return drawn._replace(y=drawn.y / 0)


class LargeTokens(Copy):
    """Has tokens outside the vocabulary."""

    def decode(self, batch):
        return super().decode(batch)._replace(x=super().decode(batch).x + 100)


class LargeLabels(Digits):
    """Has an eleventh class."""

    def make(self, split):
        return super().make(split)._replace(y=super().make(split).y + 1)


class Random(Adding):
    """Draws from a global generator."""

    def draw(self, count, rng):
        return super().draw(count, np.random.default_rng(next(CALLS)))


class OneSplit(Adding):
    """Tests on what it trains on."""

    def draw(self, count, rng):
        return super().draw(count, np.random.default_rng(0))


class Stops(Adding):
    """Ends the process that draws it."""

    def draw(self, count, rng):
        raise SystemExit(0)


class Explodes(Adding):
    """Has inputs too large to train on."""

    def decode(self, batch):
        shown = super().decode(batch)
        return shown._replace(y=torch.full_like(shown.y, 3e38))


@pytest.mark.parametrize(
    ("task", "rule", "problem"),
    [
        (Unnamed, "spec", "the variant 'mine' describes itself as 'adding-200'"),
        (NoVariants, "spec", "variants is empty"),
        (Missing, "tiny", "digits can't be made here: its file is not here"),
        (Empty, "tiny", "adding-200 train has no samples"),
        (TimeFirst, "shapes", "adding-200 train: x has shape (B, 64, 2); expected (B, 10, 2)"),
        (Undecoded, "types", "adding-200 train: x is of torch.float64; expected torch.float32"),
        (NotANumber, "finite", "adding-200 train: y has numbers that are not finite"),
        (LargeTokens, "ranges", "train: a token of x is 10"),
        (LargeLabels, "ranges", "digits train: a label is 10; legal: 0 to 9"),
        (Random, "splits", "adding-200: a second draw of train, validation, test gives other data"),
        (OneSplit, "splits", "adding-200: two splits hold the same data"),
        (Stops, "tiny", "SystemExit: 0"),
        (Explodes, "trains", "the loss is inf"),
    ],
)
def test_a_broken_task_breaks_its_rule(task: Any, rule: str, problem: str) -> None:
    finding = TASK_RULES[rule].run(task)
    assert finding is not None
    assert (finding.check, bool(finding.mend)) == (rule, True)
    assert problem in finding.problem


def test_hashes_are_those_of_the_tiny_splits() -> None:
    hashes = split_hashes(Digits)
    splits = ("train", "validation", "test")
    assert list(hashes) == [f"{variant} {split}" for variant in Digits.variants for split in splits]
    assert hashes["digits test"] == Digits(tiny=True).split_hash("test")


# By path


def test_a_task_s_file_is_checked_in_this_process(bench: Bench) -> None:
    path = str(ROOT / "datamodules" / "adding.py")
    done = bench("check", path, "--json")
    document = json.loads(done.stdout)
    assert document == {"task": path, "passed": True, "findings": [], "splits": split_hashes(Adding)}
    assert all(f"ok      {name}" in done.stderr for name in TASK_RULES)
    said = bench("check", path).stdout
    assert f"adding-200 test  {document['splits']['adding-200 test']}" in said
    assert said.endswith("adding.py keeps the rules of a task.\n")


def test_a_broken_task_is_told_what_to_mend(bench: Bench, tmp_path: Path) -> None:
    source, answer = (ROOT / "datamodules" / "adding.py").read_text(), "marked_N2.sum("
    assert answer in source
    path = tmp_path / "mine.py"
    path.write_text(source.replace(answer, f"np.nan * {answer}"))
    done = bench("check", str(path), code=1)
    assert "FAILED  finite\n          adding-200 train: y has numbers that are not finite\n" in done.stderr
    assert "keeps the rules" not in done.stdout


def test_a_file_with_a_task_and_a_model_is_refused(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "both.py"
    path.write_text(f"{(ROOT / 'datamodules' / 'adding.py').read_text()}\nfrom models.gru import GRU\n"
                    "class Mine(GRU):\n    pass\n")  # fmt: skip
    said = bench.refused("check", str(path))
    assert (
        "both.py must define one public subclass of SequenceModel (a model) or of SequenceDataModule (a task)" in said
    )
    assert "it defines Mine, Adding" in said
