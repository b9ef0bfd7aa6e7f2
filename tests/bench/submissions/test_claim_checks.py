"""Verification: an honest bundle is accepted, and each way to cheat is found out and named."""

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import bench.submissions.claim_checks
import bench.submissions.rescore
from bench.bundle.predictions import write_predictions
from bench.catalog.registry import find_model, find_task
from bench.runs.network import build, count, state_bytes
from bench.runs.request import SettingFlags, build_request
from bench.submissions.rescore import check_not_worse
from bench.submissions.scoring import Scored, check_agreement, score
from datamodules.copy import Copy
from datamodules.digits import Digits
from datamodules.mix_sin import MixSin
from datamodules.parity import Parity
from db.schema import Run
from db.store import Store
from tests.conftest import Bench
from tests.support.bundles import (
    Change,
    Members,
    forged,
    members_of,
    predictions_of,
    set_to,
    together,
    with_predictions,
    write,
)

SOLID = ("--set", "hidden_size=12", "--set", "lr=0.02", "--epochs", "12")
SHORT = ("--set", "hidden_size=8", "--set", "max_steps=5", "--set", "batch_size=500")
Verify = Callable[[Members], dict[str, Any]]


@pytest.fixture(scope="module")
def submitter(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Runs that learned something: digits by two seeds; and short ones of a task of each other output."""
    bench = Bench(tmp_path_factory.mktemp("submitter"))
    for seed in ("0", "1"):
        bench("run", "--model", "gru", "--seed", seed, *SOLID)
    for task in ("mix-sin", "copy-100"):
        bench("run", "--model", "gru", "--task", task, *SHORT)
    return bench


def bundle(submitter: Bench, task: str, number: int = 0) -> Members:
    run = submitter.json("runs", "--task", task)[::-1][number]
    submitter("bundle", run["run_id"], "-o", "one.zip")
    return members_of(submitter.folder / "one.zip")


@pytest.fixture(scope="module")
def digits(submitter: Bench) -> Members:
    return bundle(submitter, "digits")


@pytest.fixture(scope="module")
def other_seed(submitter: Bench) -> Members:
    return bundle(submitter, "digits", 1)


@pytest.fixture
def host(tmp_path: Path, rescored_here: None) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def accepted(host: Bench) -> Verify:
    return lambda members: host.json("verify", write(members, host.folder / "sent.zip"))


@pytest.fixture
def rejected(host: Bench) -> Verify:
    def verify(members: Members) -> dict[str, Any]:
        document = host.json("verify", write(members, host.folder / "sent.zip"), code=1)
        assert document["verdict"] == "rejected"
        assert all(reason.isprintable() for reason in document["reasons"])
        return document

    return verify


# Honest bundles


def test_an_honest_bundle_of_public_data_is_accepted_and_stays_self_reported(accepted: Verify, digits: Members) -> None:
    document = accepted(digits)
    assert (document["verdict"], document["reasons"]) == ("accepted", [])
    assert document["claimed"] == pytest.approx(document["recomputed"], abs=1e-6)
    (run,) = document["runs"]
    assert (run["rung"], run["fresh"]) == ("self-reported", None)
    checks = {finding["check"]: finding["passed"] for finding in run["findings"]}
    assert checks == {
        "names and versions": True, "splits": True, "predictions": True, "curves": True, "labels": None,
        "settings": True, "parameters": True, "weights": True, "rescored": True,
    }  # fmt: skip


@pytest.mark.parametrize("task", ["mix-sin", "copy-100"])
def test_an_honest_bundle_of_a_generated_task_is_rescored_on_a_fresh_split(
    accepted: Verify, submitter: Bench, task: str
) -> None:
    document = accepted(bundle(submitter, task))
    (run,) = document["runs"]
    assert (document["verdict"], run["rung"]) == ("accepted", "rescored")
    assert run["fresh"] == pytest.approx(run["claimed"], rel=0.1, abs=0.01)
    assert run["findings"][-1]["check"] == "rescored on a fresh split"


def test_a_setting_at_what_held_before_it_existed(host: Bench, accepted: Verify, submitter: Bench) -> None:
    run = submitter.json("run", "--model", "gru", *SHORT, "--set", "end_when_solved=false")
    submitter("bundle", run["run_id"], "-o", "before.zip")
    assert accepted(members_of(submitter.folder / "before.zip"))["verdict"] == "accepted"


def test_several_runs_at_once(accepted: Verify, digits: Members, other_seed: Members) -> None:
    document = accepted(together(digits, other_seed))
    values = [run["claimed"] for run in document["runs"]]
    assert document["claimed"] == pytest.approx(sum(values) / 2)
    assert [finding["check"] for run in document["runs"] for finding in run["findings"]].count("seeds") == 0


def test_seeds_that_were_left_out_are_remarked(accepted: Verify, other_seed: Members) -> None:
    (run,) = accepted(other_seed)["runs"]
    (remark,) = [finding for finding in run["findings"] if finding["check"] == "seeds"]
    assert (remark["passed"], remark["detail"][:14]) == (None, "0 are not here")


def test_the_verdict_in_lines(host: Bench, digits: Members) -> None:
    path = write(digits, host.folder / "sent.zip")
    lines = host("verify", path).stdout.splitlines()
    assert lines[0].startswith("bundle ")
    assert lines[-1] == "verdict: accepted"
    assert any(line.startswith("  ok      weights: 6 tensors") for line in lines)
    assert any(line.startswith("  note    labels: anyone has the test labels") for line in lines)


# Cheats


def accuracy(predictions: Any) -> float:
    return float((predictions == Digits().split("test").y.numpy()).mean())


def test_a_metric_that_is_not_that_of_the_predictions(rejected: Verify, digits: Members) -> None:
    document = rejected(forged(digits, set_to("metrics.test.value", 0.99)))
    truth = accuracy(predictions_of(digits))
    assert document["reasons"] == [
        f"gru on digits, seed 0: predictions: accuracy on test is {truth:.6g}, 0.99 is claimed"
    ]
    assert document["claimed"] == 0.99
    assert document["recomputed"] == pytest.approx(truth)


def test_predictions_that_are_the_labels(rejected: Verify, digits: Members) -> None:
    labels = Digits().split("test").y.numpy().astype(np.uint8)
    document = rejected(with_predictions(digits, labels, value=1.0))
    truth = accuracy(predictions_of(digits))
    assert f"rescored: accuracy of the weights on test is {truth:.4g}, 1 is claimed" in document["reasons"][0]
    assert document["recomputed"] == pytest.approx(truth)


def test_predictions_of_another_run_as_good(rejected: Verify, digits: Members) -> None:
    """As many are right, and others: two samples in a hundred are swapped from right to wrong and back."""
    predictions, labels = predictions_of(digits).copy(), Digits().split("test").y.numpy()
    right, wrong = np.flatnonzero(predictions == labels)[:40], np.flatnonzero(predictions != labels)[:40]
    count = min(len(right), len(wrong))
    assert count > 10
    predictions[wrong[:count]] = labels[wrong[:count]]
    predictions[right[:count]] = (labels[right[:count]] + 1) % 10
    document = rejected(with_predictions(digits, predictions))
    assert f"rescored: {2 * count} of 360 predictions are not what the weights say" in document["reasons"][0]


def test_predictions_and_weights_copied_from_another_run(host: Bench, rejected: Verify, digits: Members) -> None:
    host("import", write(digits, host.folder / "first.zip"))
    thief = forged(digits, set_to("seed", 1))
    (reason,) = rejected(thief)["reasons"]
    assert reason.endswith(f"copies: its predictions are those of run {json.loads(digits['bundle.json'])['run_id']}")


def test_one_run_twice_in_a_bundle_under_two_seeds(rejected: Verify, digits: Members) -> None:
    reasons = rejected(together(digits, forged(digits, set_to("seed", 1))))["reasons"]
    assert all("copies: its predictions are those of run" in reason for reason in reasons)
    assert len(reasons) == 2


def test_equal_predictions_that_nobody_owns_are_no_copies(
    host: Bench, accepted: Verify, submitter: Bench, digits: Members
) -> None:
    """A run that was allowed to train longer may choose the same checkpoint."""
    host("import", write(digits, host.folder / "first.zip"))
    longer = forged(digits, config=set_to("training.epochs", 13))
    assert accepted(longer)["verdict"] == "accepted"


def test_ones_own_draft_is_no_other_run(host: Bench, accepted: Verify, submitter: Bench, digits: Members) -> None:
    """It was run by the path of its file before it was registered."""
    claimed = json.loads(digits["bundle.json"])["run_id"]
    (run,) = Store(str(submitter.db)).find(claimed)
    columns = {column.key: getattr(run, column.key) for column in Run.__table__.columns if column.key != "id"}
    draft = columns | {"run_id": "f" * 16, "model": f"{run.model}@01234567"}
    Store(str(host.db)).record(Run(**draft))
    assert accepted(digits)["verdict"] == "accepted"


def swap(document: dict[str, Any]) -> None:
    document["facts"]["splits"]["test"] = document["facts"]["splits"]["train"]


CLAIMS: dict[str, tuple[Change | None, Change | None, str]] = {
    "labels that were swapped": (swap, None, "splits: test is "),
    "another permutation": (set_to("facts.task", {"permutation_sha256": "0" * 64}), None, "permutation_sha256 is 000"),
    "fewer splits": (set_to("facts.splits", {}), None, "splits: test is None"),
    "another version of the task": (set_to("task_version", 99), None, "task_version is 99, here it is 1"),
    "a variant that nobody knows": (set_to("task", "digits-9"), None, "names and versions: no task named 'digits-9'"),
    "a wrapper that nobody knows": (set_to("wrapper", "plane"), None, "there is no wrapper 'plane'"),
    "another metric": (set_to("metrics.test.name", "mse"), None, "the task's metric is accuracy"),
    "a test split that the task lacks": (
        lambda record: record["metrics"].update({"test-2x": record["metrics"]["test"]}), None,
        "are not those of the task's splits"),
    "a core that is smaller": (
        lambda record: record["params"].update(core=1, readout=record["params"]["total"] - 1), None,
        "parameters: core is 1, the network has 540"),
    "a state that is smaller": (set_to("state_bytes", 4), None, "parameters: the state has 48 bytes, not 4"),
    "a tier that did not fit it": (set_to("budget", "100k"), None, "settings: GRU can't be fitted to 100k"),
    "a tier with a size by hand": (
        lambda record: record.update(budget="10k", config_source=record["config_source"] | {"hidden_size": "budget"}),
        None, "settings: hidden_size is 12; from the settings that were chosen follows"),
    "a setting that nobody chose": (
        None, set_to("training.weight_decay", 0.1), "settings: weight_decay is 0.1; from the settings"),
    "defaults that are none": (
        set_to("config_source", {}), None, "hidden_size is 12; from the settings that were chosen follows 200"),
    "a setting that there is not": (
        None, set_to("model.luck", 1.0), "settings: luck is 1.0; from the settings that were chosen follows nothing"),
    "a setting that is not legal": (None, set_to("model.hidden_size", -1), "settings: hidden_size=-1"),
    "a checkpoint that was not the best": (set_to("best_epoch", 1), None, "curves: the best of validation/accuracy"),
    "a better validation": (set_to("metrics.validation.value", 1.0), None, "curves: the best of validation/accuracy"),
    "fewer steps than the curve has": (set_to("steps", 3), None, "goes on after step 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_that_are_not_so(rejected: Verify, digits: Members, name: str) -> None:
    record, config, message = CLAIMS[name]
    members = forged(digits, record, config)
    splits = json.loads(members["bundle.json"])["metrics"].keys() - {"train", "validation"}
    members["predictions.npz"] = write_predictions(dict.fromkeys(splits, predictions_of(digits)))
    (reason,) = rejected(members)["reasons"]
    assert message in reason
    assert reason.startswith(("gru on digits, seed 0: ", "gru on digits-9, seed 0: "))


def test_a_bundle_of_another_protocol_is_not_judged(host: Bench, digits: Members) -> None:
    """That is no rejection: a rejected bundle would end with exit code 1."""
    path = write(forged(digits, set_to("protocol", 1)), host.folder / "old.zip")
    for words in (("verify", str(path)), ("import", str(path))):
        message = host.refused(*words)
        assert (
            "the bundle can't be judged here, which is no rejection: gru on digits, seed 0 is of protocol 1" in message
        )


def test_an_id_that_is_another_runs(rejected: Verify, digits: Members) -> None:
    record = json.loads(digits["bundle.json"]) | {"run_id": "0123456789abcdef"}
    document = rejected(digits | {"bundle.json": json.dumps(record).encode()})
    assert "settings: run 0123456789abcdef is named by its content, which gives" in document["reasons"][0]


def test_a_run_without_curves(rejected: Verify, digits: Members) -> None:
    document = rejected(digits | {"curves.csv": b"name,epoch,step,value\n"})
    assert "curves: there is no curve validation/accuracy" in document["reasons"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:-1], "predictions are uint8 of shape (359,), the task has (360,)"),
        (lambda p: np.append([0, 200], p[2:]).astype(np.uint8), "predictions from 0 to 200, the task has 10 answers"),
        (lambda p: p.astype(np.float32), "predictions are float32 of shape (360,)"),
    ],
)
def test_predictions_that_do_not_fit_the_task(
    rejected: Verify, digits: Members, change: Callable[[Any], Any], message: str
) -> None:
    assert message in rejected(with_predictions(digits, change(predictions_of(digits))))["reasons"][0]


# Weights


def test_weights_of_another_seed(rejected: Verify, digits: Members, other_seed: Members) -> None:
    document = rejected(digits | {"weights.safetensors": other_seed["weights.safetensors"]})
    assert "rescored: " in document["reasons"][0]
    assert document["recomputed"] == pytest.approx(accuracy(predictions_of(other_seed)))


def test_weights_of_another_model_with_as_many_numbers(rejected: Verify, digits: Members) -> None:
    request = build_request(find_model("rnn"), find_task("digits"), SettingFlags(assignments=["hidden_size=20"]), 0)
    rnn = build(request.model.cls, request.wrapper, request.settings, request.spec)
    document = rejected(digits | {"weights.safetensors": save(rnn.state_dict())})
    assert "weights: core.0.rnn.bias_hh_l0 is F32 [20], the network has F32 [36]" in document["reasons"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, tensor: (name, tensor.T.contiguous()), "is F32 [12, 36], the network has F32 [36, 12]"),
        (lambda name, tensor: (name, tensor.flatten()), "is F32 [432], the network has F32 [36, 12]"),
        (lambda name, tensor: (name, tensor.double()), "is F64 [36, 12], the network has F32 [36, 12]"),
        (lambda name, tensor: (f"{name}_", tensor), "the weights lack core.0.rnn.weight_hh_l0, or have it twice"),
    ],
)
def test_weights_that_do_not_fit_the_network(
    rejected: Verify, digits: Members, change: Callable[[str, torch.Tensor], tuple[str, torch.Tensor]], message: str
) -> None:
    weights = load(digits["weights.safetensors"])
    name = "core.0.rnn.weight_hh_l0"
    other, tensor = change(name, weights.pop(name))
    document = rejected(digits | {"weights.safetensors": save(weights | {other: tensor})})
    assert message in document["reasons"][0]


def test_weights_that_make_no_number(rejected: Verify, submitter: Bench) -> None:
    """Finite weights whose outputs are not: nothing is smaller than what is not a number."""
    members = bundle(submitter, "mix-sin")
    weights = {name: torch.full_like(tensor, 3e38) for name, tensor in load(members["weights.safetensors"]).items()}
    document = rejected(members | {"weights.safetensors": save(weights)})
    assert "mse of the weights on test is" in document["reasons"][0]


def test_a_tied_weight_is_there_once(accepted: Verify, rejected: Verify, submitter: Bench) -> None:
    members = bundle(submitter, "copy-100")
    weights = load(members["weights.safetensors"])
    assert "readout.weight" not in weights
    table = weights.pop("embedding.weight")
    renamed = save(weights | {"readout.weight": table})
    assert accepted(members | {"weights.safetensors": renamed})["verdict"] == "accepted", "either of its names does"
    document = rejected(members | {"weights.safetensors": save(weights | {"spare": table})})
    assert "weights: the weights lack embedding.weight, or have it twice" in document["reasons"][0]


# The fresh split


def test_a_network_that_knows_the_test_split(
    rejected: Verify, submitter: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To it, the host's split is another world, as here, where its samples are ten times as large."""
    fresh = MixSin.fresh_test
    monkeypatch.setattr(
        MixSin, "fresh_test", lambda self, secret: fresh(self, secret)._replace(y=fresh(self, secret).y * 10)
    )
    (reason,) = rejected(bundle(submitter, "mix-sin"))["reasons"]
    assert "rescored on a fresh split: " in reason
    assert reason.endswith("standard errors better: was it trained on the test split?")


def test_the_fresh_split_is_drawn_from_the_secret() -> None:
    task = Parity("parity-40")
    one, again, other = (task.fresh_test(secret).x for secret in ("a", "a", "b"))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, task.split("test").x)
    assert one.shape == task.split("test").x.shape


