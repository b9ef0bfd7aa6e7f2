"""`bench models fru` says of each setting what its field's docstring says, and nothing where there is none."""

from dataclasses import dataclass

from bench.reports.model_settings import meanings
from models.shared.contract import ModelConfig
from tests.conftest import Bench


@dataclass(frozen=True, kw_only=True)
class Base(ModelConfig):
    heads: int = 1
    """H, the number of
    heads."""
    width: int = 2
    """Of the base alone."""
    bare: int = 3


@dataclass(frozen=True, kw_only=True)
class Derived(Base):
    width: int = 4
    depth: int = 5
    """L."""

    def at(self) -> int:
        """Return no setting."""
        return self.depth


def test_a_setting_means_what_the_docstring_below_it_says() -> None:
    assert meanings(Derived) == {"heads": "H, the number of heads.", "depth": "L."}
    assert meanings(Base)["width"] == "Of the base alone."


def test_the_settings_of_a_model_are_shown(bench: Bench) -> None:
    rows = {row["setting"]: row for row in bench.json("models", "fru")}
    assert rows["stat_size"] == {
        "setting": "stat_size", "value": 10, "of": "model", "type": "int", "tuning": "4, 5, 8, 10",
        "meaning": "S, the statistics kept for each frequency.",
    }  # fmt: skip
    assert rows["lr"]["tuning"] == "0.0001 to 0.03, log"
    assert rows["lr_schedule"]["type"] == "cosine or constant or staircase"
    assert (rows["max_freq"]["value"], rows["max_freq"]["tuning"], rows["recur_size"]["meaning"]) == (None, None, None)
    shown = bench("models", "fru").stdout
    assert all(f"\n{name} " in shown for name in rows)
    assert "max_freq           none " in shown


def test_the_settings_at_a_tier_are_those_that_are_fitted_to_it(bench: Bench) -> None:
    (listed,) = [row for row in bench.json("models", "--budget", "10k") if row["name"] == "fru"]
    values = {row["setting"]: row["value"] for row in bench.json("models", "fru", "--budget", "10k")}
    assert listed["fitted_config"].items() <= values.items()
    assert "Did you mean 'fru'?" in bench.refused("models", "fruu")
