"""The Triton kernels compiled for an H100: what `gpu_schedule.py` needs the package triton for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from models.kernels.gpu import (
    cornn,  # fmt: skip
    fru,
    hippo,
    indrnn,
    lem,
    mamba,
    product,
    scan,
    sru,
)
from models.kernels.gpu.fru_operators import NUMBERS, SEGMENT, resources
from models.kernels.gpu.launch import in_registers

H100 = GPUTarget("cuda", 90, 32)
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
INTEGERS = (
    "T", "B", "E", "H", "K", "N", "R", "S", "k", "CAP", "ACTED", "before", "steps", "decay_B", "decay_T", "decay_N",
)  # fmt: skip
FLOATS = ("dt", "gamma", "epsilon")
LAUNCH = ("num_warps", "enable_fp_fusion")
SMALL = {"S": 16, "R": 64, **resources(16 * 64)}  # S = 10 and R = 60, padded
LARGE = {"S": 64, "R": 256, **resources(64 * 256)}
UNITS = {"WIDTH": indrnn.WIDTH, **indrnn.RESOURCES}
SCAN = {"STEPS": scan.STEPS, "WIDTH": scan.WIDTH, **scan.RESOURCES}


@dataclass(frozen=True)
class Case:
    """A kernel, and the arguments that are fixed when it is compiled."""

    name: str
    kernel: Any
    fixed: dict[str, Any]


CASES = (
    Case("FRU forward", fru.statistics_forward, {"HAS_LENGTHS": True, "SEGMENT": SEGMENT, **SMALL}),
    Case("FRU backward", fru.statistics_backward, SMALL),
    Case("FRU forward, large", fru.statistics_forward, {"HAS_LENGTHS": True, "SEGMENT": SEGMENT, **LARGE}),
    Case("FRU backward, large", fru.statistics_backward, LARGE),
    Case("FRU sums", fru.running_forward, {"HAS_START": True, "S": 16, "WIDTH": 64, **resources(16 * 64)}),
    Case("FRU sums, backward", fru.running_backward, {"BLOCK": NUMBERS, **resources(NUMBERS)}),
    Case("Mamba forward", mamba.scan_forward, mamba.sizes(16)),
    Case("Mamba backward", mamba.scan_backward, mamba.sizes(16)),
    Case("IndRNN forward", indrnn.loop_forward, UNITS),
    Case("IndRNN backward", indrnn.loop_backward, UNITS),
    Case("LMU forward", product.loop, {"FUNCTION": "tanh", "BACKWARD": False, **in_registers(128, 1)}),
    Case(
        "expRNN backward, large",
        product.loop,
        {"FUNCTION": "modrelu", "BACKWARD": True, **in_registers(256, 1)},
    ),
    Case("coRNN forward", cornn.loop_forward, in_registers(128, 2)),
    Case("coRNN backward", cornn.loop_backward, in_registers(128, 2)),
    Case("LEM forward", lem.loop_forward, in_registers(64, 4)),
    Case("LEM backward", lem.loop_backward, in_registers(64, 4)),
    Case("HiPPO forward, large", hippo.loop_forward, hippo.resources(128, 128)),
    Case("HiPPO backward, large", hippo.loop_backward, hippo.resources(128, 128)),
    Case("SRU forward", sru.statistics_forward, sru.resources(5, 11, 37)),
    Case("SRU backward", sru.statistics_backward, sru.resources(5, 11, 37)),
    Case("scan, real", scan.scan, {"REVERSE": False, "COMPLEX": False, **SCAN}),
    Case("scan, complex, backward", scan.scan, {"REVERSE": True, "COMPLEX": True, **SCAN}),
)


def compiled(case: Case) -> Any:
    types = {each: "constexpr" if each in case.fixed else argument_type(each) for each in case.kernel.arg_names}
    places = {each: (case.kernel.arg_names.index(each),) for each in types}
    constants = {places[each]: value for each, value in case.fixed.items() if each in places}
    aligned = {places[each]: [["tt.divisibility", 16]] for each, kind in types.items() if kind.startswith("*")}
    source = ASTSource(case.kernel, types, constants, aligned)
    return triton.compile(source, target=H100, options={each: case.fixed[each] for each in LAUNCH})


def argument_type(name: str) -> str:
    if name == "lengths_B":
        return "*i64"
    if name in FLOATS:
        return "fp32"
    return "i32" if name in INTEGERS else "*fp32"
