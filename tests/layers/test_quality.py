"""Laws of the factors that follow the quality."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.layers.quality import QualityFactor, quality_plane


def random_factor(anchors=7, channels=3):
    factor = QualityFactor(channels, anchors).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        factor.log_factors.copy_(torch.randn(anchors, channels, generator=generator))
    return factor


def qualities(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("anchors", [2, 7])
def test_takes_the_anchors_values_at_the_anchors_and_is_continuous_there(anchors):
    factor = random_factor(anchors)
    at = torch.linspace(1, 100, anchors, dtype=torch.float64)
    expected = factor.log_factors.exp()
    for shift in (-1e-9, 0.0, 1e-9):
        torch.testing.assert_close(factor.factors(at + shift), expected, rtol=1e-8, atol=0)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(segment=st.integers(0, 5), share=st.floats(0, 1))
def test_is_exponential_between_anchors(segment, share):
    factor = random_factor()
    quality = qualities(1 + 16.5 * (segment + share))
    low, high = factor.log_factors[segment], factor.log_factors[segment + 1]
    expected = low.exp() ** (1 - share) * high.exp() ** share
    torch.testing.assert_close(factor.factors(quality)[0], expected, rtol=1e-10, atol=0)


def test_qualities_outside_take_the_nearest_end():
    factor = random_factor()
    ends = factor.factors(qualities(1, 100))
    assert torch.equal(factor.factors(qualities(-5, 0, 0.99)), ends[:1].expand(3, -1))
    assert torch.equal(factor.factors(qualities(100.01, 1e6)), ends[1:].expand(2, -1))


def test_is_monotone_if_the_anchors_are():
    factor = random_factor()
    with torch.no_grad():
        factor.log_factors.copy_(factor.log_factors.abs().cumsum(0))
    found = factor.factors(torch.linspace(1, 100, 500, dtype=torch.float64))
    assert (found.diff(dim=0) >= 0).all()


def test_starts_as_the_identity():
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    assert torch.equal(QualityFactor(3)(x, torch.tensor([1.0, 61.7])), x)


def test_multiplies_every_picture_by_its_own_factors_and_keeps_the_precision():
    factor = random_factor().float()
    x = torch.ones(2, 3, 2, 2)
    quality = torch.tensor([10.0, 90.0])
    torch.testing.assert_close(factor(x, quality)[:, :, 1, 0], factor.factors(quality))
    assert factor(x.bfloat16(), quality).dtype == torch.bfloat16


def test_gradient_reaches_the_two_anchors_around_the_quality():
    factor = random_factor()
    factor.factors(qualities(1 + 16.5 * 2.25)).sum().backward()
    touched = factor.log_factors.grad.abs().sum(1) != 0
    assert touched.tolist() == [False, False, True, True, False, False, False]


def test_plane_runs_from_minus_one_to_one():
    like = torch.zeros(3, 8, 2, 5)
    plane = quality_plane(torch.tensor([1.0, 50.5, 100.0]), like)
    assert plane.shape == (3, 1, 2, 5)
    assert plane[:, 0, 1, 4].tolist() == [-1.0, 0.0, 1.0]
    assert quality_plane(torch.tensor([1.0, 2.0, 3.0]), like.bfloat16()).dtype == torch.bfloat16
