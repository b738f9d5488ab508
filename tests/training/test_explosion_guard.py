"""A run that explodes goes back, and on more slowly; one that does not never learns that it was watched."""

import json
import math

import numpy as np
import pytest
import torch
from distributed_runs import run_on
from small_runs import contents, same, same_checkpoint, small_run, stop_after

from trimix.errors import TrainingError
from trimix.training import explosion_guard, loop
from trimix.training.checkpoint import Progress
from trimix.training.config import GuardConfig, RegularizerConfig
from trimix.training.explosion_guard import ExplosionGuard
from trimix.training.loop import Trainer

EVERY = 4
BROKEN_AT = 10
"""A step in which the states of 4 (good) and 8 (not yet known) are kept."""
STEPS = 14


def noticed(losses, norms=None, look_every=1, **config):
    """The step in which an explosion is found, looking now and then."""
    guard = ExplosionGuard(GuardConfig(**config))
    guard.begin({}, anew=True)
    norms = [1.0] * len(losses) if norms is None else norms
    for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), 1):
        guard.note(torch.tensor(loss), torch.tensor(norm))
        if step % look_every == 0 and (explosion := guard.check(step)) is not None:
            return explosion.noticed_at_step
    return None


@pytest.fixture(scope="module")
def usual():
    """Losses as batches of small trainings have them, and gradient norms, whose tails are longer."""
    random = np.random.default_rng(0)
    return random.lognormal(1, 0.3, 1000).tolist(), random.lognormal(2, 0.6, 1000).tolist()


@pytest.mark.parametrize("look_every", [1, 7])
@pytest.mark.parametrize("scale", [1.0, 1e-6, -1.0])
def test_three_wild_steps_of_ten_are_an_explosion_whenever_they_are_looked_at(usual, scale, look_every):
    losses, norms = (list(numbers) for numbers in usual)
    assert noticed(np.multiply(losses, scale).tolist(), norms, look_every=look_every) is None
    for step in (500, 504, 509):
        losses[step - 1] = 60.0
    assert noticed(np.multiply(losses, scale).tolist(), norms, look_every=look_every) == 509
    losses[508], losses[509] = losses[0], 60.0  # the first of them is eleven steps ago
    assert noticed(np.multiply(losses, scale).tolist(), norms, look_every=look_every) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e4])
def test_gradients_alone_are_an_explosion(usual, number):
    losses, norms = list(usual[0]), list(usual[1])
    norms[300:303] = [number] * 3
    assert noticed(losses, norms) == 303


def test_numbers_that_are_none_are_wild_from_the_first_step_on():
    assert noticed([math.nan] * 3) == 3
    assert noticed([1e9, 1.0, 1e9, 1.0, 1e9]) is None  # nothing is usual yet


def test_thresholds_are_those_of_the_configuration():
    losses = [1.0, 1.5] * 100 + [4.0] * 3  # median 1.25
    assert noticed(losses, threshold=2.1) == 203
    assert noticed(losses, threshold=2.3) is None
    norms = [1.0] * 200 + [4.0] * 3
    assert noticed([1.0] * 203, norms, gradient_threshold=3.9) == 203
    assert noticed([1.0] * 203, norms, gradient_threshold=4.1) is None


def test_a_state_is_good_once_as_many_steps_after_it_were():
    guard = ExplosionGuard(GuardConfig())
    weights = torch.zeros(2)
    guard.begin({"step": 0, "weights": weights}, anew=True)
    for step in (100, 200):
        weights += 1
        guard.keep({"step": step, "weights": weights})
    assert guard.good["step"] == 100
    assert guard.good["weights"].tolist() == [1, 1]  # a copy
    guard.went_back()
    guard.keep({"step": 200})
    assert guard.good["step"] == 100


@pytest.fixture(autouse=True)
def little_is_usual(monkeypatch):
    monkeypatch.setattr(explosion_guard, "FEWEST_STEPS", 5)
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", EVERY)


def configuration(pictures, steps=STEPS, run=None, **guard):
    settings = {"guard": GuardConfig(**({"every_steps": EVERY} | guard))} | (run or {})
    return small_run(pictures, steps=steps, batch_size=2, run=settings)


def broken(trainer, step=BROKEN_AT, times=1):
    """A run in which weights go wrong while a step is made, the first few times that it is."""
    plain = trainer.step.backward

    def backward(*arguments):
        report = plain(*arguments)
        if trainer.progress.step == step and trainer.progress.explosions < times:
            with torch.no_grad():
                next(trainer.model.synthesis.parameters()).mul_(300.0)
        return report

    trainer.step.backward = backward
    return trainer


