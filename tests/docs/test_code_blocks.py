"""The documentation's Python runs."""

import re

from bench.contributing.rules import RULES, check_model
from bench.publishing import import_published
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), flags=re.M | re.S)


def test_adding_a_model(tmp_path, capsys):
    plain, *rest = blocks("adding-a-model.md")
    (shared,) = [block for block in rest if block.startswith('"""')]
    rest.remove(shared)
    namespace = {}
    for name, text in {"PLAIN": plain, "SHARED": shared}.items():
        path = tmp_path / name.lower() / "janet.py"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        namespace[name] = str(path)
    for block in rest:
        exec(block, namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{name} ok" for name in RULES]
    shared_model = namespace["find_model_or_file"](namespace["SHARED"]).cls
    assert [finding for _, finding in check_model(shared_model) if finding] == []


def test_the_first_model_shares_nothing_that_computes():
    ours = re.findall(r"^from (?:models|bench|datamodules)\S* import .*$", blocks("adding-a-model.md")[0], flags=re.M)
    assert ours == ["from models.shared.contract import ModelConfig, Paper, Place, SequenceModel"]


def test_own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in blocks("own-data.md"):
        exec(block, namespace)
    assert namespace["y_BTH"].shape == (8, 200, 32)
    assert namespace["logits"].shape == (8, 3)


def test_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DB", str(tmp_path / "board.sqlite"))
    import_published.open_store(None)
    namespace = {}
    for block in blocks("python.md"):
        exec(block, namespace)
    assert len(namespace["runs"]) == len(namespace["rates"]) > 100
    assert namespace["run"].status == "finished"
    assert len(namespace["validation"]) > 0
    assert namespace["predicted"].shape == (360,)
    assert namespace["logits_BC"].shape == (4, 10)
    assert 9_300 < namespace["parameters"] <= 10_000
    assert namespace["sums_B1"].shape == (4, 1)
