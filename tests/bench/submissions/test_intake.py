"""From a submitter's runs to a host's board: the ladder, importing, corrections, retractions, training again."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import bench.catalog.suites
import bench.submissions.retrain
from bench.bundle.read import read_bundle
from bench.catalog.suites import Suite
from bench.submissions.claimed_request import claimed_request
from bench.submissions.retrain import LEAST_SPREAD, SubmittedCell, fresh_requests, prediction_interval, submitted_cells
from db.schema import Run
from db.store import Store
from tests.conftest import DIVERGING, QUICK, Bench
from tests.support.bundles import Members, forged, members_of, set_to, together, write
from tests.support.runs import make_run

TINY = Suite(name="tiny-v1", summary="for this test", tasks={"mix-sin": {"max_steps": 5, "batch_size": 500}},
             tiers=("10k",), trials=1)  # fmt: skip
SEEDS = ("0", "1", "2")


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.catalog.suites.SUITES, "tiny-v1", TINY)


@pytest.fixture(scope="module")
def submitter(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Three seeds of an entry in the tiny suite, and a run that diverged."""
    submitter = Bench(tmp_path_factory.mktemp("submitter"))
    for seed in SEEDS:
        submitter("run", "--model", "gru", "--task", "mix-sin", "--budget", "10k", "--seed", seed, "--set",
                  "max_steps=5", "--set", "batch_size=500")  # fmt: skip
    submitter("run", "--model", "fru", *DIVERGING, code=1)
    return submitter


@pytest.fixture(scope="module")
def entry(submitter: Bench) -> Path:
    """A bundle of the entry's seeds."""
    ids = [run["run_id"] for run in reversed(submitter.json("runs", "--model", "gru"))]
    submitter("bundle", *ids, "-o", "entry.zip")
    return submitter.folder / "entry.zip"


@pytest.fixture(scope="module")
def failure(submitter: Bench) -> Members:
    """The members of a bundle of the run that diverged, about which anything can be claimed."""
    (run,) = submitter.json("runs", "--model", "fru")
    submitter("bundle", run["run_id"], "-o", "failure.zip")
    return members_of(submitter.folder / "failure.zip")


@pytest.fixture
def host(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def quick_host(host: Bench, rescored_here: None) -> Bench:
    """A host that rescores in this process."""
    return host


def rows(host: Bench) -> list[dict[str, Any]]:
    return host.json("leaderboard", "--suite", "tiny-v1", "--budget", "10k")


def content(host: Bench) -> dict[str, list[Any]]:
    """All that the database holds."""
    with sqlite3.connect(host.db) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("runs", "curves", "events")
        }


# The ladder


def test_the_whole_ladder(host: Bench, entry: Path, request: pytest.FixtureRequest) -> None:
    """run → bundle → verify → import → the board shows the mark; then trained again, and a higher mark."""
    verdict = host.json("verify", str(entry))
    assert (verdict["verdict"], [run["rung"] for run in verdict["runs"]]) == ("accepted", ["rescored"] * 3)
    assert verdict["claimed"] == pytest.approx(verdict["recomputed"], rel=1e-3)
    assert rows(host) == []
    request.getfixturevalue("rescored_here")
    intake = host.json("import", str(entry))["intake"]
    assert (len(intake["added"]), intake["known"], intake["corrected"]) == (3, [], [])
    (row,) = rows(host)
    assert (row["model"], row["verification"], row["seeds"]) == ("gru", "rescored", 3)
    assert "rescored" in host("leaderboard", "--suite", "tiny-v1", "--budget", "10k").stdout
    assert [each["verification"] for each in host.json("leaderboard")] == ["rescored"]
    (kept,) = (host.folder / "board-artifacts" / "bundles").iterdir()
    assert kept.read_bytes() == entry.read_bytes()
    assert kept.stem == verdict["bundle"]

    again = host.json("import", str(entry), "--reproduce", "--seeds", "2")
    (reproduction,) = again["reproductions"]
    assert (reproduction["passed"], "on seeds 3, 4;" in reproduction["detail"]) == (True, True)
    assert len(again["intake"]["known"]) == 3
    (row,) = rows(host)
    assert (row["verification"], row["seeds"]) == ("reproduced", 5)
    assert sorted(each["seed"] for each in host.json("runs")) == [0, 1, 2, 3, 4]


