"""What every architecture must satisfy: named checks that say what failed and how to mend it.

`bench check FILE` and the tests run the same list. A check is a function of the model class that raises `Violation`;
any other exception counts as one too, and is reported with its place in the contributor's file. Where a check does not
say otherwise the model is in evaluation: in training, batch normalisation may mix sequences and steps. Shapes: B batch,
T time, D input, H output.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast
from unittest.mock import patch

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from bench.catalog.families import FAMILIES
from bench.catalog.registry import find_task
from bench.runs.dead_starts import MOST_DEAD, STARTS, dead_share
from bench.runs.parameter_budget import fit
from datamodules._spec import Continuous, Label, TaskSpec, TokenPerStep, Tokens
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, valid_steps
from models.shared.training import Training, build_optimizer
from models.shared.wrappers import WRAPPERS, Wrapper

if TYPE_CHECKING:
    from optuna import Trial

BATCH, STEPS, INPUT, WIDTH = 4, 12, 3, 8  # small, and all different, so that broadcasting hides no mistake
WIDTHS = (1, 2, 3, 5, 8, 13, 40)
LEARN_STEPS, LEARN_SAMPLES, LEARN_DROP = 60, 32, 0.9
LARGE_INPUT, LARGE_RATE, LARGE_RATE_STEPS = 100, 0.1, 10  # tuning tries rates up to 0.03
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
SMALL_TIER = "10k"


Checked = TypeVar("Checked", bound=type)
"""What a rule checks: the class of a model, or of a task."""


class Violation(Exception):  # noqa: N818
    """A model or a task breaks the contract; the message says where."""


@dataclass(frozen=True)
class BrokenRule:
    """A check that failed, what was seen and what to do about it."""

    check: str
    problem: str
    mend: str
    place: str | None = None
    """FILE:LINE of the contributor's code, if it raised an error."""


@dataclass(frozen=True)
class Rule(Generic[Checked]):
    name: str
    mend: str
    body: Callable[[Checked], None]

    def run(self, checked: Checked) -> BrokenRule | None:
        """Check a model or a task. Return what is wrong, or None if nothing is."""
        try:
            self.body(checked)
        except Violation as violation:
            return self._broken(str(violation), place_in(checked, violation.__cause__))
        except (Exception, SystemExit) as error:  # a contributor's code may raise anything
            return self._broken(f"{type(error).__name__}: {error}", place_in(checked, error))
        return None

    def _broken(self, problem: str, place: str | None) -> BrokenRule:
        return BrokenRule(self.name, f"{place}: {problem}" if place else problem, self.mend, place)


def place_in(checked: type, error: BaseException | None) -> str | None:
    """Return FILE:LINE of the last line of the class's file that an error came through; None if it did not."""
    file = inspect.getfile(checked)
    frames = [] if error is None else extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    if not lines:
        return None
    path, here = Path(file), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{lines[-1]}"


def findings(rules: Mapping[str, Rule[Checked]], checked: Checked) -> Iterator[tuple[str, BrokenRule | None]]:
    """Run all rules. Yield each one's name and finding (None if it passed) when it is done.

    A line of the contributor's that raises an error is reported by the first rule that meets it; those after it refer
    to that rule.
    """
    reported: dict[str, str] = {}
    for name, each in rules.items():
        finding = each.run(checked)
        if finding and finding.place:
            first = reported.setdefault(finding.place, name)
            if first != name:
                finding = BrokenRule(name, f"ended by the error that {first} reports", mend="", place=finding.place)
        yield name, finding


RULES: dict[str, Rule[type[SequenceModel]]] = {}


def check_model(model: type[SequenceModel]) -> Iterator[tuple[str, BrokenRule | None]]:
    """Run all checks on a model, as `findings` does."""
    return findings(RULES, model)


def rule(mend: str) -> Callable[[Callable[[type[SequenceModel]], None]], Callable[[type[SequenceModel]], None]]:
    """Add a check to the contract under its function's name.

    Args:
        mend: what to do if the check fails.
    """

    def add(body: Callable[[type[SequenceModel]], None]) -> Callable[[type[SequenceModel]], None]:
        name = body.__name__.replace("_", "-")
        RULES[name] = Rule(name, mend, body)
        return body

    return add


