"""Tables between markers: they follow from the database, and the documentation's do."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

import pytest

from bench.catalog.suites import SUITES, Suite, steps
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.publishing.doc_figures import FIGURES, draw
from bench.publishing.doc_tables import TABLES, render
from bench.publishing.import_published import PUBLISHED
from bench.publishing.markers import documents, filled
from db.store import Store
from tests.conftest import Bench, needs_checkout
from tests.support.pages import probes
from tests.support.published import suite_run

DOCUMENT = """# Title

<!-- results: board toy-v1 10k -->
old words
<!-- end -->

Between.

<!-- results: scores toy-v1 10k -->
<!-- end -->
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Two seeds of one cell of a suite of one task, and a probe."""
    bench = Bench(tmp_path_factory.mktemp("results"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES, "toy-v1", TOY)
        words = ("--models", "gru", "--wrapper", "plain", "--seeds", "2", "--time-limit", "1h")
        bench("suite", "--suite", "toy-v1", *words)
        bench("probe", "--model", "gru", "--task", "digits", "--suite", "toy-v1", "--probes", "gradient-flow")
        yield bench


TOY = Suite(
    name="toy-v1", summary="one task", tasks={"digits": steps(60)}, tiers=("10k",), trials=1
)  # fmt: skip


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(DOCUMENT, "utf-8")
    return path


@needs_checkout
def test_the_documentation_says_what_the_published_results_give(bench: Bench) -> None:
    """Of a fresh database, into which every command that writes imports db/published."""
    bench.env["BENCH_PUBLISHED"] = str(PUBLISHED)
    assert documents(ROOT)
    done = bench("results", "--check")
    assert "would change" not in done.stderr


@needs_checkout
def test_every_table_of_the_findings_is_there() -> None:
    text = (ROOT / "docs" / "findings.md").read_text("utf-8")
    for name in (*(TABLES.keys() - {"top"}), *(f"figure {name}" for name in FIGURES)):
        assert f"<!-- results: {name} " in text


@needs_checkout
def test_the_readme_shows_five_rows_of_the_board(board: Bench, document: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8").partition("<!-- results: top quick-v1 10k 5 -->\n")[2]
    assert len(text.partition("\n<!-- end -->")[0].splitlines()) == 2 + 5, "with the headings and the line below them"
    document.write_text(DOCUMENT.replace("board toy-v1 10k", "top toy-v1 10k five"), "utf-8")
    assert "'five' is not a number of rows" in board.refused("results", str(document))


def test_what_stands_between_the_markers_is_replaced(board: Bench, document: Path) -> None:
    assert "would change" in board("results", str(document), "--check", code=1).stderr
    assert document.read_text("utf-8") == DOCUMENT
    board("results", str(document))
    text = document.read_text("utf-8")
    assert "old words" not in text
    assert "\nBetween.\n" in text
    assert text.startswith(
        "# Title\n\n<!-- results: board toy-v1 10k -->\n"
        "Not ranked, since some of their tasks lack five seeds: GRU (plain) 0 of 1.\n<!-- end -->"
    )
    (row,) = [line for line in text.splitlines() if line.startswith("| GRU (plain) |")]
    scores = [run["score"] for run in board.json("runs", "--task", "digits")]
    assert f"| {fmean(scores):.1f} ± {stdev(scores):.1f} |" in row
    board("results", str(document), "--check")


def test_a_damaged_table_is_seen(board: Bench, document: Path) -> None:
    board("results", str(document))
    document.write_text(document.read_text("utf-8").replace("GRU (plain)", "GRU (plain!)"), "utf-8")
    assert "would change" in board("results", str(document), "--check", code=1).stderr


def test_a_withdrawn_run_is_in_no_table(board: Bench, tmp_path: Path) -> None:
    copied = tmp_path / "copy.sqlite"
    Store(str(board.db))
    for path in board.db.parent.glob("board.sqlite*"):
        shutil.copy(path, tmp_path / path.name.replace("board", "copy"))
    store = Store(str(copied))
    before = render(store, ["gradient-flow", "digits"])
    assert before.count("| GRU (plain, ") == 2
    for run in store.runs():
        store.add_event(run, "retracted", "a test")
    for words in (["gradient-flow", "digits"], ["board", "toy-v1", "10k"], ["times", "toy-v1", "10k"]):
        assert render(store, words).startswith("*No runs yet:* `python -m bench ")


def test_what_the_searches_of_probes_found(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(suite_run("gru", "copy-100"))
    for data in probes(run.run_id):
        store.add_event(run, "probe", "a test", dict(data))
    tables = {words: render(store, words.split()) for words in ("training-length copy-100", "dependency-length copy")}
    assert tables["training-length copy-100"].endswith("| 3000 steps | 0.10 | 0.95 | – | – | × 2 | 31 | 2 |")
    assert tables["dependency-length copy"].endswith("| 120 | 220 | 0.31 | 3000 steps | 1 |")
    assert render(store, ["training-length", "digits"]).startswith("*No runs yet:*")


def test_a_wrong_marker_is_named_with_its_line(document: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "empty.sqlite"))

    def fill(text: str) -> str:
        document.write_text(text, "utf-8")
        return filled(document, lambda words: render(store, words))

    with pytest.raises(RequestError, match=r"page\.md, line 3: no line"):
        fill(DOCUMENT.replace("old words\n<!-- end -->", ""))
    with pytest.raises(RequestError, match="line 3: no table named 'bord'"):
        fill(DOCUMENT.replace("results: board", "results: bord"))
    with pytest.raises(RequestError, match=r"board takes SUITE TIER \[WRAPPER\]; got toy-v1"):
        fill(DOCUMENT.replace("board toy-v1 10k", "board toy-v1"))
    with pytest.raises(RequestError, match="no tier named '1M'"):
        fill(DOCUMENT.replace("board toy-v1 10k", "board toy-v1 1M"))


def test_a_figure_is_drawn_of_what_was_measured(board: Bench, document: Path, tmp_path: Path) -> None:
    store = Store(str(board.db))
    assert (
        render(store, ["figure", "gradient-flow", "digits"]) == "![gradient-flow on digits](gradient-flow-digits.svg)"
    )
    assert render(store, ["figure", "gradient-flow", "copy-100"]).startswith("*No runs yet:*")
    with pytest.raises(RequestError, match="no figure named 'gradients'"):
        render(store, ["figure", "gradients", "digits"])
    with pytest.raises(RequestError, match="gradient-flow takes TASK; got nothing"):
        render(store, ["figure", "gradient-flow"])
    draw(store, ["gradient-flow", "digits"], tmp_path)
    drawn = (tmp_path / "gradient-flow-digits.svg").read_text("utf-8")
    for words in ("GRU (plain, ", "initialisation", "trained", "steps back"):
        assert words in drawn


@pytest.mark.slow
def test_the_picture_is_of_the_board(board: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.publishing.screenshot import take

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    take(Store(str(board.db)), tmp_path / "board.png")
    assert (tmp_path / "board.png").stat().st_size > 20_000
