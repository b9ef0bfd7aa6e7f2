"""What a recorded run was made of, as today's classes have it: its settings, its architecture and its task."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

from bench.catalog.registry import find_model, find_task, find_wrapper
from bench.runs.settings import Settings
from datamodules._base import SequenceDataModule
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


class Made(NamedTuple):
    """What a run was made of. The data are ready, without the test splits."""

    model: type[SequenceModel]
    wrapper: type[Wrapper]
    settings: Settings
    data: SequenceDataModule


def made_of(run: Run, data_dir: str | None = None) -> Made:
    """Return what a run was made of.

    Raises:
        RequestError: today's code has no such model or task.
        ValueError, TypeError: a setting that the model's file no longer takes.
        DataError: the task's data are missing here.
    """
    model, wrapper = find_model(run.model).cls, find_wrapper(run.wrapper)
    data = find_task(run.task).build(data_dir=data_dir, with_tests=False)
    data.prepare_data()
    return Made(model, wrapper, recorded_settings(run, model, wrapper), data)
