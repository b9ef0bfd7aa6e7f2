"""Show what the compiler makes of the Triton kernels for an H100, on any Linux machine, with or without a GPU.

    python benchmarks/gpu_schedule.py

Print for each kernel: its warps, the registers of a thread, the bytes that it spills, the shared memory of a program,
the instructions in one turn of its longest innermost loop (a step; a tile of the scan), and the cycles that a turn
takes a warp that runs alone.

A GPU instruction encodes how many cycles to wait before the next one, which of six counters it holds until its result
is there, and which counters it waits for (Jia et al. 2018, arXiv 1804.06826). So the cycles follow from the machine
code, except for the latencies below, which have the size that is published for Hopper (Luo et al. 2024, arXiv
2402.13499). The cycles are an estimate: copies ahead of their use are assumed to be in time, and other warps and the
driver are left out.
"""

import argparse
import re
import subprocess
import tempfile
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from bench.common.errors import require
from bench.common.exit_codes import exit_codes

if TYPE_CHECKING:
    from _gpu_kernels import Case

LATENCY = defaultdict(lambda: 15, LDS=30, LDSM=33, SHFL=24, LDG=500, LDC=40, HMMA=33, LDL=35, STS=20, STG=20, MUFU=20)
"""Instruction → cycles until its result is there, for results that have no fixed number of cycles to wait."""
BARRIER = 20  # cycles that the warps of a program lose to one another


class Instruction(NamedTuple):
    address: int
    text: str
    control: int

    @property
    def name(self) -> str:
        return re.sub(r"^@\S+ ", "", self.text).split()[0].split(".")[0]

    @property
    def jumps_to(self) -> int | None:
        jump = re.search(r"BRA.* 0x(\w+)", self.text)
        return int(jump[1], 16) if jump else None

    def bits(self, first: int, count: int) -> int:
        return self.control >> first & (1 << count) - 1


def instructions(listing: str) -> list[Instruction]:
    """Parse a listing that shows each instruction's two words. The second word ends with the control bits."""
    found = re.findall(r"/\*([0-9a-f]{4,})\*/ +(.+?) *; +/\* 0x\w+ \*/\s+/\* 0x(\w+) \*/", listing)
    return [Instruction(int(address, 16), text, int(word, 16)) for address, text, word in found]


def usual_turn(code: list[Instruction]) -> list[Instruction]:
    """Return the longest innermost loop, without what it may jump over: storing a state each SEGMENT steps."""
    place = {instruction.address: n for n, instruction in enumerate(code)}
    target = {n: place[goal] for n, each in enumerate(code) if (goal := each.jumps_to) in place}
    loops = [(goal, n) for n, goal in target.items() if goal < n]
    inner = [(a, b) for a, b in loops if not any(a <= c and d <= b and (c, d) != (a, b) for c, d in loops)]
    first, last = max(inner, key=lambda loop: loop[1] - loop[0])
    turn, n = [], first
    while n <= last:
        turn.append(code[n])
        n = target[n] if n < target.get(n, 0) <= last else n + 1
    return turn


def cycles(loop: list[Instruction], turns: int = 8) -> float:
    """Return the cycles of one turn, once the loop is under way."""
    now, free, ends = 0, [0] * 8, []
    for _ in range(turns):
        for each in loop:
            stall, writes, reads, waits = each.bits(41, 4), each.bits(46, 3), each.bits(49, 3), each.bits(52, 6)
            now = max([now, *(free[n] for n in range(6) if waits >> n & 1)])
            free[writes] = max(free[writes], now + LATENCY[each.name])
            free[reads] = max(free[reads], now + min(LATENCY[each.name], 15))
            now += max(1, stall) + BARRIER * (each.name == "BAR")
        ends.append(now)
    return (ends[-1] - ends[1]) / (turns - 2)


def report(case: "Case") -> str:
    from _gpu_kernels import CUOBJDUMP, compiled

    program = compiled(case)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(program.asm["cubin"])
        file.flush()
        call = [str(CUOBJDUMP), "-sass", "-res-usage", file.name]
        listing = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout  # noqa: S603
    registers, spilled = re.search(r"REG:(\d+) STACK:(\d+)", listing).groups()  # type: ignore[union-attr]
    loop = usual_turn(instructions(listing))
    numbers = (case.fixed["num_warps"], registers, spilled, program.metadata.shared, len(loop), f"{cycles(loop):.0f}")
    return f"| {case.name} | " + " | ".join(map(str, numbers)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    require("triton", "test")
    from _gpu_kernels import CASES

    print("| kernel | warps | registers | spilled bytes | shared bytes | instructions a turn | cycles a turn |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        print(report(case), flush=True)


if __name__ == "__main__":
    with exit_codes():
        main()