def test_what_was_imported_is_what_was_run(quick_host: Bench, submitter: Bench, entry: Path) -> None:
    quick_host("import", str(entry))
    for theirs in reversed(submitter.json("runs", "--model", "gru")):
        before, after = (bench.json("show", theirs["run_id"]) for bench in (submitter, quick_host))
        assert [event["kind"] for event in after.pop("events")] == ["imported", "verified"]
        assert before.pop("events") == []
        for record in (before, after):
            record["environment"]["execution"].pop("data_dir", None)
        assert after == before


# Importing


def test_other_facts_travel_along(quick_host: Bench, failure: Members) -> None:
    noted = forged(failure, lambda record: record["facts"].update(step_seconds=1.5e-4, gpu={"joules": 3}, none=None))
    quick_host("import", write(noted, quick_host.folder / "sent.zip"))
    facts = quick_host.json("show", json.loads(noted["bundle.json"])["run_id"])["facts"]
    assert (facts["step_seconds"], facts["gpu"], facts["none"]) == (1.5e-4, {"joules": 3}, None)


def test_importing_twice_changes_nothing(quick_host: Bench, entry: Path, failure: Members) -> None:
    quick_host("import", str(entry))
    before = content(quick_host)
    intake = quick_host.json("import", str(entry))["intake"]
    assert (intake["added"], len(intake["known"])) == ([], 3)
    assert content(quick_host) == before
    more = together(*by_run(entry), failure)
    intake = quick_host.json("import", write(more, quick_host.folder / "more.zip"))["intake"]
    assert (len(intake["added"]), len(intake["known"])) == (1, 3)


def by_run(path: Path) -> Iterator[Members]:
    """The members of each run of a bundle, without their folders."""
    members = members_of(path)
    for folder in sorted({name.partition("/")[0] for name in members}):
        yield {name.partition("/")[2]: c for name, c in members.items() if name.startswith(f"{folder}/")}


def test_a_rejected_bundle_leaves_no_trace(quick_host: Bench, entry: Path) -> None:
    quick_host("db", "upgrade")
    first, *others = by_run(entry)
    forgery = together(forged(first, set_to("metrics.test.value", 1e-9)), *others)
    document = quick_host.json("import", write(forgery, quick_host.folder / "sent.zip"), code=1)
    assert (document["verdict"], document["intake"]) == ("rejected", None)
    assert content(quick_host) == {"runs": [], "curves": [], "events": []}
    assert not (quick_host.folder / "board-artifacts").exists()


def test_a_run_has_one_result_and_the_first_stays(quick_host: Bench, entry: Path) -> None:
    first, *_ = by_run(entry)
    record = json.loads(first["bundle.json"])
    store = Store(str(quick_host.db))
    store.record(make_run(record["run_id"], metric_value=0.5 * record["metrics"]["test"]["value"]))
    before = content(quick_host)
    refusal = quick_host("import", str(entry), code=1).stderr
    assert f"run {record['run_id']} (gru on mix-sin, seed " in refusal
    assert "A run has one result. It was made here, so this one can't take its place." in refusal
    assert "can't take its place" in quick_host("import", str(entry), "--correction", "luck", code=1).stderr
    assert content(quick_host) == before, "not one of the three was added"


def test_a_result_that_was_found_here_too_is_not_added_again(quick_host: Bench, entry: Path) -> None:
    first, *_ = by_run(entry)
    record = json.loads(first["bundle.json"])
    value = 1.001 * record["metrics"]["test"]["value"]
    Store(str(quick_host.db)).record(make_run(record["run_id"], metric_value=value))
    intake = quick_host.json("import", str(entry))["intake"]
    assert (intake["known"], len(intake["added"])) == ([record["run_id"]], 2)
    assert quick_host.json("show", record["run_id"])["metric"]["value"] == value


