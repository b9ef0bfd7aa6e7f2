"""One of a thing is not several: what commands print after a number is in the right number."""

import re

from tests.conftest import ROOT, Bench

NOUNS = "runs|seeds|trials|entries|studies|tasks|files|models|workers|epochs|points|tensors"
GUESSED = re.compile(rf'"[^"\n]*\{{[^{{}}\n]*\}} (?:\w+ )?(?:{NOUNS})\b')
"""A number and a plural, in a text: `counted` would look at the number."""
SEVERAL = ("{LEAST_SEEDS} seeds", "{len(found)} runs begin")


def test_commands_count_one(shared_bench: Bench, bench: Bench) -> None:
    run = shared_bench.json("runs")[-1]["run_id"]
    assert "Wrote one.zip: 1 run, " in shared_bench("bundle", run, "-o", "one.zip").stderr
    assert re.search(r"curves: \d+ points", shared_bench("show", run).stdout)
    left = ("suite", "--models", "gru", "--seeds", "1", "--time-limit", "0s")
    assert re.search(r"0 runs recorded, 0 failed\.\n\d+ runs missing: ", bench(*left).stdout)
    (bench.folder / "empty").mkdir()
    assert bench("db", "import", "empty").stdout == "0 files: 0 runs added, 0 files damaged.\n"
    (bench.folder / "empty" / "one.json").write_text("{")
    assert bench("db", "import", "empty", code=2).stdout == "1 file: 0 runs added, 1 file damaged.\n"


def test_no_command_guesses() -> None:
    lines = [line for path in (ROOT / "bench" / "cli").glob("*.py") for line in path.read_text("utf-8").splitlines()]
    guessed = [line.strip() for line in lines if GUESSED.search(line)]
    assert [line for line in guessed if not any(several in line for several in SEVERAL)] == []
