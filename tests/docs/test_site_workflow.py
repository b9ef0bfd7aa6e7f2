"""The workflow that publishes the board as static pages: its command works, and only the publishing job may write."""

import shlex
from typing import Any

import yaml

from tests.conftest import ROOT, Bench

WORKFLOW = ROOT / ".github" / "workflows" / "site.yml"


def document() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text("utf-8"))


def test_only_the_job_that_publishes_may_write() -> None:
    jobs = document()["jobs"]
    assert document()["permissions"] == {"contents": "read"}
    assert "permissions" not in jobs["build"]
    assert jobs["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert [step.get("uses", "").partition("@")[0] for step in jobs["publish"]["steps"]] == ["actions/deploy-pages"]
    assert document()[True]["push"] == {"branches": ["main"]}  # YAML reads `on` as true


def test_the_pages_are_where_the_workflow_takes_them_from(bench: Bench) -> None:
    steps = document()["jobs"]["build"]["steps"]
    (command,) = (step["run"] for step in steps if "bench site" in step.get("run", ""))
    python, *words = shlex.split(command)
    assert (python, words[:2]) == ("python", ["-m", "bench"])
    bench(*words[2:])
    (path,) = (step["with"]["path"] for step in steps if "pages-artifact" in step.get("uses", ""))
    assert (bench.folder / path / "index.html").exists()
    assert (bench.folder / path / "leaderboard.json").exists()