@pytest.mark.parametrize(("higher", "sign"), [(True, 1), (False, -1)])
def test_chance_is_no_cheat_and_more_than_chance_is(higher: bool, sign: int) -> None:
    there = Scored(0.5, 0.03)
    assert check_not_worse(Scored(0.5 - sign * 0.24, 0.04), there, higher_is_better=higher)
    assert check_not_worse(Scored(0.5 + sign * 0.4, 0.04), there, higher_is_better=higher)
    for value in (0.5 - sign * 0.26, float("nan")):
        with pytest.raises(Exception, match="was it trained on the test split"):
            check_not_worse(Scored(value, 0.04), there, higher_is_better=higher)


def test_the_fresh_split_is_another_for_each_bundle_and_host(host: Bench, submitter: Bench, accepted: Verify) -> None:
    members = bundle(submitter, "mix-sin")
    first = accepted(members)["runs"][0]["fresh"]
    assert accepted(members)["runs"][0]["fresh"] == first
    assert accepted(members | {"environment.txt": b"cpu: 1\n"})["runs"][0]["fresh"] != first
    host.env["BENCH_HOST_SEED"] = "another host's secret"
    assert accepted(members)["runs"][0]["fresh"] != first


def test_the_hosts_secret(host: Bench, digits: Members) -> None:
    path = write(digits, host.folder / "sent.zip")
    host("verify", path)
    kept = host.folder / "board-host-seed"
    assert (kept.stat().st_mode & 0o777, len(kept.read_text())) == (0o600, 64)
    assert kept.read_text() not in host("verify", path, "--json").stdout
    kept.chmod(0o644)
    assert "others may read" in host.refused("verify", path)
    host.env["BENCH_HOST_SEED"] = "short"
    assert "the host's secret has 5 characters; BENCH_HOST_SEED needs at least 16" in host.refused("verify", path)
    host.env["BENCH_HOST_SEED"] = "long enough for a secret"
    host("verify", path)


