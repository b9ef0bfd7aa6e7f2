"""The documentation's Python runs, and the scaffold's draft passes the contract."""

import re

import pytest

from bench.catalog.registry import find_model_or_file
from bench.common.errors import RequestError
from bench.contributing.rules import RULES, check_model
from bench.contributing.template import model_source, write_model
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


def test_the_scaffold_passes_the_contract(tmp_path):
    path = write_model("my-rnn", tmp_path)
    assert path.name == "my_rnn.py"
    found = find_model_or_file(str(path))
    assert found.cls.__name__ == "MyRnn"
    assert not [finding for _, finding in check_model(found.cls) if finding]


def test_the_scaffold_overwrites_nothing(tmp_path):
    write_model("my-rnn", tmp_path)
    with pytest.raises(RequestError, match="exists already"):
        write_model("my-rnn", tmp_path)


@pytest.mark.parametrize("name", ["", "MyRnn", "my_rnn", "../x", "9rnn", "a--b", "rnn-"])
def test_the_scaffold_refuses_illegal_names(name):
    with pytest.raises(RequestError, match="no legal name"):
        model_source(name)
