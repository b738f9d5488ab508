"""Every model, frozen: what it encodes it decodes, what it counts it writes, and integers cost little."""

import numpy as np
import pytest
import torch

from nearest import nearest_symbols
from tiny_models import GLLMM_WITH_LINEAR_PATH, LOW_RESOLUTION, calibration_pictures, lively
from trimix.codec import Codec
from trimix.images import Picture
from trimix.models.catalogue import IDENTIFIERS
from trimix.models.config import (
    AttentionConfig,
    AutoregressiveConfig,
    GllmmConfig,
    HyperpriorConfig,
)
from trimix.models.freeze import freeze, measure_freezing_loss
from trimix.models.frozen import ModelIdentity
from trimix.models.weights import load_frozen, save_frozen
from trimix.probability import Family

CONFIGURATIONS = {
    "hyperprior": HyperpriorConfig(channels=6, latent_channels=8),
    "hyperprior of scales": HyperpriorConfig(channels=6, latent_channels=8, zero_mean=True),
    "autoregressive": AutoregressiveConfig(channels=6, latent_channels=8),
    "attention": AttentionConfig(latent_channels=6),
    "attention, three Gaussians": AttentionConfig(latent_channels=6, components=3, rounding="direct"),
    "gllmm": GllmmConfig(latent_channels=6, head_widths=(12, 16)),
    "gllmm, one Laplacian": GllmmConfig(
        latent_channels=6, head_widths=(12, 16), families=(Family.LAPLACIAN,), components=1
    ),
    "gllmm, all rates": GllmmConfig(latent_channels=6, head_widths=(12, 16), all_rates=True),
    "gllmm with a linear path": GLLMM_WITH_LINEAR_PATH,
    "gllmm at a low resolution": LOW_RESOLUTION,
}


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def pair(request):
    model = lively(CONFIGURATIONS[request.param])
    identity = ModelIdentity("tiny-0", IDENTIFIERS[model.config.kind], bytes(8), {})
    return model, freeze(model, identity, calibration_pictures())


def some_picture(height=90, width=130):
    small = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(2))
    smooth = torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic")[0]
    return Picture((255 * smooth.clamp(0, 1)).byte().permute(1, 2, 0).contiguous().numpy())


def test_what_is_encoded_is_decoded(pair):
    codec = Codec(pair[1])
    picture = some_picture()
    symbols = nearest_symbols(codec, picture, 50)
    assert symbols.latent.abs().max() > 1 and symbols.hyper_latent.abs().max() > 1
    data = codec.encode(picture, 50, 1)
    assert data == codec.pack(picture, symbols)
    found = codec.unpack(data)
    assert torch.equal(found.latent, symbols.latent)
    assert torch.equal(found.hyper_latent, symbols.hyper_latent)
    assert (found.values is None) == (symbols.values is None)
    assert np.array_equal(codec.decode(data).pixels, codec.latents.synthesize(symbols, 90, 130))
    without_values = type(symbols)(symbols.latent, symbols.hyper_latent, symbols.quality_integer)
    assert np.array_equal(codec.latents.synthesize(without_values, 90, 130), codec.decode(data).pixels)


def test_latents_are_rounded_to_the_nearest_value(pair):
    frozen = pair[1]
    codec = Codec(frozen)
    picture = some_picture(64, 128)
    symbols = nearest_symbols(codec, picture, 50)
    values = symbols.latent if symbols.values is None else symbols.values / 64
    x = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        y = frozen.transforms.encode_latent(x, torch.tensor([50.0]))[0]
    assert (values - y).abs().max() <= 0.5 + 1e-4


def test_counted_bits_are_the_files_bits(pair):
    codec = Codec(pair[1])
    picture = some_picture()
    data = codec.encode(picture, 50, 1)
    counted = codec.latents.count(nearest_symbols(codec, picture, 50)).total
    assert counted - 16 <= 8 * len(data) <= counted * 1.001 + 8 * 60


def test_integers_cost_little(pair):
    loss = measure_freezing_loss(*pair, calibration_pictures(4, 128), qualities=(50.0,))
    assert loss.float_bits > 2000
    assert abs(loss.percent) < 0.3


def test_a_file_of_weights_is_the_model(pair, tmp_path):
    model, frozen = pair
    saved = save_frozen(frozen, tmp_path / "tiny-0.safetensors")
    read = load_frozen(tmp_path / "tiny-0.safetensors")
    picture = some_picture()
    data = Codec(saved).encode(picture, 50, 1)
    assert Codec(read).encode(picture, 50, 1) == data
    assert np.array_equal(Codec(read).decode(data).pixels, Codec(saved).decode(data).pixels)
    assert read.transforms.config == model.config
