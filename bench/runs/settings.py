"""A run's complete settings: the architecture's, the wrapper's and training's."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from bench.common.errors import RequestError, unknown
from models.shared.contract import LEAST_UNITS, ModelConfig, SequenceModel
from models.shared.training import Training
from models.shared.wrappers import Wrapper

PARTS = ("model", "wrapper", "training")
OF_TRAINING = frozenset(field.name for field in fields(Training))
"""Names of the settings that are neither the architecture's nor the wrapper's."""


@dataclass(frozen=True)
class Settings:
    """The three configurations of a run. Their field names do not overlap, so one word names a setting."""

    model: ModelConfig
    wrapper: ModelConfig
    training: Training

    @classmethod
    def defaults(cls, model: type[SequenceModel], wrapper: type[Wrapper]) -> "Settings":
        return cls(model.Config(), wrapper.Config(), Training())._stacked(model, wrapper)

    @classmethod
    def at_width(cls, model: type[SequenceModel], wrapper: type[Wrapper], width: int) -> "Settings":
        config = cls(model.Config.at_width(width), wrapper.Config.at_width(width), Training())
        return config._stacked(model, wrapper)

    def _stacked(self, model: type[SequenceModel], wrapper: type[Wrapper]) -> "Settings":
        """Use the paper's number of layers, if the model states it and this is the model's own wrapper."""
        is_native = model.depth is not None and wrapper.name == model.wrapper
        return self.updated({"depth": model.depth}) if is_native else self

    def to_dict(self) -> dict[str, Any]:
        """Return part → settings as they are recorded, in plain JSON: tuples become lists.

        A run's identity is computed from them.
        """
        return _plain({part: _without(_is_default_as_before, getattr(self, part)) for part in PARTS})

    def of_protocol_1(self) -> dict[str, Any]:
        """Return part → settings as they are recorded in runs of protocol 1.

        Those records lack every later setting that is as before it existed, whatever its default is now.
        """
        return _plain({part: _without(_is_as_before, getattr(self, part)) for part in PARTS})

    def flat(self) -> dict[str, Any]:
        """Return setting → value for all settings, in plain JSON."""
        return _plain({name: value for part in PARTS for name, value in asdict(getattr(self, part)).items()})

    def units(self) -> dict[str, int]:
        """Return the settings that count units, statistics, states or channels."""
        return {name: getattr(part, name) for part in (self.model, self.wrapper) for name in part.units}

    def absurd(self, asked: Collection[str]) -> dict[str, int]:
        """Return the settings below LEAST_UNITS units, which no author proposes, but for those that are asked for."""
        return {name: number for name, number in self.units().items() if number < LEAST_UNITS and name not in asked}

    def owners(self) -> dict[str, str]:
        """Return setting → the part that it belongs to."""
        return {field.name: part for part in PARTS for field in fields(getattr(self, part))}

    def updated(self, changes: dict[str, Any]) -> "Settings":
        """Return a copy with some settings changed, checked for conflicts.

        Raises:
            RequestError: no setting of that name, or values that are not finite, out of range or in conflict.
        """
        owners = self.owners()
        for name in changes:
            if name not in owners:
                raise unknown("setting", name, owners)
        for name, value in {**self.flat(), **changes}.items():
            _check_finite(name, value, type(getattr(self, owners[name])))
        try:
            return Settings(**{
                part: replace(getattr(self, part), **{name: v for name, v in changes.items() if owners[name] == part})
                for part in PARTS
            })  # fmt: skip
        except ValueError as error:
            raise RequestError(f"{error}.") from error

    def parse(self, assignments: list[str]) -> dict[str, Any]:
        """Return `key=value` words as a dictionary of values of the right type.

        Raises:
            RequestError: a word of another form, an unknown key, or a value of the wrong type.
        """
        return parse_settings([getattr(self, part) for part in PARTS], assignments)


def _without(leave_out: Callable[[Field[Any], Any], bool], config: ModelConfig) -> dict[str, Any]:
    values = asdict(config)
    return {each.name: values[each.name] for each in fields(config) if not leave_out(each, values[each.name])}


def _is_as_before(setting: Field[Any], value: Any) -> bool:
    return "before" in setting.metadata and bool(value == setting.metadata["before"])


def _is_default_as_before(setting: Field[Any], value: Any) -> bool:
    """Whether a record lacks the setting. The same value follows again, as it is the default."""
    return _is_as_before(setting, value) and _is_as_before(setting, setting.default)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(values))


def _check_finite(name: str, value: Any, config: type[ModelConfig]) -> None:
    """Refuse infinity and NaN. JSON does not have them, so a result could not be recorded with them."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        legal = type_text(get_type_hints(config)[name])
        raise RequestError(f"{name}={value} is not legal: expected {legal}, and finite.") from error


def parse_settings(configs: Sequence[ModelConfig], assignments: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` words as a dictionary. A value has the type that the first configuration with that key gives.

    Raises:
        RequestError: a word of another form, an unknown key, or a value of the wrong type.
    """
    owners = {field.name: config for config in reversed(configs) for field in fields(config)}
    return dict(_parse_one(word, owners) for word in assignments)


def _parse_one(word: str, owners: Mapping[str, ModelConfig]) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise RequestError(f"--set {word!r} is not of the form key=value. Settings: {', '.join(sorted(owners))}.")
    if name not in owners:
        raise unknown("setting", name, owners)
    return name, _typed(name, text.strip(), type(owners[name]), getattr(owners[name], name))


def _typed(name: str, text: str, config: type[ModelConfig], current: Any) -> Any:
    hint = get_type_hints(config)[name]
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    for candidate in (text, _json(text)):
        try:
            return adapter.validate_python(candidate)
        except ValidationError:
            continue
    legal = type_text(hint)
    raise RequestError(f"{name}={text!r} is not legal: expected {legal} (now {current!r}).")


def type_text(hint: Any) -> str:
    """Return a setting's type as messages and listings have it, such as "float | none" or "cosine or constant"."""
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    return (hint.__name__ if isinstance(hint, type) else str(hint)).replace("None", "none")


def _json(text: str) -> Any:
    """Read numbers, lists (also bare: `0,0.5,1`) and `none`; other text stays text."""
    if text.lower() == "none":
        return None
    if "," in text and not text.startswith("["):
        text = f"[{text.rstrip(',')}]"
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
