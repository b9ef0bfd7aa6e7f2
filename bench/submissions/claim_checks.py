"""Finding out whether a bundle is true, line by line and without running anything that came with it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.bundle.documents import parse
from bench.bundle.errors import BundleError
from bench.bundle.read import Bundle, Claim
from bench.common.errors import RequestError
from bench.submissions.claimed_request import claimed_task
from bench.submissions.copies_and_gaps import copied, gaps
from bench.submissions.host_secret import host_secret
from bench.submissions.limited_process import run_limited
from bench.submissions.rescore import Rescored, Setting
from bench.submissions.retrain import Reproduction
from bench.submissions.scoring import Answers, is_close, score
from bench.submissions.verdict import Check, Finding, RunVerdict, Verdict, run_checks
from datamodules._generated import GeneratedTask
from db.schema import LADDER
from db.store import Store

MEMORY = 8 << 30  # bytes for the process that rescores
ACCURACY_ROUNDING, ERROR_ROUNDING = 1e-6, 1e-3
"""How much the order of summation may change an accuracy, and an error relative to its size."""
PUBLIC = "anyone has the test labels of this task: only --reproduce raises it above self-reported"


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where a bundle is verified, and how long that may take."""

    store: Store
    seconds: float
    """The time limit for rescoring the whole bundle."""
    accelerator: str = "auto"
    data_dir: str | None = None


def verify(bundle: Bundle, data: bytes, host: Host) -> Verdict:
    """Check every run of a bundle, without training.

    Args:
        data: the bytes that `bundle` was read from.

    Raises:
        DataError: the data of a task are unavailable here.
        RequestError: the host's secret is unusable.
    """
    answers: dict[str, Answers] = {}
    verdicts = {claim.record.run_id: _look_at(claim, host, answers) for claim in bundle.claims}
    for run_id, other in copied(bundle.claims, host.store):
        verdicts[run_id].findings.append(Finding("copies", False, f"its predictions are those of run {other}"))
    for run_id, missing in gaps(bundle.claims, host.store):
        remark = f"{missing} are not here; a submission has all seeds 0, 1, 2, …, so that none is picked"
        verdicts[run_id].findings.append(Finding("seeds", None, remark))
    sound = [run_id for run_id, verdict in verdicts.items() if not verdict.failures]
    for run_id, rescored in _rescore(data, sound, host).items():
        _take_in(verdicts[run_id], rescored)
    return Verdict(identity=bundle.identity, runs=list(verdicts.values()))


def confirm(verdict: Verdict, reproductions: Sequence[Reproduction]) -> None:
    """Add the results of training again to a verdict. Each run of a reproduced cell reaches the highest rung."""
    for each in reproductions:
        seeds = ", ".join(str(run.seed) for run in each.runs)
        interval = f"the submitter's seeds predict {each.low:.2f} to {each.high:.2f}"
        detail = f"mean score {each.mean:.2f} on seeds {seeds}; {interval}"
        verdict.reproductions.append(Finding(f"{each.cell.label}, trained again", each.inside, detail))
        for run in verdict.runs:
            if each.inside and run.record.run_id in each.cell.run_ids:
                run.rung = LADDER[-1]


def _look_at(claim: Claim, host: Host, answers: dict[str, Answers]) -> RunVerdict:
    """Check what can be checked without building the network."""
    work = _Comparison(claim, host, answers)
    findings = run_checks(work.checks(), (BundleError, RequestError))
    if claim.record.finished and findings[-1].passed and not isinstance(work.answers.task, GeneratedTask):
        findings.append(Finding("labels", None, PUBLIC))
    return RunVerdict(claim.record, claim.identity, findings, recomputed=work.recomputed)


