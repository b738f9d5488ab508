"""Laws of the three families, against SciPy and against their own double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from family_laws import LOG_MASSES, SCIPY, SINGLE_PRECISION_BOUND, log_mass
from trimix.coding import Family

SCALES = (2.0**-4, 0.2, 0.5, 1.0, 1.9, 2.1, 7.0, 15.9, 16.1, 30.0, 500.0, 4096.0)
DISTANCES_IN_SCALES = np.linspace(0, 30, 121)


families = pytest.mark.parametrize("family", Family, ids=lambda family: family.label)


def grid(dtype, scales=SCALES):
    """Distances 0 to 30 scales and around the edge of the central bin, at every scale."""
    pairs = [
        (distance, scale)
        for scale in scales
        for distance in (*(DISTANCES_IN_SCALES * scale), 1e-3, 0.1, 0.499, 0.5, 0.501, 1.0, 1.5, 2.0)
    ]
    distance, scale = torch.tensor(pairs, dtype=torch.float64).to(dtype).unbind(1)
    keep = distance <= 30 * scale
    return distance[keep], scale[keep]


def scipy_mass(family, distance, scale):
    # Both edges in the upper tail: nothing underflows before 37 scales.
    return SCIPY[family].sf((distance - 0.5) / scale) - SCIPY[family].sf((distance + 0.5) / scale)


@families
def test_double_precision_equals_scipy_out_to_30_scales(family):
    distance, scale = grid(torch.float64)
    found = log_mass(family, distance, scale).exp().numpy()
    np.testing.assert_allclose(found, scipy_mass(family, distance.numpy(), scale.numpy()), rtol=2e-10)


@families
def test_single_precision_stays_within_its_stated_bound(family):
    distance, scale = grid(torch.float32)
    exact = log_mass(family, distance.double(), scale.double())
    error = (log_mass(family, distance, scale).double() - exact).abs() / (1 + exact.abs())
    assert error.max() <= SINGLE_PRECISION_BOUND[family]


@families
def test_single_precision_gradient_follows_the_double_one(family):
    gradients = []
    for dtype in (torch.float32, torch.float64):
        distance, scale = (v.to(dtype).requires_grad_() for v in grid(torch.float32))
        log_mass(family, distance, scale).sum().backward()
        gradients.append((distance.grad.double(), scale.grad.double()))
    (by_distance, by_scale), (exact_by_distance, exact_by_scale) = gradients
    inverse = 1 / grid(torch.float32)[1].double()
    # 1/scale is the natural size of both derivatives; the Laplacian's central bin loses it where that is below 1e-2.
    for found, exact in ((by_distance, exact_by_distance), (by_scale, exact_by_scale)):
        assert ((found - exact).abs() <= 1e-6 * (inverse + exact.abs()) + 1e-7).all()


@families
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_nan_in_value_or_gradient_far_out(family, dtype):
    points = torch.cartesian_prod(
        torch.tensor([0.0, 1e-6, 0.3, 0.5, 1.0, 13.0, 100.0, 1e4], dtype=dtype),
        torch.tensor([1e-3, 0.01, 2.0**-4, 1.0, 64.0, 4096.0], dtype=dtype),
    )
    distance, scale = (column.clone().requires_grad_() for column in points.unbind(1))
    value = log_mass(family, distance, scale)
    value.sum().backward()
    for result in (value, distance.grad, scale.grad):
        assert result.isfinite().all()
    assert (value <= 1e-6).all()
    # Moving away from the mean never gains.
    assert (distance.grad <= 1e-6 / scale).all()


@families
def test_gradcheck(family):
    distance, scale = (v.requires_grad_() for v in grid(torch.float64, scales=(0.1, 0.4, 1.0, 3.0, 40.0)))
    assert torch.autograd.gradcheck(lambda d, s: log_mass(family, d, s).sum(), (distance, scale), fast_mode=True)


@families
@pytest.mark.parametrize("scale", [2.0**-4, 0.3, 1.0, 5.0, 40.0])
@pytest.mark.parametrize("mean", [0.0, 0.25, -0.5])
def test_masses_over_the_integers_sum_to_one(family, scale, mean):
    reach = int(45 * scale) + 5
    integers = torch.arange(-reach, reach + 1, dtype=torch.float64)
    total = log_mass(family, (integers - mean).abs(), torch.full_like(integers, scale)).exp().sum()
    assert abs(total.item() - 1) < 1e-12


@families
@settings(deadline=None, max_examples=30, derandomize=True)
@given(scale=st.floats(2.0**-4, 4096, width=32), share=st.floats(0, 30, width=32))
def test_mass_falls_with_the_distance_and_is_a_probability(family, scale, share):
    distance = torch.tensor([share * scale, 1.01 * share * scale + 1e-3], dtype=torch.float64)
    near, far = log_mass(family, distance, torch.full_like(distance, scale)).tolist()
    assert far <= near * (1 - 1e-13) <= 1e-12


@families
def test_frozen_values(family):
    distance = torch.tensor([0.0, 1.0, 40.0], dtype=torch.float64)
    found = log_mass(family, distance, torch.ones_like(distance)).tolist()
    assert found == pytest.approx(LOG_MASSES[family], rel=1e-12)