def test_what_is_published_is_known_to_a_new_host(
    quick_host: Bench, submitter: Bench, entry: Path, failure: Members
) -> None:
    """Before anything is judged: copies and seeds are compared with all that the project has."""
    published = quick_host.folder / "published"
    submitter("db", "export", str(published), "--model", "gru")
    quick_host.env["BENCH_PUBLISHED"] = str(published)
    intake = quick_host.json("import", str(entry))["intake"]
    assert (intake["added"], len(intake["known"])) == ([], 3)
    other = Bench(quick_host.folder / "other")
    other.folder.mkdir()
    other.env["BENCH_PUBLISHED"] = str(published)
    other("verify", write(failure, other.folder / "failure.zip"))
    assert len(other.json("runs")) == 3


# Corrections and retractions


def test_a_correction_is_a_row_in_the_place_of_another(quick_host: Bench, failure: Members) -> None:
    run_id = json.loads(failure["bundle.json"])["run_id"]
    wrong = forged(failure, lambda record: record.update(status="failed", reason="OSError: no space left"))
    first, second = (write(each, quick_host.folder / f"{n}.zip") for n, each in enumerate((wrong, failure)))
    quick_host("import", first)
    old = content(quick_host)
    refusal = quick_host("import", second, code=1).stderr
    assert "has a result here, failed, and diverged in the bundle" in refusal
    assert "--correction 'why' puts this one in its place" in refusal
    assert content(quick_host) == old

    intake = quick_host.json("import", second, "--correction", "the disk was full")["intake"]
    assert intake == {"added": [], "corrected": [run_id], "known": []}
    (run,) = quick_host.json("runs")
    assert (run["status"], run["attempt"]) == ("diverged", 2)
    (row,) = quick_host.json("leaderboard")
    assert row["statuses"] == {"diverged": 1}
    events = quick_host.json("show", run_id)["events"]
    assert [(event["kind"], event["reason"]) for event in events] == [
        ("imported", "from a bundle"), ("imported", "from a bundle"), ("superseded", "the disk was full"),
    ]  # fmt: skip
    new = content(quick_host)
    assert new["runs"][: len(old["runs"])] == old["runs"], "the old row is as it was"
    for path in (first, second):
        assert quick_host.json("import", path)["intake"]["known"] == [run_id]
    assert content(quick_host) == new


def test_a_retracted_run_says_so_where_it_is_asked_for_and_stands_beside_no_other(bench: Bench) -> None:
    words = ("run", "--model", "gru", *QUICK)
    ids = [bench.json(*words, "--seed", seed)["run_id"] for seed in "012"]
    assert "It leads the board" in bench(*words).stdout
    bench("retract", ids[0], "--reason", "the labels were [shifted]")
    done = bench(*words)
    assert "retracted: the labels were [shifted]\n" in done.stderr
    assert "It leads the board" not in done.stdout
    assert ["retracted: " in bench(*words, "--json", "--seed", seed).stderr for seed in "01"] == [True, False]
    assert f"It lacks seed 2 of gru on digits, run {ids[2]}." in (said := bench("bundle", ids[1], "-o", "x.zip").stderr)
    assert ids[0] not in said
    for run_id in ids[1:]:
        bench("retract", run_id, "--reason", "so were these")
    assert "on the board" not in bench(*words).stdout


def test_a_retracted_run_is_off_the_board_and_stays_on_record(quick_host: Bench, entry: Path) -> None:
    quick_host("import", str(entry))
    runs = quick_host.json("runs")
    quick_host("retract", runs[0]["run_id"][:8], "--reason", "the labels were shifted")
    (row,) = rows(quick_host)
    assert row["seeds"] == 2
    (row,) = quick_host.json("leaderboard")
    assert runs[0]["run_id"] not in row["run_ids"]
    assert len(quick_host.json("runs")) == 3
    event = quick_host.json("show", runs[0]["run_id"])["events"][-1]
    assert (event["kind"], event["reason"]) == ("retracted", "the labels were shifted")
    again = quick_host.refused("retract", runs[0]["run_id"], "--reason", "another")
    assert f"run {runs[0]['run_id']} is retracted already: the labels were shifted" in again
    assert quick_host.json("show", runs[0]["run_id"])["events"][-1] == event, "there is no second event"
    assert "no run begins with 'zz'" in quick_host.refused("retract", "zz", "--reason", "x")
    assert "--reason says why" in quick_host.refused("retract", runs[0]["run_id"], "--reason", " ")


