"""Score the weights of a bundle again, in a process with limits: `python -m bench.submissions.rescore`.

Everything that is built from a stranger's numbers is built here: settings, network, predictions. The process reads a
line of JSON (a `Setting` and the ids of `runs`) and then the bundle from stdin, and writes its findings to stdout as
JSON.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import torch
from lightning.pytorch import Trainer
from safetensors.torch import load

from bench.bundle.errors import BundleError
from bench.bundle.predictions import Array
from bench.bundle.read import Claim, read_bundle
from bench.common.text import counted
from bench.runs.network import build, count, state_bytes
from bench.runs.request import RunRequest
from bench.submissions.claimed_request import claimed_request
from bench.submissions.scoring import Scored, check_agreement, in_order, is_close, score, targets
from bench.submissions.verdict import Check, Finding, run_checks
from bench.training.evaluation import evaluate
from bench.training.process_settings import prepare_process
from datamodules._base import Samples
from datamodules._generated import GeneratedTask
from models.shared.lightning_module import SequenceModule
from models.shared.wrappers import Wrapper

MOST_ERRORS = 5  # standard errors by which a metric may be worse on a fresh split


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the host rescores."""

    secret: str
    """The host's secret, which seeds the fresh test split of a generated task."""
    memory: int
    """Bytes that the process may use."""
    accelerator: str = "auto"
    data_dir: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rescored:
    findings: list[Finding]
    recomputed: float | None
    """The metric of the weights on the test split."""
    fresh: float | None
    """The metric of the weights on a split that the host drew; None unless the task is generated."""


def rescore(claim: Claim, setting: Setting) -> Rescored:
    work = Rescoring(claim, setting)
    findings = run_checks(work.checks(), (Exception,))  # any error that a stranger's numbers cause fails the check
    return Rescored(findings=findings, recomputed=work.recomputed, fresh=work.fresh)