# Scores


def test_scores_by_hand() -> None:
    label, value, tokens = Parity("parity-40").spec, MixSin().spec, Copy("copy-100").spec
    assert score(label, np.array([0, 1, 1, 0], np.uint8), np.array([0, 1, 0, 0])) == Scored(
        0.75, pytest.approx(0.25)
    )  # one of four is wrong: variance 3/16 · 4/3 = 1/4, over √4
    zero = np.zeros((2, 175), np.float32)
    assert score(value, zero, zero + np.array([[1.0], [3.0]])) == Scored(5.0, pytest.approx(4.0))
    y = np.full((2, 120), -100)
    y[0, :2], y[1, 5:7] = (1, 2), (3, 4)
    assert score(tokens, np.array([1, 2, 3, 5], np.uint8), y) == Scored(0.75, pytest.approx(0.25))


def test_rounding_is_no_disagreement_and_other_mistakes_are() -> None:
    spec, y = Parity("parity-40").spec, np.zeros(1_000, int)
    ours = np.arange(1_000) < 100
    assert "978 of 1,000" in check_agreement(spec, "32", ours, np.arange(1_000) < 122, y)
    with pytest.raises(Exception, match="28 of 1,000 predictions are not what the weights say"):
        check_agreement(spec, "32", ours, np.arange(1_000) < 128, y)
    spec, rng = MixSin().spec, np.random.default_rng(0)
    truth = rng.normal(size=(50, 175))
    one, other = (truth + 0.1 * rng.normal(size=truth.shape) for _ in range(2))
    assert check_agreement(spec, "32", one, one + 1e-4, truth)
    with pytest.raises(Exception, match="from what the weights say"):
        check_agreement(spec, "32", one, other, truth)


