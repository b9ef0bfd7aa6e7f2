"""What a stranger's pull request may do in CI, executed; and that the citation is the project's."""

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "pull-request.yml"


def steps(job: str) -> list[dict[str, Any]]:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"][job]["steps"]


def test_a_strangers_pull_request_meets_no_secret_and_no_right_to_write() -> None:
    document = yaml.safe_load(WORKFLOW.read_text())
    assert list(document[True]) == ["pull_request"]  # YAML reads `on` as true
    assert document["permissions"] == {"contents": "read"}
    assert "secrets" not in WORKFLOW.read_text().partition("\nname:")[2]
    for job, checkouts in (("sandboxed", 1), ("preview", 1), ("tests", 1)):
        options = [step["with"] for step in steps(job) if step.get("uses", "").startswith("actions/checkout")]
        assert [each["persist-credentials"] for each in options] == [False] * checkouts
    for job in ("sandboxed", "preview"):
        assert steps(job)[0]["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A checkout of a base branch and a stranger's branch, with a Python that only notes what it is asked."""
    folder = tmp_path / "work" / "base"
    (folder / "models" / "shared").mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> asked\ngrep -q bad "$4" && exit 1; exit 0\n')
    python.chmod(0o755)
    (folder / "models" / "gru.py").write_text("trusted")
    (folder / "models" / "shared" / "contract.py").write_text("trusted")
    git(folder, "init", "-q")
    git(folder, "add", "models")
    git(folder, "commit", "-qm", "base")
    git(folder, "checkout", "-qb", "stranger")
    return folder


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def check_step(base: Path, **files: str) -> tuple[int, list[str]]:
    """Run the step on a stranger's files; its exit code and what was asked of Python."""
    for name, text in files.items():
        (base / name).write_text(text)
    git(base, "add", "-A", "models")
    git(base, "commit", "-qm", "stranger")
    git(base, "checkout", "-q", "--detach", "HEAD~1")
    (script,) = (step["run"] for step in steps("sandboxed") if step.get("name", "").startswith("Check each"))
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=base, env=os.environ | {"GIT_PAGER": "cat"})
    asked = base / "asked"
    return done.returncode, asked.read_text().splitlines() if asked.exists() else []


def test_model_files_of_a_pull_request_are_checked_in_the_sandbox(base: Path) -> None:
    names = ["a $(touch x);.py", "gru.py", "new.py"]
    others = {
        "models/shared/contract.py": "changed",
        "models/shared/new.py": "no model",
        "models/notes.txt": "no model",
    }
    code, asked = check_step(base, **{f"models/{name}": "changed" for name in names}, **others)
    assert code == 0
    assert sorted(asked) == [f"-m bench check ../files/{name} --sandbox" for name in names]
    assert (base.parent / "files" / "gru.py").read_text() == "changed"
    assert (base / "models" / "gru.py").read_text() == "trusted"
    assert not (base / "x").exists()


def test_one_file_that_fails_fails_the_step(base: Path) -> None:
    assert check_step(base, **{"models/bad.py": "bad", "models/good.py": "good"})[0] == 1


def preview_step(base: Path) -> tuple[int, Path]:
    """Run the step that previews a stranger's results; its exit code and the summary that it writes."""
    git(base, "add", "-A", "db", "models")
    git(base, "commit", "-qm", "stranger", "--allow-empty")
    git(base, "checkout", "-q", "--detach", "HEAD~1")
    summary = base.parent / "summary.md"
    (script,) = (step["run"] for step in steps("preview") if step.get("name", "").startswith("Rank the results"))
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=base, env=os.environ | {"GITHUB_STEP_SUMMARY": str(summary)})
    return done.returncode, summary


def with_results(base: Path) -> Path:
    """The base branch with results, and a Python that prints the results that it finds and how it was asked."""
    python = base / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$*"\nfind db/published -type l\ngrep -rh . db/published models | sort\n')
    folder = base / "db" / "published"
    folder.mkdir(parents=True)
    (folder / "old.json").write_text("old\n")
    git(base, "add", "db")
    git(base, "commit", "-qm", "results")
    return folder


def test_the_results_of_a_pull_request_are_ranked_by_trusted_code(base: Path) -> None:
    folder = with_results(base)
    (folder / "old.json").unlink()
    (folder / "new.json").write_text("new\n")
    (folder / "link.json").symlink_to("/etc/hostname")
    (base / "models" / "gru.py").write_text("changed")
    code, summary = preview_step(base)
    assert code == 0
    said = summary.read_text().splitlines()
    assert said[0] == "-m bench site --against HEAD --db ../preview.sqlite"
    assert said[1:] == ["/etc/hostname", "new", "trusted", "trusted"]  # what a link says, as text


def test_a_pull_request_without_results_has_no_preview(base: Path) -> None:
    with_results(base)
    (base / "models" / "gru.py").write_text("changed")
    code, summary = preview_step(base)
    assert code == 0
    assert not summary.exists()


def test_the_citation_is_the_projects() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    (paper,) = citation["references"]
    assert "Fourier Recurrent Unit" in paper["title"]
    assert paper["url"] in (ROOT / "models" / "fru.py").read_text()
