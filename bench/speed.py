"""Time and memory of architectures side by side, as ratios. Shapes: B batch, T time, D input, H output.

A train step is `last`, a linear readout to ten classes with cross-entropy, and the gradients of every parameter. Times
are medians of repeats in which the contenders take turns; memory is by how much a step raises the peak of a fresh
process; `step` is one step of one sequence, as in a stream. Denormal numbers count as zero.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from bench.errors import RequestError
from bench.latency import step_seconds
from bench.registry import find_model
from bench.settings import parse_settings
from models._base import ModelConfig, SequenceModel

if TYPE_CHECKING:
    from altair import LayerChart

CLASSES = 10
TURN_SECONDS = 0.2
"""A contender whose step is quicker repeats it within its turn, up to TURN_STEPS times."""
TURN_STEPS = 10
QUANTITIES = ("forward", "train_step", "peak_memory")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is measured. `width` is a model's `at_width`; `changes` are settings of those models that have them."""

    seq_len: int = 784
    batch: int = 256
    input_size: int = 1
    width: int | None = None
    changes: Mapping[str, Any] | None = None
    device: str = "cpu"
    repeats: int = 5

    def __post_init__(self) -> None:
        for name in ("seq_len", "batch", "input_size", "repeats"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.device != "cpu" and not (self.device.startswith("cuda") and torch.cuda.is_available()):
            raise RequestError(f"no device {self.device!r} here. Devices: cpu{', cuda' * torch.cuda.is_available()}.")


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


def measure(models: Sequence[str], setup: Setup) -> dict[str, Any]:
    """Compare the first model with the others.

    Args:
        models: names as on the command line; a suffix names a backend, as in `fru:eager`.

    Returns:
        `ratios`: rival → {forward, train_step, peak_memory}, the rival's figure over the first model's; `measured`:
        the figures themselves; what they were measured on; and `busy`, the reasons not to trust them.

    Raises:
        RequestError: no such model, backend or setting.
    """
    names = list(dict.fromkeys(models))
    configs = {name: configure(name, setup) for name in names}
    contenders = {name: Contender(name, configs[name], setup) for name in names}
    with denormals_flushed(), watch() as busy:
        times = take_turns(contenders, setup.repeats)
        steps = {
            name: step_seconds([contender.model], torch.device(setup.device)) for name, contender in contenders.items()
        }
        memory = {name: peak_memory(name, setup) for name in names}
    measured: dict[str, dict[str, Any]] = {
        name: {**{key: asdict(Timing.of(seconds)) for key, seconds in times[name].items()}, "peak_memory": memory[name],
               "step": steps[name],
               "parameters": contenders[name].parameter_count(), "config": asdict(configs[name])}
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
    found = {key: rival[key]["median"] / model[key]["median"] for key in ("forward", "train_step")}
    return {**found, "peak_memory": rival["peak_memory"] / max(model["peak_memory"], 1)}


def configure(name: str, setup: Setup) -> ModelConfig:
    """The settings of a contender."""
    stem, _, backend = name.partition(":")
    cls = find_model(stem).cls
    config = cls.Config() if setup.width is None else cls.Config.at_width(setup.width)
    own = {field.name for field in fields(config)}
    if backend and "backend" not in own:
        raise RequestError(f"{stem} has no backends: leave ':{backend}' out.")
    changes = {key: value for key, value in (setup.changes or {}).items() if key in own}
    try:
        config = replace(config, **changes, **({"backend": backend} if backend else {}))
    except ValueError as error:
        raise RequestError(f"{name}: {error}.") from error
    return config


def parse_changes(names: Sequence[str], assignments: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as settings; see `parse_settings`."""
    return parse_settings([find_model(name.partition(":")[0]).cls.Config() for name in names], assignments)


class Contender:
    """A model with a readout, a batch of noise, and the two steps that are timed."""

    def __init__(self, name: str, config: ModelConfig, setup: Setup) -> None:
        torch.manual_seed(0)
        cls: type[SequenceModel] = find_model(name.partition(":")[0]).cls
        model = cls(config, input_size=setup.input_size, seq_len=setup.seq_len)
        self.model, self.readout = model.to(setup.device), nn.Linear(model.output_size, CLASSES).to(setup.device)
        self.parameters = [*self.model.parameters(), *self.readout.parameters()]
        self.x_BTD = torch.randn(setup.batch, setup.seq_len, setup.input_size, device=setup.device)
        self.y_B = torch.randint(CLASSES, (setup.batch,), device=setup.device)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def forward(self) -> None:
        with torch.no_grad():
            self.model.last(self.x_BTD)

    def train_step(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        F.cross_entropy(self.readout(self.model.last(self.x_BTD)), self.y_B).backward()

    def stream_step(self) -> float | None:
        """Milliseconds; None where a sequence can't be fed step by step."""
        seconds = step_seconds([self.model], self.x_BTD.device)
        return None if seconds is None else 1e3 * seconds

    def seconds(self, step: Callable[[], None]) -> float:
        synchronize = torch.cuda.synchronize if self.x_BTD.is_cuda else lambda: None
        synchronize()
        start = time.perf_counter()
        step()
        synchronize()
        return time.perf_counter() - start


def take_turns(contenders: Mapping[str, Contender], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each contender's forward and train steps, after one of each to warm up."""
    steps = {(name, key): (c, getattr(c, key)) for name, c in contenders.items() for key in ("forward", "train_step")}
    first = {which: contender.seconds(step) for which, (contender, step) in steps.items()}
    times: dict[str, dict[str, list[float]]] = {name: {"forward": [], "train_step": []} for name in contenders}
    for _ in range(repeats):
        for (name, key), (contender, step) in steps.items():
            count = min(TURN_STEPS, max(1, round(TURN_SECONDS / first[name, key])))
            times[name][key] += [contender.seconds(step) for _ in range(count)]
    return times


def peak_memory(name: str, setup: Setup) -> int:
    """Bytes by which a train step raises the peak of a fresh process, or of the GPU's allocator."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(_raised_peak, name, setup, torch.get_num_threads()).result()


def _raised_peak(name: str, setup: Setup, threads: int) -> int:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    config = configure(name, setup)
    Contender(name, config, replace(setup, seq_len=32, batch=2)).train_step()  # what libraries load on first use
    contender = Contender(name, config, setup)
    if setup.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        contender.train_step()
        return torch.cuda.max_memory_allocated() - before
    reset_peak()
    resident = psutil.Process().memory_info().rss
    contender.train_step()
    return max(0, resident_peak() - resident)


def reset_peak() -> None:
    """Make the peak the present state, where the system can."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def resident_peak() -> int:
    """The most bytes that this process held at once."""
    if Path("/proc/self/status").exists():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Fading gradients are full of them, and they cost a hundredfold."""
    before = bool(torch.tensor(1e-38) / 100 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def watch() -> Iterator[list[str]]:
    """Collects reasons to distrust what is timed inside: others' work before it, and time stolen by the host."""
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
    name = torch.cuda.get_device_name(device) if device != "cpu" else platform.processor() or platform.machine()
    return {
        "device": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def table(report: Mapping[str, Any]) -> Table:
    """One row a contender: its figures, and how many times the model's they are."""
    setup = report["setup"]
    title = f"T={setup['seq_len']}, B={setup['batch']}, D={setup['input_size']}, {report['dtype']}"
    caption = f"{report['threads']} threads, {report['device']}, torch {report['versions']['torch']}"
    if report["busy"]:
        caption += "\nDo not trust these numbers: " + "; ".join(report["busy"])
    rows = Table(title=title, caption=caption)
    for heading in ("", "forward", "×", "train step", "×", "peak memory", "×", "step of a stream", "parameters"):
        rows.add_column(heading, justify="right" if heading else "left")
    for name, figures in report["measured"].items():
        times = report["ratios"].get(name, dict.fromkeys(QUANTITIES, 1.0))
        shown = [f"{figures[key]['median']:,.1f} ms" for key in ("forward", "train_step")]
        shown.append(f"{figures['peak_memory'] / 2**20:,.1f} MiB")
        cells = [cell for value, key in zip(shown, QUANTITIES, strict=True) for cell in (value, f"{times[key]:,.1f}")]
        step = "–" if figures["step"] is None else f"{figures['step']:.3f} ms"
        rows.add_row(name, *cells, step, f"{figures['parameters']:,}")
    return rows


def plot(reports: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the train step's time against the sequence length, one report a length, as PNG, SVG, HTML or JSON."""
    try:
        chart(reports).save(str(path))
    except ImportError as error:
        raise RequestError(f"a chart needs altair and vl-convert-python: {error}.") from error
    except ValueError as error:
        raise RequestError(
            f"can't write {path}: {error}. Give a name that ends in .png, .svg, .html or .json."
        ) from error


def chart(reports: Sequence[Mapping[str, Any]]) -> "LayerChart":
    import altair as alt

    points = [
        {"T": report["setup"]["seq_len"], "ms": figures["train_step"]["median"], "model": name}
        for report in reports
        for name, figures in report["measured"].items()
    ]
    lines = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("T:Q", title="steps of the sequence").scale(type="log", base=2),
        y=alt.Y("ms:Q", title="ms per train step").scale(type="log"),
        color=alt.Color("model:N", title=None, sort=None),
    )
    return lines.mark_line() + lines.mark_point(filled=True)
