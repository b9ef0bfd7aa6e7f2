"""The start of every parameter against many starts of its authors' own code: see golden/README.md.

A file has n numbers of a parameter's start (`count/NAME`): their mean, their standard deviation and seven quantiles. We
draw m of ours over many seeds. If both are draws from one distribution,

- the means differ by σ √(1/n + 1/m), one standard error,
- the standard deviations by σ √((κ − 1)/4 · (1/n + 1/m)), where κ is the kurtosis of ours,
- the share of ours below their p-quantile differs from p by √(p (1 − p) (1/n + 1/m)), whatever the distribution.

A difference of more than LIMIT of these standard errors fails. At 5, chance alone would fail one comparison in 1.7
million; with n = 20,000 and m = 10,000, a mean off by 6% of σ or a spread off by 4% (normal) is seen. Seeds are fixed.
"""

from collections.abc import Callable, Iterator
from functools import cache
from math import ceil, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.catalog.registry import find_model, model_names
from models.hyena import AUTHORS_NAMES as HYENA_NAMES
from models.lmu import discretised_delay
from models.mamba2 import AUTHORS_NAMES as MAMBA2_NAMES
from models.mamba3 import AUTHORS_NAMES as MAMBA3_NAMES
from models.mlstm import AUTHORS_NAMES as MLSTM_NAMES
from models.recurrences.state_space import hippo_legs, hippo_normal_eigen
from models.shared.contract import Place
from models.slstm import AUTHORS_NAMES as SLSTM_NAMES
from tests.conftest import GOLDEN
from tests.papers.golden import CASES, DIFFERS, NO_SETTING, Arrays, line_of, load, marks

LIMIT = 5.0
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SEEDS = range(1, 1001)
ENOUGH = 10_000
SEQ_LEN = 100  # where a file has no size/T
AROUND = ("readout.", "classifier.", "output_linear.", "block ")
"""Parameters of the network around the mixer. Ours is the same for all architectures."""

UP_TO_SIGN = {"s4_dplr_init:kernel.B", "s4_dplr_init:kernel.P", "s4d_full_legs_init:kernel.B"}
"""Pairs of a real and an imaginary part that follow from eigenvectors, whose signs are LAPACK's choice."""

Sizes = dict[str, Any]
Theirs = dict[str, Tensor | None]
"""Our parameters in the authors' layout, by their names. None where ours has no such parameter."""


class Start(NamedTuple):
    model: str
    settings: Callable[[Sizes], dict[str, Any]]
    theirs: Callable[[Any], Theirs]


def cornn(m: Any) -> Theirs:
    return {"cell.i2h.weight": m.linear.weight, "cell.i2h.bias": m.linear.bias}


def exprnn(m: Any) -> Theirs:
    a_HH = torch.zeros(m.output_size, m.output_size)
    a_HH[m.upper[0], m.upper[1]] = -m.A
    even = torch.arange(0, m.output_size - 1, 2)
    return {
        "recurrent_kernel.A": a_HH - a_HH.T,
        "input_kernel.weight": m.input.weight,
        "nonlinearity.b": m.bias,
        "derived block angles": a_HH[even, even + 1],
    }


def gated_deltanet(m: Any) -> Theirs:
    theirs: Theirs = {"o_norm.weight": m.norm.weight, "o_proj.weight": m.leave.weight}
    theirs |= {name: getattr(m, name) for name in ("A_log", "dt_bias") if hasattr(m, name)}
    for layer, ending in ((m.qkv, "proj"), (m.conv, "conv1d")):
        parts = layer.weight.split(m.sizes)
        theirs |= {f"{name}_{ending}.weight": part for name, part in zip("qkv", parts, strict=True)}
    gates = m.gates.weight.split(m.gate_sizes)
    return theirs | {f"{name}_proj.weight": part for name, part in zip("gba", gates, strict=True) if len(part)}


