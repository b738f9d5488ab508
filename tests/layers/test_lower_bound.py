"""Laws of the lower bound."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.layers.lower_bound import within_bounds

finite = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(values=st.lists(finite, min_size=1, max_size=8), bound=finite, incoming=finite)
def test_value_and_gradient(values, bound, incoming):
    x = torch.tensor(values, requires_grad=True)
    y = within_bounds(x, bound)
    assert torch.equal(y, x.clamp(min=bound))
    (y * incoming).sum().backward()
    # Descent moves against the gradient: below the bound only a negative one, which lifts the value, may pass.
    expected = [incoming if value >= bound or incoming < 0 else 0.0 for value in values]
    assert x.grad.tolist() == expected


def test_descent_brings_a_value_back_where_a_plain_maximum_leaves_it():
    x = torch.tensor([-5.0], requires_grad=True)
    for _ in range(100):
        (loss,) = (within_bounds(x, 0.0) - 1).square()
        (gradient,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x -= 0.1 * gradient
    assert x.item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_precision(dtype):
    x = torch.tensor([-1.0, 1.0], dtype=dtype, requires_grad=True)
    y = within_bounds(x, 0.0)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype


@settings(deadline=None, max_examples=50, derandomize=True)
@given(values=st.lists(finite, min_size=1, max_size=8), bounds=st.tuples(finite, finite), incoming=finite)
def test_two_bounds_are_a_lower_one_from_either_side(values, bounds, incoming):
    low, high = sorted(bounds)
    results = []
    for bounded in (lambda x: within_bounds(x, low, high), lambda x: -within_bounds(-within_bounds(x, low), -high)):
        x = torch.tensor(values, requires_grad=True)
        y = bounded(x)
        (y * incoming).sum().backward()
        results.append((y, x.grad))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
