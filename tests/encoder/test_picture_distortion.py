"""The distortion and its gradient, in strips and in one piece."""

import numpy as np
import pytest
import torch
from searched import CONFIGURATIONS, MODELS, some_picture, tiny_codec

from nearest import nearest_symbols
from trimix import latent_codec
from trimix.codec import Codec
from trimix.encoder.picture_distortion import PictureDistortion, shares_that_matter
from trimix.images import Picture, collapse_to_grey
from trimix.transforms.strips import latent_strips


def in_one_piece(codec, picture, quality_integer, values):
    """The definition, for the whole picture at once."""
    quality = codec.latents.quality_tensor(quality_integer)
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
    symbols = nearest_symbols(codec, picture, 60)
    values = codec.latents.dequantize(symbols)
    if in_strips:
        monkeypatch.setattr(
            latent_codec, "latent_strips", lambda rows, pixels, halo, _: latent_strips(rows, pixels, halo, 1)
        )
    error = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    assert len(list(error._strips(values))) == (
        1 if not in_strips else -(-32 // codec.model.transforms.config.latent_halo)
    )
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
    symbols = nearest_symbols(codec, picture, 60)
    values = codec.latents.dequantize(symbols)
    error = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
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
    trade_off = float(
        codec.model.transforms.squared_error_lambda(codec.latents.quality_tensor(symbols.quality_integer))
    )
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
    codec, picture = Codec.load() if name == "released" else tiny_codec(name), some_picture(65, 65)
    values = codec.latents.dequantize(nearest_symbols(codec, picture, 60))
    error = PictureDistortion(codec.latents, picture.pixels, 15360)
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
