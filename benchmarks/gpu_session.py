"""Use a GPU that is there for minutes: test the kernels, measure, profile, train a suite, and stop in time.

    python benchmarks/gpu_session.py --minutes 12 --out FOLDER
    python benchmarks/gpu_session.py --minutes 5 --out OTHER_FOLDER --rehearse     # without a GPU: everything tiny

Each part is a process with its own limit of time; one that fails or takes too long does not keep the others from
running. What it prints is in FOLDER at once, and after each part `report.md` says how all have ended. The same command
goes on where the last one stopped: it skips the parts that are done, and resumes the suite in FOLDER/board.sqlite.

Nothing is installed or downloaded. The packages that are missing are named before anything begins, and a task whose
data are not there is skipped (BENCH_DATA_DIR may name a folder with them). docs/gpu.md says more.
"""

import argparse
import json
import os
import re
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _parts import Ending, Part, Session

ROOT = Path(__file__).resolve().parents[1]
TESTS_NEED = ("pytest", "pytest-xdist", "hypothesis", "triton")
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
"""Makes a download fail at once. Without a network it might wait for minutes."""
KEPT = 0.3
"""The share of the time that is kept for the suite."""
MACHINE = """
import json, sys
from bench.runs.provenance import environment
found = environment()
if "{device}" == "cuda" and not found["gpu"]:
    sys.exit("torch sees no GPU here; --rehearse tries the session without one")
print(json.dumps(found, indent=1))
"""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the parts are."""

    bench: str = "bench"
    """The module that is the command line."""
    device: str = "cuda"
    profiled_on: str = "cuda"
    kernel_tests: Sequence[str]
    contract_tests: Sequence[str]
    shapes: Mapping[str, Sequence[str]]
    """Part → its words for `bench speed`."""
    profiled: Sequence[str]
    profile: Sequence[str]
    """Words for `benchmarks/gpu_profile.py`."""
    suite: Sequence[str]
    """Words for `bench suite`."""


def tables(names: Sequence[str], size: int = 5) -> dict[str, Sequence[str]]:
    """Return the measurements of many models against the GRU, a few at a time, so that a slow one delays few others."""
    words = ("--model", "gru", "--seq-len", "1024", "--batch", "256", "--against")
    groups = [names[i : i + size] for i in range(0, len(names), size)]
    return {f"speed-1024-{number}": (*words, ",".join(group)) for number, group in enumerate(groups, start=1)}


def full() -> Scale:
    from bench.catalog.names import stems

    fru = ("--model", "fru", "--against", "fru:eager,lstm")
    return Scale(
        kernel_tests=("-n", "8", "tests/models/kernels/test_fru_gpu.py", "tests/models/kernels/test_mamba_gpu.py",
                      "tests/models/kernels/test_stepwise_gpu.py", "tests/models/recurrences/test_scan.py"),
        contract_tests=("-n", "8", "tests/models/test_rules.py", "tests/models/test_train.py", "--device", "cuda"),
        shapes={
            "speed-784": (*fru, "--seq-len", "784", "--batch", "256"),
            "speed-16384": (*fru, "--seq-len", "16384", "--batch", "32"),
            **tables(sorted(stems("models").keys() - {"gru"})),
        },
        profiled=("fru", "lstm", "s4d", "mamba"),
        profile=("--seq-len", "784", "--batch", "256"),
        suite=("--suite", "gpu-v1", "--models", "fru,lstm,gru,s4d,lru,mingru,transformer",
               "--workers", str(min(8, os.cpu_count() or 1))),
    )  # fmt: skip


def tiny() -> Scale:
    """Return the rehearsal: the pretended GPU for what runs there, Triton's interpreter for the kernels."""
    pair = ("--model", "fru", "--against", "mingru", "--batch", "2", "--repeats", "1")
    return Scale(
        bench="tests.support.pretended_gpu",
        device="pretended",
        profiled_on="cpu",
        kernel_tests=("-n", "0", "tests/models/kernels/test_fru_gpu.py", "-k", "authors and fru_k6 and last"),
        contract_tests=("-n", "0", "tests/models/test_rules.py", "-k", "mingru and causal"),
        shapes={"speed-784": (*pair, "--seq-len", "7"), "speed-16384": (*pair, "--seq-len", "16")},
        profiled=("fru", "mingru"),
        profile=("--seq-len", "7", "--batch", "2"),
        suite=("--suite", str(ROOT / "benchmarks" / "gpu_rehearsal.toml"), "--models", "fru,mingru", "--seeds", "1"),
    )


