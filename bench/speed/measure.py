"""Compare the time and memory of architectures, as ratios. Shapes: B batch, T time, D input, H output.

A train step is that of a classifier of ten classes: the network, cross-entropy, and the gradients of every parameter.
The network is one layer with a linear readout from its last step or, fitted to a budget, what `bench run` would train
in the wrapper of the architecture's paper. Times are medians of repeats in which the contenders take turns. Memory is
by how much a step raises the peak of a fresh process or, on a GPU, of torch's allocator. `step` is one step of one
sequence, as in a stream. Denormal numbers count as zero.
"""

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import psutil
import torch
from torch.nn import functional as F

from bench.catalog.registry import find_model, find_wrapper
from bench.common.errors import RequestError
from bench.runs.network import build
from bench.runs.parameter_budget import fit
from bench.runs.settings import Settings, parse_settings
from bench.speed.latency import step_seconds, waiter
from bench.speed.memory import peak_host, reset_peaks
from datamodules._spec import Continuous, Label, TaskSpec
from models.kernels.cpu.toolkit.threads import flush_denormals
from models.shared.training import Training
from models.shared.wrappers import Plain, Wrapper

CLASSES = 10
TURN_SECONDS = 0.2
"""A contender whose step is quicker repeats it within its turn, up to TURN_STEPS times."""
TURN_STEPS = 10
QUANTITIES = ("forward", "train_step", "per_parameter", "peak_memory")
"""What is compared. `per_parameter` is the train step's time over the number of parameters."""

Listener = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is measured.

    Args:
        width: the width that models are built at; their default sizes unless given.
        budget: a parameter tier that the networks are fitted to instead.
        wrapper: the wrapper of fitted networks; that of each architecture's paper unless given.
        changes: settings, applied to the models that have them.

    Raises:
        RequestError: a size under 1, an unavailable device, both a width and a budget, or a wrapper without a budget.
    """

    seq_len: int = 784
    batch: int = 256
    input_size: int = 1
    width: int | None = None
    budget: str | None = None
    wrapper: str | None = None
    changes: Mapping[str, Any] | None = None
    device: str = "cpu"
    repeats: int = 5

    def __post_init__(self) -> None:
        for name in ("seq_len", "batch", "input_size", "repeats"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.width is not None and self.budget is not None:
            raise RequestError(f"give --width {self.width} or --budget {self.budget}, not both.")
        if self.wrapper is not None and self.budget is None:
            raise RequestError(f"--wrapper {self.wrapper} needs a --budget: without one, single layers are measured.")
        if self.device not in (here := devices()):
            raise RequestError(f"no device {self.device!r} here. Devices: {', '.join(here)}.")


def devices() -> list[str]:
    """Return the devices on which a step can be timed."""
    count = torch.cuda.device_count()
    return ["cpu", *["cuda"][:count], *(f"cuda:{index}" for index in range(count))]


@dataclass
class Timing:
    """Milliseconds: the median, the least, and the distance between the quartiles over the median."""

    median: float
    least: float
    spread: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        median = statistics.median(seconds)
        low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (median,) * 3
        return cls(1e3 * median, 1e3 * min(seconds), (high - low) / median)


def measure(models: Sequence[str], setup: Setup, listener: Listener = lambda name, seconds: None) -> dict[str, Any]:
    """Compare the first model with the others.

    Args:
        models: names as on the command line; a suffix names a backend, as in `fru:eager`.
        listener: called with the name of each contender and the seconds of its first train step.

    Returns:
        `ratios`: rival → the `QUANTITIES`, the rival's figure over the first model's; `measured`:
        the figures themselves; what they were measured on; and `busy`, the reasons not to trust them.

    Raises:
        RequestError: no such model, backend, setting or tier, or a model that does not fit it.
    """
    names = list(dict.fromkeys(models))
    contenders = {name: Contender(name, setup) for name in names}
    flush_denormals()  # as in training
    with watch() as busy:
        times = take_turns(contenders, setup.repeats, listener)
        steps = {name: contender.stream_step() for name, contender in contenders.items()}
        memory = {name: peak_memory(name, setup) for name in names}
    measured: dict[str, dict[str, Any]] = {
        name: {**{key: asdict(Timing.of(seconds)) for key, seconds in times[name].items()}, "peak_memory": memory[name],
               "step": steps[name],
               "parameters": contenders[name].parameter_count(), **contenders[name].description()}
        for name in names
    }  # fmt: skip
    busy += [
        f"the {key} of {name} varied by {measured[name][key]['spread']:.0%}"
        for name in names
        for key in ("forward", "train_step")
        if measured[name][key]["spread"] > 0.25
    ]
    return {
        "model": names[0],
        "ratios": {rival: ratios(measured[rival], measured[names[0]]) for rival in names[1:]},
        "measured": measured,
        "setup": asdict(setup),
        **surroundings(setup.device),
        "busy": busy,
    }


def ratios(rival: dict[str, Any], model: dict[str, Any]) -> dict[str, float]:
    """Return the `QUANTITIES`: the rival's figures over the model's, from what `measure` measured of each."""
    found = {key: rival[key]["median"] / model[key]["median"] for key in ("forward", "train_step")}
    found["per_parameter"] = found["train_step"] * model["parameters"] / rival["parameters"]
    return {**found, "peak_memory": rival["peak_memory"] / max(model["peak_memory"], 1)}


def classifier(setup: Setup) -> TaskSpec:
    """Return the task that the networks are built for."""
    return TaskSpec(
        name="speed", summary="Noise of ten classes.", seq_len=setup.seq_len, input=Continuous(setup.input_size),
        output=Label(CLASSES), metric="accuracy", chance=1 / CLASSES, source="", license="", citation="",
    )  # fmt: skip


def configure(name: str, setup: Setup) -> tuple[type[Wrapper], Settings]:
    """Return the wrapper and the settings of a contender.

    Args:
        name: a model, with a backend after a colon if it has several.

    Raises:
        RequestError: no such model, backend, setting or tier, or the model does not fit the tier.
    """
    stem, _, backend = name.partition(":")
    cls = find_model(stem).cls
    own = {field.name for field in fields(cls.Config)}
    if backend and "backend" not in own:
        raise RequestError(f"{stem} has no backends: leave ':{backend}' out.")
    changes = {key: value for key, value in (setup.changes or {}).items() if key in own}
    changes |= {"backend": backend} if backend else {}
    try:
        if setup.budget is not None:
            wrapper = find_wrapper(setup.wrapper or cls.wrapper)
            return wrapper, fit(cls, wrapper, classifier(setup), setup.budget, changes)
        config = cls.Config() if setup.width is None else cls.Config.at_width(setup.width)
        return Plain, Settings(config, Plain.Config(), Training()).updated(changes)
    except RequestError as error:
        raise RequestError(f"{name}: {error}") from error


def parse_changes(names: Sequence[str], assignments: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` words as settings of the named models; see `parse_settings`."""
    return parse_settings([find_model(name.partition(":")[0]).cls.Config() for name in names], assignments)


