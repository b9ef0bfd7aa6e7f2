import pytest
import torch

from models.recurrences.state_space import discretise


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
def test_small_steps_keep_their_digits(method):
    """exp(z) − 1 as a difference would lose three of float32's seven digits here."""
    a_N = torch.tensor([-0.5, -0.5 + 0.4j, -0.5 + 80j], dtype=torch.complex128)
    for dt in (1e-4, 1e-3, 1e-1):
        expected = discretise(a_N, torch.tensor(dt, dtype=torch.float64), method)
        given = discretise(a_N.to(torch.complex64), torch.tensor(dt), method)
        for got, want in zip(given, expected, strict=True):
            assert ((got - want).abs() / want.abs()).max() < 1e-6


def test_discretisations_are_those_of_the_textbook():
    a_N = torch.tensor([-0.5 + 2j, -3 + 40j], dtype=torch.complex128)
    dt = torch.tensor(0.1, dtype=torch.float64)
    log_a_bar, factor = discretise(a_N, dt, "zoh")
    torch.testing.assert_close(log_a_bar.exp(), torch.exp(dt * a_N))
    torch.testing.assert_close(factor, (torch.exp(dt * a_N) - 1) / a_N)
    log_a_bar, factor = discretise(a_N, dt, "bilinear")
    torch.testing.assert_close(log_a_bar.exp(), (1 + dt * a_N / 2) / (1 - dt * a_N / 2))
    torch.testing.assert_close(factor, dt / (1 - dt * a_N / 2))
