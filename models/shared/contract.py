"""The contract of an architecture. Shapes: B batch, T time, D input width, H output width."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NotRequired, Self, TypedDict, Unpack

import torch
from torch import Tensor, nn

from models.shared.authors_weights import AuthorsWeights, copy_into

if TYPE_CHECKING:
    from optuna import Trial


class Paper(NamedTuple):
    """The paper that proposed an architecture."""

    title: str
    year: int
    url: str


def later(before: object) -> dict[str, object]:
    """Mark a setting that was added after results had been recorded.

    Args:
        before: what a record without the setting means. At this value it is left out of a run's identity.
    """
    return {"before": before}


LEAST_UNITS = 4


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The settings of an architecture. Subclasses add fields whose defaults work.

    Raises:
        ValueError: a value is out of range or settings conflict. Subclasses check this when an instance is built.
    """

    units: ClassVar[tuple[str, ...]] = ()
    """The settings that count units, statistics, states or channels. Where a model is fitted to a tier, none of them
    may be below LEAST_UNITS: smaller layers are not what their authors propose."""

    @classmethod
    def at_width(cls, width: int) -> Self:
        """Return the configuration whose sizes all follow from one number. No size may shrink as the number grows."""
        raise NotImplementedError(f"{cls.__qualname__} must define at_width")

    def require_positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be positive")

    def require_one_of(self, name: str, *legal: object) -> None:
        if getattr(self, name) not in legal:
            raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(map(repr, legal))}")


@dataclass(frozen=True, kw_only=True)
class HiddenSizeConfig(ModelConfig):
    units = ("hidden_size",)
    hidden_size: int = 200
    """H. The default is the output size of the FRU paper's networks (Zhang et al. 2018, §5)."""

    def __post_init__(self) -> None:
        self.require_positive("hidden_size")

    @classmethod
    def at_width(cls, width: int) -> Self:
        return cls(hidden_size=width)


class GainBounds(NamedTuple):
    """Bounds on the singular values of ∂u_T/∂u_0, the state after T steps by the initial one. None means no bound."""

    sigma: float
    lower: float | None
    upper: float | None
    note: str


class Place(TypedDict):
    """Where a mixer stands in a network, as its constructor is told by keyword."""

    input_size: int
    """D, the width of its input."""
    seq_len: int
    """The length T that it is trained at. Longer and shorter inputs are legal."""
    layer: NotRequired[int]
    """Its number among the layers of the network, from 0, which is also the default."""
    layers: NotRequired[int]
    """How many layers the network has; 1 by default."""


class SequenceModel(nn.Module):
    """A sequence mixer: (B, T, D) to (B, T, H). It is causal unless `causal` is False.

    Embedding, normalisation, depth, pooling, readout, loss, metrics, optimiser and schedule belong to the harness.

    Args:
        config: the architecture's settings.
        place: where the mixer stands, by keyword. The constructor makes attributes of these names.
    """

    paper: ClassVar[Paper]
    display_name: ClassVar[str]
    """Its name as the paper writes it. The command line and the database know it by its file's name."""
    family: ClassVar[str]
    """Its kind, one of those that the board tells apart: see bench/catalog/families.py."""
    wrapper: ClassVar[str]
    """The name of the wrapper that the paper uses: "plain" or "residual" (see `models.shared.wrappers`)."""
    wrappers: ClassVar[tuple[str, ...]] = ("plain", "residual")
    """The names of the wrappers that it runs in."""
    mixes: ClassVar[bool] = True
    """False for a floor that passes each step through: it has no memory, and nothing to learn."""
    depth: ClassVar[int | None] = None
    """Layers that the paper stacks in that wrapper, set where the wrapper's default is not what the paper proposes."""
    causal: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ()
    """Packages that the project itself does not install, by their pip names. Import them where they are used, not at
    the file's top."""
    deviations: ClassVar[Mapping[str, str]] = {}
    """What differs from the authors' own code, and for each why, or "to be mended"."""
    golden: ClassVar[tuple[str, ...]] = ()
    """The files of tests/golden, by their stems, that it reproduces: numbers made by its authors' own code."""
    Config: ClassVar[type[ModelConfig]]
    output_size: int
    """H, set by the constructor."""

    def __init__(self, config: ModelConfig, **place: Unpack[Place]) -> None:
        super().__init__()
        self.input_size, self.seq_len = place["input_size"], place["seq_len"]
        self.layer, self.layers = place.get("layer", 0), place.get("layers", 1)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return the output at every step, (B, T, H). Outputs at or after a sequence's length have no meaning.

        Args:
            x_BTD: the input, in the type of the weights. The padding after a sequence may be anything.
            lengths_B: each sequence's number of steps, integers in [1, T]. None means T.
        """
        raise NotImplementedError(f"{type(self).__qualname__} must define forward")

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return the output at each sequence's final step, (B, H). Override where that is cheaper than all steps."""
        return final_step(self(x_BTD, lengths_B), lengths_B)

    def initial_state(self, batch_size: int) -> Any:
        """Return the state before the first step: a tensor or a tuple of tensors, each (B, …). For recurrent models."""
        raise NotImplementedError(f"{type(self).__qualname__} is not recurrent")

    def step(self, x_BD: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return a step's output (B, H) and the next state, in agreement with `forward`. For recurrent models."""
        raise NotImplementedError(f"{type(self).__qualname__} is not recurrent")

    @classmethod
    def is_recurrent(cls) -> bool:
        return cls.step is not SequenceModel.step

    def gain_bounds(self, steps: int) -> GainBounds | None:
        """Return how much `steps` steps can stretch and shrink a change of the state. None without a theorem."""
        return None

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        """Draw the settings of `Config` that tuning may choose, other than the width, from an Optuna trial."""
        return {}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return parameter groups with their own options, such as {"params": […], "lr": …, "weight_decay": 0}."""
        return []

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        """Return every parameter of ours, by its name, as a differentiable function of the authors'."""
        raise NotImplementedError(f"{type(self).__qualname__} does not say how its authors' weights become its own")

    def load_authors_weights(self, arrays: Mapping[str, Any]) -> None:
        """Copy the weights of the authors' own code into this layer.

        Args:
            arrays: their parameters, named `param/NAME` as in the files of tests/golden. Other entries are ignored.

        Raises:
            ValueError: an entry is missing or has another shape than this configuration's.
            NotImplementedError: the architecture defines no `from_authors`.
        """
        copy_into(self, self.from_authors(AuthorsWeights(arrays, next(self.parameters()).device)))

    def facts(self) -> Mapping[str, str]:
        """Return what a reader of the record should know about how this model is computed, such as its backend."""
        return {}


def resize(input_size: int, size: int) -> nn.Module:
    """Return a linear map to the width that a layer works at, or the identity where the input has that width."""
    return nn.Identity() if input_size == size else nn.Linear(input_size, size)


def computed(shape: tuple[int, ...], compute: Callable[[], Tensor]) -> Tensor:
    """Return a constant in the default precision.

    Where a model is built on the meta device, to count its parameters, nothing is computed: only the shape matters.
    """
    empty = torch.empty(shape)
    return empty if empty.is_meta else compute().to(empty)


def valid_steps(lengths_B: Tensor, steps: int) -> Tensor:
    """Return which of `steps` steps belong to a sequence and are no padding, (B, T)."""
    return torch.arange(steps, device=lengths_B.device) < lengths_B[:, None]


def final_step(y_BTH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Return the output at each sequence's final step, (B, H)."""
    if lengths_B is None:
        return y_BTH[:, -1]
    return y_BTH[torch.arange(len(y_BTH), device=y_BTH.device), lengths_B - 1]
