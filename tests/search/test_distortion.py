"""The squared error and its gradient, in strips and in one piece."""

import numpy as np
import pytest
import torch
from searched import CONFIGURATIONS, MODELS, some_picture, tiny_codec

from trimix.codec import Codec
from trimix.frozen.strips import latent_strips
from trimix.images import Picture, collapse_to_grey
from trimix.search import distortion
from trimix.search.distortion import SquaredError, measured_curvature, shares_that_matter, values_of


def in_one_piece(codec, picture, quality_integer, values):
    """The definition, for the whole picture at once."""
    quality = codec.quality_tensor(quality_integer)
    height, width, channels = picture.pixels.shape
    y = values[None].clone().requires_grad_(True)
    x_hat = codec.model.transforms.decode(y, quality)[:, :, :height, :width]
    if channels == 1:
        x_hat = collapse_to_grey(x_hat)
    x = torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)[None].float()
    trade_off = float(codec.model.transforms.squared_error_lambda(quality))
    mean = (255 * x_hat.clamp(0, 1) - x).square().mean()
    bits = trade_off * mean * height * width
    return float(bits.detach()), torch.autograd.grad(bits, y)[0][0]


@pytest.mark.parametrize("in_strips", [False, True])
@pytest.mark.parametrize(("name", "channels"), [*((name, 3) for name in MODELS), ("gllmm-lite", 1)])
def test_the_gradient_is_that_of_the_whole_picture(name, channels, in_strips, monkeypatch):
    codec = tiny_codec(name)
    picture = some_picture(16 * 28 + 5, 40, channels)
    symbols = codec.quantize(picture, 60)
    values = values_of(codec, symbols)
    if in_strips:
        monkeypatch.setattr(
            distortion, "latent_strips", lambda rows, pixels, halo, _: latent_strips(rows, pixels, halo, 1)
        )
    error = SquaredError(codec, picture.pixels, symbols.quality_integer)
    strips = -(-32 // codec.model.transforms.facts.halo) if in_strips else 1
    assert len(list(error._strips(values))) == strips
    bits, gradient = error.gradient(values)
    whole_bits, whole_gradient = in_one_piece(codec, picture, symbols.quality_integer, values)
    assert bits == pytest.approx(whole_bits, rel=1e-4)
    assert error.bits(values) == pytest.approx(whole_bits, rel=1e-4)
    shares = error.shares(*values.shape[1:])
    whole_gradient *= torch.from_numpy(shares > 0)
    scale = float(whole_gradient.abs().max())
    assert scale > 0
    assert torch.allclose(gradient, whole_gradient, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_the_change_of_the_error(name):
    codec = tiny_codec(name)
    picture = some_picture(64, 64)
    symbols = codec.quantize(picture, 60)
    values = values_of(codec, symbols)
    error = SquaredError(codec, picture.pixels, symbols.quality_integer)
    bits, gradient = error.gradient(values)
    place = tuple(int(index) for index in np.unravel_index(int(gradient.abs().argmax()), gradient.shape))
    # Far enough for single precision, near enough for what bends.
    step = min(0.02, 2e-5 * bits / abs(float(gradient[place])))
    up, down = values.clone(), values.clone()
    up[place] += step
    down[place] -= step
    change = (error.bits(up) - error.bits(down)) / (2 * step)
    assert float(gradient[place]) == pytest.approx(change, rel=0.05, abs=1e-2)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_psnr_is_that_of_the_decoded_picture(name, channels):
    codec = tiny_codec(name)
    picture = some_picture(50, 70, channels)
    symbols = codec.quantize(picture, 60)
    error = SquaredError(codec, picture.pixels, symbols.quality_integer)
    decoded = codec.reconstruct(symbols, 50, 70, channels)
    mean = np.square(decoded.astype(float) - picture.pixels).mean()
    assert error.psnr_db(error.bits(values_of(codec, symbols))) == pytest.approx(
        10 * np.log10(255**2 / mean), abs=0.05
    )


def test_pixels_that_pad_do_not_count():
    codec = tiny_codec("gllmm-lite")
    picture = some_picture(64, 64)
    cut = Picture(np.ascontiguousarray(picture.pixels[:17, :33]))
    symbols = codec.quantize(cut, 50)
    error = SquaredError(codec, cut.pixels, symbols.quality_integer)
    decoded = codec.reconstruct(symbols, 17, 33).astype(float)
    squared = np.square(decoded - cut.pixels).sum()
    trade_off = float(
        codec.model.transforms.squared_error_lambda(codec.quality_tensor(symbols.quality_integer))
    )
    assert error.bits(values_of(codec, symbols)) == pytest.approx(trade_off / 3 * squared, rel=0.01)


def test_a_distortion_of_known_curvature_is_measured_whatever_lies_beyond_the_border():
    random = torch.Generator().manual_seed(4)
    gradient, moved = torch.randn(2, 5, 6, 7, generator=random)
    weights = np.array([0.5, 1.0, 2.0, 4.0, 8.0], np.float32)
    shares = np.ones((6, 7), np.float32)
    shares[4], shares[5:], shares[:, 6] = 0.25, 0, 0
    counts = torch.from_numpy(shares)
    gradient *= counts > 0
    slope = (gradient * moved).sum()
    foreseen = (torch.from_numpy(weights)[:, None, None] * counts * moved.square()).sum()
    change = float(slope + 3 * foreseen)
    assert measured_curvature(change, gradient, moved, weights, shares) == pytest.approx(3, rel=1e-5)
    beyond = torch.where(counts > 0, moved, moved + 100)
    assert measured_curvature(change, gradient, beyond, weights, shares) == pytest.approx(3, rel=1e-5)
    assert measured_curvature(change, gradient, beyond, weights, np.zeros_like(shares)) == 1


@pytest.mark.parametrize("height", [1, 15, 16, 17, 25, 31, 47, 64])
def test_a_position_counts_by_its_block_or_by_what_its_filters_reach(height):
    rows = -(-height // 64) * 4
    shares = shares_that_matter(height, 64, rows, 4)
    if shares is None:
        assert height == 64
        return
    for row in range(rows):
        pixels = np.arange(16 * row - 8, 16 * row + 24)
        inside = pixels < height
        expected = max(inside[8:24].mean(), inside.mean())
        assert shares[row] == pytest.approx([expected] * 4)


@pytest.mark.parametrize("name", ["released", *CONFIGURATIONS])
def test_what_lies_beyond_the_reach_of_a_model_has_no_slope_and_little_effect(name):
    codec, picture = Codec.load() if name == "released" else tiny_codec(name), some_picture(65, 65)
    values = values_of(codec, codec.quantize(picture, 60))
    error = SquaredError(codec, picture.pixels, 15360)
    _, gradient = error.gradient(values)
    is_beyond = torch.from_numpy(error.shares(8, 8) == 0)
    assert is_beyond.any()
    assert not gradient[:, is_beyond].any()
    assert gradient[:, ~is_beyond].any()
    changes = []
    for place in (is_beyond, ~is_beyond):
        moved = values + place * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
        changes.append(abs(error.bits(moved) - error.bits(values)) / int(place.sum()))
    assert changes[0] < 0.2 * changes[1]
