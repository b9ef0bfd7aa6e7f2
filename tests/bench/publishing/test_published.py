"""Results as text: `bench db export` and `import`, the first start, and the ranking that is stored beside."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import db.engine
import leaderboard_app.server
from bench.catalog.registry import model_names
from bench.probe.events import DEPENDENCY_LENGTH
from bench.publishing.export import RANKING, rankings
from bench.publishing.import_published import PUBLISHED, entry_files
from db.errors import DamagedError
from db.record import Record, from_text, to_text
from db.schema import CurvePoint
from db.store import Store, Submission, new_event
from tests.conftest import Bench
from tests.support.processes import ended, start_command
from tests.support.published import moved, record_suite, suite_run
from tests.support.runs import NOON


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with three entries of quick-v1 at 10k, one with a retracted and a verified run, and what it exports."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "host").mkdir()
    host = Bench(folder / "host")
    store = Store(str(host.db))
    for model, metric in (("fru", 0.9), ("gru", 0.5), ("lstm", 0.3)):
        runs = record_suite(store, model, metric)
    store.add_event(runs[0], "retracted", "the seed was chosen")
    store.add_event(runs[1], "verified", "by the host", {"rung": "rescored"})
    host("db", "export", str(folder / "published"))
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of what is exported, beside one of the host."""
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    return tmp_path / "published"


@pytest.fixture
def visitor(bench: Bench, folder: Path) -> Bench:
    """A checkout with published results, before its first start."""
    bench.env["BENCH_PUBLISHED"] = str(folder)
    return bench


def board(bench: Bench) -> Any:
    return bench.json("leaderboard", "--suite", "quick-v1", "--budget", "10k")


# The form


def test_nothing_is_lost_on_the_way_to_text_and_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    points = [CurvePoint(name=name, epoch=1, step=step, value=value)
              for name, step, value in (("lr", 3, 1 / 3), ("lr", 5, None), ("train/loss", 3, 1e-300))]  # fmt: skip
    run = store.record(
        suite_run(reason="ein Grund: Ärger\n\ud7ff", started_at=NOON + timedelta(microseconds=1)), points
    )
    event = store.add_event(run, "verified", "by the host", {"rung": "rescored", "at most": [1, {"x": None}]})
    text = to_text([Record(run, store.curves(run), store.events())])
    (record,) = from_text(text)
    columns = [column.key for column in run.__table__.columns if column.key != "id"]
    assert {name: getattr(record.run, name) for name in columns} == {name: getattr(run, name) for name in columns}
    assert [(p.name, p.epoch, p.step, p.value) for p in record.curves] == [
        ("lr", 1, 3, 1 / 3), ("lr", 1, 5, None), ("train/loss", 1, 3, 1e-300),
    ]  # fmt: skip
    assert [(e.kind, e.reason, e.data, e.at) for e in record.events] == [
        ("verified", "by the host", event.data, event.at)
    ]
    assert to_text(from_text(text)) == text


