"""Both engines code alike: the same symbols of the same latents, latents and pixels all but equal."""

import numpy as np
import pytest
from freezing_examples import CONFIGURATIONS

from tiny_models import calibration_pictures, lively
from trimix.codec import Codec
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity
from trimix.images import Picture

HEIGHT, WIDTH = 90, 130


def some_picture():
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (HEIGHT // 8 + 1, WIDTH // 8 + 1, 3))
    smooth = np.kron(coarse, np.ones((8, 8, 1)))[:HEIGHT, :WIDTH]
    return Picture((smooth + random.normal(scale=4, size=smooth.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_both_engines_code_alike(name):
    model = lively(CONFIGURATIONS[name])
    identity = ModelIdentity("tiny-0", IDENTIFIERS[model.config.kind], bytes(8), {})
    frozen, picture = freeze(model, identity, calibration_pictures()), some_picture()
    codec, other = Codec(frozen), Codec(frozen, "torch")
    latents, of_torch = (one.latents.analyze(picture, 60) for one in (codec, other))
    assert (np.abs(latents.by_position - of_torch.by_position) > 1e-3).mean() < 1e-3
    for effort in (1, 2):
        data = codec.encode(picture, 60, effort)
        symbols, read = codec.unpack(data), other.unpack(data)
        assert symbols.checksum() == read.checksum()
        assert other.pack(picture, read) == codec.pack(picture, symbols)
        pixels, decoded = codec.decode(data).pixels.astype(int), other.decode(data).pixels
        assert np.abs(pixels - decoded).max() <= 1
