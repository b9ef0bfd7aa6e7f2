"""The pages of `bench site`, read as files: their numbers, their links, and text that others wrote."""

import csv
import io
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.catalog.names import display_name
from bench.common.text import short_word
from db.store import Store
from leaderboard_app.site import addresses, build
from leaderboard_app.site.pages import embedded
from leaderboard_app.widgets.links import page_url
from tests.conftest import Bench
from tests.leaderboard_app.site.conftest import Site
from tests.support.pages import HOSTILE
from tests.support.static_pages import Grid, PageReader, broken, pages
from tests.support.synthetic import fill

BOARDS = {
    "index.html": ("quick-v2", "10k", "residual"),
    "board/quick-v1-10k.html": ("quick-v1", "10k"),
    "board/quick-v1-100k-plain.html": ("quick-v1", "100k", "plain"),
    "board/quick-v2-10k.html": ("quick-v2", "10k", "residual"),
    "board/quick-v2-10k-plain.html": ("quick-v2", "10k", "plain"),
    "board/quick-v2-3k-all.html": ("quick-v2", "3k"),
}
OPTIONS = ("--suite", "--budget", "--wrapper")


@pytest.mark.parametrize(("page", "board"), BOARDS.items())
def test_a_board_has_the_numbers_of_the_command_line(site: Site, page: str, board: tuple[str, ...]) -> None:
    asked = ("leaderboard", *chain(*zip(OPTIONS, board, strict=False)))
    rows = site.bench.json(*asked)
    shown = PageReader(site.folder / page)
    tables = [each for each in shown.tables if each.caption == "The entries, best first"]
    table = Grid("", [tables[0].rows[0], *(row for each in tables for row in each.rows[1:])])
    names = [display_name(row["model"]) for row in rows]
    assert len(rows) >= 3
    assert [
        text.removesuffix(" in plain").removesuffix(" in residual") for text in table.texts("architecture")
    ] == names
    assert table.numbers("score") == [row["score"] and pytest.approx(row["score"], abs=0.05) for row in rows]
    assert table.numbers("parameters") == [round(row["params"]) for row in rows]
    assert table.numbers("failures") == [row["failures"] for row in rows]
    assert table.texts("learned") == ["" if row["learned"] is None else f"{row['learned']:.0%}" for row in rows]
    for task in (each["task"] for each in rows[0]["tasks"]):
        wanted = [next(cell["score"] for cell in row["tasks"] if cell["task"] == task) for row in rows]
        assert table.numbers(task) == [score and pytest.approx(score, abs=0.05) for score in wanted]
    ranks = {tuple(text.split("–")) for text in table.texts("rank")}
    assert ranks >= {
        (f"{row['rank_low']}", f"{row['rank_high']}") for row in rows if row["rank_low"] != row["rank_high"]
    }
    best = rows[0]
    assert f"{names[0]} scores highest at {board[1]} parameters" in " ".join(
        shown.text.replace(" in plain", "").split()
    )
    assert (
        f"{best['score']:.1f} of 100 (95% interval {best['score_low']:.1f} to {best['score_high']:.1f})" in shown.text
    )


def test_the_map_has_the_scores_of_the_command_line(site: Site) -> None:
    rows = site.bench.json("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", "residual")
    drawn = PageReader(site.folder / "board/quick-v2-10k.html").table("Scores of architectures on tasks")
    scores = {
        (display_name(row["model"]), cell["task"]): "–" if cell["score"] is None else f"{cell['score']:.0f}"
        for row in rows
        for cell in row["tasks"]
    }
    shown = {
        (row[0].text, head.text): cell.text
        for row in drawn.rows[1:]
        for head, cell in zip(drawn.rows[0], row, strict=True)
    }
    assert scores.items() <= shown.items()
    assert shown.keys() == scores.keys() | {(name, "architecture") for name, _ in scores}


def test_all_tiers_stand_in_one_table(site: Site) -> None:
    shown = PageReader(site.folder / "board/quick-v2-all-tiers.html")
    (table,) = [each for each in shown.tables if each.caption == "The entries, best first"]
    wanted = {
        (display_name(row["model"]), tier): pytest.approx(row["score"], abs=0.05)
        for tier in ("3k", "10k")
        for row in site.bench.json("leaderboard", "--suite", "quick-v2", "--budget", tier, "--wrapper", "residual")
    }
    assert (
        dict(
            zip(zip(table.texts("architecture"), table.texts("tier"), strict=True), table.numbers("score"), strict=True)
        )
        == wanted
    )
    assert "Highest scores of 100, in the same block for all: at 3k" in " ".join(shown.text.split())


