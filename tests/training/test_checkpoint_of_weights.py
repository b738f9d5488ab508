"""tools/checkpoint_of_weights.py: training goes on from a released model, as it was or wider."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tiny_models import INTERLACED, TINY, calibration_pictures, tiny_frozen, tiny_model
from trimix.freezing.freeze import float_weights
from trimix.frozen.storage import save_frozen
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.loop import Trainer

TOOL = Path(__file__).parents[2] / "tools" / "checkpoint_of_weights.py"
WIDER = {"transform_widths": (4, 6, 8, 8), "head_widths": (14, 15), "lapped_channels": 3}
OTHER_LAMBDAS = {"lambda_minimum": 0.4, "lambda_maximum": 240.0, "lambda_ratio": 1200.0}


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location(TOOL.stem, TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def release(folder, config):
    """A model file and its float16 entropy model, as they are released."""
    frozen = tiny_frozen(config)
    released, entropy_model = folder / "released.safetensors", folder / "entropy-model.safetensors"
    save_frozen(replace(frozen, identity=replace(frozen.identity, name="released")), released)
    integers = tiny_model(config).state_dict().keys() - float_weights(frozen).keys()
    weights = tiny_model(config).state_dict()
    save_file({name: weights[name].half() for name in integers}, entropy_model)
    return released, entropy_model


def started(pictures, folder, checkpoint, config):
    phases = [PhaseConfig(name="all", steps=1, batch_size=2, patch_size=64, learning_rate=1e-3)]
    run = TrainingConfig(model=config, data={"training": [pictures]}, phases=phases, start_from=checkpoint)
    return Trainer(run, folder, "cpu")


def output_of(trainer):
    with torch.no_grad():
        return trainer.average.module.eval()(calibration_pictures(), torch.tensor([30.0, 70.0]), rounding="round")


@pytest.mark.parametrize("config", [TINY, INTERLACED], ids=["checkerboard", "interlaced"])
def test_training_goes_on_from_what_was_released_also_wider(tool, picture_folder, tmp_path, config):
    released, entropy_model = release(tmp_path, config)
    checkpoint = tmp_path / "start.ckpt"
    assert tool.main([str(path) for path in (released, entropy_model, checkpoint)]) == 0
    same = started(picture_folder, tmp_path / "same", checkpoint, config)
    wide = config.model_copy(update=WIDER)
    wider = started(picture_folder, tmp_path / "wider", checkpoint, wide)
    elsewhere = started(picture_folder, tmp_path / "elsewhere", checkpoint, config.model_copy(update=OTHER_LAMBDAS))
    assert (same.grown_from, wider.grown_from, elsewhere.grown_from) == (None, config, None)
    expected = tiny_model(config).state_dict() | float_weights(tiny_frozen(config))
    for name, value in same.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=2e-3, atol=1e-3)
        assert torch.equal(value, elsewhere.model.state_dict()[name])
    for one, other in zip(vars(output_of(same)).values(), vars(output_of(wider)).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    wider.run()
    assert wider.is_complete


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({0: "none.safetensors"}, 5, "none.safetensors: no such model file"),
        ({1: "none.safetensors"}, 5, "none.safetensors: no such file"),
        ({1: "text.md"}, 5, "text.md: is not a weights file"),
        ({0: "entropy-model.safetensors"}, 5, "must be a frozen trimix model"),
        ({1: "released.safetensors"}, 5, "must be the float entropy model of released.safetensors"),
        ({2: "text.md"}, 6, "text.md already exists; replace it"),
        ({2: "nowhere/start.ckpt"}, 6, "the directory must exist"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tool, tmp_path, monkeypatch, capsys, changes, code, message):
    release(tmp_path, TINY)
    monkeypatch.chdir(tmp_path)
    Path("text.md").write_text("text")
    before = set(tmp_path.iterdir())
    usual = {0: "released.safetensors", 1: "entropy-model.safetensors", 2: "start.ckpt"}
    assert tool.main(list((usual | changes).values())) == code
    error = capsys.readouterr().err
    assert error.startswith("checkpoint_of_weights: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert set(tmp_path.iterdir()) == before
    assert Path("text.md").read_text() == "text"


def test_without_files_it_says_what_it_needs(tool, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main([])
    assert caught.value.code == 2
    assert "required: released, entropy_model, checkpoint" in capsys.readouterr().err
