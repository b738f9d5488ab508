"""Every model, frozen: what it encodes it decodes, what it counts it writes, and integers cost little."""

import numpy as np
import pytest
import torch
from freezing_examples import CONFIGURATIONS

from nearest import nearest_symbols
from tiny_models import calibration_pictures, lively
from trimix.codec import Codec
from trimix.errors import ModelError
from trimix.freezing.freeze import freeze, measure_freezing_loss
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity
from trimix.frozen.storage import load_frozen, save_frozen
from trimix.images import Picture, to_planes


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
    assert np.abs(symbols.latent).max() > 1 and np.abs(symbols.hyper_latent).max() > 1
    data = codec.encode(picture, 50, 1)
    assert data == codec.pack(picture, symbols)
    found = codec.unpack(data)
    assert np.array_equal(found.latent, symbols.latent)
    assert np.array_equal(found.hyper_latent, symbols.hyper_latent)
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
    y = frozen.transforms.encode_latent(to_planes(picture.pixels), 50.0)
    assert np.abs(values - y).max() <= 0.5 + 1e-4


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
    assert read.stored.configuration == model.config.model_dump_json()


def test_weights_beyond_half_precision_are_refused():
    model = lively(CONFIGURATIONS["hyperprior"])
    with torch.no_grad():
        model.analysis[0].bias[0] = 1e6
    with pytest.raises(ModelError, match=r"analysis\.0\.bias must be finite"):
        freeze(model, ModelIdentity("tiny-0", 2, bytes(8), {}), calibration_pictures())


def test_a_layer_without_operations_is_refused():
    model = lively(CONFIGURATIONS["hyperprior"])
    model.analysis.append(torch.nn.Softplus())
    with pytest.raises(ModelError, match="found Softplus: say in freezing"):
        freeze(model, ModelIdentity("tiny-0", 2, bytes(8), {}), calibration_pictures())