def test_a_bundle_that_a_file_manager_zipped_again(host: Bench, digits: Members) -> None:
    """macOS adds a folder and hidden files, and compresses."""
    folders = {
        "my/": {f"my/{name}": content for name, content in digits.items()} | {"__MACOSX/my/._x": b""},
        "": digits,
    }
    for prefix, members in folders.items():
        with zipfile.ZipFile(host.folder / "again.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        (reason,) = host.json("verify", "again.zip", code=1)["reasons"]
        assert (f"there is no member '{prefix}" if prefix else "is compressed") in reason
        assert reason.endswith(
            "Send the file that `bench bundle` wrote, as it is: unpacking and zipping it again makes another file"
        )


# The process that rescores


def test_rescoring_that_takes_too_long_is_ended(tmp_path: Path, digits: Members) -> None:
    host = Bench(tmp_path)
    done = host.json("verify", write(digits, tmp_path / "sent.zip"), "--time-limit", "0.5s", code=1)
    assert done["reasons"] == ["gru on digits, seed 0: rescored: not done after 0.5 s; --time-limit allows more"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "what the process that rescores answered: Expecting value"),
        (b"Using device \xff", "what the process that rescores answered: 'utf-8' codec can't decode"),
        (b"[]", "what the process that rescores answered: Input should be a valid dictionary"),
        (b"{}", "the process that rescores answered about other runs"),
    ],
)
def test_an_answer_that_is_none_rejects_the_bundle(
    host: Bench, digits: Members, answer: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.submissions.claim_checks.run_limited", lambda *words, **options: answer)
    done = host.json("verify", write(digits, host.folder / "sent.zip"), code=1)
    assert done["reasons"][0].startswith(f"gru on digits, seed 0: rescored: {problem}")


def test_a_network_that_would_fill_the_memory_is_refused(
    tmp_path: Path, digits: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HiPPO keeps a matrix of order × order that is no parameter: 40,000 parameters can ask for gigabytes."""
    flags = SettingFlags(assignments=["hidden_size=1", "order=20000"])
    request = build_request(find_model("hippo"), find_task("digits"), flags, 0)
    network = bench.submissions.rescore.on_meta(request)
    weights = {name: torch.zeros(tensor.shape) for name, tensor in network.state_dict().items()}
    counts = asdict(count(network))

    def claim(record: dict[str, Any]) -> None:
        record["params"] = counts | {"total": sum(counts.values())}
        record |= {"model": "hippo", "state_bytes": state_bytes(network)}
        record["config_source"] |= request.sources

    monkeypatch.setattr(bench.submissions.claim_checks, "MEMORY", 2 << 30)
    config = set_to("model", asdict(request.settings.model))
    members = forged(digits, claim, config, weights_safetensors=save(weights))
    (reason,) = Bench(tmp_path).json("verify", write(members, tmp_path / "sent.zip"), code=1)["reasons"]
    assert reason.startswith("hippo on digits, seed 0: rescored: ")
    assert "Unable to allocate" in reason or "can't allocate memory" in reason


def test_a_file_that_is_no_bundle(host: Bench) -> None:
    (host.folder / "evil.zip").write_bytes(b"\x1b[2J" + struct.pack("<Q", 2**63) * 100)
    done = host("verify", "evil.zip", code=1)
    assert done.stdout == (
        "  FAILED  structure: not a zip: its last 22 bytes are not an end record; "
        "it was cut off, or something follows it. Send the file that `bench bundle` wrote, as it is: "
        "unpacking and zipping it again makes another file\n"
        "verdict: rejected\n"
    )
    document = host.json("verify", "evil.zip", code=1)
    assert (document["verdict"], document["claimed"], document["recomputed"]) == ("rejected", None, None)
    assert "absent.zip can't be read: No such file or directory" in host.refused("verify", "absent.zip")


def test_hostile_names_reach_the_terminal_as_text(host: Bench, digits: Members) -> None:
    for name in ("\x1b[31mred\x07", "[bold]loud[/bold]", "a\nverdict: accepted", "\u202egnp.exe"):
        done = host("verify", write(digits | {name: b""}, host.folder / "sent.zip"), code=1)
        assert len(done.stdout.splitlines()) == 2
        assert all(line.isprintable() for line in done.stdout.splitlines())
        assert done.stdout.endswith("\nverdict: rejected\n")
        assert "[bold]loud[/bold]" in done.stdout or "bold" not in name