def change(path: tuple[str | int, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def act(document: dict[str, Any]) -> None:
        place: Any = document
        for part in path[:-1]:
            place = place[part]
        if value is LEFT_OUT:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return act


LEFT_OUT = object()
EVENT = {"kind": "verified", "reason": "", "data": {"rung": "rescored"}, "at": NOON.isoformat()}


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (change(("format",), 2), "format 2, where this code knows 1"),
        (change(("runs",), LEFT_OUT), "missing 'runs'"),
        (change(("runs", 0, "seed"), 4), "is .* by its content: something of it was changed"),
        (change(("runs", 0, "config", "training", "lr"), 1.0), "something of it was changed"),
        (change(("runs", 0, "seed"), LEFT_OUT), "seed is missing or too much"),
        (change(("runs", 0, "colour"), "red"), "colour is missing or too much"),
        (change(("runs", 0, "steps"), "many"), "steps is 'many', where int is expected"),
        (change(("runs", 0, "steps"), 2**31), "steps is more than the database holds"),
        (change(("runs", 0, "steps"), True), "steps is True, where int is expected"),
        (change(("runs", 0, "steps"), None), "steps is None, where int is expected"),
        (change(("runs", 0, "reason"), "\0"), "a character that the database does not"),
        (change(("runs", 0, "reason"), "\ud800"), "surrogates not allowed"),
        (change(("runs", 0, "metrics"), []), "metrics is \\[\\], where dict is expected"),
        (change(("runs", 0, "started_at"), "yesterday"), "Invalid isoformat string"),
        (change(("runs", 0, "started_at"), "2026-01-01"), "has no time zone"),
        (change(("runs", 0, "status"), "brilliant"), "status 'brilliant' .* is none of"),
        (change(("runs", 0, "status"), "failed"), "is failed with the metric 0.5"),
        (change(("runs", 0, "curves", "train/loss", "step"), [1]), "zip"),
        (change(("runs", 0, "events"), [EVENT | {"kind": "praised"}]), "event 'praised' is none of"),
        (change(("runs", 0, "events"), [EVENT | {"data": {"rung": "best"}}]), "rung 'best' is none of"),
        (change(("runs", 0, "events"), [EVENT | {"kind": "asked", "data": {}}]), "config_source of an event is None"),
        (change(("runs", 0, "events"), [EVENT | {"kind": "timed", "data": {"seconds": 1.0}}]), "is no step time"),
    ],
)
def test_a_damaged_document_is_refused(act: Callable[[dict[str, Any]], None], problem: str) -> None:
    curve = [CurvePoint(name="train/loss", epoch=step, step=step, value=1.0) for step in (1, 2)]
    document = json.loads(to_text([Record(suite_run(), curve)]))
    act(document)
    with pytest.raises(DamagedError, match=problem):
        from_text(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "runs": [1]}', "{" * 10**5, "[" * 10**5, '{"format": NaN}'])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(DamagedError):
        from_text(text)


def test_a_file_from_before_a_column_is_read() -> None:
    document = json.loads(to_text([Record(suite_run(reason="as it was"))]))
    del document["runs"][0]["reason"]
    (record,) = from_text(json.dumps(document))
    assert record.run.reason is None


# Export


def test_a_file_for_each_entry_and_a_line_for_each_fact(folder: Path) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))
    assert names == [f"quick-v1/10k/{stem}.json" for stem in
                     ("fru-plain-defaults", "gru-plain-defaults", "lstm-plain-defaults", "ranking")]  # fmt: skip
    text = (folder / "quick-v1/10k/fru-plain-defaults.json").read_text()
    assert '\n   "metric_value": 0.91,\n' in text
    runs = json.loads(text)["runs"]
    assert [(run["task"], run["seed"]) for run in runs[:6]] == [("adding-200", seed) for seed in range(5)] + [
        ("copy-100", 0)
    ]
    curve = runs[0]["curves"]["train/loss"]
    assert len(curve["step"]) == 20
    assert (curve["step"][0], curve["step"][-1], curve["value"][0]) == (17, 850, 0.3333)


def test_what_belongs_to_no_board_is_left_out(bench: Bench, tmp_path: Path) -> None:
    store = Store(str(bench.db))
    store.record(suite_run("gru"))
    store.record(suite_run("gru", seed=1, status="diverged", metric_value=None, reason="a loss"))
    store.record(suite_run("gru", seed=2, status="interrupted", metric_value=None))
    store.record(suite_run("gru", seed=3, budget=None))
    store.record(suite_run("gru", seed=4, config={"training": {"max_steps": 7}}))
    store.record(suite_run("mine@0123abcd"))
    store.record(suite_run("gru", seed=5, config_source={"size": "flag"},
                           config={"model": {"size": 3}, "training": suite_run().config["training"]}))  # fmt: skip
    (tuned, plain) = sorted(bench.json("db", "export", str(tmp_path / "out")), key=len, reverse=True)
    assert [run.run.seed for run in from_text(Path(plain).read_text())] == [0, 1]
    assert [run.run.seed for run in from_text(Path(tuned).read_text())] == [5]
    assert Path(tuned).name.startswith("gru-plain-defaults-")


