"""A run on two processes is the run on one."""

import pytest
import torch
from distributed_runs import run_on
from small_runs import contents, small_run

from trimix.errors import ConfigurationError
from trimix.training.config import RegularizerConfig
from trimix.training.loop import Trainer

REGULARIZERS: dict[str, RegularizerConfig | None] = {
    "plain": None,
    "regularized": RegularizerConfig(alpha=0.05, features=4),
}
every_step = pytest.mark.parametrize("regularizer", REGULARIZERS.values(), ids=REGULARIZERS)


def configuration(pictures, regularizer=None, **changes):
    return small_run(pictures, run={"regularizer": regularizer}, **changes)


def assert_same_run(one, other):
    """Weights, and Adam's first moments, which are gradients before Adam makes them one size."""
    for name in one.keys() & {"model", "average", "companion"}:
        for key, value in one[name].items():
            torch.testing.assert_close(value, other[name][key], rtol=1e-5, atol=1e-5)
    for name in one.keys() & {"optimizer", "companion_optimizer"}:
        for index, state in one[name]["state"].items():
            moment = other[name]["state"][index]["exp_avg"]
            scale = float(moment.abs().max()) or 1.0
            torch.testing.assert_close(state["exp_avg"], moment, rtol=1e-4, atol=1e-4 * scale)
    times = {"seconds": 0, "core_seconds": 0}
    assert one["progress"] | times == other["progress"] | times


@pytest.mark.slow
@every_step
def test_two_processes_are_one_with_the_joined_batch(picture_folder, tmp_path, regularizer):
    config = configuration(picture_folder, regularizer, rounding="round")
    assert run_on(2, config, tmp_path / "two") == [0, 0]
    Trainer(config, tmp_path / "one", "cpu").run()
    assert_same_run(contents(tmp_path / "two"), contents(tmp_path / "one"))


@every_step
def test_two_processes_have_the_noise_of_two_parts(picture_folder, tmp_path, regularizer):
    assert run_on(2, configuration(picture_folder, regularizer), tmp_path / "two") == [0, 0]
    parts = configuration(picture_folder, regularizer, accumulation=2)
    Trainer(parts, tmp_path / "one", "cpu").run()
    assert_same_run(contents(tmp_path / "two"), contents(tmp_path / "one"))


@every_step
def test_parts_add_up_to_the_batch(picture_folder, tmp_path, regularizer):
    for parts in (1, 4):
        config = configuration(picture_folder, regularizer, rounding="round", accumulation=parts)
        Trainer(config, tmp_path / str(parts), "cpu").run()
    assert_same_run(contents(tmp_path / "4"), contents(tmp_path / "1"))


def test_all_processes_stop_at_the_same_step_and_go_on(picture_folder, tmp_path):
    config = configuration(picture_folder, steps=4)
    assert run_on(2, config, tmp_path / "run", signal_at=1) == [3, 3]
    assert contents(tmp_path / "run")["progress"]["step"] == 2
    assert run_on(2, config, tmp_path / "run") == [0, 0]
    Trainer(configuration(picture_folder, steps=4, accumulation=2), tmp_path / "one", "cpu").run()
    assert_same_run(contents(tmp_path / "run"), contents(tmp_path / "one"))


def test_parts_must_be_equal(picture_folder, tmp_path):
    with pytest.raises(ValueError, match="accumulation must divide batch_size, found 3 and 4"):
        configuration(picture_folder, accumulation=3)
    config = configuration(picture_folder, batch_size=6, accumulation=2)
    trainer = Trainer(config, tmp_path, "cpu")
    trainer.devices.count = 2
    with pytest.raises(ConfigurationError, match=r"multiple of devices times accumulation, found 6 and 2 \* 2"):
        Trainer(config, tmp_path, trainer.devices)
