"""Measure how long a recurrent network takes from an input to its output when a sequence arrives step by step."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from bench.runs.network import has_state
from models.shared.contract import SequenceModel

TURNS, STEPS = 5, 20
WARM_UP = 3  # a first call compiles and allocates; a stream does not pay for that at each step


def step_seconds(mixers: Sequence[SequenceModel], device: torch.device) -> float | None:
    """Return the seconds for one step of one sequence: the sum over mixers of the median of a few turns.

    The mixers are moved to the device, because Lightning leaves them on the host after it has evaluated them.

    None where a mixer keeps no state, or where its `step` fails. `bench check` reports such a failure; here it must not
    lose what was trained.
    """
    if not has_state(mixers):
        return None
    try:
        return sum(_one(mixer.to(device), device) for mixer in mixers)
    except Exception:
        return None


def waiter(device: torch.device) -> Callable[[], None]:
    """Return a function that waits until a device has done its work."""
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None


@torch.no_grad()
def _one(mixer: SequenceModel, device: torch.device) -> float:
    x_BD = torch.zeros(1, mixer.input_size, device=device)
    synchronize = waiter(device)
    turns = []
    for _ in range(WARM_UP + TURNS):
        state = mixer.initial_state(1)
        synchronize()
        start = time.perf_counter()
        for _ in range(STEPS):
            _, state = mixer.step(x_BD, state)
        synchronize()
        turns.append((time.perf_counter() - start) / STEPS)
    return statistics.median(turns[WARM_UP:])
