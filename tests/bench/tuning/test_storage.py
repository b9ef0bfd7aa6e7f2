"""Reading tuning studies: nothing is written or created, and what can't be read is said."""

import hashlib
import os
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from bench.tuning.storage import Studies
from db.errors import StoreError
from tests.conftest import as_nobody


def make_study(db: str) -> Studies:
    """Two trials in a study called `first`."""
    studies = Studies(db)
    study = optuna.create_study(storage=studies.storage, study_name="first", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("lr", 0, 1), n_trials=2)
    return studies


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_reading_changes_nothing(tmp_path: Path) -> None:
    make_study(str(tmp_path / "board.sqlite"))
    before = content(tmp_path)
    (study,) = Studies(str(tmp_path / "board.sqlite"), read_only=True).all()
    assert len(study.trials) == 2
    with pytest.raises(StorageInternalError) as told:
        study.ask()
    assert "readonly database" in str(told.value.__cause__)
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["exp #1 lr=0.1?50%20x", "a$$b", "größe λ"])
def test_a_folder_with_odd_letters(tmp_path: Path, name: str) -> None:
    """Optuna takes addresses as text, which versions of SQLAlchemy read differently."""
    db = tmp_path / name / "board.sqlite"
    try:
        db.parent.mkdir()
    except UnicodeEncodeError:
        pytest.skip("this locale has no name of these letters")
    make_study(str(db))
    for read_only in (True, False):
        (study,) = Studies(str(db), read_only=read_only).all()
        assert len(study.trials) == 2
    (shown,) = optuna.get_all_study_names(Studies(str(db)).address)
    assert shown == "first"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sorted(path.name for path in db.parent.iterdir()) == ["board-studies.sqlite"]


def test_none_are_created(tmp_path: Path) -> None:
    studies = Studies(str(tmp_path / "board.sqlite"), read_only=True)
    assert studies.all() == []
    with pytest.raises(StoreError, match="unable to open database file"):
        _ = studies.storage
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bytes_", "told"), [(b"", "no such table"), (b"not a database " * 100, "file is not a database")]
)
def test_a_file_without_studies(tmp_path: Path, bytes_: bytes, told: str) -> None:
    path = tmp_path / "board-studies.sqlite"
    path.write_bytes(bytes_)
    with pytest.raises(StoreError, match=rf"studies in .*board-studies.sqlite: {told}"):
        Studies(str(tmp_path / "board.sqlite"), read_only=True).all()
    assert path.read_bytes() == bytes_


def test_tables_of_another_version_of_optuna(tmp_path: Path) -> None:
    studies = make_study(str(tmp_path / "board.sqlite"))
    with studies.storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    with pytest.raises(StoreError, match="optuna storage upgrade"):
        Studies(str(tmp_path / "board.sqlite"), read_only=True).all()


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere")
def test_a_place_that_is_closed_to_us(open_folder: Path) -> None:
    folder = open_folder / "studies"
    folder.mkdir()
    make_study(str(folder / "board.sqlite"))
    (folder / "board-studies.sqlite").chmod(0o444)
    folder.chmod(0o555)
    code = "import sys; from bench.tuning.storage import Studies as S; print(len(S(sys.argv[1], read_only=True).all()))"
    assert as_nobody(code, folder / "board.sqlite").stdout == "1\n"


def test_reading_changes_nothing_on_postgresql(postgres: str) -> None:
    assert Studies(postgres, read_only=True).all() == []
    make_study(postgres)
    (study,) = Studies(postgres, read_only=True).all()
    assert len(study.trials) == 2
    with pytest.raises(StorageInternalError) as told:
        study.ask()
    assert "read-only transaction" in str(told.value.__cause__)
