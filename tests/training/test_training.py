import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_models import TINY, tiny_model
from trimix.errors import ConfigurationError, TrainingError
from trimix.models.gllmm_lite import TrainingOutput
from trimix.training import loop
from trimix.training.config import OptimizerConfig, PhaseConfig, TrainingConfig, load_training_config
from trimix.training.loop import Trainer, learning_rate
from trimix.training.objective import psnr_db, rate_distortion
from trimix.training.optimizers import build_optimizer
from trimix.training.steps import PlainStep


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for index in range(3):
        coarse = random.integers(0, 256, (36, 36, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((288, 288), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch):
    # Enough for eight components; the full count takes a second a run.
    monkeypatch.setattr(loop, "_BLOCKS_FOR_COMPONENTS", 1500)


def configuration(pictures, steps=(4,), **changes):
    phases = [
        PhaseConfig(name=f"phase {i}", steps=n, batch_size=2, patch_size=64, learning_rate=1e-3)
        for i, n in enumerate(steps)
    ]
    return TrainingConfig(model=TINY, data={"training": [pictures]}, phases=phases, **changes)


def states(trainer):
    return trainer.model.state_dict(), trainer.average.module.state_dict()


def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(pictures, tmp_path):
    whole = Trainer(configuration(pictures, (3, 3)), tmp_path / "whole", "cpu")
    whole.run()
    Trainer(configuration(pictures, (3,)), tmp_path / "parts", "cpu").run()
    resumed = Trainer(configuration(pictures, (3, 3)), tmp_path / "parts", "cpu")
    assert resumed.progress.step == 3
    resumed.run()
    for one, other in zip(states(whole), states(resumed), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.progress.step == 6


def test_an_interrupt_saves_and_the_run_goes_on_from_there(pictures, tmp_path):
    trainer = Trainer(configuration(pictures), tmp_path / "run", "cpu")
    plain = trainer.step

    def interrupted(*arguments):
        if trainer.progress.step == 2:
            raise KeyboardInterrupt
        return plain(*arguments)

    trainer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    resumed = Trainer(configuration(pictures), tmp_path / "run", "cpu")
    assert resumed.progress.step == 2
    resumed.run()
    whole = Trainer(configuration(pictures), tmp_path / "whole", "cpu")
    whole.run()
    assert all(
        torch.equal(a, b)
        for a, b in zip(*(t.model.state_dict().values() for t in (resumed, whole)), strict=True)
    )


def test_a_fixed_encoder_does_not_move_and_the_rest_does(pictures, tmp_path):
    phase = PhaseConfig(
        name="decoder", steps=3, batch_size=2, patch_size=64, encoder="fixed", rounding="round"
    )
    config = TrainingConfig(model=TINY, data={"training": [pictures]}, phases=[phase])
    trainer = Trainer(config, tmp_path / "run", "cpu")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    moved = {
        name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])
    }
    encoder = ("analysis.", "hyper_analysis.", "gain.")
    assert not any(name.startswith(encoder) for name in moved)
    assert any(name.startswith("synthesis.") for name in moved)
    assert any(name.startswith("head.") for name in moved)


def test_gradients_that_stay_infinite_stop_the_run(pictures, tmp_path):
    trainer = Trainer(configuration(pictures, (30,)), tmp_path / "run", "cpu")
    plain = trainer.step

    def infinite(*arguments):
        loss, report = plain(*arguments)
        return loss * math.inf, report

    trainer.step = infinite
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(TrainingError, match="not finite"):
        trainer.run()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())


def test_validation_is_logged_on_rounded_latents(pictures, tmp_path):
    config = configuration(pictures, (1,)).model_copy(
        update={"data": configuration(pictures).data.model_copy(update={"validation": (pictures,)})}
    )
    Trainer(config, tmp_path / "run", "cpu").run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["kind"] == "validation"]
    assert row["bits_per_pixel"] == sorted(row["bits_per_pixel"])
    assert len(row["psnr_db"]) == len(row["quality"])


def test_a_damaged_checkpoint_is_one_clear_line(pictures, tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"last\.ckpt"):
        Trainer(configuration(pictures), tmp_path, "cpu")


def test_training_lowers_the_loss_of_a_batch(pictures, tmp_path):
    trainer = Trainer(configuration(pictures, (80,)), tmp_path / "run", "cpu")
    x = trainer.sampler.batch(0, 2, 64)
    trainer.sampler.batch = lambda *_: x
    losses = []
    plain = trainer.step

    def recorded(*arguments):
        loss, report = plain(*arguments)
        losses.append(report.loss)
        return loss, report

    trainer.step = recorded
    trainer.run()
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phases = [", "TOML"),
        ("[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1\nspeed=3", r"phases\.0\.speed.*Extra"),
        ("[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=0", r"phases\.0\.steps.*0"),
        ("[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1\npatch_size=100", "patch_size"),
        ("[data]\ntraining = ['x']", "phases"),
    ],
)
def test_a_bad_configuration_names_the_key_and_the_value(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_training_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_configuration_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        load_training_config(tmp_path / "missing.toml")


def test_schedules_start_warm_up_and_end_where_they_say():
    for schedule in ("linear", "cosine"):
        phase = PhaseConfig(
            name="x",
            steps=110,
            warm_up_steps=10,
            learning_rate=1.0,
            learning_rate_final=0.2,
            schedule=schedule,
        )
        rates = [learning_rate(phase, step) for step in range(111)]
        assert rates[0] == pytest.approx(0.1)
        assert rates[9] == rates[10] == pytest.approx(1.0)
        assert rates[60] == pytest.approx(0.6)
        assert rates[110] == pytest.approx(0.2)
        assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_objective_is_its_formula():
    x = torch.zeros(1, 3, 64, 64)
    output = TrainingOutput(x + 2 / 255, torch.tensor([4096.0]), torch.tensor([1024.0]))
    parts = rate_distortion(x, output, torch.tensor([0.016]), 0.45)
    assert float(parts.bits_per_pixel) == pytest.approx(1.25)
    assert float(parts.mean_squared_error) == pytest.approx(4.0, rel=1e-5)
    assert float(parts.loss) == pytest.approx(1.25 + 0.016 * 4, rel=1e-5)
    assert float(psnr_db(torch.tensor(65025.0))) == pytest.approx(0, abs=1e-5)
    weighted = rate_distortion(x, output, torch.tensor([0.016 * 4]), 0.5)
    assert float(weighted.loss) == pytest.approx((1.25 + 0.064 * 4) / 2, rel=1e-5)


def test_the_step_reports_what_it_differentiates():
    model = tiny_model()
    step = PlainStep(
        model, TrainingConfig(data={"training": ["x"]}, phases=[PhaseConfig(name="x", steps=1)]).objective
    )
    generator = torch.Generator().manual_seed(0)
    loss, report = step(
        model, torch.rand(2, 3, 64, 64, generator=generator), PhaseConfig(name="x", steps=1), generator
    )
    assert report.loss == pytest.approx(float(loss.detach()))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_every_parameter_is_trained_and_the_linear_path_more_slowly():
    optimizer = build_optimizer(tiny_model(), OptimizerConfig(linear_path_ratio=0.1))
    ratios = {id(p): g["ratio"] for g in optimizer.param_groups for p in g["params"]}
    names = {id(p): name for name, p in tiny_model().named_parameters()}
    assert len(ratios) == len(names)
    assert sum(ratio == 0.1 for ratio in ratios.values()) == 4