def test_the_runs_of_a_search_for_the_longest_dependency_are_published(bench: Bench, tmp_path: Path) -> None:
    """Of an entry's, and of one trained for longer than its suite has it."""
    store = Store(str(bench.db))
    own, short, _ = (store.record(suite_run("gru", task)) for task in ("copy-100", "copy-10", "copy-25"))
    training = own.config["training"] | {"max_steps": 30_000}
    longer = store.record(suite_run("gru", "copy-100", seed=9, config={"model": {}, "training": training}))
    for run, rungs in ((own, (short, own, suite_run("gru", "copy-50"))), (longer, (longer,))):
        told = [{"run_ids": [each.run_id]} for each in rungs]
        data = {"probe": DEPENDENCY_LENGTH, "family": "copy", "rungs": told}
        store.add_event(run, "probe", "as a test has it", data)
    bench("db", "export", str(tmp_path / "out"), "--model", "gru")
    files = {str(path.relative_to(tmp_path / "out")): path for path in entry_files(tmp_path / "out")}
    assert files.keys() == {"dependency-length/copy/gru-plain-10k.json", "quick-v1/10k/gru-plain-defaults.json"}
    records = from_text(files["dependency-length/copy/gru-plain-10k.json"].read_text())
    assert [record.run.run_id for record in records] == [short.run_id, longer.run_id]
    assert [event.data["rungs"][0]["run_ids"] for event in records[1].events] == [[longer.run_id]]
    assert bench.json("db", "export", str(tmp_path / "other"), "--model", "fru") == []


