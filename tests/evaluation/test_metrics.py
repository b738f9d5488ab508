"""Metrics equal independent implementations, and what can be worked out by hand."""

import math

import numpy as np
import pytest
import pytorch_msssim
import torch
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio

from trimix.errors import UsageError
from trimix.evaluation.metrics import MS_SSIM_MINIMUM_SIDE, butteraugli, luma_psnr_db, ms_ssim, psnr_db, ssimulacra2


def noisy(pixels, deviation):
    noise = np.random.default_rng(7).normal(0, deviation, pixels.shape)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def shrunk(pixels):
    """Blurred by leaving out every other pixel."""
    return pixels[::2, ::2].repeat(2, 0).repeat(2, 1)[: pixels.shape[0], : pixels.shape[1]]


@pytest.fixture(scope="module")
def photograph():
    return photographs.chelsea()  # 300 x 451


def oracle(x, y):
    tensors = [torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].double() for pixels in (x, y)]
    return pytorch_msssim.ms_ssim(*tensors, data_range=255).item()


def test_psnr_of_one_step_everywhere():
    black = np.zeros((4, 5, 3), np.uint8)
    assert psnr_db(black, black + 1) == pytest.approx(20 * math.log10(255))
    assert psnr_db(black, black + 255) == 0.0


def test_psnr_does_not_wrap_around():
    low, high = np.full((2, 2, 1), 3, np.uint8), np.full((2, 2, 1), 250, np.uint8)
    assert psnr_db(low, high) == psnr_db(high, low) == pytest.approx(20 * math.log10(255 / 247))


@pytest.mark.parametrize("deviation", [1.0, 10.0, 60.0])
def test_psnr_equals_scikit_image(photograph, deviation):
    decoded = noisy(photograph, deviation)
    expected = peak_signal_noise_ratio(photograph, decoded, data_range=255)
    assert psnr_db(photograph, decoded) == pytest.approx(expected, abs=1e-9)


def test_luma_psnr_weighs_the_channels():
    black = np.zeros((2, 2, 3), np.uint8)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        decoded = black.copy()
        decoded[:, :, channel] = 10
        assert luma_psnr_db(black, decoded) == pytest.approx(20 * math.log10(255 / (10 * weight)))


def test_luma_psnr_of_grey_is_psnr(photograph):
    grey = photograph[:, :, :1]
    assert luma_psnr_db(grey, noisy(grey, 5.0)) == pytest.approx(psnr_db(grey, noisy(grey, 5.0)))


def test_equal_pictures(photograph):
    assert psnr_db(photograph, photograph) == math.inf
    assert luma_psnr_db(photograph, photograph) == math.inf
    assert ms_ssim(photograph, photograph) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(161, 161), (163, 250), (300, 451), (176, 162)])
@pytest.mark.parametrize("damage", [lambda x: noisy(x, 2.0), lambda x: noisy(x, 25.0), shrunk])
def test_ms_ssim_equals_pytorch_msssim(photograph, shape, damage):
    original = photograph[: shape[0], : shape[1]]
    decoded = damage(original)
    assert ms_ssim(original, decoded) == pytest.approx(oracle(original, decoded), abs=1e-5)


def test_ms_ssim_of_dark_flat_and_saturated_pictures():
    # Variances as differences of large means: where float32 could go wrong.
    flat = np.full((200, 200, 3), 254, np.uint8)
    for other in (flat + 1, noisy(flat, 1.0), np.zeros_like(flat)):
        assert ms_ssim(flat, other) == pytest.approx(oracle(flat, other), abs=1e-4)


def test_ms_ssim_of_grey(photograph):
    grey = photograph[:, :, 1:2]
    assert ms_ssim(grey, shrunk(grey)) == pytest.approx(oracle(grey, shrunk(grey)), abs=1e-5)


def test_small_pictures_have_no_ms_ssim(photograph):
    below = photograph[: MS_SSIM_MINIMUM_SIDE - 1]
    assert ms_ssim(below, below) is None
    assert ms_ssim(photograph[:MS_SSIM_MINIMUM_SIDE], photograph[:MS_SSIM_MINIMUM_SIDE]) is not None


def test_an_inverted_picture_is_worth_nothing(photograph):
    assert ms_ssim(photograph, 255 - photograph) == 0.0


@pytest.mark.parametrize("metric", [psnr_db, luma_psnr_db, ms_ssim, ssimulacra2, butteraugli])
def test_unequal_shapes_are_refused(metric, photograph):
    with pytest.raises(UsageError, match="one shape"):
        metric(photograph, photograph[1:])
