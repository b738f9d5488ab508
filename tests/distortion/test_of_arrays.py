"""Distortions of arrays beside those of torch: the same values, and the slopes that torch differentiates."""

import numpy as np
import pytest
import torch

from trimix.distortion import Distortion
from trimix.distortion.differentiable import distortion_of
from trimix.distortion.of_arrays import distortion_and_slope, stand_in_of_arrays
from trimix.distortion.stand_in import stand_in

MEASURES = (
    Distortion(),
    Distortion("weighted-mse"),
    Distortion("ms-ssim"),
    Distortion("ssimulacra2"),
    Distortion("ssimulacra2", (4.0, 1.0, 2.0), 0.5),
)


def pictures(height, width, error, seed=0):
    """Clouds, and the same with errors, some beyond the range."""
    random = np.random.default_rng(seed)
    coarse = random.random((3, height // 16 + 1, width // 16 + 1))
    x = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    x_hat = x + random.normal(scale=error, size=x.shape)
    return x.astype(np.float32), x_hat.astype(np.float32)


@pytest.mark.parametrize("error", [0.003, 0.05])
@pytest.mark.parametrize(("height", "width"), [(161, 170), (192, 165)])
@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.kind)
def test_value_and_slope_are_those_of_torch(measure, height, width, error):
    x, x_hat = pictures(height, width, error)
    lost, slope = distortion_and_slope(measure, x, x_hat)
    given = torch.from_numpy(x_hat)[None].requires_grad_()
    expected = distortion_of(measure, torch.from_numpy(x)[None], given)
    assert lost == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    of_torch = torch.autograd.grad(expected.sum(), given)[0][0].numpy()
    np.testing.assert_allclose(slope, of_torch, rtol=1e-2, atol=1e-3 * np.abs(of_torch).max())
    assert np.linalg.norm(slope - of_torch) < 1e-3 * np.linalg.norm(of_torch)
    assert distortion_and_slope(measure, x, x_hat, with_slope=False) == (lost, None)


@pytest.mark.parametrize(("height", "width"), [(128, 160), (101, 77)])
def test_what_stands_for_a_distortion_is_that_of_torch(height, width):
    x, x_hat = pictures(height, width, 0.05)
    error = x_hat - x
    own = np.random.default_rng(3).normal(size=x.shape).astype(np.float32) * np.abs(error) + 3 * error
    size = (-(-height // 64) * 4, -(-width // 64) * 4)
    found = stand_in_of_arrays(error, own, 16, size)
    of_torch = stand_in(torch.from_numpy(error)[None], torch.from_numpy(own)[None], 16, size)
    np.testing.assert_allclose(found[0], of_torch[0][0].numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[1], of_torch[1][0, 0].numpy(), rtol=1e-3)
