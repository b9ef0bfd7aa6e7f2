"""The settings of a recorded run as today's classes have them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from bench.runs.settings import Settings
from db.schema import Run
from models.shared.contract import ModelConfig, SequenceModel
from models.shared.training import Training
from models.shared.wrappers import Wrapper

Config = TypeVar("Config", bound=ModelConfig)


def recorded_config(cls: type[Config], recorded: Mapping[str, Any]) -> Config:
    """Build a configuration from a record. Settings that are younger than the record are as they were before.

    Raises:
        ValueError, TypeError: a setting that the class no longer takes.
    """
    before = {each.name: each.metadata["before"] for each in fields(cls) if "before" in each.metadata}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()}
    return cls(**before | values)


def recorded_settings(run: Run, model: type[SequenceModel], wrapper: type[Wrapper]) -> Settings:
    """Return the settings of a run's network and training.

    Raises:
        ValueError, TypeError: a setting that its class no longer takes.
    """
    return Settings(
        recorded_config(model.Config, run.config["model"]),
        recorded_config(wrapper.Config, run.config["wrapper"]),
        recorded_config(Training, run.config["training"]),
    )
