"""Tuning on several workers: what each trial sees, what survives which fault, and that every trial counts once."""

import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

import bench.catalog.suites as bench_suites
from bench.catalog.suites import Suite
from bench.common.errors import RequestError
from bench.tuning.storage import Studies
from bench.tuning.worker_pool import share
from datamodules.digits import Digits
from tests.conftest import Bench
from tests.support.processes import PATIENCE, alive, wait_until
from tests.support.trials import states, trials_of

Writer = Callable[[str, str], Path]
NODE = {"include_dashboard": False, "object_store_memory": 2**27}
# What `srun` leaves on the second of two nodes. Lightning must not take a trial for a share of something larger.
SLURM = {"SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "tune", "SLURM_PROCID": "1", "SLURM_JOB_ID": "7"}
RANDOM = ("--sampler", "random", "--pruner", "none")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with four GPUs that exist on paper only."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # a cluster of our own would leave a token in the user's home
        for name, value in SLURM.items():
            patch.setenv(name, value)
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 4, "num_gpus": 4})
        yield cluster
        cluster.shutdown()
    signal.signal(signal.SIGTERM, before)  # Ray leaves a handler of its own


def logged(log: Path, kind: str) -> list[list[str]]:
    """The rest of each line that begins with the word."""
    text = log.read_text() if log.exists() else ""
    return [line.split()[1:] for line in text.splitlines() if line.startswith(f"{kind} ")]


# What a trial sees

LOOK = """
        gpu = os.environ.get('CUDA_VISIBLE_DEVICES', '')
        with open('{log}', 'a') as log:
            if self.calls == 1: log.write(f"worker {{os.getpid()}} {{gpu}} {{torch.get_num_threads()}}\\n")
            log.write(f"step {{time.time()}} {{gpu}} {{os.getpid()}}-{{id(self)}}\\n")
        time.sleep(0.02)
"""
TELL_SPLITS = """
from datamodules.digits import Digits
make = Digits.make
Digits.make = lambda self, split: open('{log}', 'a').write(f'split {{split}}\\n') and make(self, split)
"""