def test_exporting_again_changes_nothing_and_drops_nothing(visitor: Bench, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    visitor("db", "export", str(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before
    other = Bench(visitor.folder)  # which knows nothing of what is published, and has one run more
    other.db.unlink()
    Store(str(other.db)).record(suite_run("fru", seed=5))
    other("db", "export", str(folder))
    records = from_text((folder / "quick-v1/10k/fru-plain-defaults.json").read_text())
    assert len(records) == 21
    assert not list(folder.rglob("*.part"))


def test_a_retraction_in_a_file_outlives_an_export_that_does_not_know_it(bench: Bench, folder: Path) -> None:
    record_suite(Store(str(bench.db)), "lstm", 0.3)
    bench("db", "export", str(folder))
    records = from_text((folder / "quick-v1/10k/lstm-plain-defaults.json").read_text())
    assert [event.kind for record in records for event in record.events] == ["retracted", "verified"]


def test_a_damaged_file_is_not_overwritten(visitor: Bench, folder: Path) -> None:
    damaged = folder / "quick-v1/10k/fru-plain-defaults.json"
    record_suite(Store(str(visitor.db)), "fru", 0.9)
    damaged.write_text("half")
    assert f"{damaged} is damaged" in visitor.refused("db", "export", str(folder))
    assert damaged.read_text() == "half"


# Import


def test_a_new_checkout_shows_its_results_at_once(visitor: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.engine, "DEFAULT_PATH", visitor.db)
    visitor.env["BENCH_DB"] = ""
    first, second = visitor("leaderboard"), visitor("leaderboard")
    assert "60 published runs added" in first.stderr
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert [row["model"] for row in board(visitor)] == ["fru", "gru", "lstm"]


@pytest.mark.parametrize("words", [("db", "upgrade"), ("app",), ("suite", "--models", "gru", "--time-limit", "0s")])
def test_the_first_start_fills_the_board(visitor: Bench, folder: Path, words: tuple[str, ...],
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(leaderboard_app.server, "serve", lambda store, **_: None)
    assert "60 published runs added" in visitor(*words).stderr
    assert [(row["model"], row["rank_low"], row["verification"]) for row in board(visitor)] == [
        ("fru", 1, "self-reported"), ("gru", 2, "self-reported"), ("lstm", None, "self-reported"),
    ]  # fmt: skip
    assert "published" not in visitor(*words).stderr
    store = Store(str(visitor.db), read_only=True)
    assert len(store.runs()) == 60
    marks = [event for event in store.events() if event.kind == "imported"]
    assert len({event.run_id for event in marks}) == len(marks) == 60
    assert {event.data["file"] for event in marks} == {str(path.relative_to(folder)) for path in entry_files(folder)}


def test_what_is_imported_is_what_was_exported(visitor: Bench) -> None:
    visitor("db", "upgrade")
    origin, copy = (Store(str(path), read_only=True) for path in (visitor.folder / "host" / "board.sqlite", visitor.db))
    for before, after in zip(origin.runs(), sorted(copy.runs(), key=lambda run: run.model), strict=True):
        texts = [to_text([Record(run)]) for run in (before, copy.find(before.run_id)[0])]
        assert texts[0] == texts[1]
        assert len(copy.curves(after)) == 20
    assert copy.standing() == origin.standing()
    host = Bench(visitor.folder / "host")
    assert board(visitor) == board(host)


def test_a_damaged_file_is_named_and_hinders_no_other(visitor: Bench, folder: Path) -> None:
    damaged = folder / "quick-v1/10k/gru-plain-defaults.json"
    damaged.write_text(damaged.read_text()[:-100])
    done = visitor("db", "upgrade")
    assert f"left out: {damaged} is damaged: Expecting" in done.stderr
    assert "40 published runs added" in done.stderr
    done = visitor("db", "import", str(folder), "--json", code=2)
    document = json.loads(done.stdout)
    assert (document["files"], document["added"], [each["file"] for each in document["damaged"]]) == (
        3,
        0,
        [str(damaged)],
    )


def test_what_the_host_has_stays_as_it_is(visitor: Bench, folder: Path) -> None:
    store = Store(str(visitor.db))
    own = store.record(suite_run("lstm", "digits", 0, metric_value=0.123))
    opened = store.record(suite_run("gru", "digits", 0, metric_value=None, status="interrupted"))
    assert "59 published runs added" in visitor("db", "upgrade").stderr
    assert store.result(own.run_id) is not None
    assert store.result(own.run_id).metric_value == 0.123  # type: ignore[union-attr]
    assert store.events(own.run_id) == []
    published = store.result(opened.run_id)
    assert published is not None, "an attempt that was interrupted here leaves room for the result"
    assert (published.attempt, published.corrects, store.attempts(opened.run_id)) == (2, None, 2)


def test_a_retraction_reaches_a_result_that_came_after_attempts_of_ones_own(visitor: Bench, folder: Path) -> None:
    store = Store(str(visitor.db))
    opened = store.record(suite_run("gru", "digits", 0, metric_value=None, status="interrupted"))
    visitor("db", "upgrade")
    host = Bench(visitor.folder / "host")
    Store(str(host.db)).add_event(Store(str(host.db)).find(opened.run_id)[0], "retracted", "the data were wrong")
    host("db", "export", str(folder))
    visitor("db", "upgrade")
    assert opened.run_id in store.standing().withdrawn


def correct(host: Bench, value: float) -> None:
    """Put another result in the place of the newest of one run, which was verified, and publish it."""
    store = Store(str(host.db))
    wrong = store.result(suite_run().run_id)
    assert wrong is not None
    store.add_event(wrong, "verified", "by the host", {"rung": "reproduced"})
    run = suite_run(metric_value=value, attempt=wrong.attempt + 1, corrects=wrong.attempt,
                    finished_at=wrong.finished_at + timedelta(days=1))  # fmt: skip
    superseded = new_event("superseded", "the disk was full", {"by": wrong.run_id})
    store.record_together([Submission(record=Record(run), corrected=wrong, correction=superseded)])
    host("db", "export", str(host.folder.parent / "published"))


@pytest.mark.parametrize("pulls", [(True, True), (True, False)])
def test_a_correction_reaches_everybody_whatever_was_missed(visitor: Bench, pulls: tuple[bool, bool]) -> None:
    """Of the wrong result and its first correction; and nothing that was said of them is said of the last."""
    host, run_id = Bench(visitor.folder / "host"), suite_run().run_id
    for pulled, value in zip(pulls, (0.4, 0.3), strict=True):
        if pulled:
            visitor("db", "upgrade")
        correct(host, value)
    assert "1 published run added" in visitor("db", "upgrade").stderr
    store = Store(str(visitor.db))
    result, standing = store.result(run_id), store.standing()
    assert result is not None
    assert result.metric_value == 0.3
    assert (run_id in standing.withdrawn, standing.rungs.get(run_id)) == (False, None)
    exported = {path: path.read_bytes() for path in entry_files(visitor.folder / "published")}
    visitor("db", "export", str(visitor.folder / "published"))
    assert {path: path.read_bytes() for path in exported} == exported


def test_a_database_behind_its_files_leaves_their_corrections(visitor: Bench, folder: Path) -> None:
    visitor("db", "upgrade")
    correct(Bench(visitor.folder / "host"), 0.4)
    visitor.env["BENCH_PUBLISHED"] = ""
    visitor("db", "export", str(folder))
    (record,) = [each for each in from_text((folder / "quick-v1/10k/fru-plain-defaults.json").read_text())
                 if each.run.run_id == suite_run().run_id]  # fmt: skip
    assert (record.run.attempt, record.run.metric_value) == (2, 0.4)


def test_a_retraction_reaches_what_was_imported_before(visitor: Bench, folder: Path) -> None:
    visitor("db", "upgrade")
    host = Bench(visitor.folder / "host")
    store = Store(str(host.db))
    wrong = store.runs(model="fru")[3]
    store.add_event(wrong, "retracted", "the data were wrong")
    host("db", "export", str(folder))
    visitor("db", "upgrade")
    copy = Store(str(visitor.db))
    assert wrong.run_id in copy.standing().withdrawn
    visitor("db", "upgrade")
    assert [event.kind for event in copy.events(wrong.run_id)] == ["imported", "retracted"]


def test_a_visitors_marks_are_not_exported(visitor: Bench, folder: Path, tmp_path: Path) -> None:
    visitor("db", "upgrade")
    visitor("db", "export", str(tmp_path / "again"))
    assert [path.read_bytes() for path in entry_files(tmp_path / "again")] == [
        path.read_bytes() for path in entry_files(folder)
    ]


def test_processes_that_start_at_once_import_once(url: str, visitor: Bench, tmp_path: Path) -> None:
    visitor.env["BENCH_DB"] = url
    starts = [start_command(visitor, "db", "upgrade", log=tmp_path / f"log-{number}") for number in range(4)]
    logs = [(tmp_path / f"log-{number}").read_text() for number, each in enumerate(starts) if ended(each) is not None]
    assert [each.exitcode for each in starts] == [0] * 4, logs
    store = Store(url, read_only=True)
    assert len(store.runs()) == len([event for event in store.events() if event.kind == "imported"]) == 60


def test_on_postgresql_too(url: str, visitor: Bench, folder: Path) -> None:
    visitor("db", "import", str(folder), "--db", url)
    store = Store(url, read_only=True)
    assert len(store.runs()) == 60
    assert len(store.standing().withdrawn) == 1


def test_a_place_that_is_not_there(bench: Bench) -> None:
    assert "no file or folder 'absent'" in bench.refused("db", "import", "absent")


# The ranking


def check_ranking(folder: Path) -> list[str]:
    """Where the stored rankings are not what follows from the files beside them."""
    stored = {str(path.parent.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob(RANKING)}
    return list(moved(stored, rankings(folder)))


def test_the_published_ranking_is_what_follows_from_the_published_runs() -> None:
    assert entry_files(PUBLISHED), "db/published is empty"
    assert check_ranking(PUBLISHED) == []


def test_published_results_are_of_clean_commits_and_registered_models() -> None:
    for record in (record for path in entry_files(PUBLISHED) for record in from_text(path.read_text())):
        assert record.run.model in model_names()
        assert record.run.environment["git_dirty"] is False
        is_authors_protocol = record.run.protocol < 0  # which has nothing to choose a checkpoint on
        assert set(record.run.facts["splits"]) == {"train", "test"} | (set() if is_authors_protocol else {"validation"})


def test_a_number_that_moves_is_noticed(folder: Path) -> None:
    assert check_ranking(folder) == []
    path = folder / "quick-v1/10k/gru-plain-defaults.json"
    records = from_text(path.read_text())
    records[0].run.metric_value += 4e-4  # of 20 runs, on a scale to 90: 2e-5 · 100 / 0.9 points of the score
    path.write_text(to_text(records))
    assert any("/quick-v1/10k/rows/1/score:" in line for line in check_ranking(folder))


def test_an_entry_without_its_ranking_is_noticed(folder: Path) -> None:
    (folder / "quick-v1/10k/gru-plain-defaults.json").unlink()
    assert check_ranking(folder)


def test_a_ranking_that_nothing_follows_is_removed(bench: Bench, folder: Path) -> None:
    for path in entry_files(folder):
        path.unlink()
    assert check_ranking(folder)
    bench("db", "export", str(folder))
    assert check_ranking(folder) == []


def test_other_files_named_as_rankings_are_left_alone(bench: Bench, folder: Path) -> None:
    other = folder / "mine" / RANKING
    other.parent.mkdir()
    other.write_text("my own")
    bench("db", "export", str(folder))
    assert other.read_text() == "my own"


def test_an_export_that_fails_leaves_the_rankings(bench: Bench, folder: Path) -> None:
    before = (folder / "quick-v1/10k" / RANKING).read_text()
    (folder / "quick-v1/10k/gru-plain-defaults.json").write_text("{")
    assert "gru-plain-defaults.json" in bench.refused("db", "export", str(folder))
    assert (folder / "quick-v1/10k" / RANKING).read_text() == before
