"""One contract over every architecture in models/."""

import pytest
import torch

from bench.catalog.registry import find_model, model_names
from bench.contributing.rules import RULES


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("check", RULES)
@pytest.mark.parametrize("name", model_names())
def test_contract(name, check, device):
    with device:  # of every tensor that doesn't say another
        finding = RULES[check].run(find_model(name).cls)
    assert finding is None, f"{name} fails {check}: {finding.problem} To mend: {finding.mend}"
