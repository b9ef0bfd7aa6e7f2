"""The documentation's Python runs."""

import re

from bench.contributing.rules import RULES
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), flags=re.M | re.S)


def test_adding_a_model(tmp_path, capsys):
    whole_file, *rest = blocks("adding-a-model.md")
    path = tmp_path / "janet.py"
    path.write_text(whole_file, encoding="utf-8")
    namespace = {"PATH": str(path)}
    for block in rest:
        exec(block, namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{name} ok" for name in RULES]


def test_own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in blocks("own-data.md"):
        exec(block, namespace)
    assert namespace["y_BTH"].shape == (8, 200, 32)
    assert namespace["logits"].shape == (8, 3)
