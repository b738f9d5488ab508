"""What a program has set in torch and NumPy for its own ends changes no byte, and is as it was afterwards."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from tiny_models import calibration_pictures, lively, tiny_frozen, tiny_model
from trimix.architectures.config import HyperpriorConfig
from trimix.codec import Codec
from trimix.freezing.freeze import freeze
from trimix.frozen.model import ModelIdentity
from trimix.images import Picture

COARSE = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
PICTURE = Picture(np.kron(COARSE, np.ones((8, 8, 1), np.uint8)))
EFFORTS = (1, 2, 3)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == dtype
        torch.set_default_dtype(before)


@contextmanager
def torch_threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        assert torch.get_num_threads() == count
        torch.set_num_threads(before)


@contextmanager
def numpy_errors():
    with np.errstate(all="raise"):
        yield


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype float64": lambda: default_dtype(torch.float64),
    "default dtype bfloat16": lambda: default_dtype(torch.bfloat16),
    "default device meta": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "three threads of torch": lambda: torch_threads(3),
    "three threads of NumPy": lambda: threadpool_limits(3),
    "errors of NumPy": numpy_errors,
}
every_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def files(device):
    codec = Codec(tiny_frozen(), device)
    data = [codec.encode(PICTURE, 60, effort) for effort in EFFORTS]
    return data, [codec.decode(one).pixels for one in data]


@pytest.fixture(scope="module", params=["cpu", "torch"])
def plain(request):
    return request.param, files(request.param)


@every_setting
def test_files_and_pictures_are_the_same(plain, setting):
    device, (data, pixels) = plain
    codec = Codec(tiny_frozen(), device)
    with setting():
        found = [codec.encode(PICTURE, 60, effort) for effort in EFFORTS]
        again = [codec.decode(one).pixels for one in found]
    assert found == data
    assert all((one == other).all() for one, other in zip(again, pixels, strict=True))


@every_setting
def test_a_codec_is_the_same_that_is_made_there(plain, setting):
    device, (data, _) = plain
    model = tiny_frozen()
    with setting():
        codec = Codec(model, device)
        assert codec.encode(PICTURE, 60, 3) == data[2]


MODELS = {
    "gllmm-lite": lambda: tiny_model(),
    "hyperprior": lambda: lively(HyperpriorConfig(channels=4, latent_channels=6)),
}


@every_setting
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_a_frozen_model_is_the_same(setting, build):
    identity = ModelIdentity("tiny-0", 1, bytes(8), {})
    model, crops = build(), calibration_pictures()
    expected = freeze(model, identity, crops)
    with setting():
        found = freeze(model, identity, crops)
    assert found.identity.weights_hash == expected.identity.weights_hash