def near(value: Any) -> Any:
    """A value but for a number's last digit, which depends on the order in which numbers were added."""
    return pytest.approx(value, rel=1e-12) if isinstance(value, float) else value


def test_leaderboard_json_has_the_rows_of_the_command_line(site: Site) -> None:
    boards = json.loads((site.folder / "leaderboard.json").read_text())["boards"]
    assert {(each["suite"], each["tier"], each["block"]) for each in boards} == {
        *(("quick-v1", tier, "all") for tier in ("10k", "100k")),
        *(("quick-v2", tier, block) for tier in ("10k", "3k") for block in ("residual", "plain")),
    }
    for each in boards:
        wrapper = [] if each["block"] == "all" else ["--wrapper", each["block"]]
        asked = ["leaderboard", "--suite", each["suite"], "--budget", each["tier"], *wrapper]
        for shown, row in zip(each["rows"], site.bench.json(*asked), strict=True):
            assert shown == {name: near(value) for name, value in row.items()}


def test_results_are_those_of_bench_runs(site: Site) -> None:
    runs = {run["run_id"]: run for run in site.bench.json("runs")}
    table = list(csv.DictReader(io.StringIO((site.folder / "results.csv").read_text("utf-8"))))
    assert {row["run_id"] for row in table} == runs.keys()
    for row in table:
        run = runs[row["run_id"]]
        assert row["score"] == str(run["score"])
        assert row["params_total"] == str(run["params"]["total"])
        assert row["metric_value"] == ("" if run["metric"]["value"] is None else str(run["metric"]["value"]))
    frame = pd.read_parquet(site.folder / "results.parquet")
    assert frame["run_id"].tolist() == [row["run_id"] for row in table]
    assert frame["score"].tolist() == [runs[run_id]["score"] for run_id in frame["run_id"]]


def test_the_tables_beside_a_board_are_those_of_the_command_line(site: Site) -> None:
    asked = ("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", "residual")
    beside = {kind: (site.folder / f"board/quick-v2-10k.{kind}").read_text("utf-8") for kind in ("csv", "tex", "bib")}
    assert beside["tex"] == site.bench(*asked, "--latex").stdout
    shown, wanted = (
        list(csv.reader(text.splitlines())) for text in (beside["csv"], site.bench(*asked, "--csv").stdout)
    )
    assert [[cell[:12] for cell in row] for row in shown] == [[cell[:12] for cell in row] for row in wanted]
    assert "@misc{fru2018," in beside["bib"]


def test_a_run_has_what_bench_show_says(site: Site) -> None:
    run = site.bench.json("runs", "--model", "fru", "--task", "copy-100")[-1]
    record = site.bench.json("show", run["run_id"])
    reader = PageReader(site.folder / f"run/{run['run_id']}.html")
    said = " ".join(reader.text.split())
    assert f"FRU on copy-100, seed {run['seed']}" in said
    assert f"{run['params']['total']:,}" in said
    assert f"{run['score']:.1f}" in said
    assert record["command"] in said
    assert record["source_hash"] in said
    settings = {row[0].text: row[1].text for row in reader.table("All settings").rows[1:]}
    assert settings == {
        name: short_word(value) for part in record["config"].values() for name, value in part.items()
    }  # fmt: skip
    curves = reader.table("Learning curves")
    assert len(curves.rows) - 1 == len({(point["epoch"], point["step"]) for point in record["curves"]})
    failed = next(run for run in site.bench.json("runs") if run["status"] == "diverged")
    assert failed["reason"] in PageReader(site.folder / f"run/{failed['run_id']}.html").text


def test_every_run_has_a_page_and_is_in_its_architectures_list(site: Site) -> None:
    runs = site.bench.json("runs")
    assert {path.stem for path in (site.folder / "run").glob("*.html")} == {run["run_id"] for run in runs}
    for model in ("fru", "mine@1234abcd"):
        listed = PageReader(site.folder / addresses.path_of(page_url("run", model=model))).table("Runs, newest first")
        links = [cell.links[0] for cell in listed.column("run")]
        assert len(links) == sum(run["model"] == model for run in runs)
        assert set(links) == {f"../run/{run['run_id']}.html" for run in runs if run["model"] == model}


def test_an_architecture_has_its_rows_of_every_board(site: Site) -> None:
    reader = PageReader(site.folder / "architecture/fru.html")
    table = reader.table("Score and rank in each suite and tier")
    boards = json.loads((site.folder / "leaderboard.json").read_text())["boards"]
    rows = [(each, row) for each in boards for row in each["rows"] if row["model"] == "fru"]
    assert table.texts("score") == [f"{row['score']:.1f}" for _, row in rows]
    assert [cell.links[0] for cell in table.column("suite")] == [
        f"../{addresses.board(each['suite'], each['tier'], each['block'])}" for each, _ in rows
    ]
    assert "How gradients flow" in reader.text  # a probe, with its chart
    assert reader.table("Gradient flow in numbers").texts("network") == ["initialisation", "trained"]


