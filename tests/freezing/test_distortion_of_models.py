"""A model file says what its weights were trained for; where freezing is not told, the lambdas tell."""

import pytest

from tiny_models import TINY, calibration_pictures, tiny_frozen, tiny_model
from trimix.distortion import Distortion
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import find_model
from trimix.frozen.model import ModelIdentity
from trimix.frozen.storage import load_frozen, save_frozen


@pytest.mark.parametrize("distortion", [Distortion(), Distortion("ssimulacra2", (1.0, 2.0, 2.0), 1.0)])
def test_it_comes_back(tmp_path, distortion):
    identity = ModelIdentity("tiny-0", 1, bytes(8), {})
    frozen = freeze(tiny_model(), identity, calibration_pictures(), distortion=distortion)
    save_frozen(frozen, tmp_path / "a.safetensors")
    assert load_frozen(tmp_path / "a.safetensors").distortion == frozen.distortion == distortion


@pytest.mark.parametrize(("ratio", "kind"), [(1.0, "mse"), (1200.0, "ms-ssim")])
def test_otherwise_the_lambdas_tell(ratio, kind):
    lambdas = {"lambda_ratio": ratio, "lambda_minimum": 0.0003 * ratio, "lambda_maximum": 0.2 * ratio}
    assert tiny_frozen(TINY.model_copy(update=lambdas)).distortion == Distortion(kind)


def test_the_released_weights_for_ms_ssim_are_searched_for_ms_ssim():
    assert load_frozen(find_model("gllmm-lite-ms-ssim").path).distortion.kind == "ms-ssim"
    assert load_frozen(find_model("gllmm-lite").path).distortion == Distortion()
