"""The share of networks that are dead at the start: many seeds, one batch of the task, one backward pass each.

A mixer is dead if no parameter of it gets a gradient, or if it says the same for every sequence. A network is dead if
all its mixers are. In a plain stack one dead layer kills the others; in residual blocks the others still learn.

Shapes: B batch, T time, H output of a mixer.
"""

from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from bench.runs.network import build
from bench.runs.settings import Settings
from datamodules._base import Samples
from datamodules._spec import TaskSpec
from models.shared.contract import SequenceModel, valid_steps
from models.shared.lightning_module import SequenceModule
from models.shared.wrappers import Wrapper

STARTS = 100
MOST_DEAD = 0.05
"""The share of dead networks that an architecture may have. At this one, one entry in four has a dead network among its
five seeds."""
ALIKE = 1e-6  # of the largest output: a few roundings of float32


def dead_share(
    model: type[SequenceModel],
    wrapper: type[Wrapper],
    settings: Settings,
    spec: TaskSpec,
    batch: Samples,
    starts: int = STARTS,
) -> float:
    """Return the share of the networks of seeds 0 to `starts` − 1 that are dead on a batch.

    Args:
        batch: sequences of the task that differ, and their answers, as a network sees them.
    """
    dead = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(starts):
            torch.manual_seed(seed)
            network = build(model, wrapper, settings, spec)
            dead.append(is_dead(network, SequenceModule(network, spec, settings.training), batch))
    return fmean(dead)


def is_dead(network: Wrapper, module: SequenceModule, batch: Samples) -> bool:
    """Return whether all mixers of a network are dead. The gradients stay in its parameters.

    Args:
        module: the network with its loss.
    """
    outputs = [_watched(mixer) for mixer in network.mixers()]
    module.loss(module(batch), batch.y).backward()
    return all(
        _has_no_gradient(mixer) or _says_the_same(said[-1], batch.lengths)
        for mixer, said in zip(network.mixers(), outputs, strict=True)
    )


def _watched(mixer: SequenceModel) -> list[Tensor]:
    """Return a list that grows by each output of the mixer: of all steps, (B, T, H), or of the last one, (B, H)."""
    outputs: list[Tensor] = []

    def noted(method: Any, *args: Any) -> Tensor:
        outputs.append(method(*args))
        return outputs[-1]

    for name in ("forward", "last"):
        setattr(mixer, name, partial(noted, getattr(mixer, name)))
    return outputs


def _has_no_gradient(mixer: nn.Module) -> bool:
    parameters = list(mixer.parameters())
    return bool(parameters) and not any(p.grad is not None and bool((p.grad != 0).any()) for p in parameters)


def _says_the_same(y: Tensor, lengths_B: Tensor | None) -> bool:
    """Return whether no step's output differs between the sequences that have it."""
    low, high = y, y
    if lengths_B is not None and y.dim() == 3:
        missing_BT1 = ~valid_steps(lengths_B, y.shape[1]).unsqueeze(-1)
        low, high = y.masked_fill(missing_BT1, torch.inf), y.masked_fill(missing_BT1, -torch.inf)
    return bool((high.amax(0) - low.amin(0)).max() <= ALIKE * y.abs().max())