def test_a_retraction_is_taken_back_by_a_further_event(quick_host: Bench, entry: Path) -> None:
    quick_host("import", str(entry))
    run_id = quick_host.json("runs")[-1]["run_id"]
    undo = ("retract", run_id, "--undo", "--reason", "they were right after all")
    assert f"run {run_id} is not retracted: there is nothing to undo" in quick_host.refused(*undo)
    quick_host("retract", run_id, "--reason", "the labels were shifted")
    quick_host("import", str(entry))
    assert quick_host.json("runs")[-1]["withdrawn"] == "retracted", "the same bundle again says nothing new"
    assert "--reason says why the run counts again" in quick_host.refused(*undo[:-1], "")
    assert "counts again" in quick_host(*undo).stdout
    assert quick_host.json("runs")[-1]["withdrawn"] is None
    (row,) = rows(quick_host)
    assert row["seeds"] == 3
    events = quick_host.json("show", run_id)["events"][-2:]
    assert [(event["kind"], event["reason"]) for event in events] == [
        ("retracted", "the labels were shifted"), ("reinstated", "they were right after all"),
    ]  # fmt: skip
    quick_host("retract", run_id, "--reason", "no, they were shifted")
    assert quick_host.json("runs")[-1]["withdrawn"] == "retracted"


def test_what_a_bundle_says_is_shown_as_text(quick_host: Bench, failure: Members) -> None:
    reason = '=HYPERLINK("http://x") <script>alert(1)</script> [red]loud[/red] [x](javascript:0) \\input{x}'
    quick_host("import", write(forged(failure, set_to("reason", reason)), quick_host.folder / "sent.zip"))
    assert reason in quick_host("runs").stdout
    shown = quick_host("show", quick_host.json("runs")[-1]["run_id"]).stdout
    assert reason.replace(" ", "") in re.sub(r"[\s│]", "", shown)


# Training again


def test_the_interval_by_hand_and_as_scipy_has_it() -> None:
    low, high = prediction_interval([90.0, 92.0, 94.0, 91.0, 93.0], fresh=3)
    # m = 92, s = √2.5, t(4, 0.995) = 4.6041, √(1/5 + 1/3) = 0.73030
    assert (low, high) == (pytest.approx(92 - 5.3163, abs=1e-3), pytest.approx(92 + 5.3163, abs=1e-3))
    alike = prediction_interval([100.0, 100.0, 100.0], fresh=1)
    half = stats.t.ppf(0.995, 2) * LEAST_SPREAD * (1 / 3 + 1) ** 0.5
    assert alike == pytest.approx((100 - half, 100 + half))


def test_an_honest_mean_falls_inside_as_often_as_is_said() -> None:
    rng = stats.norm(50, 5)
    draws = rng.rvs(size=(20_000, 8), random_state=0)
    inside = 0
    for scores in draws:
        low, high = prediction_interval(list(scores[:5]), fresh=3, alpha=0.05)
        inside += low <= scores[5:].mean() <= high
    # 95% ± 3 standard errors of 20,000 draws; a spread under half a point is too rare here to matter
    assert inside / len(draws) == pytest.approx(0.95, abs=0.0047)