@rule("Set paper = Paper(title, year, url), display_name, family, causal and wrapper on the class.")
def described(model: type[SequenceModel]) -> None:
    missing = [name for name in ("paper", "display_name", "family", "wrapper", "Config") if not hasattr(model, name)]
    require(not missing, f"{model.__name__} does not set {', '.join(missing)}")
    require(model.family in FAMILIES, f"family is {model.family!r}; legal: {', '.join(FAMILIES)}")
    require(isinstance(model.paper, Paper), f"paper is {model.paper!r}, not a Paper")
    require(model.paper.url.startswith("http"), f"paper.url is {model.paper.url!r}, not a web address")
    unknown = {model.wrapper, *model.wrappers} - WRAPPERS.keys()
    require(not unknown, f"wrapper is {', '.join(sorted(unknown))}; legal: {', '.join(WRAPPERS)}")
    require(model.wrapper in model.wrappers, f"wrapper is {model.wrapper!r}, and wrappers lacks it")
    require(bool(model.__doc__), f"{model.__name__} has no docstring")


@rule("Give every field of Config a default that works.")
def defaults(model: type[SequenceModel]) -> None:
    build(model, model.Config())


@rule("Rename the field: one word names one setting, of the architecture, the wrapper or training.")
def settings(model: type[SequenceModel]) -> None:
    configs: list[type[ModelConfig]] = [Training, *(wrapper.Config for wrapper in WRAPPERS.values())]
    taken = {field for config in configs for field in field_names(config)}
    clashes = sorted(taken & set(field_names(model.Config)))
    require(not clashes, f"Config has {', '.join(clashes)}, as a wrapper or the training has")


@rule("Let every size of at_width(w) be a function of w that never shrinks and is at least 1.")
def widths(model: type[SequenceModel]) -> None:
    if not model.mixes:
        return
    counts = [count(model, model.Config.at_width(width)) for width in WIDTHS]
    require(counts == sorted(counts), f"parameters at widths {WIDTHS} are {counts}, which is not non-decreasing")
    require(counts[-1] > counts[0], f"parameters are {counts[0]} at every width: at_width changes nothing")


@rule("Build parameters from torch's own functions without reading their values, so that 'meta' can count them.")
def countable(model: type[SequenceModel]) -> None:
    config = model.Config.at_width(WIDTH)
    counted = count(model, config)
    real = sum(parameter.numel() for parameter in build(model, config).parameters())
    require(counted == real, f"{counted} parameters on the meta device, {real} in memory")
    require(real > 0 or not model.mixes, "no parameters")


@rule("Return (B, T, H) from forward and (B, H) from last, with H = output_size, for any B and T from 1 on.")
def shapes(model: type[SequenceModel]) -> None:
    mixer = small(model)
    for batch, steps in ((BATCH, STEPS), (1, 1), (2, STEPS + 5), (1, 2)):
        x_BTD = torch.randn(batch, steps, INPUT)
        expect("forward", mixer(x_BTD).shape, (batch, steps, mixer.output_size))
        expect("last", mixer.last(x_BTD).shape, (batch, mixer.output_size))