class _Comparison:
    """Compares what a claim says with the names, data and metrics of this machine."""

    answers: Answers

    def __init__(self, claim: Claim, host: Host, known: dict[str, Answers]) -> None:
        self.claim, self.record, self.host, self.known = claim, claim.record, host, known
        self.recomputed: float | None = None

    def checks(self) -> Iterator[Check]:
        yield "names and versions", self.names
        yield "splits", self.splits
        if self.record.finished:
            yield "predictions", self.predictions
            yield "curves", self.curves

    def names(self) -> str:
        task = claimed_task(self.claim)
        if task.variant not in self.known:
            self.known[task.variant] = Answers(task.build(data_dir=self.host.data_dir))
        self.answers = self.known[task.variant]
        return f"protocol {self.record.protocol}, task version {self.record.task_version}"

    def splits(self) -> str:
        """Check that the run's data were ours, by the hashes of the splits and of all else that defines the task."""
        facts = self.record.facts
        if not self.record.finished and not facts.splits:
            return "the run ended before it had data"
        for ours, theirs in ((self.answers.hashes, facts.splits), (self.answers.task.facts(), facts.task)):
            for name in sorted(ours.keys() | theirs.keys()):
                if ours.get(name) != theirs.get(name):
                    raise BundleError(f"{name} is {theirs.get(name)}, here it is {ours.get(name)}")
        return f"{', '.join(self.answers.hashes)}: the hashes agree"

    def predictions(self) -> str:
        """Check that the claimed metrics are those of the predictions."""
        spec = self.answers.spec
        for split, predictions in sorted(self.claim.predictions.items()):
            found, stated = score(spec, predictions, self.answers.of(split)).value, self.record.metrics[split].value
            if split == "test":
                self.recomputed = found
            if abs(found - stated) > (ACCURACY_ROUNDING if spec.higher_is_better else ERROR_ROUNDING * found):
                raise BundleError(f"{spec.metric} on {split} is {found:.6g}, {stated:.6g} is claimed")
        return f"{spec.metric} {self.recomputed:.6g} on test"

    def curves(self) -> str:
        """Check that the checkpoint was the best on validation, by its curve and the final metric."""
        spec, record = self.answers.spec, self.record
        name = f"validation/{spec.metric}"
        curve = [(p.value, p.epoch) for p in self.claim.curves if p.name == name and p.value is not None]
        if not curve or max(point.step for point in self.claim.curves) > record.steps:
            raise BundleError(f"there is no curve {name}, or one that goes on after step {record.steps:,}")
        best = (max if spec.higher_is_better else min)(value for value, _ in curve)
        stated = record.metrics["validation"].value
        if (best, record.best_epoch) not in curve or not is_close(spec, best, stated):
            raise BundleError(f"the best of {name} is {best:.4g}, not {stated:.4g} in epoch {record.best_epoch}")
        return f"epoch {record.best_epoch} was the best on validation"


def _rescore(data: bytes, run_ids: Sequence[str], host: Host) -> Mapping[str, Rescored]:
    """Rescore runs in a process with limits. Return what it found: run_id → `Rescored`."""
    if not run_ids:
        return {}
    secret = host_secret(host.store)
    setting = Setting(secret=secret, memory=MEMORY, accelerator=host.accelerator, data_dir=host.data_dir)
    line = json.dumps(asdict(setting) | {"runs": run_ids}).encode()
    try:
        answer = run_limited("bench.submissions.rescore", line + b"\n" + data, seconds=host.seconds)
        found = parse(answer, dict[str, Rescored], "what the process that rescores answered")
        if found.keys() != set(run_ids):
            raise BundleError("the process that rescores answered about other runs")
    except BundleError as error:
        failed = Rescored(findings=[Finding("rescored", False, str(error))], recomputed=None, fresh=None)
        return dict.fromkeys(run_ids, failed)
    return found


def _take_in(verdict: RunVerdict, rescored: Rescored) -> None:
    verdict.findings += rescored.findings
    verdict.fresh = rescored.fresh
    if rescored.recomputed is not None:
        verdict.recomputed = rescored.recomputed
    if verdict.fresh is not None and not verdict.failures:
        verdict.rung = LADDER[1]
