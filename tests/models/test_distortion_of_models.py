"""A model file says what its weights were trained for, and what an older one means that does not."""

import json
from dataclasses import asdict, replace

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tiny_models import TINY, tiny_frozen
from trimix.distortion import Distortion
from trimix.errors import ModelError
from trimix.models.catalogue import find_model
from trimix.models.weights import load_frozen, save_frozen


def with_metadata(path, distortion):
    """The file with another distortion in its metadata, or with none."""
    with safe_open(path, framework="pt") as file:
        metadata = {key: text for key, text in file.metadata().items() if key != "distortion"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata | ({} if distortion is None else {"distortion": distortion}))
    return path


@pytest.mark.parametrize("distortion", [Distortion(), Distortion("ssimulacra2", (1.0, 2.0, 2.0), 1.0)])
def test_it_comes_back_and_does_not_change_the_hash(tmp_path, distortion):
    plain = save_frozen(tiny_frozen(), tmp_path / "plain.safetensors")
    path = tmp_path / "a.safetensors"
    saved = save_frozen(replace(tiny_frozen(), distortion=distortion), path)
    assert load_frozen(path).distortion == saved.distortion == distortion
    assert saved.identity.weights_hash == plain.identity.weights_hash


@pytest.mark.parametrize(("ratio", "kind"), [(1.0, "mse"), (1200.0, "ms-ssim")])
def test_of_files_that_do_not_say_the_lambdas_tell(tmp_path, ratio, kind):
    lambdas = {"lambda_ratio": ratio, "lambda_minimum": 0.0003 * ratio, "lambda_maximum": 0.2 * ratio}
    path = tmp_path / "a.safetensors"
    save_frozen(tiny_frozen(TINY.model_copy(update=lambdas)), path)
    assert load_frozen(with_metadata(path, None)).distortion == Distortion(kind)


def test_the_released_weights_for_ms_ssim_are_searched_for_ms_ssim():
    assert load_frozen(find_model("gllmm-lite-ms-ssim").path).distortion.kind == "ms-ssim"
    assert load_frozen(find_model("gllmm-lite").path).distortion == Distortion()


@pytest.mark.parametrize("text", ["{", "[]", json.dumps(asdict(Distortion()) | {"kind": "taste"})])
def test_another_distortion_is_refused(tmp_path, text):
    path = tmp_path / "a.safetensors"
    save_frozen(tiny_frozen(), path)
    with pytest.raises(ModelError, match="the distortion must be one of training"):
        load_frozen(with_metadata(path, text))
