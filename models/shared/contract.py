"""The contract of an architecture. Shapes: B batch, T time, D input width, H output width."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from optuna import Trial


class Paper(NamedTuple):
    title: str
    year: int
    url: str


LATER = {"later": True}
"""Of a setting that was added when results had been recorded: at its default it is no part of what a run is."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The settings of an architecture. Subclasses add fields whose defaults work, and refuse conflicts when built."""

    @classmethod
    def at_width(cls, width: int) -> Self:
        """The configuration whose sizes all follow from one number, non-decreasing in it."""
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
    hidden_size: int = 200
    """As many as the FRU paper's networks put out (Zhang et al. 2018, §5)."""

    def __post_init__(self) -> None:
        self.require_positive("hidden_size")

    @classmethod
    def at_width(cls, width: int) -> Self:
        return cls(hidden_size=width)


class GainBounds(NamedTuple):
    """Bounds on the singular values of ∂u_T/∂u_0, the state after T steps by the initial one. None: there is none."""

    sigma: float
    lower: float | None
    upper: float | None
    note: str


class SequenceModel(nn.Module):
    """A sequence mixer: (B, T, D) to (B, T, H), causal unless it says otherwise.

    Embedding, normalisation, depth, pooling, readout, loss, metrics, optimiser and schedule belong to the harness.

    Args:
        config: the architecture's settings.
        input_size: D.
        seq_len: the length T that it is trained at; longer and shorter inputs are legal.
    """

    paper: ClassVar[Paper]
    family: ClassVar[str]
    wrapper: ClassVar[str]
    """The name of the wrapper that the paper uses: "plain" or "residual" (see `models.shared.wrappers`)."""
    depth: ClassVar[int | None] = None
    """Layers that the paper stacks in that wrapper, where one of its own would not be what the paper proposes."""
    causal: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ()
    """Packages beyond the project's own, as pip names them. Import them where they are used, not at the file's top."""
    Config: ClassVar[type[ModelConfig]]
    output_size: int
    """H, set by the constructor."""

    def __init__(self, config: ModelConfig, *, input_size: int, seq_len: int) -> None:
        super().__init__()
        self.input_size = input_size

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """The output at every step, (B, T, H). What stands at or after a sequence's length has no meaning."""
        raise NotImplementedError(f"{type(self).__qualname__} must define forward")

    def last(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """The output at each sequence's final step, (B, H). Override where that is cheaper than all steps."""
        return final_step(self(x_BTD, lengths_B), lengths_B)

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first step: a tensor or a tuple of tensors, each (B, …). Recurrent models define it."""
        raise NotImplementedError(f"{type(self).__qualname__} is not recurrent")

    def step(self, x_BD: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: the output (B, H) and the next state, in agreement with `forward`. Recurrent models define it."""
        raise NotImplementedError(f"{type(self).__qualname__} is not recurrent")

    @classmethod
    def is_recurrent(cls) -> bool:
        return cls.step is not SequenceModel.step

    def gain_bounds(self, steps: int) -> GainBounds | None:
        """How much so many steps can stretch and shrink a change of the state, where a theorem says so."""
        return None

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        """Settings of `Config` that tuning may choose besides the width, drawn from an Optuna trial."""
        return {}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups with options of their own, such as {"params": […], "lr": …, "weight_decay": 0}."""
        return []

    def facts(self) -> Mapping[str, str]:
        """What a reader of the record should know about how this model was computed, such as its backend."""
        return {}


def resize(input_size: int, size: int) -> nn.Module:
    """A linear map to the width that a layer works at; nothing where the input has it already."""
    return nn.Identity() if input_size == size else nn.Linear(input_size, size)


def computed(shape: tuple[int, ...], compute: Callable[[], Tensor]) -> Tensor:
    """A constant in the default precision; its shape only where a model is built on the meta device, to be counted."""
    empty = torch.empty(shape)
    return empty if empty.is_meta else compute().to(empty)


def final_step(y_BTH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """The output at each sequence's final step, (B, H)."""
    if lengths_B is None:
        return y_BTH[:, -1]
    return y_BTH[torch.arange(len(y_BTH), device=y_BTH.device), lengths_B - 1]
