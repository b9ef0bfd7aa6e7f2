"""The version is the same wherever it is written, and dated once it is released."""

import tomllib

import yaml

from tests.conftest import ROOT


def test_the_version_is_one():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    released = citation.get("date-released")
    number, _, development = version.partition(".dev")
    assert citation["version"] == version
    assert (released is None) == bool(development)
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert headings[0] == f"## {number} ({'in development' if released is None else released})"