def gla(m: Any) -> Theirs:
    parts = m.enter.weight.split(m.sizes)
    theirs: Theirs = {f"{name}_proj.weight": part for name, part in zip("qkvg", parts, strict=True)}
    gates = {f"gk_proj.{name}": each for name, each in m.gate.named_parameters()} if m.decay == "gated" else {}
    return theirs | gates | {"o_proj.weight": m.leave.weight, "g_norm_swish_gate.weight": m.norm.weight}


def hippo(m: Any) -> Theirs:
    theirs = {"W_uxh.weight": m.function.weight, "W_uxh.bias": m.function.bias}
    for part in ("weight", "bias"):
        theirs[f"W_gxm.W_g.{part}"], theirs[f"W_hxm.{part}"] = getattr(m.reader, part).chunk(2)
    return theirs


def hyena(m: Any) -> Theirs:
    theirs: Theirs = {theirs: m.get_parameter(ours) for ours, theirs in HYENA_NAMES.items()}
    return theirs | {
        "filter_fn.bias": m.skip.T.flatten(),
        "filter_fn.implicit_filter.1.freq": m.frequency.unsqueeze(0),
        "filter_fn.pos_emb.z": m.positions.unsqueeze(0),
    }


def indrnn(stack: Any) -> Theirs:
    return indrnn_layers(stack, [(f"DIs.{k}", f"RNNs.{k}") for k in range(len(stack))])


