"""A kept answer counts as long as all that it was made from is as it was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.common import kept_answers
from bench.common.kept_answers import FOLDERS, kept, stamp
from datamodules._files import looked_for
from tests.conftest import ROOT, as_nobody, needs_checkout

LONG_AGO = 1_500_000_000


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose code is one model, and answers that are kept beside it."""
    root = tmp_path / "project"
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    (root / "models" / "mine.py").write_text("SIZE = 1")
    monkeypatch.setattr(kept_answers, "ROOT", root)
    monkeypatch.setattr(kept_answers, "folder", lambda: tmp_path / "answers")
    return root


class Asked:
    """Asks the same question, and counts how often the answer was made."""

    def __init__(self, read: Callable[[], Any] = lambda: None) -> None:
        self.made, self.read = 0, read

    def make(self) -> dict[str, Any]:
        self.made += 1
        return {"read": self.read(), "number": (self.made, None, 0.5)}

    def __call__(self, *question: Any, **state: Any) -> Any:
        return kept(self.make, "test", *question, **state)


def write(path: Path, text: str) -> None:
    """Write a file that was changed long enough ago to be trusted."""
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_an_answer_is_made_once_and_is_the_same_the_next_time(project: Path) -> None:
    asked = Asked()
    first = asked("digits", 1)
    assert first == asked("digits", 1) == {"read": None, "number": [1, None, 0.5]}
    assert asked("digits", 2) != first
    assert asked.made == 2


@pytest.mark.parametrize("change", ["edited", "added", "preset", "removed"])
def test_an_edit_of_the_project_makes_it_again(project: Path, change: str) -> None:
    asked, path = Asked(), project / "models" / "mine.py"
    asked()
    match change:
        case "edited":
            before = path.stat()
            path.write_text("SIZE = 2")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # the content counts, not the time
        case "added":
            (project / "datamodules" / "new.py").write_text("")
        case "preset":
            (project / "models" / "presets").mkdir()
            (project / "models" / "presets" / "mine.toml").write_text("lr = 1")
        case "removed":
            path.unlink()
    asked(), asked()
    assert asked.made == 2


def test_a_package_that_is_installed_makes_it_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, place = Asked(), tmp_path / "packages"
    monkeypatch.setattr(sys, "path", [*sys.path, str(place)])
    asked()
    (place / "aeon-1.4.0.dist-info").mkdir(parents=True)
    asked(), asked()
    assert asked.made == 2


def test_another_state_makes_it_again_and_one_answer_stays(project: Path, tmp_path: Path) -> None:
    asked = Asked()
    numbers = [asked(state=state)["number"][0] for state in ([1, "a"], [1, "a"], [2, "a"], [2, "a"], [1, "a"])]
    assert numbers == [1, 1, 2, 2, 3]
    assert len(list((tmp_path / "answers").iterdir())) == 1


def test_files_that_were_read_are_part_of_it(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    write(path, "one")
    asked = Asked(path.read_text)
    assert [asked()["read"], asked()["read"], asked.made] == ["one", "one", 1]
    write(path, "longer")
    assert [asked()["read"], asked()["read"], asked.made] == ["longer", "longer", 2]
    other = tmp_path / "other"
    write(other, "equals")  # the same length and time, another file
    other.replace(path)
    assert [asked()["read"], asked.made] == ["equals", 3]


def test_a_file_that_was_missing_is_part_of_it(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "download"
    asked = Asked(lambda: looked_for(path).is_file())
    assert [asked()["read"], asked()["read"], asked.made] == [False, False, 1]
    write(path, "")
    assert [asked()["read"], asked()["read"], asked.made] == [True, True, 2]


def test_a_file_that_has_just_changed_is_not_trusted(project: Path, tmp_path: Path) -> None:
    """It may change again without a trace, where the clock of the file system is coarse."""
    path = tmp_path / "data"
    path.write_text("one")
    asked = Asked(path.read_text)
    asked(), asked()
    assert asked.made == 2
    assert stamp(path) != stamp(path)


def test_an_answer_made_for_another_carries_its_files(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    write(path, "one")
    inner = Asked(path.read_text)
    inner("inner")
    outer = Asked(lambda: inner("inner")["read"])
    assert outer("outer")["read"] == "one"
    write(path, "another")
    assert outer("outer")["read"] == "another"


def test_files_are_noticed_after_an_answer_that_was_made_meanwhile(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    write(path, "one")
    inner = Asked()
    outer = Asked(lambda: (inner("inner"), path.read_text())[1])
    assert [outer("outer")["read"], outer("outer")["read"], outer.made] == ["one", "one", 1]
    write(path, "another")
    assert outer("outer")["read"] == "another"
    assert (inner.made, outer.made) == (1, 2)


def test_an_error_is_not_kept(project: Path) -> None:
    asked = Asked(lambda: 1 / (asked.made - 1))
    with pytest.raises(ZeroDivisionError):
        asked()
    assert asked()["read"] == 1.0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b'{"basis": 1}', b'{"seen": 3, "answer": 4}'])
def test_a_damaged_file_is_replaced(project: Path, tmp_path: Path, content: bytes) -> None:
    asked = Asked()
    asked()
    (path,) = (tmp_path / "answers").iterdir()
    path.write_bytes(content)
    asked(), asked()
    assert asked.made == 2
    assert json.loads(path.read_text())["answer"]["number"][0] == 2


def test_without_a_folder_every_answer_is_made(project: Path, tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("a file in its place")
    asked = Asked()
    asked(), asked()
    assert asked.made == 2


READ_ONLY = """
import sys
from pathlib import Path
from bench.common import kept_answers
kept_answers.folder = lambda: Path(sys.argv[1])
print(kept_answers.kept(lambda: 7, "test"))
"""


def test_a_folder_that_is_read_only_does_no_harm(open_folder: Path) -> None:
    place = open_folder / "read-only"
    place.mkdir(mode=0o555)
    done = as_nobody(READ_ONLY, place)
    assert (done.stdout, done.stderr) == ("7\n", "")
    assert list(place.iterdir()) == []


def test_many_who_write_at_once_leave_a_whole_answer(project: Path, tmp_path: Path) -> None:
    text = "x" * 200_000
    answers = Asked(lambda: text)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda state: answers(state=state % 3), range(60)))
    assert all(each["read"] == text for each in found)
    (path,) = (tmp_path / "answers").iterdir()  # and no half of one
    assert json.loads(path.read_text())["answer"]["read"] == text


@needs_checkout
def test_what_the_project_is_made_of_is_seen() -> None:
    """Files of another kind that answers follow from would have to be in CODE."""
    tracked = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=False)
    names = [name for name in tracked.stdout.splitlines() if not name.startswith("db/published/")]
    assert {Path(name).suffix for name in names} <= {*kept_answers.CODE, ".mako", ".typed"}
