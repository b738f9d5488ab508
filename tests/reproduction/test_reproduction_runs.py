import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reproduction_runs import TINY, InThisProcess, few_steps, job_of, write_pictures

from trimix.architectures.building import build
from trimix.architectures.config import HyperpriorConfig
from trimix.errors import TrainingError, UsageError
from trimix.images import read_picture
from trimix.progress import ProgressDisplay
from trimix.reproduction import campaign
from trimix.reproduction.plan import START, read_budget
from trimix.reproduction.record import PictureRates, Record, read_record, read_records
from trimix.reproduction.training import picture_rates, train_and_measure
from trimix.training.loop import Trainer


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


def runs_of(variant, trade_off=0.0018):
    return [run for run in TINY.runs if (run.variant.key, run.rate_distortion_lambda) == (variant, trade_off)]


@torch.no_grad()
def test_rates_are_those_of_the_pixels_that_a_picture_has(pictures):
    torch.manual_seed(1)
    model = build(HyperpriorConfig(channels=4, latent_channels=6)).eval()
    found = picture_rates(model, pictures)
    for path, rate, decibels in zip(pictures, found.bits_per_pixel, found.psnr_db, strict=True):
        pixels = read_picture(path).pixels
        rows, columns = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -rows % 64), (0, -columns % 64), (0, 0)), mode="edge")
        x = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
        output = model(x, torch.ones(1), rounding="round")
        decoded = (output.reconstruction.clamp(0, 1) * 255).round()[0, :, :rows, :columns].permute(1, 2, 0)
        error = np.square(decoded.numpy().astype(float) - pixels).mean()
        bits = float(output.latent_bits + output.hyper_latent_bits)
        assert rate == pytest.approx(bits / (rows * columns), abs=1e-6)
        assert decibels == pytest.approx(10 * math.log10(255**2 / error), abs=1e-4)
    assert found.mean.bits_per_pixel == pytest.approx(np.mean(found.bits_per_pixel))


@pytest.mark.slow
def test_a_run_is_measured_after_every_stage_and_at_its_end_on_all_sets(pictures, tmp_path):
    (start,), (run,) = runs_of(START, trade_off=0.0067), runs_of("regularized")
    for one in (start, run):
        job = job_of(one, tmp_path, pictures)
        assert not job.is_done()
        train_and_measure(job)
        assert job.is_done()
    record = read_record(tmp_path / f"{run.key}.json")
    assert {steps: set(sets) for steps, sets in record.rates.items()} == {2: {"kodak"}, 4: {"kodak", "pixel"}}
    assert record.rates[4]["pixel"][0].bits_per_pixel == record.rates[4]["kodak"][0].bits_per_pixel[:1]
    assert record.facts["gradient_ratio"] > 0
    assert record.configuration["starts_from"] == start.key
    assert read_records(tmp_path).keys() == {start.key, run.key}


@pytest.mark.slow
def test_a_model_of_all_rates_is_measured_at_every_quality(pictures, tmp_path):
    run = next(few_steps(one) for one in read_budget("gllmm", "small").runs if one.variant.key == "gaussian-3")
    job = job_of(run, tmp_path, pictures)
    train_and_measure(job)
    record = read_record(job.record_path)
    assert job.is_done()
    assert {steps: set(sets) for steps, sets in record.rates.items()} == {2: {"kodak"}, 4: {"kodak", "pixel"}}
    assert record.configuration["qualities"] == [15, 40, 65, 90]
    rates = [one.mean.bits_per_pixel for one in record.rates[4]["kodak"]]
    assert len(rates) == 4
    assert rates == sorted(rates)


