"""What every task promises: a specification, batches that fit it, a tiny variant that a GRU can be trained on."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.catalog.registry import family_names, find_family, find_task, task_names
from datamodules._base import Samples, SequenceDataModule
from datamodules._spec import IGNORED, SPLITS, Continuous, Label, TaskSpec, TokenPerStep, Tokens, Value, ValuePerStep
from models.gru import GRU
from models.shared.lightning_module import SequenceModule, scored
from models.shared.training import Training
from models.shared.wrappers import Plain

EXPECTED = {
    "adding-25", "adding-50", "adding-100", "adding-200", "adding-400", "adding-2000", "adding-5000",
    "copy-10", "copy-25", "copy-50", "copy-100", "copy-200", "copy-1000", "copy-2000",
    "selective-copy-200", "selective-copy-1000", "temporal-order-100", "temporal-order-500", "parity-40", "parity-200",
    "mqar-64-4", "mqar-128-8", "mqar-256-16", "mix-sin", "mix-poly-5", "mix-poly-10", "mix-poly-15", "smnist",
    "psmnist", "psmnist-bitrev", "fashion", "pfashion", "scifar", "scifar-grey", "ncifar", "imdb", "imdb-byte",
    "listops", "pathfinder", "path-x", "speech", "digits", "digits-by-writer", "fashion-14", "selective-copy-64",
    "recall-32", "s3-64", "subtract-100", "mix-sin-noise", "listops-2",
    "a5", "a5-walk", "s5", "z60", "parity-var", "cycle-nav", "mod-arith", "mod-arith-brackets", "recall-update",
    "noisy-recall", "induction", "induction-gaps", "delay-32", "fitzhugh-nagumo", "pathfinder-2", "path-x-2",
}  # fmt: skip
NAMES = task_names()


def tiny(name: str) -> SequenceDataModule:
    return find_task(name).build(tiny=True, batch_size=8)


def test_every_task_of_the_project_is_there() -> None:
    assert set(NAMES) >= EXPECTED
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("family", family_names())
def test_a_family_name_is_an_alias_of_its_first_variant(family: str) -> None:
    first, *_ = find_family(family).variants
    assert find_task(family).variant == first


@pytest.mark.parametrize("name", NAMES)
def test_the_specification_is_complete(name: str) -> None:
    spec = find_task(name).build().spec
    assert spec.name == name
    for text in (spec.summary, spec.source, spec.license, spec.citation):
        assert text.strip()
    assert spec.seq_len > 1
    assert spec.solved == 1 if spec.higher_is_better else 0 < spec.solved < spec.chance


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_stays_on_the_device_that_holds_it(name: str) -> None:
    """Tensors that only pretend to be on a GPU refuse to be mixed with others, as those of a real one do."""
    task = tiny(name)
    batch = task.split("train").gather(torch.arange(3))
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu = Samples(*(None if part is None else torch.empty_like(part, device="cuda") for part in batch))
        decoded = task.decode(on_gpu)
    assert {part.device.type for part in decoded if part is not None} == {"cuda"}


@pytest.mark.parametrize(("device", "free", "moved"), [("cuda", 4e6, True), ("cuda", 4e3, False), ("cpu", 4e6, False)])
def test_a_split_is_held_by_the_gpu_that_trains_where_it_fits(
    monkeypatch: pytest.MonkeyPatch, device: str, free: float, moved: bool
) -> None:
    task = tiny("digits")
    split = task.split("train")
    assert 1e3 < split.x.nbytes < 1e6
    strategy = SimpleNamespace(root_device=torch.device(device))
    task.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=strategy)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    on_gpu = Samples(split.x.clone(), split.y.clone())
    monkeypatch.setattr(Samples, "to", lambda self, device: on_gpu)
    assert (task.train_dataloader().samples is on_gpu) is moved


@pytest.mark.parametrize("name", NAMES)
def test_tiny_batches_fit_the_specification(name: str) -> None:
    task = tiny(name)
    assert task.missing() is None
    check_batch(next(iter(task.train_dataloader())), task.spec, task.spec.seq_len)
    for loader in (task.val_dataloader(), task.test_dataloader()):
        batch = next(iter(loader))
        assert batch.x.shape[1] >= task.spec.seq_len
        check_batch(batch, task.spec, batch.x.shape[1])
    extras = task.extra_test_dataloaders()
    assert tuple(extras) == task.spec.extra_tests
    for loader in extras.values():
        batch = next(iter(loader))
        check_batch(batch, task.spec, batch.x.shape[1])


def check_batch(batch: Samples, spec: TaskSpec, steps: int) -> None:
    match spec.input:
        case Continuous(width):
            assert batch.x.shape == (8, steps, width)
            assert batch.x.dtype == torch.float32
            assert batch.x.isfinite().all()
        case Tokens(vocabulary):
            assert batch.x.shape == (8, steps)
            assert batch.x.dtype == torch.int64
            assert 0 <= batch.x.min() <= batch.x.max() < vocabulary
    match spec.output:
        case Label(classes):
            assert batch.y.shape == (8,)
            assert 0 <= batch.y.min() <= batch.y.max() < classes
        case Value(width):
            assert batch.y.shape == (8, width)
            assert batch.y.dtype == torch.float32
        case TokenPerStep(vocabulary):
            assert batch.y.shape == (8, steps)
            said = batch.y[batch.y != IGNORED]
            assert 0 <= said.min() <= said.max() < vocabulary
            assert (scored(spec, batch.y) != IGNORED).any(1).all()
        case ValuePerStep(width):
            assert batch.y.shape == (8, steps, width)
            assert batch.y.dtype == torch.float32
            assert batch.y[~batch.y.isnan()].isfinite().all()
            assert not scored(spec, batch.y).isnan().all(1).any()
    if not isinstance(spec.output, Value | ValuePerStep):
        assert batch.y.dtype == torch.int64
    assert (batch.lengths is not None) == spec.variable_lengths
    if batch.lengths is not None:
        assert 1 <= batch.lengths.min() <= batch.lengths.max() <= steps


@pytest.mark.parametrize("name", [next(iter(find_family(family).variants)) for family in family_names()])
def test_a_gru_trains_on_the_tiny_variant(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = tiny(name)
    network = Plain(GRU, GRU.Config(hidden_size=4), task.spec, Plain.Config())
    before = [parameter.clone() for parameter in network.parameters()]
    module = SequenceModule(network, task.spec, Training(max_steps=2))
    trainer = Trainer(
        accelerator="cpu", max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=task)
    (scores,) = trainer.test(module, dataloaders=task.test_dataloader(), verbose=False)
    assert all(map(torch.isfinite, map(torch.tensor, scores.values())))
    assert any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_splits_are_drawn_with_the_seed_of_the_task(name: str) -> None:
    """Neither the run's seed nor the order of asking changes a split, and splits differ."""
    one, other = tiny(name), find_task(name).build(tiny=True, order_seed=7)
    hashes = {split: one.split_hash(split) for split in one.split_names}
    assert {split: other.split_hash(split) for split in reversed(other.split_names)} == hashes
    assert len(set(hashes.values())) == len(hashes)
    assert tuple(hashes)[:3] == SPLITS


def test_a_test_split_is_read_once() -> None:
    task = tiny("parity-40")
    task.extra_test_dataloaders()
    task.test_dataloader()
    with pytest.raises(AssertionError, match="read once"):
        task.test_dataloader()
    with pytest.raises(AssertionError, match="read once"):
        task.extra_test_dataloaders()


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="variants: parity-40, parity-200"):
        find_family("parity")("parity-3")