def rows_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


REGULARIZER = {"regularizer": RegularizerConfig(alpha=0.01, features=4)}


SOAP = {"optimizer": {"kind": "soap"}}


@pytest.fixture(scope="module", params=[{}, REGULARIZER, SOAP], ids=["plain", "regularized", "soap"])
def exploded(request, picture_folder, tmp_path_factory):
    """A run that has exploded once; configuration and folder."""
    folder = tmp_path_factory.mktemp("exploded")
    config = configuration(picture_folder, run=request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explosion_guard, "FEWEST_STEPS", 5)
        patch.setattr(loop, "LOG_EVERY_STEPS", EVERY)
        broken(Trainer(config, folder, "cpu")).run()
    return config, folder


def stopped(config, folder, step):
    trainer = Trainer(config, folder, "cpu")
    stop_after(trainer, step - 1)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert contents(folder)["progress"]["step"] == step


def test_after_an_explosion_a_run_is_one_from_the_good_state_at_a_lower_rate(exploded, tmp_path):
    config, folder = exploded
    stopped(config, tmp_path, EVERY)
    state = contents(tmp_path)
    state["progress"]["explosions"] = 1
    torch.save(state, tmp_path / "last.ckpt")
    Trainer(config, tmp_path, "cpu").run()
    assert same_checkpoint(contents(folder), contents(tmp_path))


def test_the_log_tells_of_it_and_forgets_the_steps_that_are_made_again(exploded):
    config, folder = exploded
    rows = rows_of(folder)
    (explosion,) = [row for row in rows if row["kind"] == "explosion"]
    assert explosion["step"] == EVERY
    assert BROKEN_AT < explosion["noticed_at_step"] <= BROKEN_AT + 4
    assert abs(explosion["loss"]) > 5 * explosion["usual_loss"]
    assert (explosion["explosions"], explosion["rate_factor"]) == (1, 0.7)
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    training = [row for row in rows if row["kind"] == "training"]
    assert [row["step"] for row in training] == [4, 8, 12, 14]
    peak = config.phases[0].learning_rate
    assert [row["learning_rate"] / peak for row in training] == pytest.approx([1, 0.7, 0.7, 0.7])


def test_lower_rates_and_other_patches_are_those_of_a_resumed_run_too(picture_folder, tmp_path):
    config = configuration(picture_folder)
    broken(Trainer(config, tmp_path, "cpu")).run()
    one_more = config.phases[0].model_copy(update={"steps": 1})
    longer = config.model_copy(update={"phases": (*config.phases, one_more)})
    resumed, seen = Trainer(longer, tmp_path, "cpu"), []
    plain = resumed.sampler.batch
    resumed.sampler.batch = lambda step, *arguments: seen.append(step) or plain(step, *arguments)
    resumed.run()
    groups = resumed.optimizer.param_groups
    assert [group["lr"] / group["ratio"] for group in groups] == pytest.approx([0.7e-3] * len(groups))
    assert len(seen) == 1
    assert seen[0] > 10**9  # not those that any step had before


def test_a_healthy_run_is_bit_for_bit_what_it_is_unwatched(picture_folder, tmp_path):
    for name, enabled in (("watched", True), ("unwatched", False)):
        Trainer(configuration(picture_folder, enabled=enabled), tmp_path / name, "cpu").run()
    one, other = (contents(tmp_path / name) for name in ("watched", "unwatched"))
    for name in ("configuration", "recent_steps"):
        del one[name], other[name]
    assert same_checkpoint(one, other)


@pytest.mark.parametrize("wild_steps", [1, 2])
def test_a_run_that_stops_while_it_explodes_keeps_the_good_state(picture_folder, tmp_path, wild_steps):
    config = configuration(picture_folder)
    stopped(config, tmp_path / "healthy", EVERY)
    trainer = broken(Trainer(config, tmp_path / "broken", "cpu"))
    stop_after(trainer, BROKEN_AT + wild_steps)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.saved_step == trainer.progress.step == EVERY
    one, other = contents(tmp_path / "broken"), contents(tmp_path / "healthy")
    assert same_checkpoint(one, other)
    Trainer(config, tmp_path / "broken", "cpu").run()
    Trainer(config, tmp_path / "healthy", "cpu").run()
    assert same_checkpoint(contents(tmp_path / "broken"), contents(tmp_path / "healthy"))


