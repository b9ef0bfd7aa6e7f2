"""Batch normalisation of sequences against its definition, in numpy. Shapes: B batch, T time, H channels."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from models.shared.batch_norm import SequenceBatchNorm

LENGTHS = [1, 4, 7]


def build(channels=3):
    torch.manual_seed(0)
    norm = SequenceBatchNorm(channels).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def normalised(rows_NH, rows_of_statistics, norm):
    weight, bias = (parameter.detach().numpy() for parameter in (norm.weight, norm.bias))
    return (rows_NH - rows_of_statistics.mean(0)) / np.sqrt(rows_of_statistics.var(0) + 1e-5) * weight + bias


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_statistics_are_over_sequences_and_steps_without_padding(lengths):
    norm, x_BTH = build(), torch.randn(3, 7, 3, dtype=torch.float64)
    rows_NH = np.concatenate([x[:length] for x, length in zip(x_BTH.numpy(), lengths or [7] * 3, strict=True)])
    y_BTH = norm(x_BTH, None if lengths is None else torch.tensor(lengths))
    for x_TH, y_TH, length in zip(x_BTH.numpy(), y_BTH.detach().numpy(), lengths or [7] * 3, strict=True):
        np.testing.assert_allclose(y_TH[:length], normalised(x_TH[:length], rows_NH, norm), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(norm.running_mean, 0.1 * rows_NH.mean(0))
    np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * rows_NH.var(0, ddof=1))


def test_padding_may_be_anything_and_gets_no_gradient():
    norm, x_BTH = build(), torch.randn(3, 7, 3, dtype=torch.float64)
    x_BTH[0, 1:] = math.nan
    y_BTH = norm(x_BTH.requires_grad_(), torch.tensor(LENGTHS))
    assert y_BTH.isfinite().all()
    y_BTH.square().sum().backward()
    assert x_BTH.grad.isfinite().all()
    assert not x_BTH.grad[0, 1:].any()
    assert x_BTH.grad[1, :4].all()


def test_evaluation_takes_steps_one_by_one():
    norm, x_BTH = build(), torch.randn(3, 7, 3, dtype=torch.float64)
    norm(5 + x_BTH)
    norm.eval()
    y_BTH = norm(x_BTH, torch.tensor(LENGTHS))
    torch.testing.assert_close(torch.stack([norm.one_step(x_BH) for x_BH in x_BTH.unbind(1)], dim=1), y_BTH)
    torch.testing.assert_close(norm(x_BTH[:1, 2:3]), y_BTH[:1, 2:3])
    before = norm.running_mean.clone()
    norm.train().one_step(x_BTH[:, 0])
    torch.testing.assert_close(norm.one_step(x_BTH[:, 0]), y_BTH[:, 0])
    assert torch.equal(norm.running_mean, before)


def test_half_precision_is_normalised_in_the_precision_of_the_weights():
    norm = build().float()
    x_BTH = torch.randn(3, 7, 3).bfloat16()
    assert torch.equal(norm(x_BTH), norm(x_BTH.float()))
    assert norm.one_step(x_BTH[:, 0]).dtype == torch.float32
