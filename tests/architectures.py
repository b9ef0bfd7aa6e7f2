"""The architectures in models/, by the name that they have on the command line."""

import importlib
from pathlib import Path

from models._base import SequenceModel

STEMS = sorted(file.stem for file in (Path(__file__).parents[1] / "models").glob("[!_]*.py"))


def architecture(stem):
    module = importlib.import_module(f"models.{stem}")
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    (model,) = [value for value in own if issubclass(value, SequenceModel)]
    return model


ARCHITECTURES = {stem.replace("_", "-"): architecture(stem) for stem in STEMS}
