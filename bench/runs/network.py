"""Build a network and count its learned numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_leaves

from bench.runs.settings import Settings
from datamodules._spec import TaskSpec
from models.shared.contract import SequenceModel
from models.shared.wrappers import Wrapper


def build(model: type[SequenceModel], wrapper: type[Wrapper], settings: Settings, spec: TaskSpec) -> Wrapper:
    return wrapper(model, settings.model, spec, settings.wrapper)


@dataclass(frozen=True)
class Counts:
    """Learned numbers by part; a weight that two parts share counts once, in the first."""

    embedding: int
    """Token embedding tables."""
    core: int
    readout: int
    buffers: int
    """Numbers in a checkpoint's state that no gradient reaches, such as running means."""

    @property
    def total(self) -> int:
        return self.embedding + self.core + self.readout + self.buffers

    @property
    def budgeted(self) -> int:
        """What a parameter tier limits: all but token embedding tables."""
        return self.total - self.embedding


def count(network: Wrapper) -> Counts:
    seen: set[int] = set()

    def learned(part: torch.nn.Module | None) -> int:
        fresh = {id(p): p.numel() for p in (part.parameters() if part else ()) if id(p) not in seen}
        seen.update(fresh)
        return sum(fresh.values())

    parts = {name: learned(getattr(network, name)) for name in ("embedding", "core", "readout")}
    saved = network.state_dict(keep_vars=True).values()
    buffers = sum(tensor.numel() for tensor in saved if not isinstance(tensor, torch.nn.Parameter))
    return Counts(**parts, buffers=buffers)


def count_on_meta(model: type[SequenceModel], wrapper: type[Wrapper], settings: Settings, spec: TaskSpec) -> Counts:
    """Return the counts of a network without allocating it."""
    with torch.device("meta"):
        return count(build(model, wrapper, settings, spec))


def has_state(mixers: Sequence[SequenceModel]) -> bool:
    """Return whether a sequence can be fed step by step with a state: every mixer is recurrent, and mixes."""
    return all(mixer.is_recurrent() and mixer.mixes for mixer in mixers)


def state_bytes(network: Wrapper) -> int | None:
    """Return the bytes of recurrent state that one sequence carries from step to step; None where there is no state.

    Only floating-point and complex tensors count.
    """
    mixers = network.mixers()
    if not has_state(mixers):
        return None
    leaves = [leaf for mixer in mixers for leaf in tree_leaves(mixer.initial_state(1))]
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves if leaf.is_floating_point() or leaf.is_complex())
