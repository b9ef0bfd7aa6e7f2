"""How long a recurrent network takes from an input to its output when a sequence arrives step by step."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from bench.runs.network import has_state
from models.shared.contract import SequenceModel

TURNS, STEPS = 5, 20
WARM_UP = 3  # what is compiled or allocated at a first call is not what a stream pays


def step_seconds(mixers: Sequence[SequenceModel], device: torch.device) -> float | None:
    """Seconds for one step of one sequence, all mixers together: the median of a few turns.

    The mixers are moved to the device: Lightning leaves them on the host when it has evaluated them.

    None where a mixer keeps no state, or where its `step` fails: that is for `bench check` to report, and no reason to
    lose what was trained.
    """
    if not has_state(mixers):
        return None
    try:
        return sum(_one(mixer.to(device), device) for mixer in mixers)
    except Exception:
        return None


def waiter(device: torch.device) -> Callable[[], None]:
    """What waits until a device has done its work."""
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