def test_a_trial_has_its_gpu_to_itself_and_sees_no_test_split(
    bench: Bench, cluster: Cluster, tmp_path: Path, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, path = bench.folder / "log", write_model("mine", LOOK.format(log=bench.folder / "log"))
    path.write_text(path.read_text() + TELL_SPLITS.format(log=log))
    monkeypatch.setattr(Digits, "make", Digits.make)  # this process imports the file too: put things back afterwards
    words = ("tune", "--model", str(path), "--wrapper", "plain", "--set", "max_steps=20", *RANDOM, "--trials", "6")
    done = bench.json(*words, "--workers", "2", "--ray-address", cluster.address)
    assert done["trials"] == {"finished": 6, "pruned": 0, "failed": 0}
    workers = {tuple(line) for line in logged(log, "worker")}
    assert len(workers) == 2, "workers live on from trial to trial"
    assert {(gpu, threads) for _, gpu, threads in workers} == {("0", "1"), ("1", "1")}
    for gpu in "01":
        steps = sorted((float(when), trial) for when, where, trial in logged(log, "step") if where == gpu)
        turns = [trial for trial, _ in groupby(steps, key=lambda step: step[1])]
        assert len(turns) == len(set(turns)), f"two trials at a time on GPU {gpu}"
    assert {split for (split,) in logged(log, "split")} == {"train", "validation"}
    assert {trial.user_attrs["place"].split()[-1] for trial in trials_of(bench)} == set("01")
    assert Path(done["best"]["weights"]).exists()
    alone = Bench(tmp_path / "alone")
    alone.folder.mkdir()
    alone.json(*words)
    for one, other in zip(trials_of(alone), trials_of(bench), strict=True):
        assert (one.params, one.values) == (other.params, other.values), "a trial does not depend on where it is"


@pytest.mark.slow
def test_workers_are_busy_across_the_cells_of_a_suite(
    bench: Bench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"digits": {"max_steps": 40}}
    suite = Suite(name="tiny-v1", summary="", tasks=tasks, tiers=("10k",), trials=1, seeds=1)
    monkeypatch.setitem(bench_suites.SUITES, "tiny-v1", suite)
    words = ("tune", "--suite", "tiny-v1", "--models", "gru,lstm", "--workers", "2", "--gpus-per-trial", "0")
    done = bench.json(*words, "--ray-address", cluster.address)
    assert [(each["model"], each["trials"]["finished"]) for each in done] == [("gru", 1), ("lstm", 1)]
    one, other = (trial for study in Studies(str(bench.db)).all() for trial in study.trials)
    assert one.datetime_start < other.datetime_complete
    assert other.datetime_start < one.datetime_complete


# What ends a trial

FAULTS = """
        if self.calls == 1:
            import numpy as np
            first = lambda seed: int(np.random.SeedSequence([seed, 0]).generate_state(1)[0])
            trial = next(n for n in range(6) if torch.initial_seed() == first(10_000 + n))
            with open('{log}', 'a') as log: log.write(f"try {{trial}}\\n")
            is_first = open('{log}').read().count(f"try {{trial}}\\n") == 1
            if trial == 4 or (trial == 1 and is_first): os.kill(os.getpid(), signal.SIGKILL)
            if trial == 2 and is_first: raise torch.OutOfMemoryError("CUDA out of memory")
            if trial == 3: x_BTD = x_BTD * float('nan')
            if trial == 5: raise KeyError('mine')
"""


@pytest.mark.slow
def test_what_is_tried_again_and_what_is_not(
    bench: Bench, cluster: Cluster, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tuning.study.TRIES", 2)
    log = bench.folder / "log"
    # The model knows its trial by the seed.
    monkeypatch.setattr("bench.tuning.study.training_seed", lambda study, number: 10_000 + number)
    words = (
        "tune",
        "--model",
        str(write_model("mine", FAULTS.format(log=log))),
        "--wrapper",
        "plain",
        "--set",
        "max_steps=20",
        *RANDOM,
    )
    share = ("--workers", "2", "--gpus-per-trial", "0.5", "--ray-address", cluster.address)
    handler = signal.getsignal(signal.SIGTERM)
    done = bench.json(*words, "--trials", "6", *share)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert done["trials"] == {"finished": 3, "pruned": 0, "failed": 3}
    assert Counter(trial for (trial,) in logged(log, "try")) == {"0": 1, "1": 2, "2": 2, "3": 1, "4": 2, "5": 1}
    found = trials_of(bench)
    assert {trial.user_attrs["place"] for trial in found if trial.number != 4} == {
        f"{socket.gethostname()} GPU 0 (0.5)"
    }
    retries = {trial.number: trial.user_attrs["retries"] for trial in found if "retries" in trial.user_attrs}
    assert retries.keys() == {1, 2, 4}
    assert retries[1][0].startswith("worker lost: ")
    assert retries[2] == ["oom: OutOfMemoryError: CUDA out of memory"]
    reasons = {trial.number: trial.user_attrs["reason"] for trial in found if "reason" in trial.user_attrs}
    assert reasons[3].startswith("diverged: ")
    assert reasons[4].startswith("failed: tried 2 times; the last time, worker lost: ")
    assert reasons[5] == "failed: KeyError: 'mine'"


WHERE = """
        if self.calls == 1:
            with open('{log}', 'a') as log: log.write(f"worker {{os.getpid()}} {{os.getppid()}}\\n")
        time.sleep(0.02)
"""


@pytest.mark.slow
def test_a_node_vanishes(bench: Bench, cluster: Cluster, write_model: Writer) -> None:
    log = bench.folder / "log"
    node = cluster.add_node(num_cpus=1, resources={"second": 1}, **NODE)
    raylet = str(node.all_processes["raylet"][0].process.pid)

    def pull_the_plug() -> None:
        wait_until(lambda: raylet in [parent for _, parent in logged(log, "worker")])
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=pull_the_plug)
    thread.start()
    words = ("tune", "--model", str(write_model("mine", WHERE.format(log=log))), "--set", "max_steps=40", *RANDOM)
    done = bench.json(
        *words, "--trials", "8", "--workers", "2", "--gpus-per-trial", "0", "--ray-address", cluster.address
    )
    thread.join()
    assert done["trials"] == {"finished": 8, "pruned": 0, "failed": 0}
    (retries,) = [trial.user_attrs["retries"] for trial in trials_of(bench) if "retries" in trial.user_attrs]
    assert retries[0].startswith("worker lost: ")


# What ends the command

SLOW = """
        if self.calls == 1:
            with open('{log}', 'a') as log: log.write(f"worker {{os.getpid()}}\\n")
        time.sleep(0 if os.path.exists('{log}.fast') else 0.05)
"""


@pytest.mark.slow
def test_a_killed_command_leaves_no_process_and_is_resumed_to_the_exact_number(
    bench: Bench, cluster: Cluster, write_model: Writer
) -> None:
    log = bench.folder / "log"
    words = ("tune", "--model", str(write_model("mine", SLOW.format(log=log))), "--set", "max_steps=51")
    process = bench.start(*words, "--trials", "6", "--workers", "2", "--gpus-per-trial", "0")
    wait_until(lambda: len(states(bench)) > 2 and states(bench).count("RUNNING") == 2)
    children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    # Before the trials, the command itself tries a few steps to say how long it will take.
    assert {int(pid) for (pid,) in logged(log, "worker")} - {process.pid} <= set(children)
    wait_until(lambda: not any(map(alive, children)))
    killed = [number for number, state in enumerate(states(bench)) if state == "RUNNING"]
    assert len(killed) == 2
    Path(f"{log}.fast").touch()
    workers = ("--workers", "2", "--gpus-per-trial", "0", "--ray-address", cluster.address)
    done = bench.json(*words, "--trials", "8", "--resume", *workers)
    assert done["trials"] == {"finished": 8 - done["trials"]["pruned"], "pruned": done["trials"]["pruned"], "failed": 0}
    found = trials_of(bench)
    assert [trial.number for trial in found if trial.user_attrs.get("retries") == ["killed"]] == killed
    assert done["trials"]["pruned"] > 0
    for trial in found:
        assert trial.user_attrs["steps"] == 17 * len(trial.intermediate_values), "reports reach the pruner"
        assert (trial.state.name == "PRUNED") == (trial.user_attrs["steps"] < 51), "its answers reach the workers"
    assert sum(bench.json(*words, "--trials", "9", "--resume")["trials"].values()) == 9


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_keeps_what_is_finished(
    bench: Bench, cluster: Cluster, write_model: Writer, stop: signal.Signals
) -> None:
    log = bench.folder / "log"
    words = ("tune", "--model", str(write_model("mine", SLOW.format(log=log))), "--set", "max_steps=20", *RANDOM)
    process = bench.start(
        *words, "--trials", "6", "--workers", "2", "--gpus-per-trial", "0", "--ray-address", cluster.address, "--json"
    )
    wait_until(lambda: "COMPLETE" in states(bench) and "RUNNING" in states(bench))
    process.send_signal(stop)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert json.loads(stdout)["trials"]["finished"] == states(bench).count("COMPLETE") >= 1
    assert "RUNNING" not in states(bench)
    assert "Traceback" not in stderr
    wait_until(lambda: not any(alive(int(pid)) for (pid,) in logged(log, "worker")))


@pytest.mark.slow
def test_a_temporary_folder_whose_path_is_too_long(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 110)
    folder.mkdir()
    bench.env["TMPDIR"] = str(folder)
    said = bench.fresh("tune", "--model", "gru", "--trials", "2", "--workers", "2", code=2).stderr
    assert (
        f"bench: TMPDIR={folder} is too long: the workers' sockets in it would have paths that the system does not"
        in said
    )
    assert "Give an existing folder of at most 30 characters, such as TMPDIR=/tmp." in said
    assert "--ray-address" not in said


def test_wrong_requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("tune", "--model", "gru", "--trials", "2")
    assert "--ray-address localhost:1: [Errno 111] Connection refused" in bench.refused(
        *words, "--ray-address", "localhost:1"
    )
    assert "less than or equal to 1" in bench.refused(*words, "--gpus-per-trial", "2")
    monkeypatch.setattr("bench.common.errors.find_spec", lambda name: None if name == "ray" else name)
    assert "this command needs ray: pip install -e '.[cluster]'" in bench.refused(*words, "--workers", "2")


def test_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert share(None, is_local=True) == 0
    with pytest.raises(RequestError, match=r"--gpus-per-trial 0.5: Ray finds no GPU here"):
        share(0.5, is_local=True)
    assert share(0.5, is_local=False) == 0.5, "a cluster may grow"
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 4.0})
    assert share(None, is_local=True) == 1
