"""Every architecture trains on the tiny variant of every task family, in each wrapper that it runs in.

In its paper's wrapper, Lightning trains it. In the other one, plain steps of the optimiser do, a tenth of the time; all
but one task of these are marked slow.
"""

from itertools import islice

import pytest
import torch
from lightning import Trainer

from bench.catalog.registry import family_names, find_family, find_model, model_names
from bench.runs.network import build
from bench.runs.settings import Settings
from models.shared.lightning_module import SequenceModule
from models.shared.training import Training
from models.shared.wrappers import WRAPPERS

STEPS = 2
EXAMPLE = "copy"  # the task of the other wrapper that is not slow: tokens in, tokens out
CLASSES = {name: find_model(name).cls for name in model_names()}
OTHERS = [(name, other) for name, cls in CLASSES.items() for other in cls.wrappers if other != cls.wrapper]


@pytest.fixture(scope="module", params=family_names())
def task(request):
    return find_family(request.param)(batch_size=8, tiny=True)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSES)
def test_trains(name, task, tmp_path, device):
    if reason := task.missing():
        pytest.skip(reason)
    network, before = built(name, CLASSES[name].wrapper, task)
    trainer = Trainer(
        accelerator=device.type,
        max_steps=STEPS,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(SequenceModule(network, task.spec, Training(batch_size=8)), task)
    assert_trained(network, before)


@pytest.mark.parametrize(
    "task",
    [pytest.param(name, marks=[] if name == EXAMPLE else pytest.mark.slow) for name in family_names()],
    indirect=True,
)
@pytest.mark.parametrize(("name", "wrapper"), OTHERS)
def test_trains_in_the_other_wrapper(name, wrapper, task, device):
    if reason := task.missing():
        pytest.skip(reason)
    task.prepare_data()
    network, before = built(name, wrapper, task)
    module = SequenceModule(network, task.spec, Training(batch_size=8, max_steps=STEPS)).to(device)
    optimizing = module.configure_optimizers()
    for batch in islice(task.train_dataloader(), STEPS):
        optimizing["optimizer"].zero_grad()
        module.training_step(task.transfer_batch_to_device(batch, device, 0)).backward()
        optimizing["optimizer"].step()
        optimizing["lr_scheduler"]["scheduler"].step()
    assert_trained(network, before)


def built(name, wrapper, task):
    """Return a small network, and its parameters as they are now."""
    parts = CLASSES[name], WRAPPERS[wrapper]
    torch.manual_seed(0)
    network = build(*parts, Settings.at_width(*parts, 8), task.spec)
    return network, [parameter.detach().clone() for parameter in network.parameters()]


def assert_trained(network, before):
    after = [parameter.detach().cpu() for parameter in network.parameters()]
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
