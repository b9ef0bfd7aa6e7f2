"""Gradient flow: ‖∂loss/∂x_t‖ and ‖∂loss/∂u_0‖, and how much the steps between stretch a change of the state.

Input gradients come from an ordinary backward pass, so that every architecture has them. Gradients of the state need
`step`. From the end of the sequence on, the gradient of a state is pulled back through one step at a time, so that only
one state per step is kept.

Shapes: N samples, T time, D input and H output of a mixer, V random directions, M = (1 + V) N.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils._pytree import tree_flatten, tree_map

from bench.runs.network import has_state
from datamodules._base import Samples
from datamodules._spec import TaskSpec
from models.shared.contract import GainBounds, SequenceModel, final_step
from models.shared.lightning_module import SequenceModule, scored
from models.shared.training import Training
from models.shared.wrappers import Wrapper

MOST_POINTS = 128
CURVE_DIGITS = 4
DIRECTIONS = 3
DIRECTION_SEED = 1803


def measure(network: Wrapper, spec: TaskSpec, samples: Samples) -> dict[str, Any]:
    """Measure one network at one length.

    Args:
        samples: as a model sees them. The network may be built for another length than theirs.

    Returns:
        An item of `measured` as `bench.probe.events` describes it, without `when`.
    """
    network.eval()
    with tapped(network) as taps:
        x_NTD = input_gradients(network, spec, samples)
    length = x_NTD.shape[1]
    back = steps_back(length)
    norms_T = x_NTD.double().norm(dim=2).mean(0)
    return {
        "length": length,
        "steps_back": back,
        "input": [_number(norms_T[length - 1 - step], digits=CURVE_DIGITS) for step in back],
        **_of_state(network, taps, length),
    }


def _of_state(network: Wrapper, taps: "Sequence[Tap]", length: int) -> dict[str, Any]:
    mixers = network.mixers()
    bounds = merged([bound for mixer in mixers if (bound := mixer.gain_bounds(length))])
    if not has_state(mixers):
        return {"initial_state": None, "state_gain": None, "bounds": None}
    pulled = [pull_back(tap) for tap in taps]
    squares_N = torch.stack([each.loss_N**2 for each in pulled]).sum(0)
    gains = torch.stack([each.gain_VN for each in pulled])
    return {
        "initial_state": _number(squares_N.sqrt().mean()),
        "state_gain": {"low": _number(gains.min()), "mean": _number(gains.mean()), "high": _number(gains.max())},
        "bounds": None if bounds is None else bounds._asdict(),
    }


def _number(value: Tensor, digits: int = 17) -> float | None:
    """Round to significant digits. None if it is not finite: JSON has no infinity."""
    return float(f"{value.item():.{digits}g}") if torch.isfinite(value) else None


def steps_back(length: int) -> list[int]:
    """All of 0 … T − 1, or at most MOST_POINTS of them, denser at the end of the sequence, with both ends."""
    if length <= MOST_POINTS:
        return list(range(length))
    spaced = np.geomspace(1, length, MOST_POINTS).round().astype(int) - 1
    return sorted(set(spaced.tolist()))


def merged(bounds: Sequence[GainBounds]) -> GainBounds | None:
    """Return bounds that hold in every layer, or None if there are none."""
    if not bounds:
        return None
    lowers = [bound.lower for bound in bounds]
    uppers = [bound.upper for bound in bounds]
    return GainBounds(
        sigma=max(bound.sigma for bound in bounds),
        lower=None if None in lowers else min(low for low in lowers if low is not None),
        upper=None if None in uppers else max(high for high in uppers if high is not None),
        note="; ".join(sorted({bound.note for bound in bounds} - {""})),
    )


@dataclass
class Tap:
    """A mixer's input and output at every step. The output has a gradient after the backward pass."""

    mixer: SequenceModel
    x_NTD: Tensor
    y_NTH: Tensor


