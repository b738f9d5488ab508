import json
import zlib

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load

from tiny_models import INTERLACED, tiny_frozen
from trimix.codec import Codec
from trimix.coding.standard_tables import CDF_TABLES
from trimix.frozen.engine import interpolated_factors, quality_on_plane
from trimix.frozen.export import EXPORT_FORMAT, exported_files
from trimix.frozen.model import FrozenModel


@pytest.fixture(scope="module", params=["tiny", "default"])
def model(request: pytest.FixtureRequest) -> FrozenModel:
    return tiny_frozen(INTERLACED) if request.param == "tiny" else Codec.load().model


@pytest.fixture(scope="module")
def files(model: FrozenModel) -> dict[str, bytes]:
    return exported_files(model)


def manifest_of(files: dict[str, bytes]) -> dict:
    return json.loads(list(files.values())[-1])


def test_the_synthesis_makes_the_pixels_of_the_engine(model, files):
    manifest, quality = manifest_of(files), 62.5
    tensors = load(files[manifest["integers"]["name"]])
    y_hat = np.random.default_rng(0).integers(-3, 4, (manifest["latent_channels"], 5, 7)).astype(np.float32)
    given = {"x": y_hat[None]}
    for name, logarithms in manifest["factors"].items():
        given[name] = interpolated_factors(tensors[logarithms], quality).reshape(1, -1, 1, 1)
    if manifest["sees_quality"]:
        given["quality"] = np.array(quality_on_plane(quality), np.float32)
    session = onnxruntime.InferenceSession(files[manifest["synthesis"]["name"]], providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == set(given)
    np.testing.assert_allclose(session.run(None, given)[0][0], model.transforms.decode(y_hat, quality), atol=1e-5)


def test_every_tensor_of_the_integer_path_is_there(model, files):
    manifest = manifest_of(files)
    tensors = load(files[manifest["integers"]["name"]])
    layers = [one["layer"] for one in manifest["hyper_synthesis"]["operations"]]
    layers += [one["layer"] for one in manifest["contexts"]] + manifest["head"]
    for layer in layers:
        for name, value in model.stored.tensors.items():
            if name.startswith(f"{layer}."):
                assert np.array_equal(tensors[name], value)
                assert tensors[name].dtype == value.dtype
    assert np.array_equal(tensors["hyper_table.cdf"], model.stored.tensors["hyper_table.cdf"])
    assert np.array_equal(tensors["coder.cdf"], CDF_TABLES)
    assert not any("analysis" in name for name in tensors)


def test_the_manifest_names_its_files_with_their_checksums(model, files):
    manifest = manifest_of(files)
    assert manifest["format"] == EXPORT_FORMAT
    assert manifest["hash"] == model.identity.weights_hash.hex()
    for one in (manifest["integers"], manifest["synthesis"]):
        data = files[one["name"]]
        assert (len(data), f"{zlib.crc32(data):08x}") == (one["bytes"], one["crc32"])


def test_weights_keep_the_8_and_16_bits_of_the_model_file():
    files = exported_files(Codec.load().model)
    assert sum(map(len, files.values())) < 6_000_000
