"""Training goes on from a model file, as it was or wider."""

from dataclasses import replace

import pytest
import torch

from tiny_models import INTERLACED, TINY, calibration_pictures, tiny_frozen
from trimix.errors import ModelError, TrainingError
from trimix.freezing.thaw import thaw
from trimix.frozen.storage import save_frozen
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.loop import Trainer

WIDER = {"transform_widths": (4, 6, 8, 8), "head_widths": (14, 15), "lapped_channels": 3}
OTHER_LAMBDAS = {"lambda_minimum": 0.4, "lambda_maximum": 240.0, "lambda_ratio": 1200.0}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    frozen = tiny_frozen(INTERLACED)
    path = tmp_path_factory.mktemp("released") / "released-1.safetensors"
    save_frozen(replace(frozen, identity=replace(frozen.identity, name="released-1")), path)
    return path


def started(pictures, folder, start, config):
    phases = [PhaseConfig(name="all", steps=1, batch_size=2, patch_size=64, learning_rate=1e-3)]
    run = TrainingConfig(model=config, data={"training": [pictures]}, phases=phases, start_from=start)
    return Trainer(run, folder, "cpu")


def output_of(trainer):
    with torch.no_grad():
        return trainer.average.module.eval()(calibration_pictures(), torch.tensor([30.0, 70.0]), rounding="round")


def test_training_goes_on_from_what_was_released_also_wider(released, picture_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMIX_MODELS", str(released.parent))
    same = started(picture_folder, tmp_path / "same", released, INTERLACED)
    named = started(picture_folder, tmp_path / "named", "released", INTERLACED)
    wider = started(picture_folder, tmp_path / "wider", released, INTERLACED.model_copy(update=WIDER))
    lambdas = INTERLACED.model_copy(update=OTHER_LAMBDAS)
    elsewhere = started(picture_folder, tmp_path / "elsewhere", released, lambdas)
    grown_from = [one.grown_from for one in (same, named, wider, elsewhere)]
    assert grown_from == [None, None, INTERLACED, None]
    expected = thaw(tiny_frozen(INTERLACED)).state_dict()
    for one in (same, named, elsewhere):
        for name, value in one.model.state_dict().items():
            assert torch.equal(value, expected[name])
    for one, other in zip(vars(output_of(same)).values(), vars(output_of(wider)).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    wider.run()
    assert wider.is_complete


def test_what_does_not_fit_is_refused(released, picture_folder, tmp_path):
    with pytest.raises(TrainingError, match="must"):
        started(picture_folder, tmp_path / "other", released, TINY)
    with pytest.raises(ModelError, match="no model is named 'nothing-7'"):
        started(picture_folder, tmp_path / "none", "nothing-7", INTERLACED)