class Contender:
    """A network, a batch of noise, and the two steps that are timed."""

    def __init__(self, name: str, setup: Setup) -> None:
        torch.manual_seed(0)
        model = find_model(name.partition(":")[0]).cls
        wrapper, self.settings = configure(name, setup)
        self.network = build(model, wrapper, self.settings, classifier(setup)).to(setup.device)
        self.parameters = list(self.network.parameters())
        self.x_BTD = torch.randn(setup.batch, setup.seq_len, setup.input_size, device=setup.device)
        self.y_B = torch.randint(CLASSES, (setup.batch,), device=setup.device)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters)

    def description(self) -> dict[str, Any]:
        wrapper = {"name": self.network.name, **asdict(self.settings.wrapper)}
        return {"config": asdict(self.settings.model), "wrapper": wrapper}

    def forward(self) -> None:
        with torch.no_grad():
            self.network(self.x_BTD)

    def train_step(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        F.cross_entropy(self.network(self.x_BTD), self.y_B).backward()

    def stream_step(self) -> float | None:
        """Return the milliseconds of a step in a stream; None where a sequence can't be fed step by step."""
        seconds = step_seconds(self.network.mixers(), self.x_BTD.device)
        return None if seconds is None else 1e3 * seconds

    def seconds(self, step: Callable[[], None]) -> float:
        synchronize = waiter(self.x_BTD.device)
        synchronize()
        start = time.perf_counter()
        step()
        synchronize()
        return time.perf_counter() - start


def take_turns(
    contenders: Mapping[str, Contender], repeats: int, listener: Listener
) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each contender's forward and train steps, after one of each to warm up."""
    steps = {(name, key): (c, getattr(c, key)) for name, c in contenders.items() for key in ("forward", "train_step")}
    first = {}
    for (name, key), (contender, step) in steps.items():
        first[name, key] = contender.seconds(step)
        if key == "train_step":
            listener(name, first[name, key])
    times: dict[str, dict[str, list[float]]] = {name: {"forward": [], "train_step": []} for name in contenders}
    for _ in range(repeats):
        for (name, key), (contender, step) in steps.items():
            count = min(TURN_STEPS, max(1, round(TURN_SECONDS / first[name, key])))
            times[name][key] += [contender.seconds(step) for _ in range(count)]
    return times


def peak_memory(name: str, setup: Setup) -> int:
    """Return the bytes by which a train step raises the peak of a fresh process, or of the GPU's allocator."""
    if setup.device != "cpu":
        return raised_peak_of_gpu(name, setup)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(_raised_peak, name, setup, torch.get_num_threads()).result()


def raised_peak_of_gpu(name: str, setup: Setup) -> int:
    """Count in this process: torch knows what its tensors take, whatever else it holds."""
    device, contender = torch.device(setup.device), Contender(name, setup)
    contender.train_step()  # libraries take their working memory on first use
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    contender.train_step()
    return torch.cuda.max_memory_allocated(device) - before


def _raised_peak(name: str, setup: Setup, threads: int) -> int:
    torch.set_num_threads(threads)
    flush_denormals()
    few = replace(setup, seq_len=32, batch=min(setup.batch, 16))  # enough for kernels that leave few sequences to torch
    Contender(name, few).train_step()  # what libraries load on first use
    contender = Contender(name, setup)
    reset_peaks()
    resident = psutil.Process().memory_info().rss
    contender.train_step()
    return max(0, peak_host() - resident)


@contextmanager
def watch() -> Iterator[list[str]]:
    """Collect reasons to distrust what is timed inside: other processes' work before it, and time the host took."""
    reasons: list[str] = []
    others = psutil.cpu_percent(interval=0.5)
    if others > 15:
        reasons.append(f"other processes used {others:.0f}% of the processors before the start")
    before = psutil.cpu_times()
    yield reasons
    after = psutil.cpu_times()
    stolen, total = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0), sum(after) - sum(before)
    if stolen > 0.02 * total:
        reasons.append(f"the host took {stolen / total:.0%} of the time")


def surroundings(device: str) -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else processor
    return {
        "device": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