def indrnn_residual(stack: Any) -> Theirs:
    """Each layer's linear map, which is first in ours, and its recurrence and BatchNorm."""
    blocks = [f"features.resblock{i}" for i in range(1, (len(stack) + 1) // 2)]
    linears = ["features.fc0", *(f"{block}.fc{j}" for block in blocks for j in (1, 2))]
    recurrences = [*(f"{block}.IndRNNwithBN{j}" for block in blocks for j in (1, 2)), "features.IndRNNwithBN_last"]
    return indrnn_layers(stack, list(zip(linears, recurrences, strict=True)))


def indrnn_layers(stack: Any, names: list[tuple[str, str]]) -> Theirs:
    theirs: Theirs = {}
    for m, (linear, recurrence) in zip(stack, names, strict=True):
        theirs |= {f"{linear}.fc.weight": m.input.weight, f"{linear}.fc.bias": m.input.bias}
        theirs |= {f"{recurrence}.norm1.bn.weight": m.after.weight, f"{recurrence}.norm1.bn.bias": m.after.bias}
        theirs[f"{recurrence}.indrnn1.indrnn_cell.weight_hh"] = m.u
    return theirs


def lem(m: Any) -> Theirs:
    return {
        "cell.inp2hid.weight": m.input.weight,
        "cell.inp2hid.bias": m.input.bias,
        "cell.hid2hid.weight": m.hidden.weight,
        "cell.hid2hid.bias": None,
        "cell.transform_z.weight": m.cross.weight,
        "cell.transform_z.bias": None,
    }


def linoss(m: Any) -> Theirs:
    return {"A_diag": m.A, "steps": m.dt, "B": m.B, "C": m.C, "D": m.D}


def dlinoss(m: Any) -> Theirs:
    """Also the eigenvalues of a step that have a positive imaginary part."""
    keep_P, pull_P, _ = m.oscillators()
    step_P22 = torch.stack([keep_P, -pull_P, keep_P, 1 - pull_P], dim=-1).unflatten(-1, (2, 2))
    eigenvalue_P = torch.linalg.eigvals(step_P22.double())[:, 0]
    return {
        "A_diag": m.A,
        "G_diag": m.G,
        "dt": m.dt,
        "B": m.B,
        "C": m.C,
        "D": m.D,
        "derived |eigenvalue|": eigenvalue_P.abs(),
        "derived phase": eigenvalue_P.angle().abs(),
    }


def lmu(m: Any) -> Theirs:
    return {
        "e_x": m.encode_x.weight,
        "e_h": m.encode_h.weight,
        "e_m": m.encode_m.weight,
        "W_x": m.kernel_x.weight,
        "W_h": m.kernel_h.weight,
        "W_m": m.kernel_m.weight,
    }


def lru(m: Any) -> Theirs:
    parts = {f"{name}_{part}": getattr(m, name)[..., i] for name in "BC" for i, part in enumerate(("re", "im"))}
    return parts | {
        "D": m.D,
        "gamma_log": m.gamma_log,
        "nu_log": m.nu_log,
        "theta_log": m.theta_log,
        "derived |lambda|": m.transition().abs(),
        "derived phase": m.theta_log.exp(),
    }


def mamba(m: Any) -> Theirs:
    linears = {"in_proj": m.enter, "x_proj": m.select, "dt_proj": m.dt, "conv1d": m.conv, "out_proj": m.leave}
    weights = {f"{name}.weight": linear.weight for name, linear in linears.items()}
    return weights | {"dt_proj.bias": m.dt.bias, "conv1d.bias": m.conv.bias, "A_log": m.A_log, "D": m.D}


def mamba2(m: Any) -> Theirs:
    return {theirs: m.get_parameter(ours) for ours, theirs in (MAMBA2_NAMES | {"norm": "norm.weight"}).items()}


def mamba3(m: Any) -> Theirs:
    biases = {"B_bias": m.key_bias.unsqueeze(1), "C_bias": m.query_bias.unsqueeze(1)}
    return biases | {theirs: m.get_parameter(ours) for ours, theirs in MAMBA3_NAMES.items()}


def mingru(m: Any) -> Theirs:
    leave = {"to_out.weight": m.leave.weight} if isinstance(m.leave, nn.Linear) else {}
    return {m.authors_name: m.project.weight.roll(m.inner_size, dims=0)} | leave


def s4(m: Any) -> Theirs:
    """As in s4d_full. Their C is the one before the first forward."""
    frequency_HN, order_HN = m.frequency.sort(dim=1, descending=True)

    def theirs(values_HN: Tensor) -> Tensor:
        return torch.view_as_real(values_HN.conj().gather(1, order_HN).resolve_conj()).unsqueeze(0)

    return {
        "kernel.A_real": m.log_decay,
        "kernel.A_imag": frequency_HN,
        "kernel.inv_dt": m.log_dt.unsqueeze(1),
        "kernel.B": theirs(torch.view_as_complex(m.B)),
        "kernel.P": theirs(torch.view_as_complex(m.P)),
        "kernel.C": theirs(m.output_matrix()),
        "D": m.D.unsqueeze(0),
    }


def rwkv7(m: Any) -> Theirs:
    theirs: Theirs = {f"x_{name}": mu.view(1, 1, -1) for name, mu in zip("rkvwag", m.mu, strict=True)}
    vectors = {"w0": m.decay.bias, "a0": m.rate.bias, "k_k": m.removal_key, "k_a": m.replacement_rate}
    theirs |= {name: each.view(1, 1, -1) for name, each in vectors.items()}
    rkv, low = m.rkv.weight.split(m.channels), m.low.weight.split(m.sizes[3:])
    theirs |= {f"{name}.weight": each for name, each in zip(("receptance", "key", "value"), rkv, strict=True)}
    for name, first, second in zip("wag", low, (m.decay, m.rate, m.gate), strict=True):
        theirs |= {f"{name}1": first.T, f"{name}2": second.weight.T}
    norm = {"ln_x.weight": m.norm.weight, "ln_x.bias": m.norm.bias}
    return theirs | norm | {"r_k": m.bonus, "output.weight": m.leave.weight}


def mlstm(m: Any) -> Theirs:
    theirs: Theirs = {name: m.get_parameter(ours) for ours, name in MLSTM_NAMES.items()}
    for part in ("weight", "bias"):
        theirs[f"mlstm_cell.igate.{part}"], theirs[f"mlstm_cell.fgate.{part}"] = getattr(m.cell.gates, part).chunk(2)
    return theirs | {"mlstm_cell.outnorm.weight": m.cell.norm.scale - 1}


def rg_lru(m: Any) -> Theirs:
    theirs: Theirs = {"conv_1d.w": m.conv.weight[:, 0].T, "conv_1d.b": m.conv.bias, "rg_lru.a_param": m.decay}
    for name, linear in {"linear_x": m.enter, "linear_y": m.gate, "linear_out": m.leave}.items():
        theirs |= {f"{name}.weight": linear.weight, f"{name}.bias": linear.bias}
    for name, gate in {"rg_lru.a_gate": m.recurrence_gate, "rg_lru.input_gate": m.input_gate}.items():
        theirs |= {f"{name}.w": gate.weight.mT, f"{name}.b": gate.bias.view(m.blocks, -1)}
    return theirs


def s4d(m: Any) -> Theirs:
    return {
        "kernel.log_A_real": m.log_decay,
        "kernel.A_imag": m.frequency,
        "kernel.log_dt": m.log_dt,
        "kernel.C": m.C,
        "D": m.D,
    }


def s4d_full(m: Any) -> Theirs:
    """A, B and C of the authors' s4.py. Of a conjugate pair, ours keeps the number with the positive imaginary part."""
    frequency_HN, order_HN = m.frequency.sort(dim=1, descending=True)
    b_HN = torch.ones_like(torch.view_as_complex(m.C)) if m.B is None else torch.view_as_complex(m.B).conj()
    return {
        "kernel.A_real": m.log_decay,
        "kernel.A_imag": frequency_HN,
        "kernel.inv_dt": m.log_dt.unsqueeze(1),
        "kernel.B": torch.view_as_real(b_HN.gather(1, order_HN).resolve_conj()).unsqueeze(0),
        "kernel.C": m.C.unsqueeze(0),
        "D": m.D.unsqueeze(0),
    }


def s5(m: Any) -> Theirs:
    """Lambda and the rest. Of a conjugate pair, ours keeps the number with the positive imaginary part."""
    blocks = int((m.frequency == m.frequency[0]).sum())
    return {
        "Lambda_re": -m.log_decay.exp(),
        "Lambda_im": -m.frequency.unflatten(0, (blocks, -1)).flip(1).flatten(),
        "B": m.B,
        "C": m.C,
        "D": m.D,
        "log_step": m.log_dt.unsqueeze(1),
    }


def slice_cde(m: Any) -> Theirs:
    return {"vf_A": m.A, "init_layer.weight": m.initial.weight, "init_layer.bias": m.initial.bias}


def slstm(m: Any) -> Theirs:
    theirs: Theirs = {name: m.get_parameter(ours) for ours, name in SLSTM_NAMES.items()}
    theirs |= {f"conv1d.conv.{part}": getattr(m.conv, part) for part in ("weight", "bias")}
    cell = {"slstm_cell._recurrent_kernel_": m.recurrent.flatten(1, 2), "slstm_cell._bias_": torch.cat(m.biases())}
    return theirs | cell | {"group_norm.weight": m.norm.scale - 1}


def sru(m: Any) -> Theirs:
    linears = {"recur_feats": m.recur_feats, "stats": m.stats, "output": m.output}
    return {f"{name}/Matrix": linear.weight.T for name, linear in linears.items()} | {
        f"{name}/Bias": linear.bias for name, linear in linears.items()
    }


def tcn(m: Any) -> Theirs:
    theirs: Theirs = {}
    for i, block in enumerate(m.blocks):
        for j, conv in enumerate(block.convs, start=1):
            weight = conv.parametrizations.weight
            theirs[f"network.{i}.conv{j}.bias"] = conv.bias
            theirs[f"network.{i}.conv{j}.weight_g"] = weight.original0
            theirs[f"network.{i}.conv{j}.weight_v"] = weight.original1
        if isinstance(block.shortcut, nn.Linear):
            theirs[f"network.{i}.downsample.weight"] = block.shortcut.weight.unsqueeze(-1)
            theirs[f"network.{i}.downsample.bias"] = block.shortcut.bias
    effective = m.blocks[0].convs[0].weight
    return theirs | {"effective conv1.weight of block 0 (after the first forward)": effective}


def at_hidden(sizes: Sizes) -> dict[str, Any]:
    return {"hidden_size": sizes["H"]}


def expanded(sizes: Sizes) -> dict[str, Any]:
    return {"hidden_size": sizes["D"], "expansion": sizes["ef"]}


def headed(s: Sizes) -> dict[str, Any]:
    return {"hidden_size": s["D"], "state_size": s["N"], "head_size": s["hd"]}


def hyena_settings(s: Sizes) -> dict[str, Any]:
    return {"hidden_size": s["D"], "filter_size": s["fo"], "frequency": float(s["w"]), "learned_positions": True}


def s4d_settings(init: str) -> Callable[[Sizes], dict[str, Any]]:
    return lambda s: {"hidden_size": s["H"], "state_size": s["N"], "init": init}


def s5_settings(c_init: str) -> Callable[[Sizes], dict[str, Any]]:
    return lambda s: {"hidden_size": s["D"], "state_size": s["P"], "blocks": s["blocks"], "c_init": c_init}


def deltanet_settings(s: Sizes) -> dict[str, Any]:
    return {"hidden_size": s["D"], "num_heads": s["NH"], "head_size": s["D"] // s["NH"]}


def lru_settings(s: Sizes) -> dict[str, Any]:
    ring = {name: s[name] for name in ("r_min", "r_max", "max_phase")}
    return {"hidden_size": s["D"], "state_size": s["N"]} | ring


def slice_settings(s: Sizes) -> dict[str, Any]:
    return {"hidden_size": s["H"], "block_size": s["bs"], "init_std": s["std"]}


def mlstm_settings(s: Sizes) -> dict[str, Any]:
    return {"hidden_size": s["E"], "heads": s["NH"]}


def rg_lru_settings(s: Sizes) -> dict[str, Any]:
    return {"hidden_size": s["width"], "expansion": s["lru"] / s["width"], "block_size": s["lru"] // s["heads"]}


def sru_settings(s: Sizes) -> dict[str, Any]:
    decays = tuple(i / s["k"] for i in range(s["k"]))
    return {"stat_size": s["S"], "recur_size": s["R_"], "output_size": s["O"], "decays": decays}


def linoss_settings(s: Sizes) -> dict[str, Any]:
    ring = {"method": "damped", "r_min": s["r_min"]} if "r_min" in s else {}
    return {"hidden_size": s["D"], "state_size": s["N"]} | ring


STARTS = {
    "cornn_init": Start("cornn", at_hidden, cornn),
    "dlinoss_imex1_init": Start("linoss", linoss_settings, dlinoss),
    "deltanet_init": Start(
        "gated-deltanet", lambda s: deltanet_settings(s) | {"gate": False, "expand_v": 1}, gated_deltanet
    ),
    "exprnn_cayley_init": Start(
        "exprnn", lambda s: at_hidden(s) | {"init": "cayley", "parametrization": "cayley"}, exprnn
    ),
    "exprnn_init": Start("exprnn", lambda s: at_hidden(s) | {"init": "henaff"}, exprnn),
    "gated_deltanet_init": Start("gated-deltanet", deltanet_settings, gated_deltanet),
    "gated_deltaproduct2_init": Start(
        "gated-deltanet", lambda s: deltanet_settings(s) | {"householders": 2}, gated_deltanet
    ),
    "gla_init": Start("gla", lambda s: {"hidden_size": s["D"], "head_size": s["D"] // s["NH"]}, gla),
    "hippo_init": Start("hippo", at_hidden, hippo),
    "hyena_init": Start("hyena", hyena_settings, hyena),
    "indrnn_init": Start("indrnn", lambda s: at_hidden(s) | {"long_last": False}, indrnn),
    "indrnn_residual_init": Start("indrnn", at_hidden, indrnn_residual),
    "lem_init": Start("lem", at_hidden, lem),
    "linoss_init": Start("linoss", linoss_settings, linoss),
    "lmu_init": Start("lmu", lambda s: at_hidden(s) | {"order": s["N"], "theta": s["theta"]}, lmu),
    "lru_init": Start("lru", lru_settings, lru),
    "mamba_init": Start("mamba", lambda s: {"hidden_size": s["D"], "state_size": s["N"]}, mamba),
    "mamba2_init": Start("mamba2", headed, mamba2),
    "mamba3_init": Start("mamba3", headed, mamba3),
    "mingru_init": Start("mingru", expanded, mingru),
    "minlstm_init": Start("minlstm", expanded, mingru),
    "s4_dplr_init": Start("s4", lambda s: {"hidden_size": s["H"], "state_size": s["N"]}, s4),
    "retnet_init": Start(
        "gla",
        lambda s: {
            "hidden_size": s["D"],
            "head_size": 2 * s["D"] // s["NH"],
            "expand_k": 1.0,
            "expand_v": 2.0,
            "decay": "fixed",
        },
        gla,
    ),
    "rwkv7_init": Start("rwkv7", lambda s: {"hidden_size": s["C"], "gate_rank": 32}, rwkv7),
    "mlstm_init": Start("mlstm", mlstm_settings, mlstm),
    "rglru_block_init": Start("rg-lru", rg_lru_settings, rg_lru),
    "s4d_full_inv_init": Start("s4d", s4d_settings("inv"), s4d_full),
    "s4d_full_legs_init": Start("s4d", s4d_settings("legs"), s4d_full),
    "s4d_init": Start("s4d", s4d_settings("lin"), s4d),
    "s5_complexnormal_init": Start("s5", s5_settings("complex_normal"), s5),
    "s5_lecun_init": Start("s5", s5_settings("lecun_normal"), s5),
    "s5_truncnormal_init": Start("s5", s5_settings("trunc_standard_normal"), s5),
    "slice_block_init": Start("slice", slice_settings, slice_cde),
    "slstm_init": Start("slstm", lambda s: {"hidden_size": s["E"], "heads": s["NH"]}, slstm),
    "sru_init": Start("sru", sru_settings, sru),
    "tcn_init": Start("tcn", lambda s: at_hidden(s) | {"kernel_size": s["k"], "blocks": s["levels"]}, tcn),
}
"""The model of each file of starts, its settings, and how its parameters are laid out in the authors' code."""


@pytest.mark.parametrize("name", model_names())
def test_an_architecture_declares_the_files_that_it_reproduces(name: str) -> None:
    outputs = {file for file, (model, _) in CASES.items() if model == name}
    starts = {file for file, start in STARTS.items() if start.model == name}
    assert find_model(name).cls.golden == tuple(sorted(outputs | starts))


def legs_spectrum(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of HiPPO-LegS's normal part with Im < 0, the largest first, and |V* B|."""
    eigenvalues, vectors = hippo_normal_eigen(2 * pairs)
    projected = np.abs(vectors.conj().T @ hippo_legs(2 * pairs)[1])
    return eigenvalues.conj()[::-1], projected[::-1]


def start_of_squares(config: Any) -> list[float]:
    return [config.r_min**2, config.r_max**2]


FACTS: dict[str, Callable[[Arrays, np.ndarray], Any]] = {
    "hippo_init:fact/A_legs(*)": lambda _, theirs: -hippo_legs(len(theirs))[0],
    "hippo_init:fact/B_legs(*)": lambda _, theirs: hippo_legs(len(theirs))[1][:, None],
    "indrnn_init:fact/U_bound=*": lambda arrays, _: build("indrnn_init", arrays)[0].bound,
    "indrnn_init:fact/U_lowbound=*": lambda arrays, _: 1 / build("indrnn_init", arrays)[0].bound,
    "lmu_init:fact/A": lambda arrays, theirs: discretised_delay(len(theirs), sizes_of(arrays)["theta"])[:, :-1],
    "lmu_init:fact/B": lambda arrays, theirs: discretised_delay(len(theirs), sizes_of(arrays)["theta"])[:, -1:],
    "hyena_init:fact/deltas": lambda arrays, _: -build("hyena_init", arrays).fall[None, None],
    "mamba_init:fact/dt_rank": lambda arrays, _: build("mamba_init", arrays).rank,
    "s4_dplr_init:fact/legs W (eigenvalues, Im<0)": lambda _, theirs: legs_spectrum(theirs.shape[-1])[0],
    "s4_dplr_init:fact/|V[*]B| unclipped": lambda _, theirs: legs_spectrum(theirs.shape[-1])[1],
    "s4_dplr_init:fact/|V[*]P|": lambda _, theirs: legs_spectrum(theirs.shape[-1])[1][None] / 2**0.5,
    "s4_dplr_init:fact/A": lambda _, theirs: -hippo_legs(len(theirs))[0],
    "s4_dplr_init:fact/B": lambda _, theirs: hippo_legs(len(theirs))[1][:, None],
    "rglru_block_init:fact/a**2 uniform in": lambda *_: start_of_squares(find_model("rg-lru").cls.Config()),
    "s4d_full_legs_init:fact/legs W (eigenvalues, Im<0)": lambda _, theirs: legs_spectrum(len(theirs))[0],
    "s4d_full_legs_init:fact/|V[*]B| unclipped": lambda _, theirs: legs_spectrum(len(theirs))[1],
    "s4d_full_legs_init:fact/A": lambda _, theirs: -hippo_legs(len(theirs))[0],
    "s4d_full_legs_init:fact/B": lambda _, theirs: hippo_legs(len(theirs))[1][:, None],
}
"""What ours has for a fact. The other facts speak of the authors' code alone, of LAPACK's phases, or say this again."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each entry of each file: what a file holds is held against ours or has its line in a table."""
    if "entry" in metafunc.fixturenames:
        folder = metafunc.config.getoption("--golden")
        every = [param for name in STARTS for param in entries(name, folder)]
        metafunc.parametrize(("name", "entry"), every)


def entries(name: str, folder: Path) -> Iterator[Any]:
    if not (folder / f"{name}.npz").exists():
        yield pytest.param(name, "", marks=pytest.mark.skip(reason=f"{folder} has no {name}.npz"))
        return
    arrays = load(name, folder)
    parameters = [key.removeprefix("shape/") for key in arrays if key.startswith("shape/")]
    facts = [key for key in arrays if line_of(f"{name}:{key}", FACTS)]
    for entry in [*parameters, *facts]:
        around = entry.startswith(AROUND)
        skip = [pytest.mark.skip(reason=f"{entry} of {name} is outside the mixer: ours is the same for all")]
        yield pytest.param(name, entry, marks=skip if around else marks(f"{name}:{entry}"), id=f"{name}:{entry}")


def test_every_parameter_starts_as_the_authors_do(name: str, entry: str, golden_folder: Path) -> None:
    arrays = load(name, golden_folder)
    if entry.startswith("fact/"):
        ours = line_of(f"{name}:{entry}", FACTS)(arrays, arrays[entry])
        np.testing.assert_allclose(ours, arrays[entry], rtol=1e-6, atol=1e-9)
        return
    ours = drawn(name, golden_folder)
    assert entry in ours, f"ours has no {entry}"
    assert ours[entry].shape[1:] == tuple(arrays[f"shape/{entry}"])
    if f"exact/{entry}" in arrays:
        exact, first = arrays[f"exact/{entry}"], ours[entry][0]
        if f"{name}:{entry}" in UP_TO_SIGN:
            first = first * np.sign((first * exact).sum(-1, keepdims=True))
        np.testing.assert_allclose(first, exact, rtol=1e-5, atol=1e-6)
        assert (ours[entry] == ours[entry][0]).all()
    else:
        errors = standard_errors(ours[entry].ravel(), arrays[f"stats/{entry}"], int(arrays[f"count/{entry}"]))
        assert max(errors.values()) < LIMIT, errors


def test_each_line_of_the_tables_is_used() -> None:
    every = [param.values for name in STARTS for param in entries(name, GOLDEN)]
    for key in (key for key in (*DIFFERS, *NO_SETTING) if ":" in key):
        assert any(line_of(f"{name}:{entry}", {key: key}) for name, entry in every), f"{key} matches no entry"
    assert {key for key in (*DIFFERS, *NO_SETTING) if ":" not in key} <= {path.stem for path in GOLDEN.glob("*.npz")}


def standard_errors(ours: np.ndarray, stats: np.ndarray, count: int) -> dict[str, float]:
    """Return how far ours are from the authors' statistics, in standard errors of the difference."""
    mean, std, _, _, *quantiles = stats
    error = sqrt(1 / count + 1 / len(ours))
    centred = ours - ours.mean()
    spread = max(ours.std(), 1e-12)
    kurtosis = (centred**4).mean() / spread**4
    errors = {"mean": abs(ours.mean() - mean) / (spread * error)}
    errors["std"] = abs(ours.std() - std) / (spread * error * sqrt(max(kurtosis - 1, 1e-6) / 4))
    for p, quantile in zip(QUANTILES, quantiles, strict=True):
        below, up_to = (ours < quantile).mean(), (ours <= quantile).mean()  # differ where many numbers are equal
        errors[f"{p:.0%}"] = max(below - p, p - up_to, 0) / (error * sqrt(p * (1 - p)))
    return errors


@cache
def drawn(name: str, folder: Path) -> dict[str, np.ndarray]:
    """Return many starts of ours in the authors' layout, (seeds, …) each."""
    arrays, many = load(name, folder), []
    for seed in SEEDS:
        torch.manual_seed(seed)
        with torch.no_grad():
            theirs = STARTS[name].theirs(build(name, arrays))
        many.append({key: values.detach().double().numpy() for key, values in theirs.items() if values is not None})
        if len(many) >= ceil(ENOUGH / min(values.size for values in many[0].values())):
            break
    return {key: np.stack([each[key] for each in many]) for key in many[0]}


def sizes_of(arrays: Arrays) -> Sizes:
    sizes = {key.removeprefix("size/"): values.item() for key, values in arrays.items() if key.startswith("size/")}
    return sizes | {"levels": sum(key.startswith("shape/network.") and "conv1.bias" in key for key in arrays)}


def build(name: str, arrays: Arrays) -> Any:
    """Return our model in a file's sizes; the IndRNN's layers, where its authors start a network of several."""
    start, sizes = STARTS[name], sizes_of(arrays)
    cls, seq_len = find_model(start.model).cls, sizes.get("T", SEQ_LEN)
    config = cls.Config(**start.settings(sizes))
    if start.model == "indrnn":
        linears = sorted(key for key in arrays if key.startswith("shape/") and key.endswith(".fc.weight"))
        places = [Place(input_size=int(arrays[key][1]), seq_len=seq_len) for key in linears]
        return nn.ModuleList(cls(config, **place, layer=k, layers=len(places)) for k, place in enumerate(places))
    width = next(sizes[name] for name in ("D", "H", "C", "E", "width") if name in sizes)
    return cls(config, input_size=width, seq_len=seq_len, layers=sizes.get("n_layer", 1))