def test_no_checkpoint_is_written_while_a_run_may_be_exploding(picture_folder, tmp_path):
    always = configuration(picture_folder, run={"checkpoint_minutes": 1e-9})
    trainer, written = broken(Trainer(always, tmp_path, "cpu")), []
    plain = trainer._write_checkpoint

    def write():
        plain()
        written.append((trainer.progress.explosions, trainer.progress.step))

    trainer._write_checkpoint = write
    trainer.run()
    before = [step for explosions, step in written if not explosions]
    assert before == list(range(BROKEN_AT + 2))  # the step in which weights went wrong was a good one
    assert [step for explosions, step in written if explosions][:3] == [EVERY, EVERY, EVERY + 1]


@pytest.mark.parametrize("last", [1, 2])
def test_a_phase_does_not_end_with_a_wild_step(picture_folder, tmp_path, last):
    config = configuration(picture_folder, steps=BROKEN_AT + 1 + last)
    broken(Trainer(config, tmp_path, "cpu")).run()
    assert contents(tmp_path)["progress"]["explosions"] == 1
    assert contents(tmp_path)["progress"]["phase"] == 1
    *_, row = rows_of(tmp_path)
    assert row["step"] == BROKEN_AT + 1 + last
    assert row["loss"] < 1e3


def test_too_many_explosions_end_the_run_with_a_good_checkpoint(picture_folder, tmp_path):
    config = configuration(picture_folder, maximum=2, rate_factor=0.5)
    stopped(config, tmp_path / "healthy", EVERY)
    trainer = broken(Trainer(config, tmp_path / "broken", "cpu"), times=9)
    with pytest.raises(TrainingError, match=r"had gone back 2 times: .* the state of step 4; start anew") as caught:
        trainer.run()
    assert "\n" not in str(caught.value)
    one, other = contents(tmp_path / "broken"), contents(tmp_path / "healthy")
    assert Progress(**one["progress"]).explosions == 3
    assert all(same(one[name], other[name]) for name in ("model", "average", "averaged", "optimizer"))


def test_an_absurd_rate_is_lowered_until_the_run_learns(picture_folder, tmp_path, capsys):
    config = configuration(picture_folder, steps=24, rate_factor=0.03)
    phases = (config.phases[0].model_copy(update={"learning_rate": 3.0, "warm_up_steps": 12}),)
    trainer = Trainer(config.model_copy(update={"phases": phases}), tmp_path, "cpu")
    trainer.run()
    told = [line for line in capsys.readouterr().err.splitlines() if "exploded" in line]
    assert len(told) == trainer.progress.explosions >= 1
    rows = [row for row in rows_of(tmp_path) if row["kind"] == "training"]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_checkpoint_from_before_there_was_a_guard_is_resumed(picture_folder, tmp_path):
    config = configuration(picture_folder)
    stopped(config, tmp_path, EVERY)
    state = contents(tmp_path)
    del state["recent_steps"], state["progress"]["explosions"]
    torch.save(state, tmp_path / "last.ckpt")
    Trainer(config, tmp_path, "cpu").run()
    assert contents(tmp_path)["progress"]["step"] == STEPS


@pytest.mark.parametrize("damage", [None, {"losses": [1.0]}, {"losses": ["1"], "gradient_norms": []}])
def test_damaged_losses_are_one_clear_line(picture_folder, tmp_path, damage):
    config = configuration(picture_folder, steps=1)
    Trainer(config, tmp_path, "cpu").run()
    torch.save(contents(tmp_path) | {"recent_steps": damage}, tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match=r"'recent_steps' must hold lists of numbers, .*; take another"):
        Trainer(config, tmp_path, "cpu")


@pytest.mark.slow
def test_what_one_process_sees_takes_all_back(picture_folder, tmp_path):
    config = configuration(picture_folder, steps=40, every_steps=10)
    assert run_on(2, config, tmp_path, wild_at=range(31, 34)) == [0, 0]
    state = contents(tmp_path)
    times = {"seconds": 0, "core_seconds": 0}
    assert (
        state["progress"] | times
        == vars(Progress(step=40, phase=1, pixels=40 * 2 * 64 * 64, explosions=1, optimizer_steps=40)) | times
    )
    (row,) = [row for row in rows_of(tmp_path) if row["kind"] == "explosion"]
    assert (row["noticed_at_step"], row["step"]) == (34, 20)
