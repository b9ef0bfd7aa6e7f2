"""Every architecture trains on the tiny variant of every task family, in the wrapper of its paper."""

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
@pytest.mark.parametrize("name", model_names())
def test_trains(name, task, tmp_path, device):
    if reason := task.missing():
        pytest.skip(reason)
    model = find_model(name).cls
    torch.manual_seed(0)
    network = build(model, WRAPPERS[model.wrapper], Settings.at_width(model, WRAPPERS[model.wrapper], 8), task.spec)
    before = [parameter.detach().clone() for parameter in network.parameters()]
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
    after = list(network.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