@rule(
    "Let no output see a later input (look for a flip, a mean over time, padding on both sides), or set causal = False."
)
def causal(model: type[SequenceModel]) -> None:
    if not model.causal:
        return
    mixer, x_BTD = small(model), sample()
    for cut in (1, STEPS // 2, STEPS - 1):
        changed_BTD = x_BTD.clone()
        changed_BTD[:, cut:] += 1 + torch.rand(BATCH, STEPS - cut, INPUT)
        same(
            f"the outputs before step {cut}, after a change from there on,",
            mixer(changed_BTD)[:, :cut],
            mixer(x_BTD)[:, :cut],
        )


@rule("Use lengths_B: inputs at or after a sequence's length must change neither its outputs nor last.")
def lengths(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), sample()
    lengths_B = torch.tensor([1, STEPS // 2, STEPS - 1, STEPS])
    valid_BT1 = valid_steps(lengths_B, STEPS).unsqueeze(-1)
    padded_BTD = torch.where(valid_BT1, x_BTD, 7.0)
    y_BTH, last_BH = mixer(padded_BTD, lengths_B), mixer.last(padded_BTD, lengths_B)
    for row, length in enumerate(lengths_B.tolist()):
        alone_1TD = x_BTD[row : row + 1, :length]
        same(f"forward of a sequence padded from {length} steps", y_BTH[row : row + 1, :length], mixer(alone_1TD))
        same(f"last of a sequence padded from {length} steps", last_BH[row : row + 1], mixer.last(alone_1TD))
    # The statistics of a batch are another way to see padding. They are taken in training only.
    before, after = (in_training(mixer, x_BTD.where(valid_BT1, padding), lengths_B) for padding in (7.0, -7.0))
    for what, y_before, y_after in zip(("forward", "last"), before, after, strict=True):
        same(f"{what} in training, after a change of the padding,", y_after, y_before)


def in_training(mixer: SequenceModel, x_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return all outputs, with 0 for padding, and the last ones. Dropout is the same in every call."""
    torch.manual_seed(0)
    mixer.train()
    valid_BT1 = valid_steps(lengths_B, x_BTD.shape[1]).unsqueeze(-1)
    return mixer(x_BTD, lengths_B).where(valid_BT1, 0), mixer.last(x_BTD, lengths_B)


@rule("Let last return what forward returns at the final step; without an override it does.")
def last(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), sample()
    same("last", mixer.last(x_BTD), mixer(x_BTD)[:, -1])


@rule("Let step, from initial_state on, return forward's outputs one by one; or define neither.")
def step(model: type[SequenceModel]) -> None:
    if not model.is_recurrent():
        return
    mixer, x_BTD = small(model), sample()
    state, outputs = mixer.initial_state(BATCH), []
    for leaf in tree_leaves(state):
        require(leaf.shape[:1] == (BATCH,), f"a tensor of initial_state({BATCH}) has shape {tuple(leaf.shape)}")
    for x_BD in x_BTD.unbind(1):
        y_BH, state = mixer.step(x_BD, state)
        outputs.append(y_BH)
    same("step", torch.stack(outputs, dim=1), mixer(x_BTD))


@rule("Keep every operation differentiable: no .item(), .data or detach between input, parameters and output.")
def gradients(model: type[SequenceModel]) -> None:
    mixer, x_BTD = build(model, model.Config()), sample().requires_grad_()
    backward(mixer, x_BTD)
    assert x_BTD.grad is not None
    for name, parameter in mixer.named_parameters():
        require(parameter.grad is not None, f"{name} gets no gradient")
    require_finite_gradients({**dict(mixer.named_parameters()), "the input": x_BTD})
    reaches = bool((x_BTD.grad[:, 0] != 0).any())
    require(reaches or not model.mixes, f"the last output of {STEPS} steps has no gradient at the first step")


def backward(mixer: SequenceModel, x_BTD: Tensor) -> None:
    """Compute gradients of a random function of the last output."""
    y_BH = mixer.last(x_BTD)
    (y_BH * torch.randn_like(y_BH)).sum().backward()


def require_finite_gradients(tensors: Mapping[str, Tensor], when: str = "") -> None:
    for name, tensor in tensors.items():
        finite = tensor.grad is None or bool(torch.isfinite(tensor.grad).all())
        require(finite, f"the gradient of {name} is not finite{when}")


@rule("Make it in the constructor and hold it as a parameter on self: the optimiser, the count and the file need it.")
def parameters(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), sample()
    own = {id(parameter) for parameter in mixer.parameters()}
    for name, y in outputs_of(mixer, x_BTD).items():
        for tensor in trained_through(y):
            shape = tuple(tensor.shape)
            require(id(tensor) in own, f"{name} has a gradient for a tensor {shape} that is no parameter at the start")


def outputs_of(mixer: SequenceModel, x_BTD: Tensor) -> dict[str, Tensor]:
    """Return what each of the model's methods computes, by the method's name."""
    outputs = {"forward": mixer(x_BTD), "last": mixer.last(x_BTD)}
    if mixer.is_recurrent():
        outputs["step"], _ = mixer.step(x_BTD[:, 0], mixer.initial_state(BATCH))
    return outputs


def trained_through(y: Tensor) -> Iterator[Tensor]:
    """Yield the leaves of the graph of y: all tensors that `y.backward()` would give a gradient."""
    waiting, seen = [y.grad_fn], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [before for before, _ in node.next_functions]


@rule("Bound or normalise what grows with the input before exp, a power, a division or a root.")
def large_inputs(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), (LARGE_INPUT * sample()).requires_grad_()
    backward(mixer, x_BTD)
    require_finite_gradients({**dict(mixer.named_parameters()), "the input": x_BTD}, f" at inputs × {LARGE_INPUT}")


@rule("Draw random numbers from torch's global generator only.")
def same_seed(model: type[SequenceModel]) -> None:
    x_BTD = sample()
    same("forward of a second model with the same seed", small(model)(x_BTD), small(model)(x_BTD), exact=True)


@rule("Hold all that training changes in parameters or persistent buffers, real-valued and not sharing memory.")
def saves(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), sample()
    weights = load_safetensors(save_safetensors({name: t.contiguous() for name, t in mixer.state_dict().items()}))
    torch.manual_seed(1)
    other = model(model.Config.at_width(WIDTH), input_size=INPUT, seq_len=STEPS).eval()
    other.load_state_dict(weights)
    same("forward after loading", other(x_BTD), mixer(x_BTD), exact=True)


@rule("Create tensors with new_zeros and the like, so that they take the parameters' precision.")
def float64(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), sample()
    y_BTH = mixer(x_BTD)
    y64_BTH = mixer.double()(x_BTD.double())
    require(y64_BTH.dtype == torch.float64, f"forward in float64 returns {y64_BTH.dtype}")
    same("forward in float64", y64_BTH.float(), y_BTH)


@rule("Hold tensors as parameters or buffers, and create others with new_zeros and the like or on the input's device.")
def devices(model: type[SequenceModel]) -> None:
    # In float64, since the kernels for float32 are for CPUs. A tensor that names no device is created on "meta".
    mixer, x_BTD = small(model).double(), sample().double()
    moved = {id(tensor) for tensor in (*mixer.parameters(), *mixer.buffers())}
    for name, value in [each for part in mixer.modules() for each in vars(part).items()]:
        kept = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and leaf.is_leaf]
        require({id(leaf) for leaf in kept} <= moved, f"{name} is no buffer, so it would not follow the model to a GPU")
    try:
        with torch.device("meta"):
            outputs = outputs_of(mixer, x_BTD)
    except Exception as error:
        raise Violation(f"it fails where 'meta' is the device of tensors that name none: {error}") from error
    for name, y in outputs.items():
        require(y.device == x_BTD.device, f"{name} of an input on {x_BTD.device} is on {y.device}")
    require_no_fixed_device(mixer, x_BTD)


def require_no_fixed_device(mixer: SequenceModel, x_BTD: Tensor) -> None:
    """Run a model on the device "meta". Its tensors have no values, so a model that looks at some may end earlier.

    Raises:
        Violation: another device is named, by `device="cpu"` or `.cpu()`, say.
    """
    try:
        with torch.device("meta"), OnlyOnMeta(), patch("torch.autocast", unchanged):  # which "meta" does not know
            outputs_of(mixer.to("meta"), x_BTD.to("meta"))
    except FixedDeviceError as error:
        raise Violation(f"it names the device {error}, whatever the input's device is") from error
    except Exception:  # it needs values
        return


def unchanged(*_: Any, **__: Any) -> AbstractContextManager[None]:
    """Stand in for `torch.autocast`."""
    return nullcontext()


class FixedDeviceError(Exception):
    """A fixed device is named."""


class OnlyOnMeta(TorchFunctionMode):
    """Refuses calls of torch that name another device than "meta"."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named: list[str | torch.device] = [(kwargs or {}).get("device") or "meta"]
        named += [each for each in args if isinstance(each, torch.device) or (func is Tensor.to and type(each) is str)]
        named += [name for method, name in ((Tensor.cpu, "cpu"), (Tensor.cuda, "cuda")) if func is method]
        for device in map(torch.device, named):
            if device.type != "meta":
                raise FixedDeviceError(device)
        return func(*args, **kwargs or {})


@rule("Under autocast a linear layer returns bfloat16: cast it before complex numbers or a Fourier transform.")
def autocast(model: type[SequenceModel]) -> None:
    mixer, x_BTD = small(model), sample().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y_BTH = mixer(x_BTD)
    y_BTH.float().sum().backward()
    require(bool(torch.isfinite(y_BTH).all()), "forward under autocast is not finite")


@rule("Return parameters of the module, each once, and options of the optimiser.")
def optimizer_groups(model: type[SequenceModel]) -> None:
    mixer = small(model)
    own = {id(parameter) for parameter in mixer.parameters()}
    grouped = [id(parameter) for group in mixer.optimizer_groups() for parameter in group["params"]]
    require(set(grouped) <= own, "optimizer_groups holds a tensor that is not a parameter of the model")
    require(len(grouped) == len(set(grouped)), "optimizer_groups holds a parameter twice")
    build_optimizer(mixer, mixer.optimizer_groups(), Training(), total_steps=1)


@rule("Return a dict of fields of Config from search_space, whose values are legal together.")
def search_space(model: type[SequenceModel]) -> None:
    legal = field_names(model.Config)
    for end in (0, -1):
        drawn = model.search_space(cast("Trial", EdgeTrial(end)))
        unknown = sorted(set(drawn) - set(legal))
        require(not unknown, f"search_space returns {', '.join(unknown)}; fields of Config: {', '.join(legal)}")
        model.Config(**drawn)


class EdgeTrial:
    """Stands in for an Optuna trial: every choice is the first one (end 0) or the last one (end −1)."""

    def __init__(self, end: int) -> None:
        self.end = end

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[self.end]

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        return (low, high)[self.end]

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        return (low, high)[self.end]


@rule("Train in both wrappers: the mixer must accept any input width and any of the task's outputs.")
def wrappers(model: type[SequenceModel]) -> None:
    for spec in (LABEL_SPEC, TOKEN_SPEC):
        for wrapper in map(WRAPPERS.__getitem__, model.wrappers):
            torch.manual_seed(0)
            network = build_network(wrapper, model, spec)
            y = network(task_input(spec))
            y.square().mean().backward()
            expect(f"{wrapper.name} on {spec.name}", y.shape, task_output(spec))
            silent = [name for name, parameter in network.core.named_parameters() if parameter.grad is None]
            require(not silent, f"no gradient in the {wrapper.name} wrapper for {', '.join(silent)}")


@rule("Leave a mixer's parameters and buffers as its constructor makes them.")
def start_kept(model: type[SequenceModel]) -> None:
    for spec in (LABEL_SPEC, TOKEN_SPEC):
        for wrapper in map(WRAPPERS.__getitem__, model.wrappers):
            torch.manual_seed(0)
            for mixer in build_network(wrapper, noting_its_start(model), spec).mixers():
                start = cast(dict[str, Tensor], mixer.start)
                changed = [name for name, values in numbers_of(mixer).items() if not torch.equal(values, start[name])]
                require(not changed, f"the {wrapper.name} wrapper changes {', '.join(changed)} of the mixer's start")


def noting_its_start(model: type[SequenceModel]) -> type[SequenceModel]:
    """Return the model with an attribute `start`: its parameters and buffers when the constructor returns."""

    class Noting(model):  # type: ignore[valid-type,misc]
        def __init__(self, config: ModelConfig, **place: Unpack[Place]) -> None:
            super().__init__(config, **place)
            self.start = {name: values.detach().clone() for name, values in numbers_of(self).items()}

    return Noting


def numbers_of(mixer: nn.Module) -> dict[str, Tensor]:
    return dict(mixer.named_parameters()) | dict(mixer.named_buffers())


@rule("Look for units that a start can silence whatever they read, such as ReLUs without a bias on inputs above zero.")
def alive(model: type[SequenceModel]) -> None:
    if not model.mixes:
        return
    pixels = find_task("smnist").build(tiny=True)  # one channel, never negative: the hardest input for ReLUs
    batch = pixels.decode(pixels.split("train").gather(torch.arange(2 * BATCH, device="cpu")))
    for wrapper in map(WRAPPERS.__getitem__, model.wrappers):
        settings = fit(model, wrapper, pixels.spec, SMALL_TIER, {})
        share = dead_share(model, wrapper, settings, pixels.spec, batch.to(torch.get_default_device()))
        dead = f"{share:.0%} of {STARTS} networks of {SMALL_TIER} in the {wrapper.name} wrapper are dead at the start"
        require(share <= MOST_DEAD, f"{dead} on pixels; at most {MOST_DEAD:.0%} may be")


@rule("The loss on one batch should fall. Look at the initialisation (dead units, vanishing output) first.")
def learns(model: type[SequenceModel]) -> None:
    _, losses = trained_on_one_batch(model, 1e-2, LEARN_STEPS)
    problem = f"the loss on one batch went from {losses[0]:.3f} to {losses[-1]:.3f} in {LEARN_STEPS} steps"
    require(losses[-1] < LEARN_DROP * losses[0], problem)


@rule("Keep within bounds what a parameter can make grow: decays below 1 through a sigmoid, a clamp before exp.")
def large_rate(model: type[SequenceModel]) -> None:
    network, losses = trained_on_one_batch(model, LARGE_RATE, LARGE_RATE_STEPS + 1)
    when = f" after {LARGE_RATE_STEPS} steps with the learning rate {LARGE_RATE}"
    require(all(map(isfinite, losses)), f"the loss is not finite{when}")
    require_finite_gradients(dict(network.named_parameters()), when)


def trained_on_one_batch(model: type[SequenceModel], lr: float, steps: int) -> tuple[Wrapper, list[float]]:
    """Train a small network. Return it, with the gradients of the last step, and the loss of each step."""
    torch.manual_seed(0)
    network = build_network(WRAPPERS[model.wrapper], model, LABEL_SPEC, width=2 * WIDTH)
    x_BTD = torch.randn(LEARN_SAMPLES, STEPS, INPUT)
    y_B = torch.randint(2, (LEARN_SAMPLES,))
    groups = [group for mixer in network.mixers() for group in mixer.optimizer_groups()]
    optimizer, _ = build_optimizer(network, groups, Training(lr=lr, warmup=0.0), steps)
    return network, [training_loss(network, optimizer, x_BTD, y_B) for _ in range(steps)]


def training_loss(network: nn.Module, optimizer: torch.optim.Optimizer, x_BTD: Tensor, y_B: Tensor) -> float:
    loss = nn.functional.cross_entropy(network(x_BTD), y_B)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss.item()


task = partial(TaskSpec, summary="", seq_len=STEPS, metric="accuracy", source="", license="", citation="")
LABEL_SPEC = task(name="labels", input=Continuous(INPUT), output=Label(2), chance=0.5)
TOKEN_SPEC = task(name="tokens", input=Tokens(6), output=TokenPerStep(6), chance=1 / 6)


def task_input(spec: TaskSpec) -> Tensor:
    if isinstance(spec.input, Tokens):
        return torch.randint(spec.input.vocabulary, (BATCH, STEPS))
    return torch.randn(BATCH, STEPS, spec.input.width)


def task_output(spec: TaskSpec) -> tuple[int, ...]:
    return (BATCH, STEPS, spec.output.vocabulary) if isinstance(spec.output, TokenPerStep) else (BATCH, 2)


def build_network(wrapper: type[Wrapper], model: type[SequenceModel], spec: TaskSpec, width: int = WIDTH) -> Wrapper:
    return wrapper(model, model.Config.at_width(width), spec, wrapper.Config.at_width(width))


def build(model: type[SequenceModel], config: ModelConfig) -> SequenceModel:
    torch.manual_seed(0)
    return model(config, input_size=INPUT, seq_len=STEPS).eval()


def small(model: type[SequenceModel]) -> SequenceModel:
    return build(model, model.Config.at_width(WIDTH))


def sample() -> Tensor:
    x_BTD = torch.randn(BATCH, STEPS, INPUT, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    return x_BTD.to(torch.get_default_device())


def count(model: type[SequenceModel], config: ModelConfig) -> int:
    with torch.device("meta"):
        mixer = model(config, input_size=INPUT, seq_len=STEPS)
    return sum(parameter.numel() for parameter in mixer.parameters())


def field_names(config: type[ModelConfig]) -> list[str]:
    return [field.name for field in fields(config)]


def require(holds: bool, problem: str) -> None:
    if not holds:
        raise Violation(problem)


def expect(what: str, shape: torch.Size, legal: tuple[int, ...]) -> None:
    require(tuple(shape) == legal, f"{what} returned shape {tuple(shape)}; expected {legal}")


def same(what: str, given: Tensor, expected: Tensor, *, exact: bool = False) -> None:
    tolerance: dict[str, Any] = {} if exact else TOLERANCE
    equal = torch.equal(given, expected) if exact else torch.allclose(given, expected, **tolerance)
    if not equal:
        gap = (given - expected).abs().max().item()
        raise Violation(f"{what} differs by up to {gap:.2g}")
