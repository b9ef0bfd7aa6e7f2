"""`bench site --against`: which rows and ranks move, compared with a commit and with a saved leaderboard.json."""

import json
import subprocess
from pathlib import Path

import pytest

from bench.catalog.names import display_name
from bench.runs import code_version
from db.store import Store
from tests.bench.publishing.test_rankings import record
from tests.conftest import Bench
from tests.support.pages import HOSTILE

ASKED = ("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", "residual")


@pytest.fixture
def before(bench: Bench) -> Store:
    """Two boards at 10k, one for each block."""
    store = Store(str(bench.db))
    for wrapper in ("residual", "plain"):
        record(store, "quick-v2", ["gru", "lstm"], wrapper)
    return store


@pytest.fixture
def repository(bench: Bench, before: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose commit holds the rankings of these boards."""
    folder = tmp_path / "checkout"
    bench("db", "export", str(folder / "db" / "published"))
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "results"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(code_version, "ROOT", folder)
    return folder


def table(markdown: str, heading: str) -> list[dict[str, str]]:
    lines = markdown.partition(f"### {heading}\n")[2].partition("###")[0].splitlines()
    heads, _, *rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")
    ]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def test_a_new_entry_and_the_ranks_that_it_moves(bench: Bench, before: Store, repository: Path) -> None:
    old = {row["model"]: row for row in bench.json(*ASKED)}
    record(before, "quick-v2", ["fru"], "residual")
    rows = {row["model"]: row for row in bench.json(*ASKED)}
    assert rows["fru"]["rank_low"] == 1
    said = bench("site", "--against", "main").stdout
    assert "Compared with `main`: 1 board changed, 1 as before." in said
    assert "plain" not in said
    shown = {row["entry"].strip("`"): row for row in table(said, "quick-v2 at 10k, residual")}
    moved = {"fru", *(name for name in old if rank(old[name]) != rank(rows[name]))}
    assert len(moved) > 1
    assert shown.keys() == {f"{display_name(name)} (residual)" for name in moved}
    assert shown["FRU (residual)"]["change"] == "new"
    assert shown["FRU (residual)"]["score"] == f"{rows['fru']['score']:.1f}"
    for name in moved - {"fru"}:
        row = shown[f"{display_name(name)} (residual)"]
        assert row["rank"] == f"{rank(old[name])} → **{rank(rows[name])}**"
        assert row["score"] == f"{rows[name]['score']:.1f}"


def rank(row: dict) -> str:
    low, high = row["rank_low"], row["rank_high"]
    return str(low) if low == high else f"{low}–{high}"


def test_nothing_moves_where_nothing_changed(bench: Bench, repository: Path) -> None:
    said = bench("site", "--against", "HEAD").stdout
    assert "0 boards changed, 2 as before" in said
    assert "|" not in said


def test_a_saved_leaderboard_is_as_good_as_a_commit(bench: Bench, before: Store, tmp_path: Path) -> None:
    bench("site", str(tmp_path / "site"))
    saved = tmp_path / "site" / "leaderboard.json"
    assert "0 boards changed, 2 as before" in bench("site", "--against", str(saved)).stdout
    document = json.loads(saved.read_text())
    row = document["boards"][0]["rows"][0]
    document["boards"][0]["rows"].append(row | {"model": HOSTILE})
    row["score"] -= 10
    saved.write_text(json.dumps(document))
    said = bench("site", "--against", str(saved)).stdout
    rows = table(said.replace("\\|", "/"), "quick-v2 at 10k, residual")
    assert rows[0]["score"] == f"{row['score']:.1f} → **{row['score'] + 10:.1f}**"
    assert rows[0]["change"] == "moved"
    assert rows[1]["entry"] == "`" + HOSTILE.replace("|", "/").replace("`", "'") + " (residual)`"
    assert rows[1]["change"] == "gone"
    assert len(rows) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"boards": [{"suite": "quick-v2"}]}'])
def test_another_file_is_refused(bench: Bench, tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(text)
    assert "is no leaderboard.json that `bench site` wrote" in bench.refused("site", "--against", "some.json")


@pytest.mark.parametrize("name", ["no-such-branch", "--output=x", "HEAD:db"])
def test_an_unknown_commit_is_refused(bench: Bench, repository: Path, name: str) -> None:
    assert "is neither a file nor a commit" in bench.refused("site", f"--against={name}")
    assert not list(repository.glob("x*"))


def test_one_of_folder_and_against_is_needed(bench: Bench) -> None:
    assert "give OUT" in bench.refused("site")
