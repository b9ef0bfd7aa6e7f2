"""Show on what an architecture's training step spends its time, operation by operation.

    python benchmarks/gpu_profile.py --model fru --device cuda

The step is that of `bench speed`: a classifier of ten classes, its cross-entropy and all gradients. On a GPU an
operation is a kernel; on a CPU, an operator of torch. `busy` compares the time of all operations with that of a step
that is not profiled: what is missing to 100%, the device waited. (Above 100%, operations ran beside one another.)
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bench.speed.measure import Contender

STEPS = 3  # that are profiled
TIMED = 5  # that are timed without the profiler
SHOWN = 12
NAME = 60  # characters of an operation's name; those of templates fill a page


class Operation(NamedTuple):
    """An operation in one step, on average."""

    name: str
    calls: float
    milliseconds: float


def operations(contender: "Contender") -> list[Operation]:
    """Profile training steps. Return their operations, the longest first."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = contender.x_BTD.is_cuda
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
    for steps in (1, STEPS):  # the first profile pays for starting the profiler
        with profile(activities=activities) as profiler:
            for _ in range(steps):
                contender.seconds(contender.train_step)
    kind = "CUDA" if on_gpu else "CPU"
    found = [
        Operation(
            each.key, each.count / STEPS,
            (each.self_device_time_total if on_gpu else each.self_cpu_time_total) / STEPS / 1e3,
        )
        for each in profiler.key_averages()
        if each.device_type.name == kind
    ]  # fmt: skip
    return sorted(found, key=lambda each: -each.milliseconds)


def show(name: str, found: Sequence[Operation], step_ms: float) -> None:
    whole = sum(each.milliseconds for each in found)
    print(f"| {name}: operation | calls | ms | share |\n|---|---|---|---|")
    for each in found[:SHOWN]:
        label = each.name.replace("|", "\\|")[:NAME]
        print(f"| {label} | {each.calls:g} | {each.milliseconds:.3f} | {each.milliseconds / whole:.0%} |")
    rest = found[SHOWN:]
    left = sum(each.milliseconds for each in rest)
    print(f"| {len(rest)} others | {calls(rest):g} | {left:.3f} | {left / whole:.0%} |")
    print(f"\n{name}: {step_ms:.2f} ms a step, busy {whole / step_ms:.0%} of it, in {calls(found):g} operations")


def calls(found: Sequence[Operation]) -> float:
    return sum(each.calls for each in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fru", help="as `bench speed` takes it (default fru)")
    parser.add_argument("--seq-len", type=int, default=784, help="steps of a sequence (default 784)")
    parser.add_argument("--batch", type=int, default=256, help="sequences in a batch (default 256)")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default cuda)")
    options = parser.parse_args()
    from bench.common.errors import RequestError
    from bench.speed.measure import Contender, Setup

    try:
        contender = Contender(options.model, Setup(seq_len=options.seq_len, batch=options.batch, device=options.device))
    except RequestError as error:
        parser.error(str(error))
    contender.train_step()
    step_ms = 1e3 * min(contender.seconds(contender.train_step) for _ in range(TIMED))
    show(options.model, operations(contender), step_ms)


if __name__ == "__main__":
    main()