def parts(scale: Scale) -> "list[Part]":
    """Return the parts in the order of their worth: are the kernels right, are they fast, why; then results."""
    from _parts import Part

    def tests(name: str, words: Sequence[str]) -> Part:
        command = ("-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", *words)
        return Part(name=name, command=command, share=0.2, suffix=".txt")

    def speed(name: str) -> Part:
        command = ("-m", scale.bench, "speed", *scale.shapes[name], "--device", scale.device, "--json")
        return Part(name=name, command=command, share=0.15 if name == "speed-16384" else 0.08)

    def profile(model: str) -> Part:
        command = ("benchmarks/gpu_profile.py", "--model", model, *scale.profile, "--device", scale.profiled_on)
        return Part(name=f"profile-{model}", command=command, share=0.05, suffix=".md")

    first, second, *rest = scale.shapes
    return [
        machine(scale),
        tests("kernel-tests", scale.kernel_tests),
        speed(first),
        speed(second),
        *map(profile, scale.profiled),
        *map(speed, rest),
        tests("contract-tests", scale.contract_tests),
        Part(name="suite", command=("-m", scale.bench, "suite", *scale.suite, "--json"), share=1.0, fills=True),
    ]


def machine(scale: Scale) -> "Part":
    from _parts import Part

    return Part(name="machine", command=("-c", MACHINE.format(device=scale.device)), share=0.1, needed=True)


# What is missing, and what came out


def missing_packages() -> list[str]:
    """Return the packages that the project or its tests need and this Python lacks."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = [re.split(r"[^\w.-]", each)[0] for each in needed] + list(TESTS_NEED)
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return distribution(name) is not None
    except PackageNotFoundError:
        return False


def result(printed: str, messages: str) -> str:
    """Return in a few words what a part has found, from what it printed and its messages."""
    try:
        document = json.loads(printed)
    except ValueError:
        lines = [line.strip(" =") for line in (printed or messages).splitlines() if line.strip()]
        return lines[-1] if lines else ""
    if "ratios" in document:
        return speed_result(document)
    if "missing" in document:
        made, left = len(document["runs"]), len(document["missing"])
        lacking = "".join(f"; no data of {task}" for task in document["unavailable"])
        return f"{made} of {made + left} runs{lacking}"
    return str(document["gpu"] or document["cpu"])


def speed_result(document: Mapping[str, Any]) -> str:
    model = document["model"]
    step = document["measured"][model]["train_step"]["median"]
    rivals = ", ".join(f"{name} × {each['train_step']:.3g}" for name, each in document["ratios"].items())
    busy = f" (not to be trusted: {'; '.join(document['busy'])})" if document["busy"] else ""
    return f"a train step of {model} takes {step:.3g} ms; {rivals}{busy}"


def report(session: "Session", every: "Sequence[Part]", endings: "Mapping[str, Ending]") -> str:
    """Return the table of all parts in Markdown."""
    lines = ["| part | ended | seconds | what it found |", "|---|---|---|---|"]
    for part in every:
        ending = endings.get(part.name)
        if ending is None:
            lines.append(f"| {part.name} | not yet | | |")
        else:
            found = result(session.printed(part), session.messages(part)).replace("|", "\\|")
            lines.append(f"| {part.name} | {ending.status} | {ending.seconds:.0f} | {found} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12, help="after which everything has ended (default 12)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; of an earlier session to go on")
    parser.add_argument("--rehearse", action="store_true", help="tiny parts on a pretended GPU")
    options = parser.parse_args()
    if missing := missing_packages():
        parser.error(f"this Python lacks {', '.join(missing)}; docs/gpu.md says how to bring wheels along.")
    sys.path.insert(0, str(ROOT))  # this checkout, whatever is installed
    sys.exit(carry_out(options, parser))


def carry_out(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run the session. Return 0 if every part is done, 1 if not, 130 if it was interrupted."""
    from _parts import DONE, Ending, Session

    from bench.common.whole_files import write_whole

    scale = tiny() if options.rehearse else full()
    every, folder = parts(scale), options.out.resolve()

    def say(name: str, ending: Ending) -> None:
        print(f"{name}: {ending.status} after {ending.seconds:.0f} s", file=sys.stderr, flush=True)
        write_whole(folder / "report.md", report(session, every, session.endings()).encode())

    try:
        session = Session(
            folder=folder, seconds=60 * options.minutes, kept=KEPT, cwd=ROOT, listener=say,
            kind="rehearsal" if options.rehearse else "session on a GPU",
            environment={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "BENCH_DB": str(folder / "board.sqlite"),
                         "BENCH_PUBLISHED": "", **NO_NETWORK},
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a part under way is ended either way
    try:
        endings = session.run(every)
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on in {folder}.", file=sys.stderr)
        return 130
    print((folder / "report.md").read_text("utf-8"))
    return 0 if all(each.status == DONE for each in endings.values()) else 1


if __name__ == "__main__":
    main()
