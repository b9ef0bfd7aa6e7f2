"""What every task must satisfy: named checks of its tiny variants that say what failed and how to mend it.

`bench check FILE` runs them, in a sandbox or not. See `rules.py` for models. Each check goes through all variants.
Shapes: B batch, T time.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice, repeat

import torch

from bench.contributing.rules import BrokenRule, Rule, findings, require
from datamodules._base import Samples, SequenceDataModule
from datamodules._spec import TaskSpec
from datamodules._split_checks import Look, odd_lengths, odd_numbers, odd_ranges, odd_shapes, odd_types
from models.gru import GRU
from models.shared.lightning_module import SequenceModule
from models.shared.training import Training
from models.shared.wrappers import Plain

TRAIN_STEPS, WIDTH = 5, 4
TASK_RULES: dict[str, Rule[type[SequenceDataModule]]] = {}
Body = Callable[[type[SequenceDataModule]], None]


def check_task(task: type[SequenceDataModule]) -> Iterator[tuple[str, BrokenRule | None]]:
    """Run all checks on a task, as `findings` does."""
    return findings(TASK_RULES, task)


def split_hashes(task: type[SequenceDataModule]) -> dict[str, str]:
    """Return the SHA-256 of each split of each tiny variant, under "VARIANT SPLIT"."""
    return {f"{each.variant} {split}": each.split_hash(split) for each in _tiny(task) for split in each.split_names}


def task_rule(mend: str) -> Callable[[Body], Body]:
    """Add a check under its function's name.

    Args:
        mend: what to do if the check fails.
    """

    def add(body: Body) -> Body:
        TASK_RULES[body.__name__] = Rule(body.__name__, mend, body)
        return body

    return add


@task_rule("Set variants, tiny and a docstring on the class, and let describe return a complete TaskSpec.")
def spec(task: type[SequenceDataModule]) -> None:
    missing = [name for name in ("variants", "tiny") if not isinstance(getattr(task, name, None), Mapping)]
    require(not missing, f"{task.__name__} sets no {' and no '.join(missing)}, as a dict")
    require(bool(task.variants), "variants is empty")
    require(bool(task.__doc__), f"{task.__name__} has no docstring")
    for variant in task.variants:
        found = task(variant).spec
        require(isinstance(found, TaskSpec), f"describe returns {type(found).__name__}, not a TaskSpec")
        require(found.name == variant, f"the variant {variant!r} describes itself as {found.name!r}")
        empty = [name for name in ("summary", "source", "license", "citation") if not getattr(found, name).strip()]
        require(not empty, f"{variant}: {', '.join(empty)} is empty")
        require(found.seq_len > 1, f"{variant}: seq_len is {found.seq_len}, which is no sequence")
        legal = found.solved == 1 if found.higher_is_better else found.solved > 0
        require(legal, f"{variant}: solved is {found.solved}; an accuracy is solved at 1, an error above 0")


@task_rule("Let `tiny` shrink every variant so far that it needs neither network nor disk, and make every split.")
def tiny(task: type[SequenceDataModule]) -> None:
    for each in _tiny(task):
        if reason := each.missing():
            require(False, f"{each.variant} can't be made here: {reason}")
        for split in each.split_names:
            samples = each.split(split)
            require(isinstance(samples, Samples), f"{each.variant} {split} is {type(samples).__name__}, not Samples")
            require(len(samples.y) > 0, f"{each.variant} {split} has no samples")


@task_rule(
    "Return x (B, T, width) or (B, T), y (B,), (B, width), (B, T) or (B, T, width), and lengths (B,) only if they vary."
)
def shapes(task: type[SequenceDataModule]) -> None:
    _require_nothing(task, odd_shapes)


@task_rule("Return float32 for real numbers, int64 for tokens and labels, from make or from decode.")
def types(task: type[SequenceDataModule]) -> None:
    _require_nothing(task, odd_types)


@task_rule("Look for divisions by zero, logarithms of zero and memory that is never written.")
def finite(task: type[SequenceDataModule]) -> None:
    _require_nothing(task, odd_numbers)


@task_rule("Keep tokens and labels in [0, number of them), or raise the number in the specification.")
def ranges(task: type[SequenceDataModule]) -> None:
    _require_nothing(task, odd_lengths)
    _require_nothing(task, odd_ranges)


@task_rule("Draw only from the generator that is given, or from self.rng(split); never from the clock or a global one.")
def splits(task: type[SequenceDataModule]) -> None:
    for one, other in zip(_tiny(task), _tiny(task, order_seed=7), strict=True):
        hashes = {split: one.split_hash(split) for split in one.split_names}
        again = {split: other.split_hash(split) for split in reversed(other.split_names)}
        changed = [split for split in hashes if hashes[split] != again[split]]
        require(not changed, f"{one.variant}: a second draw of {', '.join(changed)} gives other data")
        require(len(set(hashes.values())) == len(hashes), f"{one.variant}: two splits hold the same data")


@task_rule("Make a tiny variant on which a small GRU can train: look at the values of its input first.")
def trains(task: type[SequenceDataModule]) -> None:
    torch.manual_seed(0)
    each = task(tiny=True, batch_size=8)
    network = Plain(GRU, GRU.Config(hidden_size=WIDTH), each.spec, Plain.Config())
    module = SequenceModule(network, each.spec, Training())
    before = [parameter.clone() for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    endless = chain.from_iterable(each.train_dataloader() for _ in repeat(None))
    for batch in islice(endless, TRAIN_STEPS):
        loss = module.loss(module(batch), batch.y)
        require(bool(loss.isfinite()), f"the loss is {loss.item()}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pairs = zip(before, network.parameters(), strict=True)
    require(any(not torch.equal(old, new) for old, new in pairs), f"{TRAIN_STEPS} steps changed no parameter")


def _tiny(task: type[SequenceDataModule], order_seed: int = 0) -> Iterator[SequenceDataModule]:
    return (task(variant, tiny=True, order_seed=order_seed) for variant in task.variants)


def _batches(task: type[SequenceDataModule]) -> Iterator[tuple[str, str, Samples, TaskSpec]]:
    """Each split of each variant as a model sees it, with the names of both, the split's name and the specification."""
    for each in _tiny(task):
        for split in each.split_names:
            yield f"{each.variant} {split}", split, each.decode(each.split(split)), each.spec


def _require_nothing(task: type[SequenceDataModule], look: Look) -> None:
    """Require that a look at each split of each variant finds nothing odd."""
    for name, split, batch, found in _batches(task):
        for odd in look(found, split, batch):
            require(False, f"{name}: {odd.what}")