class Rescoring:
    """The checks of one run."""

    def __init__(self, claim: Claim, setting: Setting) -> None:
        self.claim, self.setting = claim, setting
        self.recomputed: float | None = None
        self.fresh: float | None = None

    def checks(self) -> Iterator[Check]:
        yield "settings", self.settings
        yield "parameters", self.parameters
        if self.claim.record.finished:
            yield "weights", self.weights
            yield "rescored", self.test_splits
            if isinstance(self.task, GeneratedTask):
                yield "rescored on a fresh split", self.fresh_split

    @cached_property
    def request(self) -> RunRequest:
        return claimed_request(self.claim)

    @cached_property
    def task(self) -> Any:
        return self.request.task.build(data_dir=self.setting.data_dir)

    @cached_property
    def network(self) -> Wrapper:
        """The network with the bundle's weights. Used only after `weights` has passed."""
        request = self.request
        network = build(request.model.cls, request.wrapper, request.settings, request.spec)
        if request.settings.training.precision == "64":
            network.double()
        network.load_state_dict(load(self.claim.weights), strict=False)  # what is missing is tied to what is there
        return network

    def settings(self) -> str:
        sources, budget = self.claim.record.config_source, self.request.budget
        chosen = [name for name, source in sources.items() if source != "budget"] + [f"budget {budget}"] * bool(budget)
        return f"they follow from {', '.join(chosen) or 'the defaults'}"

    def parameters(self) -> str:
        """Count the parameters again, on the meta device."""
        network = on_meta(self.request)
        counts, stated = count(network), self.claim.record.params
        for part, claimed in stated.model_dump().items():
            if getattr(counts, part) != claimed:
                raise BundleError(f"{part} is {claimed:,}, the network has {getattr(counts, part):,}")
        if state_bytes(network) != self.claim.record.state_bytes:
            raise BundleError(f"the state has {state_bytes(network)} bytes, not {self.claim.record.state_bytes}")
        return f"{counts.total:,}, {counts.core:,} of them in the core"

    def weights(self) -> str:
        check_shapes(on_meta(self.request), self.claim, precision=self.request.settings.training.precision)
        return f"{counted(len(self.claim.tensors), 'tensor')} of the network's names, shapes and types"

    def test_splits(self) -> str:
        details = [self._on_split(split) for split in sorted(self.claim.predictions)]
        return "; ".join(details)

    def _on_split(self, split: str) -> str:
        """Check that the weights have the claimed score and predictions."""
        spec, samples = self.task.spec, self.task.split(split)
        ours, y = self._predict(samples), targets(self.task, samples)
        found, stated = score(spec, ours, y).value, self.claim.record.metrics[split].value
        if split == "test" and isfinite(found):
            self.recomputed = found
        if not is_close(spec, found, stated):
            raise BundleError(f"{spec.metric} of the weights on {split} is {found:.4g}, {stated:.4g} is claimed")
        precision = self.request.settings.training.precision
        agreement = check_agreement(spec, precision, ours, self.claim.predictions[split], y)
        return f"{spec.metric} {found:.4g} on {split}, {agreement}"

    def fresh_split(self) -> str:
        """Check that the network does as well on samples that nobody can have trained on."""
        samples = self.task.fresh_test(f"{self.setting.secret}/{self.claim.identity}")
        here = score(self.task.spec, self._predict(samples), targets(self.task, samples))
        known = targets(self.task, self.task.split("test"))
        there = score(self.task.spec, self.claim.predictions["test"], known)
        detail = check_not_worse(here, there, higher_is_better=self.task.spec.higher_is_better)
        self.fresh = here.value
        return detail

    def _predict(self, samples: Samples) -> Array:
        """Return the network's predictions, from the code that evaluates a run."""
        training = self.request.settings.training
        half_is_missing = training.precision == "16-mixed" and not torch.cuda.is_available()
        trainer = Trainer(
            accelerator=self.setting.accelerator, devices=1, logger=False, deterministic="warn",
            precision="32" if half_is_missing else training.precision,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        module = SequenceModule(self.network, self.request.spec, training)
        return evaluate(trainer, module, in_order(self.task, samples))[1]


def on_meta(request: RunRequest) -> Wrapper:
    """Build a request's network without memory for its parameters."""
    with torch.device("meta"):
        return build(request.model.cls, request.wrapper, request.settings, request.spec)


def check_shapes(network: Wrapper, claim: Claim, *, precision: str) -> None:
    """Check that the names, shapes and types of the claimed weights are the network's.

    Raises:
        BundleError: one is not. The message names the first.
    """
    expected = network.state_dict(keep_vars=True)
    names: dict[int, set[str]] = {}
    for name, tensor in expected.items():
        names.setdefault(id(tensor), set()).add(name)
    for tied in names.values():  # safetensors keeps one of the names of a tied weight
        if len(tied & claim.tensors.keys()) != 1:
            raise BundleError(f"the weights lack {min(tied)}, or have it twice")
    for name, info in claim.tensors.items():
        if name not in expected:
            raise BundleError(f"the weights have {name}, which the network lacks")
        kind, shape = _kind(expected[name].dtype, precision), list(expected[name].shape)
        if (info.dtype, info.shape) != (kind, shape):
            raise BundleError(f"{name} is {info.dtype} {info.shape}, the network has {kind} {shape}")


def _kind(dtype: torch.dtype, precision: str) -> str:
    """Return safetensors' name of the type in which weights are saved. Double-precision training saves doubles."""
    if dtype.is_floating_point:
        return "F64" if precision == "64" else "F32"
    return "I64"


def check_not_worse(here: Scored, there: Scored, *, higher_is_better: bool) -> str:
    """Compare a score on a split drawn here with the score on the public one.

    Returns:
        The score here, as text.

    Raises:
        BundleError: the score here is worse by more than MOST_ERRORS standard errors of the difference, or is NaN.
    """
    gap = (there.value - here.value) * (1 if higher_is_better else -1)
    error = (here.error**2 + there.error**2) ** 0.5
    if not gap <= MOST_ERRORS * error + 1e-9:  # also for NaN
        raise BundleError(
            f"{here.value:.4g} on a split drawn here, {there.value:.4g} on the public one, "
            f"{gap / max(error, 1e-9):.0f} standard errors better: was it trained on the test split?"
        )
    return f"{here.value:.4g}"


def respond(line: bytes, data: bytes) -> bytes:
    """Rescore the runs that the line names. Return JSON: run_id → `Rescored`."""
    options = json.loads(line)
    wanted, setting = options.pop("runs"), Setting(**options)
    claims = [claim for claim in read_bundle(data).claims if claim.record.run_id in wanted]
    found = {claim.record.run_id: asdict(rescore(claim, setting)) for claim in claims}
    return json.dumps(found, allow_nan=False).encode()


def main() -> None:
    """Read stdin, limit this process, and write the answer to what was stdout."""
    answer = os.dup(1)
    os.dup2(2, 1)  # nothing but the answer goes to stdout
    line, data = sys.stdin.buffer.readline(), sys.stdin.buffer.read()
    memory = json.loads(line)["memory"]
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prepare_process()
    with os.fdopen(answer, "wb") as stream:
        stream.write(respond(line, data))


if __name__ == "__main__":
    main()
