"""D and its slope: one formula for arrays and for torch, and the slope is that of finite differences."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional

from trimix.distortion import Distortion
from trimix.distortion.differentiable import distortion_of
from trimix.distortion.slopes import distortion_and_slope, stand_in

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
def test_arrays_and_torch_agree(measure, height, width, error):
    x, x_hat = pictures(height, width, error)
    lost, slope = distortion_and_slope(measure, x, x_hat)
    given = torch.from_numpy(x_hat)[None].requires_grad_()
    expected = distortion_of(measure, torch.from_numpy(x)[None], given)
    assert lost == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    of_torch = torch.autograd.grad(expected.sum(), given)[0][0].numpy()
    np.testing.assert_allclose(slope, of_torch, rtol=1e-2, atol=1e-3 * np.abs(of_torch).max())
    assert np.linalg.norm(slope - of_torch) < 1e-3 * np.linalg.norm(of_torch)
    assert distortion_and_slope(measure, x, x_hat, with_slope=False) == (lost, None)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.kind)
def test_the_slope_is_that_of_finite_differences(measure):
    x, x_hat = (torch.from_numpy(one).double()[None] for one in pictures(163, 161, 0.05))
    x_hat = x_hat.clamp(0.02, 0.98).requires_grad_()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(distortion_of(measure, x, x_hat).sum(), x_hat)
    with torch.no_grad():
        ahead, behind = (distortion_of(measure, x, x_hat + sign * 1e-7 * direction).sum() for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-7, rel=1e-4)


@pytest.mark.parametrize(("height", "width"), [(128, 160), (101, 77)])
def test_what_stands_for_a_distortion_has_the_weights_of_the_blocks_around(height, width):
    x, x_hat = pictures(height, width, 0.05)
    error = x_hat - x
    own = np.random.default_rng(3).normal(size=x.shape).astype(np.float32) * np.abs(error) + 3 * error
    size = (-(-height // 64) * 4, -(-width // 64) * 4)
    given = torch.from_numpy(own * error).sum(0), 2 * torch.from_numpy(error).square().sum(0)
    padding = (0, 16 * size[1] - width, 0, 16 * size[0] - height)
    blocks = (functional.avg_pool2d(functional.pad(plane, padding)[None, None], 16) for plane in given)
    products, squares = (functional.avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in blocks)
    of_all = float(products.sum() / squares.sum())
    weights = (products / squares.clamp(min=1e-12)).clamp(of_all / 8, of_all * 8)
    of_pixels = functional.interpolate(weights, scale_factor=16, mode="bilinear")[0, :, :height, :width]
    slope = 0.1 * own + 0.9 * 2 * of_pixels.numpy() * error
    for found in (stand_in(error, own, 16, size), stand_in(*(torch.from_numpy(one) for one in (error, own)), 16, size)):
        np.testing.assert_allclose(found[0], slope, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found[1], weights[0, 0], rtol=1e-3)


@pytest.mark.parametrize(("kind", "planes"), [("ssimulacra2", 31), ("ms-ssim", 23)])
def test_a_slope_takes_the_memory_of_so_many_planes(kind, planes):
    # Of a whole picture they are what an encoder's memory is needed for most.
    x, x_hat = pictures(256, 384, 0.05)
    measure = Distortion(kind)
    distortion_and_slope(measure, x, x_hat)  # what a first call imports is no plane
    tracemalloc.start()
    try:
        distortion_and_slope(measure, x, x_hat)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < planes * x[0].nbytes