def test_a_result_that_does_not_come_back_is_rejected(
    quick_host: Bench, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a submitter's code trained otherwise than ours."""

    def worse(request: Any, store: Store, execution: Any) -> Run:
        solved = request.spec.solved
        return store.record(make_run(request.run_id, seed=request.seed, metric_value=solved, chance=0.1, solved=solved))

    monkeypatch.setattr(bench.submissions.retrain, "run", worse)
    document = quick_host.json("import", str(entry), "--reproduce", code=1)
    assert document["reasons"][0].startswith("gru on mix-sin, trained again: mean score 100.00 on seeds 3, 4, 5; the ")
    assert document["intake"] is None
    assert {run["rung"] for run in document["runs"]} == {"rescored"}


def test_training_again_wants_seeds_to_compare_with(quick_host: Bench, entry: Path) -> None:
    first, *_ = by_run(entry)
    path = write(first, quick_host.folder / "one.zip")
    refusal = quick_host.refused("verify", path, "--reproduce")
    assert "gru on mix-sin has 1 seed in this bundle. --reproduce compares with their " in refusal


def test_seeds_of_which_results_were_sent_in_are_not_fresh(quick_host: Bench, entry: Path) -> None:
    """A host that has seed 2 from somebody does not count it as its own when it reproduces seeds 0 and 1."""
    quick_host("import", str(entry))
    claims = read_bundle(entry.read_bytes()).claims
    (cell,) = submitted_cells(claims, [claimed_request(claim) for claim in claims])
    by_seed = {request.seed: request for request in cell.requests}
    sent_in = {event.run_id for event in Store(str(quick_host.db)).events() if event.kind == "imported"}
    first_two = SubmittedCell(requests=[by_seed[0], by_seed[1]], scores=[1.0, 2.0])
    assert [request.seed for request in fresh_requests(first_two, 3, sent_in)] == [3, 4, 5]


# Making bundles


def test_bundling(submitter: Bench, shared_bench: Bench, bench: Bench) -> None:
    ids = [run["run_id"] for run in reversed(submitter.json("runs", "--model", "gru"))]
    done = submitter("bundle", ids[0], "-o", "one.zip")
    assert "Wrote one.zip: 1 run," in done.stderr
    assert sum("It lacks seed" in line for line in done.stderr.splitlines()) == 2
    assert "python -m bench verify one.zip" in done.stdout
    assert submitter.json("bundle", ids[0], ids[0][:6], "-o", "two words.zip") == {"bundle": "two words.zip"}
    assert "verify 'two words.zip'" in submitter("bundle", ids[0], "-o", "two words.zip").stdout
    assert "no run begins with 'zz'" in submitter.refused("bundle", "zz", "-o", "x.zip")
    assert "-o FILE says where the bundle goes" in submitter.refused("bundle", ids[0])
    assert "x/y.zip can't be written" in submitter.refused("bundle", ids[0], "-o", "/proc/x/y.zip").replace(
        "/proc/", ""
    )


@pytest.mark.parametrize(("name", "value"), [("MOST_RUNS", 2), ("LARGEST_BUNDLE", 10_000)])
def test_too_much_for_one_bundle(submitter: Bench, monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(f"bench.submissions.pack.{name}", value)
    ids = [run["run_id"] for run in reversed(submitter.json("runs", "--model", "gru"))]
    assert "are too much for one bundle" in submitter.refused("bundle", *ids, "-o", "x.zip")


def test_a_bundle_is_checked_before_it_is_sent(quick_host: Bench, submitter: Bench) -> None:
    """With the host's validator, on the submitter's own database."""
    (*_, run) = submitter.json("runs", "--model", "gru")
    quick_host.env["BENCH_DB"] = str(submitter.db)
    assert quick_host("bundle", run["run_id"], "-o", "one.zip", "--check").stdout.endswith("verdict: accepted\n")
    assert quick_host.json("bundle", "--check", "one.zip")["verdict"] == "accepted"
    (quick_host.folder / "one.zip").write_bytes(b"")
    assert quick_host.json("bundle", "--check", "one.zip", code=1)["verdict"] == "rejected"


def test_runs_that_can_not_be_bundled(bench: Bench, write_model: Any) -> None:
    store = Store(str(bench.db))
    store.record(make_run("a" * 16, status="interrupted", metric_value=None, metrics={}))
    assert "was interrupted. Go on with it first" in bench.refused("bundle", "aaa", "-o", "x.zip")
    store.record(make_run("b" * 16, task="mix-sin@paper"))
    assert "which is in no suite and on no board" in bench.refused("bundle", "bbb", "-o", "x.zip")
    bench("run", "--model", str(write_model("mine", "pass")), "--epochs", "1")
    (mine,) = [run for run in bench.json("runs") if run["model"].startswith("mine@")]
    assert "contribute the architecture first" in bench.refused("bundle", mine["run_id"], "-o", "x.zip")
    run = bench.json("run", "--model", "gru", *QUICK)
    (bench.folder / "board-artifacts" / run["run_id"] / "predictions.npz").unlink()
    assert "predictions.npz is not there" in bench.refused("bundle", run["run_id"], "-o", "x.zip")
    assert not (bench.folder / "x.zip").exists()