def test_a_run_that_was_stopped_comes_to_the_same(pictures, tmp_path, monkeypatch):
    (start,), (run,) = runs_of(START, trade_off=0.0067), runs_of("plain")
    for folder in ("whole", "parts"):
        train_and_measure(job_of(start, tmp_path / folder, pictures))
    train_and_measure(job_of(run, tmp_path / "whole", pictures))
    job = job_of(run, tmp_path / "parts", pictures)
    plain = Trainer._gradients
    stops = [0, 2]  # in a stage, and where one has just begun

    def stopping(trainer, phase):
        trainer._stop.made = trainer.progress.step == stops[0]
        return plain(trainer, phase)

    monkeypatch.setattr(Trainer, "_gradients", stopping)
    while stops:
        with pytest.raises(KeyboardInterrupt):
            train_and_measure(job)
        assert not job.is_done()
        del stops[0]
    monkeypatch.setattr(Trainer, "_gradients", plain)
    train_and_measure(job)
    whole, parts = (read_record(tmp_path / one / f"{run.key}.json") for one in ("whole", "parts"))
    assert whole.rates == parts.rates


def test_one_that_was_stopped_while_it_was_measured_is_measured_again(pictures, tmp_path, monkeypatch):
    (start,), (run,) = runs_of(START, trade_off=0.0067), runs_of("plain")
    train_and_measure(job_of(start, tmp_path, pictures))
    job = job_of(run, tmp_path, pictures)
    asked = []

    def interrupted(trainer):
        asked.append(trainer.progress.phase)
        if len(asked) == 4:  # the first stage asks before its two steps, after them, and before every picture
            trainer.save()
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "stop_if_requested", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_and_measure(job)
    assert asked == [0, 0, 0, 0]
    monkeypatch.undo()
    train_and_measure(job)
    assert sorted(read_record(job.record_path).rates) == [2, 4]


def test_what_must_be_done_first_is_and_what_is_done_stays(pictures, tmp_path, monkeypatch):
    (start,), (run,) = runs_of(START, trade_off=0.0067), runs_of("plain")
    jobs = [job_of(one, tmp_path, pictures) for one in (run, start)]
    monkeypatch.setattr(campaign, "ProcessPoolExecutor", InThisProcess)
    shown = []

    class Listing(ProgressDisplay):
        def show(self, text, done, total, **_):
            shown.append((text, done, total))

    display = Listing()
    campaign.Campaign(jobs, 2).run(display)
    assert shown == [
        (f"0/2 runs done; {start.key} at step 1 of 1", 1, 5),
        (f"1/2 runs done; {run.key} at step 4 of 4", 5, 5),
        ("2/2 runs done", 5, 5),
    ]
    assert campaign.Campaign(jobs, 2).is_complete
    monkeypatch.delattr(InThisProcess, "submit")
    campaign.Campaign(jobs, 2).run(display)


@pytest.mark.slow
def test_a_process_that_fails_is_named_with_its_last_words(pictures, tmp_path):
    (run,) = runs_of("plain")
    job = job_of(replace(run, starts_from=None), tmp_path, pictures)
    job.folder.mkdir()
    (job.folder / "last.ckpt").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=rf"{run.key}: must end well, found .*is not a checkpoint"):
        campaign.Campaign([job], 1).run(ProgressDisplay(silent=True))


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"key": 1, "rates": {"a": 1}}'])
def test_a_damaged_record_is_named(tmp_path, contents):
    path = tmp_path / "a-seed1.json"
    path.write_text(contents)
    with pytest.raises(UsageError, match=r"a-seed1\.json: must be a record of a run"):
        read_records(tmp_path)


def test_a_record_keeps_what_it_is_given(tmp_path, pictures):
    (run,) = runs_of("plain")
    job = job_of(run, tmp_path, pictures)
    rates = {2: {"kodak": (PictureRates((0.123457, 1.5), (30.5, 31.25)),)}}
    record = Record(run.key, rates, {"seconds": 1.5}, job.configuration)
    record.write(job.record_path)
    assert read_record(job.record_path) == record
    assert json.loads(job.record_path.read_text())["configuration"]["variant"] == "plain"
