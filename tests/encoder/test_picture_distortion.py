"""The distortion and its gradient, in strips and in one piece."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from searched import CONFIGURATIONS, FITTED, MODELS, some_picture, tiny_codec

from nearest import nearest_symbols
from trimix import latent_codec
from trimix.codec import Codec
from trimix.distortion import Distortion
from trimix.distortion.differentiable import distortion_of
from trimix.encoder.picture_distortion import PictureDistortion, shares_that_matter
from trimix.frozen.tiles import tiles
from trimix.frozen.torch_engine import TorchNetwork
from trimix.images import Picture, to_planes


def in_one_piece(codec, picture, quality_integer, values):
    """The definition, for the whole picture at once."""
    quality = torch.tensor([quality_integer / 512])
    transforms = codec.model.transforms
    synthesis = TorchNetwork(transforms.programs["synthesis"], transforms.tensors, torch.device("cpu"))
    height, width, channels = picture.pixels.shape
    y = torch.from_numpy(values)[None].requires_grad_(True)
    x_hat = synthesis(y, quality)[:, :, :height, :width]
    if channels == 1:
        x_hat = x_hat.mean(dim=1, keepdim=True)
    x = torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)[None].float()
    trade_off = transforms.squared_error_lambda(float(quality))
    mean = (255 * x_hat.clamp(0, 1) - x).square().mean()
    bits = trade_off * mean * height * width
    return float(bits.detach()), torch.autograd.grad(bits, y)[0][0].numpy()


def in_small_tiles(rows, columns, grid, halo, _):
    return tiles(rows, columns, grid, halo, 1)


@pytest.mark.parametrize("in_strips", [False, True])
@pytest.mark.parametrize(("name", "channels"), [*((name, 3) for name in MODELS), ("gllmm-lite", 1)])
def test_the_gradient_is_that_of_the_whole_picture(name, channels, in_strips, monkeypatch):
    codec = tiny_codec(name)
    picture = some_picture(16 * 28 + 5, 40, channels)
    symbols = nearest_symbols(codec, picture, 60)
    values = codec.latents.dequantize(symbols)
    if in_strips:
        monkeypatch.setattr(latent_codec, "tiles", in_small_tiles)
        monkeypatch.setattr(latent_codec, "_ENCODER_HALO_SHARE", 1)
    error = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    assert (len(list(error._tiles(values))) > 1) == in_strips
    slope = error.slope(values)
    bits, gradient = slope.bits, slope.gradient
    whole_bits, whole_gradient = in_one_piece(codec, picture, symbols.quality_integer, values)
    assert bits == pytest.approx(whole_bits, rel=1e-4)
    assert error.bits(values) == pytest.approx(whole_bits, rel=1e-4)
    shares = error.shares(*values.shape[1:])
    whole_gradient *= shares > 0
    scale = float(np.abs(whole_gradient).max())
    assert scale > 0
    assert np.allclose(gradient, whole_gradient, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_the_change_of_the_error(name):
    codec = tiny_codec(name)
    picture = some_picture(64, 64)
    symbols = nearest_symbols(codec, picture, 60)
    values = codec.latents.dequantize(symbols)
    error = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    slope = error.slope(values)
    bits, gradient = slope.bits, slope.gradient
    place = tuple(int(index) for index in np.unravel_index(int(np.abs(gradient).argmax()), gradient.shape))
    # Far enough for single precision, near enough for what bends.
    step = min(0.02, 2e-5 * bits / abs(float(gradient[place])))
    up, down = values.copy(), values.copy()
    up[place] += step
    down[place] -= step
    change = (error.bits(up) - error.bits(down)) / (2 * step)
    assert float(gradient[place]) == pytest.approx(change, rel=0.05, abs=1e-2)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_psnr_is_that_of_the_decoded_picture(name, channels):
    codec = tiny_codec(name)
    picture = some_picture(50, 70, channels)
    symbols = nearest_symbols(codec, picture, 60)
    error = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    decoded = codec.latents.synthesize(symbols, 50, 70, channels)
    mean = np.square(decoded.astype(float) - picture.pixels).mean()
    psnr_db, unit = error.text(error.bits(codec.latents.dequantize(symbols))).split()
    assert unit == "dB"
    assert float(psnr_db) == pytest.approx(10 * np.log10(255**2 / mean), abs=0.05)


def test_pixels_that_pad_do_not_count():
    codec = tiny_codec("gllmm-lite")
    picture = some_picture(64, 64)
    cut = Picture(np.ascontiguousarray(picture.pixels[:17, :33]))
    symbols = nearest_symbols(codec, cut, 50)
    error = PictureDistortion(codec.latents, cut.pixels, symbols.quality_integer)
    decoded = codec.latents.synthesize(symbols, 17, 33).astype(float)
    squared = np.square(decoded - cut.pixels).sum()
    trade_off = codec.model.transforms.squared_error_lambda(symbols.quality)
    assert error.bits(codec.latents.dequantize(symbols)) == pytest.approx(trade_off / 3 * squared, rel=0.01)


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
    codec, picture = (Codec.load("gllmm-lite") if name == "released" else tiny_codec(name), some_picture(65, 65))
    values = codec.latents.dequantize(nearest_symbols(codec, picture, 60))
    error = PictureDistortion(codec.latents, picture.pixels, 15360)
    gradient = error.slope(values).gradient
    is_beyond = error.shares(8, 8) == 0
    assert is_beyond.any()
    assert not gradient[:, is_beyond].any()
    assert gradient[:, ~is_beyond].any()
    changes = []
    for place in (is_beyond, ~is_beyond):
        moved = values + place * np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
        changes.append(abs(error.bits(moved) - error.bits(values)) / int(place.sum()))
    assert changes[0] < 0.2 * changes[1]


OBJECTIVES = (Distortion("weighted-mse"), Distortion("ms-ssim"), Distortion("ssimulacra2"))


@cache
def codec_for(distortion):
    """A linear codec whose weights say that they were trained for a distortion."""
    return Codec(replace(tiny_codec(FITTED).model, distortion=distortion))


@pytest.mark.parametrize("distortion", OBJECTIVES, ids=lambda one: one.kind)
@pytest.mark.parametrize("channels", [1, 3])
def test_bits_are_those_of_the_objective_of_the_weights(distortion, channels):
    codec, picture = codec_for(distortion), some_picture(170, 180, channels)
    symbols = nearest_symbols(codec, picture, 60)
    found = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    pixels = codec.latents.synthesize(symbols, 170, 180, channels)
    x, x_hat = (torch.from_numpy(to_planes(one))[None] for one in (picture.pixels, pixels))
    trade_off = codec.model.transforms.rate_distortion_lambda(60.0)
    expected = 170 * 180 * float(trade_off * distortion_of(distortion, x, x_hat))
    assert found.bits(codec.latents.dequantize(symbols)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("distortion", OBJECTIVES, ids=lambda one: one.kind)
def test_what_stands_for_a_distortion_points_the_same_way_in_tiles(distortion, monkeypatch):
    codec, picture = codec_for(distortion), some_picture(16 * 28 + 5, 170)
    symbols = nearest_symbols(codec, picture, 60)
    values = codec.latents.dequantize(symbols)
    found = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    whole = found.slope(values)
    monkeypatch.setattr(latent_codec, "tiles", lambda *given: tiles(*given[:-2], 16, 1))
    monkeypatch.setattr(latent_codec, "_ENCODER_HALO_SHARE", 1)
    assert len(list(found._tiles(values))) > 1
    parts = found.slope(values)
    assert parts.bits == pytest.approx(found.bits(values), rel=1e-4)
    # A mean of squared errors is the sum of its parts; scores of parts have each their own scales and borders.
    assert parts.bits == pytest.approx(whole.bits, rel=1e-3 if distortion.kind == "weighted-mse" else 0.1)
    for one, other in ((parts.gradient, whole.gradient), (parts.shares, whole.shares)):
        assert np.vdot(one, other) > 0.9 * np.linalg.norm(one) * np.linalg.norm(other)


def test_where_the_distortion_is_a_squared_error_its_own_weight_is_found():
    """Grey errors and a picture of grey: weighted squared errors are 6/8 of squared ones at every place."""
    codec = codec_for(Distortion("weighted-mse", (6.0, 1.0, 1.0)))
    picture = some_picture(128, 128, 1)
    symbols = nearest_symbols(codec, picture, 60)
    slope = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer).slope(
        codec.latents.dequantize(symbols)
    )
    assert slope.shares == pytest.approx(np.full((8, 8), 6 / 8), rel=1e-3)


def test_a_picture_too_small_for_its_distortion_is_measured_by_squared_errors():
    picture = some_picture(100, 200)
    codecs = (tiny_codec(FITTED), codec_for(Distortion("ssimulacra2")))
    values = codecs[0].latents.dequantize(nearest_symbols(codecs[0], picture, 60))
    plain, small = (PictureDistortion(codec.latents, picture.pixels, 30720).bits(values) for codec in codecs)
    assert plain == small


@pytest.mark.parametrize(("height", "width"), [(511, 1024), (1300, 600)])
def test_a_large_picture_is_measured_in_parts(height, width):
    codec, picture = codec_for(Distortion("weighted-mse")), some_picture(height, width)
    symbols = nearest_symbols(codec, picture, 60)
    found = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    values = codec.latents.dequantize(symbols)
    (tile,) = found._tiles(values)
    x_hat, x = found._shown(values, tile)[0], to_planes(picture.pixels)
    trade_off = float(codec.model.transforms.rate_distortion_lambda(60.0))
    whole = (
        trade_off
        * height
        * width
        * float(distortion_of(found.measure, *(torch.from_numpy(one)[None] for one in (x, x_hat))))
    )
    assert found.bits(values) == pytest.approx(whole, rel=1e-4)
