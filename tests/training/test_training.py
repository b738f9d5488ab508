import json
import math
import signal
import threading
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_models import TINY, tiny_model
from trimix.architectures.compression_model import TrainingOutput
from trimix.errors import ConfigurationError, TrainingError
from trimix.training import linear_path, loop
from trimix.training.config import OptimizerConfig, PhaseConfig, TrainingConfig, load_training_config
from trimix.training.loop import Trainer
from trimix.training.objective import psnr_db, rate_distortion
from trimix.training.optimizers import build_optimizer
from trimix.training.steps import Batch, PlainStep
from trimix.training.validation import ValidationRow


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
    monkeypatch.setattr(linear_path, "BLOCKS", 1500)


def configuration(pictures, steps=(4,), **changes):
    phases = [
        PhaseConfig(name=f"phase {i}", steps=n, batch_size=2, patch_size=64, learning_rate=1e-3)
        for i, n in enumerate(steps)
    ]
    return TrainingConfig(model=TINY, data={"training": [pictures]}, phases=phases, **changes)


def states(trainer):
    return trainer.model.state_dict(), trainer.average.module.state_dict()


@pytest.mark.parametrize("settings", [{}, {"kind": "soap"}, {"change_limit": 0.005}])
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(pictures, tmp_path, settings):
    optimizer = {"optimizer": settings}
    whole = Trainer(configuration(pictures, (3, 3), **optimizer), tmp_path / "whole", "cpu")
    whole.run()
    Trainer(configuration(pictures, (3,), **optimizer), tmp_path / "parts", "cpu").run()
    resumed = Trainer(configuration(pictures, (3, 3), **optimizer), tmp_path / "parts", "cpu")
    assert resumed.progress.step == 3
    resumed.run()
    for one, other in zip(states(whole), states(resumed), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.progress.step == 6


def signalled(plain, trainer, number, step):
    """The function, with a signal to this process before it returns, at one step of the run."""

    def function(*arguments, **named):
        result = plain(*arguments, **named)
        if trainer.progress.step == step:
            signal.raise_signal(number)
        return result

    return function


@pytest.fixture(scope="module")
def whole_states(pictures, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_path, "BLOCKS", 1500)
        trainer = Trainer(configuration(pictures, (2, 2)), tmp_path_factory.mktemp("run"), "cpu")
        trainer.run()
    return states(trainer)


@pytest.mark.parametrize(
    ("place", "number", "step"),
    [
        ("sampler.batch", signal.SIGINT, 0),
        ("step.backward", signal.SIGINT, 2),
        ("optimizer.step", signal.SIGINT, 2),
        ("average.update_parameters", signal.SIGINT, 1),
        ("average.update_parameters", signal.SIGTERM, 2),
        ("save", signal.SIGINT, 2),
    ],
)
def test_a_signal_anywhere_in_a_run_does_not_change_where_it_ends(
    pictures, tmp_path, whole_states, place, number, step
):
    trainer = Trainer(configuration(pictures, (2, 2)), tmp_path / "run", "cpu")
    *path, name = place.split(".")
    owner = attrgetter(".".join(path))(trainer) if path else trainer
    setattr(owner, name, signalled(getattr(owner, name), trainer, number, step))
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    resumed = Trainer(configuration(pictures, (2, 2)), tmp_path / "run", "cpu")
    # What was begun is done; only saving comes after its step.
    assert resumed.progress.step == trainer.saved_step == step + (place != "save")
    resumed.run()
    assert resumed.progress.step == 4
    for one, other in zip(whole_states, states(resumed), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_second_interrupt_does_not_wait_and_does_not_save(pictures, tmp_path):
    trainer = Trainer(configuration(pictures), tmp_path / "run", "cpu")
    update = trainer.average.update_parameters
    twice = signalled(update, trainer, signal.SIGINT, 2)
    trainer.average.update_parameters = signalled(twice, trainer, signal.SIGINT, 2)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.progress.step == 2
    assert trainer.saved_step is None
    assert not (tmp_path / "run" / "last.ckpt").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupted_validation_is_done_again(pictures, tmp_path):
    config = configuration(pictures, (1,))
    config = config.model_copy(update={"data": config.data.model_copy(update={"validation": (pictures,)})})
    trainer = Trainer(config, tmp_path / "run", "cpu")
    average = trainer.average.module
    average.forward = signalled(average.forward, trainer, signal.SIGINT, 1)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    log = tmp_path / "run" / "log.jsonl"

    def rows():
        return [(row["kind"], row["step"]) for row in map(json.loads, log.read_text().splitlines())]

    assert rows() == [("training", 1)]
    Trainer(config, tmp_path / "run", "cpu").run()
    assert rows() == [("training", 1), ("validation", 1)]


def test_signals_that_are_ignored_stay_ignored(pictures, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trainer = Trainer(configuration(pictures, (2,)), tmp_path / "run", "cpu")
        trainer.step.backward = signalled(trainer.step.backward, trainer, signal.SIGINT, 0)
        trainer.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert trainer.progress.step == 2


def test_a_thread_can_train(pictures, tmp_path):
    trainer = Trainer(configuration(pictures, (1,)), tmp_path / "run", "cpu")
    thread = threading.Thread(target=trainer.run)
    thread.start()
    thread.join()
    assert trainer.saved_step == 1


def test_a_fixed_encoder_does_not_move_and_the_rest_does(pictures, tmp_path):
    phase = PhaseConfig(name="decoder", steps=3, batch_size=2, patch_size=64, encoder="fixed", rounding="round")
    config = TrainingConfig(model=TINY, data={"training": [pictures]}, phases=[phase])
    trainer = Trainer(config, tmp_path / "run", "cpu")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    moved = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    encoder = ("analysis.", "hyper_analysis.", "gain.")
    assert not any(name.startswith(encoder) for name in moved)
    assert any(name.startswith("synthesis.") for name in moved)
    assert any(name.startswith("head.") for name in moved)


def test_gradients_that_stay_infinite_stop_the_run(pictures, tmp_path):
    trainer = Trainer(configuration(pictures, (30,)), tmp_path / "run", "cpu")
    plain = trainer.step.backward
    trainer.step.backward = lambda model, batch, phase, _: plain(model, batch, phase, math.inf)
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


def test_the_log_is_json_for_every_parser(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    rows = [ValidationRow(5.0, 0.25, math.nan, 1.0), ValidationRow(20.0, 0.5, math.inf, math.inf)]
    monkeypatch.setattr(loop, "validate", lambda *_, **__: rows)
    config = configuration(pictures, (1,))
    config = config.model_copy(update={"data": config.data.model_copy(update={"validation": (pictures,)})})
    trainer = Trainer(config, tmp_path / "run", "cpu")
    plain = trainer.step.backward

    def infinite(model, batch, phase, _):
        report = plain(model, batch, phase, math.inf)
        return replace(report, loss=torch.tensor(math.nan), psnr_db=torch.tensor(-math.inf))

    trainer.step.backward = infinite
    trainer.run()

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    training, validation = (json.loads(line, parse_constant=refuse) for line in lines)
    assert training["loss"] is training["psnr_db"] is training["gradient_norm"] is None
    assert training["bits_per_pixel"] > 0
    assert validation["bits_per_pixel"] == [0.25, 0.5]
    assert validation["psnr_db"] == [None, None]
    assert validation["objective"] is None
    assert training["skipped_steps"] == 1


def test_a_log_that_cannot_be_written_is_one_clear_line(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(TrainingError, match=r"log\.jsonl: the log cannot be written") as caught:
        Trainer(configuration(pictures, (1,)), tmp_path, "cpu").run()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_training_lowers_the_loss_of_a_batch(pictures, tmp_path):
    trainer = Trainer(configuration(pictures, (80,)), tmp_path / "run", "cpu")
    x = trainer.sampler.batch(0, 2, 64)
    trainer.sampler.batch = lambda *_: x
    losses = []
    plain = trainer.step.backward

    def recorded(*arguments):
        report = plain(*arguments)
        losses.append(report.loss)
        return report

    trainer.step.backward = recorded
    trainer.run()
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phases = [", "TOML"),
        (
            "[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1\nspeed=3",
            r"phases\.0\.speed: is no key of a training configuration; correct or remove it$",
        ),
        ("[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=0", r"phases\.0\.steps.*greater than 0, found 0$"),
        ("[data]\ntraining = []\n[[phases]]\nname='a'\nsteps=1", r"data\.training: must not be empty"),
        ("[data]\ntraining = 'x'\n[[phases]]\nname='a'\nsteps=1", r"data\.training: must be a list, found 'x'"),
        ("[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1\npatch_size=100", "patch_size"),
        ("[data]\ntraining = ['x']", "phases: must be given"),
        ("[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1\nlearning_rate=inf", "learning_rate: .*inf"),
        ("checkpoint_minutes = inf\n[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1", "checkpoint_minutes"),
        (f"seed = {10**18}\n[data]\ntraining = ['x']\n[[phases]]\nname='a'\nsteps=1", "seed"),
        (f"[data]\ntraining = '{'x' * 500}'\n[[phases]]\nname='a'\nsteps=1", r"data\.training.*x\.\.\.$"),
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


def test_more_channels_than_components_are_refused(pictures, tmp_path):
    config = configuration(pictures).model_copy(update={"model": TINY.model_copy(update={"latent_channels": 769})})
    with pytest.raises(ConfigurationError, match=r"latent_channels must not exceed 768.*found 769"):
        Trainer(config, tmp_path / "run", "cpu")


def test_a_start_gives_its_average_to_model_and_average(pictures, tmp_path):
    first = Trainer(configuration(pictures, (1,)), tmp_path / "first", "cpu")
    first.run()
    start = configuration(pictures, (1,), start_from=tmp_path / "first" / "last.ckpt")
    second = Trainer(start, tmp_path / "second", "cpu")
    assert (second.progress.step, second.saved_step) == (0, None)
    expected = first.average.module.state_dict()
    for state in states(second):
        assert all(torch.equal(value, expected[name]) for name, value in state.items())


def test_a_wider_model_starts_as_the_narrower_one(pictures, tmp_path):
    first = Trainer(configuration(pictures, (1,)), tmp_path / "first", "cpu")
    first.run()
    start = configuration(pictures, (1,), start_from=tmp_path / "first" / "last.ckpt")
    wide = TINY.model_copy(update={"transform_widths": (4, 6, 8, 8), "lapped_channels": 3})
    second = Trainer(start.model_copy(update={"model": wide}), tmp_path / "second", "cpu")
    assert second.grown_from == TINY
    x, quality = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.tensor([50.0])
    with torch.no_grad():
        for model in (second.model, second.average.module):
            found, expected = (one.eval()(x, quality, rounding="round") for one in (model, first.average.module))
            torch.testing.assert_close(found.reconstruction, expected.reconstruction, atol=1e-4, rtol=1e-4)
    second.run()
    assert second.is_complete
    # Other lambdas, as for MS-SSIM, are no other weights.
    moved = {"lambda_minimum": 0.4, "lambda_maximum": 240.0, "lambda_ratio": 1200.0}
    for model, growth in ((TINY, None), (wide, TINY)):
        run = start.model_copy(update={"model": model.model_copy(update=moved)})
        assert Trainer(run, tmp_path / f"moved, {growth is None}", "cpu").grown_from == growth
    other = start.model_copy(update={"model": TINY.model_copy(update={"latent_channels": 9})})
    with pytest.raises(TrainingError, match="latent_channels must stay as it was, 8, found 9"):
        Trainer(other, tmp_path / "third", "cpu")


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
    step = PlainStep(TrainingConfig(data={"training": ["x"]}, phases=[PhaseConfig(name="x", steps=1)]).objective)
    generator = torch.Generator().manual_seed(0)
    batch = Batch(torch.rand(2, 3, 64, 64, generator=generator), torch.tensor([20.0, 80.0]), generator)
    report = step.backward(model, batch, PhaseConfig(name="x", steps=1))
    generator.manual_seed(0)
    x = torch.rand(2, 3, 64, 64, generator=generator)
    output = model(x, batch.quality, generator=generator)
    parts = rate_distortion(x, output, model.rate_distortion_lambda(batch.quality), 0.45)
    assert report.loss == pytest.approx(float(parts.loss.detach().mean()))
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    parts.loss.mean().backward()
    again = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(one, other) for one, other in zip(gradients, again, strict=True))


@pytest.mark.parametrize("start", ["karhunen_loeve", "random", "zero"])
def test_the_linear_path_starts_as_asked(start, pictures, tmp_path):
    config = configuration(pictures, linear_path_start=start)
    trainer = Trainer(config, tmp_path, "cpu")
    first, last = (
        part.linear.weight.detach().clone().flatten(1) for part in (trainer.model.analysis, trainer.model.synthesis)
    )
    if start == "zero":
        assert not first.any() and not last.any()
    else:
        for filters in (first, last):
            torch.testing.assert_close(filters @ filters.T, torch.eye(8), atol=1e-5, rtol=0)
        assert torch.equal(first, last) == (start == "karhunen_loeve")
    assert torch.equal(trainer.average.module.analysis.linear.weight, trainer.model.analysis.linear.weight)
    trainer.run()
    for filters, before in zip((trainer.model.analysis, trainer.model.synthesis), (first, last), strict=True):
        assert filters.linear.weight.isfinite().all()
        assert not torch.equal(filters.linear.weight.flatten(1), before)


def test_every_parameter_is_trained_and_the_linear_path_more_slowly():
    optimizer = build_optimizer(tiny_model(), OptimizerConfig(linear_path_ratio=0.1))
    ratios = {id(p): g["ratio"] for g in optimizer.param_groups for p in g["params"]}
    names = {id(p): name for name, p in tiny_model().named_parameters()}
    assert len(ratios) == len(names)
    assert sum(ratio == 0.1 for ratio in ratios.values()) == 4


@pytest.mark.parametrize(("decay", "rates"), [(0.999, 10**0.5), (0.99, 1.0), (0.9, 0.1**0.5)])
def test_a_sudden_gradient_moves_a_weight_as_far_as_the_second_moment_lets_it(decay, rates):
    weight = torch.nn.Linear(1, 1, bias=False)
    optimizer = build_optimizer(weight, OptimizerConfig(second_moment_decay=decay))
    optimizer.param_groups[0]["lr"] = 1e-3
    with torch.no_grad():
        weight.weight.zero_()
    # Long enough that nothing is left of the corrections for a short history.
    for gradient in [0.0] * 20_000 + [5.0]:
        weight.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    assert float(weight.weight.detach()) == pytest.approx(-1e-3 * rates, rel=1e-3)