@contextmanager
def tapped(network: Wrapper) -> Iterator[list[Tap]]:
    """Record what the network's mixers do. Meanwhile `last` calls `forward`, so that every step is recorded."""
    taps: list[Tap] = []

    def listen(mixer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        assert isinstance(mixer, SequenceModel)
        output.retain_grad()
        taps.append(Tap(mixer, inputs[0].detach(), output))

    def last(mixer: SequenceModel) -> Any:
        return lambda x_BTD, lengths_B=None: final_step(mixer(x_BTD, lengths_B), lengths_B)

    handles = [mixer.register_forward_hook(listen) for mixer in network.mixers()]
    for mixer in network.mixers():
        mixer.last = last(mixer)  # type: ignore[method-assign]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()
        for mixer in network.mixers():
            del mixer.last


def input_gradients(network: Wrapper, spec: TaskSpec, samples: Samples) -> Tensor:
    """Return ∂loss/∂x_t of each sample's own loss, (N, T, D). If the input is tokens, x_t is the embedded token."""
    module = SequenceModule(network, spec, Training())
    entered: list[Tensor] = []

    def listen(embedding: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        output.retain_grad()
        entered.append(output)

    if network.embedding is None:
        entered.append(samples.x.clone().requires_grad_())
        outputs = network(entered[0], samples.lengths)
    else:
        handle = network.embedding.register_forward_hook(listen)
        outputs = network(samples.x, samples.lengths)
        handle.remove()
    loss = module.loss(outputs, scored(spec, samples.y)) * len(
        samples.y
    )  # the loss is a mean over the batch; times N, each sample has the gradient of its own loss
    loss.backward()
    gradient = entered[0].grad
    assert gradient is not None
    return gradient


@dataclass
class PulledBack:
    """At the initial state: the norm of the loss's gradient, and how much random gradients at the end have grown."""

    loss_N: Tensor
    gain_VN: Tensor


def pull_back(tap: Tap) -> PulledBack:
    """Pull gradients at every step's output, and random ones at the final state, back to the initial state.

    The 1 + V gradients of a sample are pulled back together, as further samples of a batch.
    """
    count, copies = len(tap.x_NTD), 1 + DIRECTIONS
    assert tap.y_NTH.grad is not None
    inputs_MD = [x_ND.repeat(copies, 1) for x_ND in tap.x_NTD.unbind(1)]
    at_outputs_MH = [pad(grad_NH, (0, 0, 0, DIRECTIONS * count)) for grad_NH in tap.y_NTH.grad.unbind(1)]
    states = _states(tap.mixer, inputs_MD)
    generator = torch.Generator().manual_seed(DIRECTION_SEED)
    pulled = [_directions(leaf, count, generator) for leaf in _leaves(states.pop())]
    started_M = _norms(pulled)
    while states:
        pulled = _pull(tap.mixer, inputs_MD.pop(), states.pop(), pulled, at_outputs_MH.pop())
    ended_M = _norms(pulled)
    return PulledBack(ended_M[:count], (ended_M[count:] / started_M[count:]).view(DIRECTIONS, count))


def _states(mixer: SequenceModel, inputs_MD: Sequence[Tensor]) -> list[Any]:
    """The T + 1 states, from the initial one on."""
    states = [mixer.initial_state(len(inputs_MD[0]))]
    with torch.no_grad():
        for x_MD in inputs_MD:
            states.append(mixer.step(x_MD, states[-1])[1])
    return states


def _pull(mixer: SequenceModel, x_MD: Tensor, state: Any, at_next: list[Tensor], at_output_MH: Tensor) -> list[Tensor]:
    """Return the gradient at a state, from the gradients at the next state and at the output in between."""
    state = tree_map(lambda leaf: leaf.detach().requires_grad_() if _is_real(leaf) else leaf, state)
    y_MH, following = mixer.step(x_MD, state)
    ends = [*zip(_leaves(following), at_next, strict=True), (y_MH, at_output_MH)]
    ends = [(tensor, gradient) for tensor, gradient in ends if tensor.requires_grad]
    tensors, gradients = zip(*ends, strict=True)
    starts = _leaves(state)
    found = torch.autograd.grad(tensors, starts, gradients, allow_unused=True)
    return [torch.zeros_like(leaf) if each is None else each for leaf, each in zip(starts, found, strict=True)]


def _is_real(leaf: Tensor) -> bool:
    """Whether a part of the state is a number that the past can change, and not a counter of steps."""
    return leaf.is_floating_point() or leaf.is_complex()


def _leaves(state: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(state)[0] if _is_real(leaf)]


def _directions(leaf: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Gradients at the final state: random, but zero for the loss, which depends on that state through outputs only."""
    drawn = torch.randn(leaf.shape, dtype=leaf.dtype, generator=generator).to(leaf.device)
    drawn[:count] = 0
    return drawn


def _norms(leaves: Sequence[Tensor]) -> Tensor:
    """The norm for each sample, over all parts of the state. In single precision, squares of small numbers vanish."""
    flat = [torch.view_as_real(leaf) if leaf.is_complex() else leaf for leaf in leaves]
    return torch.cat([leaf.flatten(1).double() for leaf in flat], dim=1).norm(dim=1)
