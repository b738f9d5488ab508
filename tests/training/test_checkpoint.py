import errno
import os

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from tiny_models import TINY, tiny_model
from trimix.errors import TrainingError
from trimix.training.checkpoint import Progress, RunState, average_of, load_checkpoint
from trimix.training.config import OptimizerConfig
from trimix.training.optimizers import build_optimizer

PROGRESS = Progress(step=7, phase=1, phase_step=3, seconds=1.5, pixels=99)
SMALLER = TINY.model_copy(update={"latent_channels": 4})


def parts(config=TINY, seed=0, **choices):
    """Model, average and optimiser."""
    model = tiny_model(config, seed)
    return model, AveragedModel(model), build_optimizer(model, OptimizerConfig(**choices))


def save(path, model, average, optimizer):
    RunState(model, average, optimizer, progress=PROGRESS).save(path, "{}")


def restore(path, *parts):
    state = RunState(*parts)
    state.load(path)
    return state.progress


@pytest.fixture
def saved(tmp_path):
    """The checkpoint of a model that has done one step."""
    model, average, optimizer = parts()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.param_groups[0]["lr"] = 0.01
    optimizer.step()
    average.update_parameters(model)
    save(tmp_path / "last.ckpt", model, average, optimizer)
    return tmp_path / "last.ckpt"


def changed(path, change):
    contents = torch.load(path, weights_only=True)
    change(contents)
    torch.save(contents, path)


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_restored_is_what_was_saved(saved):
    model, average, optimizer = parts(seed=1)
    assert restore(saved, model, average, optimizer) == PROGRESS
    assert int(average.n_averaged) == 1
    save(saved.with_name("again.ckpt"), model, average, optimizer)
    first, again = (torch.load(path, weights_only=True) for path in (saved, saved.with_name("again.ckpt")))
    for name in ("model", "average"):
        assert all(torch.equal(value, again[name][key]) for key, value in first[name].items())
    for index, state in first["optimizer"]["state"].items():
        assert all(torch.equal(value, again["optimizer"]["state"][index][key]) for key, value in state.items())


def test_what_the_configuration_says_of_the_optimizer_holds_for_a_resumed_run(saved):
    model, average, optimizer = parts(linear_path_ratio=0.3, second_moment_decay=0.99)
    restore(saved, model, average, optimizer)
    assert [group["ratio"] for group in optimizer.param_groups] == [1.0, 0.3]
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.99)}


def test_a_full_disk_is_one_clear_line_and_the_last_checkpoint_stays_whole(saved, monkeypatch):
    before = saved.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"last\.ckpt.*found no space left") as caught:
        save(saved, *parts(seed=1))
    one_line(caught)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["last.ckpt"]


def test_an_interrupted_write_leaves_the_last_checkpoint_and_nothing_else(saved, monkeypatch):
    before = saved.read_bytes()

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(saved, *parts(seed=1))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["last.ckpt"]


def test_a_folder_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"last\.ckpt.*must be a directory, found a file") as caught:
        save(tmp_path / "run" / "last.ckpt", *parts())
    one_line(caught)


@pytest.mark.parametrize("contents", [[1, 2], torch.zeros(3), {1: 2}, "text"])
def test_other_files_of_torch_are_no_checkpoints(tmp_path, contents):
    torch.save(contents, tmp_path / "other.ckpt")
    with pytest.raises(TrainingError, match=r"other\.ckpt: is not a checkpoint of trimix") as caught:
        load_checkpoint(tmp_path / "other.ckpt")
    one_line(caught)


def test_a_start_of_another_kind_is_one_clear_line(saved):
    model = tiny_model()
    contents = torch.load(saved, weights_only=True)
    for start, message in (
        ({"state_dict": contents["average"]}, "must hold 'average', found nothing"),
        ({"average": [1, 2]}, "'average' must be weights by name, found list"),
        ({"average": {}}, r"found nothing \(and \d+ more\)"),
        ({"average": contents["average"] | {"foreign": torch.zeros(2)}}, "foreign must be absent, found 2;"),
        ({"average": dict.fromkeys(contents["average"], 0.5)}, "found float"),
        ({"average": tiny_model(SMALLER).state_dict()}, r"must be [\dx]+, found [\dx]+ \(and"),
    ):
        torch.save(start, saved.with_name("start.ckpt"))
        with pytest.raises(TrainingError, match=rf"start\.ckpt: .*{message}") as caught:
            average_of(path := saved.with_name("start.ckpt"), load_checkpoint(path), model)
        one_line(caught)
    model.load_state_dict(average_of(saved, load_checkpoint(saved), model))
    assert all(torch.equal(value, contents["average"][name]) for name, value in model.state_dict().items())


def test_the_checkpoint_of_another_model_is_one_clear_line(saved):
    with pytest.raises(TrainingError, match=r"last\.ckpt: its 'model' does not fit.*must be") as caught:
        restore(saved, *parts(SMALLER))
    one_line(caught)


@pytest.mark.parametrize("name", ["model", "average", "averaged", "progress"])
def test_a_missing_entry_is_named(saved, name):
    changed(saved, lambda contents: contents.pop(name))
    with pytest.raises(TrainingError, match=rf"last\.ckpt.*must hold '{name}'") as caught:
        restore(saved, *parts())
    one_line(caught)


def damage_moments(contents):
    contents["optimizer"]["state"][0]["exp_avg"] = torch.zeros(2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda contents: contents.update(averaged=-1), "'averaged': Input should be greater than or equal to 0"),
        (lambda contents: contents.update(averaged=torch.ones(2)), "'averaged': Input should be a valid integer"),
        (lambda contents: contents.update(optimizer=[]), "'optimizer' cannot be used"),
        (lambda contents: contents["optimizer"].pop("state"), "'optimizer' cannot be used"),
        (lambda contents: contents["optimizer"]["param_groups"].pop(), "'optimizer' cannot be used"),
        (lambda contents: contents["optimizer"]["state"][0].pop("exp_avg_sq"), "'optimizer' cannot be used"),
        (damage_moments, "'optimizer' must hold moments of the shapes of the weights"),
        (lambda contents: contents["progress"].pop("step"), "it must hold 'step'"),
        (lambda contents: contents["progress"].update(phase=-1), "'progress.phase': .*, found -1"),
        (lambda contents: contents["progress"].update(step=1.5), "'progress.step': .*, found 1.5"),
        (lambda contents: contents["progress"].update(seconds="long"), "'progress.seconds': .*, found long"),
        (lambda contents: contents.update(progress=None), "'progress': Input should be a valid dictionary"),
    ],
)
def test_damaged_contents_are_one_clear_line(saved, damage, message):
    changed(saved, damage)
    with pytest.raises(TrainingError, match=rf"last\.ckpt: is not a whole checkpoint.*{message}") as caught:
        restore(saved, *parts())
    one_line(caught)


def test_a_damaged_file_is_one_clear_line(saved):
    whole = saved.read_bytes()
    for damaged in (b"", b"nothing", whole[: len(whole) // 2]):
        saved.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"last\.ckpt: is not a checkpoint") as caught:
            load_checkpoint(saved)
        one_line(caught)
    with pytest.raises(TrainingError, match=r"missing\.ckpt: no such checkpoint"):
        load_checkpoint(saved.with_name("missing.ckpt"))
    with pytest.raises(TrainingError, match="cannot be read: Is a directory"):
        load_checkpoint(saved.parent)