def test_a_task_has_the_rows_of_the_command_line(site: Site) -> None:
    rows = [row for row in site.bench.json("leaderboard", "--task", "copy-50") if row["budget"] in ("10k", "3k")]
    table = PageReader(site.folder / "task/copy-50.html").table("Configurations, trained as in quick-v2")
    assert table.numbers("score") == [pytest.approx(row["score"], abs=0.05) for row in rows]
    assert table.texts("tier") == [row["budget"] for row in rows]


def test_the_audit_has_the_flags_of_the_command_line(site: Site) -> None:
    rows = site.bench.json("audit", "--suite", "quick-v2", "--budget", "3k")
    table = PageReader(site.folder / "audit/quick-v2-3k.html").table("Entries and their flags")
    assert table.numbers("flags") == [len(row["flags"]) for row in rows]
    assert table.texts("architecture") == [display_name(row["model"]) for row in rows]


def test_every_address_leads_somewhere(site: Site) -> None:
    assert broken(site.folder) == []


def test_what_others_wrote_is_text(site: Site) -> None:
    seen = 0
    for page in pages(site.folder):
        reader = PageReader(page)
        seen += HOSTILE in reader.text
        assert not {"img", "iframe"} & set(reader.tags), page
        assert [each for each in reader.addresses if "script:" in each.lower()] == [], page
    assert seen >= 4  # its list of runs, two runs, the list of all


def test_no_chart_loads_anything(site: Site) -> None:
    documents = [json.loads(path.read_text("utf-8")) for path in site.folder.rglob("*.json")]
    charts = [each for each in documents if "marks" in each]
    assert len(charts) > 20
    for spec in charts:
        assert [data for data in spec["data"] if "url" in data] == []
        assert "background" not in spec


def test_a_new_build_removes_what_the_last_one_wrote_and_nothing_else(tmp_path: Path, bench: Bench) -> None:
    folder = tmp_path / "out"
    bench("site", str(folder))
    first = {path for path in folder.rglob("*") if path.is_file()}
    kept, outside = folder / "CNAME", tmp_path / "outside"
    for path in (kept, folder / "old.html", outside):
        path.write_text("mine")
    with (folder / build.LISTING).open("a") as listing:
        listing.write("old.html\n../outside\n")
    bench("site", str(folder))
    assert {path for path in folder.rglob("*") if path.is_file()} == first | {kept}
    assert outside.exists()
    assert "No entries yet" in PageReader(folder / "index.html").text


@pytest.mark.slow
def test_equal_results_make_equal_files(site: Site, tmp_path: Path) -> None:
    site.bench("site", str(tmp_path))
    for path in sorted(site.folder.rglob("*")):
        if path.is_file():
            assert (tmp_path / path.relative_to(site.folder)).read_bytes() == path.read_bytes(), path


def test_a_folder_that_can_not_be_written_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't write the site to" in bench.refused("site", str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["../x", "a/b", "con trol", "<img>", "é", ".hidden", "x" * 300, "%2e%2e"])
def test_a_name_becomes_a_file_name_that_any_host_serves(name: str) -> None:
    stem = addresses.stem(name)
    assert addresses.UNSAFE.search(stem) is None
    assert not stem.startswith((".", "-"))
    assert len(stem) < 80
    assert stem != addresses.stem(f"{name} ")


def test_a_suite_that_can_not_be_ranked_says_why_and_the_rest_is_written(bench: Bench) -> None:
    store = Store(str(bench.db))
    fill(store, models=["fru"], config_source={"hidden_size": "preset"})
    fill(store, models=["fru"], seeds=1, machine=1, config_source={"hidden_size": "preset"})  # tuned again
    fill(store, models=["gru"], suite="quick-v2")
    bench("site", "out")
    folder = bench.folder / "out"
    assert "has two results for seed 0" in PageReader(folder / "board/quick-v1-10k.html").text
    assert "No entries of quick-v2 here yet" in PageReader(folder / "board/quick-v2-10k.html").text
    for page in ("index.html", "board/quick-v2-10k-plain.html"):
        assert "GRU scores highest" in " ".join(PageReader(folder / page).text.split())
    assert [each["suite"] for each in json.loads((folder / "leaderboard.json").read_text())["boards"]] == ["quick-v2"]
    assert broken(folder) == []


def test_no_text_ends_the_script_that_it_is_in() -> None:
    said = {"name": "</script><img src=x onerror=alert(1)>"}
    assert "<" not in embedded(said)
    assert json.loads(embedded(said)) == said
