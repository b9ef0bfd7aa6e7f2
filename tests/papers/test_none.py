"""No mixer: the block alone, which can't see any step but the one that it is at."""

import pytest
import torch

from bench.catalog.registry import find_model, find_task
from bench.catalog.suites import QUICK_V2
from bench.common.errors import RequestError
from bench.runs.network import build, count_on_meta
from bench.runs.parameter_budget import fit
from bench.runs.request import SettingFlags, build_request
from models.shared.wrappers import Residual


def test_an_answer_depends_on_its_own_step_alone() -> None:
    request = build_request(find_model("none"), find_task("s3-64"), SettingFlags(budget="10k"), seed=0)
    network = build(request.model.cls, request.wrapper, request.settings, request.spec).eval()
    tokens_BT = torch.randint(6, (4, 64))
    changed_BT = tokens_BT.clone()
    changed_BT[:, 20] = (changed_BT[:, 20] + 1) % 6
    differs_BT = (network(tokens_BT) != network(changed_BT)).any(-1)
    assert differs_BT[:, 20].all()
    assert differs_BT.sum() == 4


@pytest.mark.parametrize("tier", ["3k", "10k", "30k"])
@pytest.mark.parametrize("task", QUICK_V2.tasks)
def test_it_fits_every_task_by_the_width_of_the_block(task: str, tier: str) -> None:
    cls, spec = find_model("none").cls, find_task(task).build().spec
    settings = fit(cls, Residual, spec, tier, {})
    assert count_on_meta(cls, Residual, settings, spec).budgeted > 0
    assert settings.flat()["depth"] == 2


def test_it_has_no_plain_layer() -> None:
    with pytest.raises(RequestError, match="none runs in residual, and not in plain"):
        build_request(find_model("none"), find_task("digits"), SettingFlags(wrapper="plain"), seed=0)
