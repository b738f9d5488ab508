"""Benchmarks that keep what they have found: what they print, and what they refuse to mix."""

import importlib
import json
import re
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trimix.errors import ConfigurationError, UsageError
from trimix.images import Picture

RESULTS = Path(__file__).parents[1] / "results"
KEEPING = ("drawn", "effort", "equal_time", "learning_curve", "likelihoods", "targets")
RATES = (0.25, 0.5, 1.0, 2.0)
BRACKETS = "In brackets where curves have less than half of their range in common."


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Where benchmarks are imported from."""
    monkeypatch.syspath_prepend(str(RESULTS.parent / "benchmarks"))


def decibels(first: float) -> list[float]:
    return [first + 3 * number for number in range(len(RATES))]


def write_picture(folder: Path, seed: int, side: int = 256) -> Path:
    folder.mkdir(exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize("name", KEEPING)
def test_what_a_benchmark_has_not_written_is_refused_in_one_line(name, tmp_path):
    main = importlib.import_module(name).main
    (tmp_path / "text.json").write_text("no JSON\n")
    (tmp_path / "list.json").write_text("[1]\n")
    others = [RESULTS / f"{other}.json" for other in KEEPING if other != name]
    for path in (tmp_path, *(tmp_path / f"{stem}.json" for stem in ("missing", "text", "list")), *others):
        with pytest.raises(UsageError) as caught:
            main(["--show", str(path)])
        message = str(caught.value)
        assert message.startswith(f"{path}: must be a file that this benchmark has written, found")
        assert "\n" not in message


@pytest.mark.parametrize("name", ["drawn", "effort", "likelihoods", "targets"])
def test_what_a_benchmark_has_written_is_shown(name):
    assert importlib.import_module(name).main(["--show", str(RESULTS / f"{name}.json")]) == 0


def test_what_targets_write_is_what_they_show(tmp_path, monkeypatch):
    import targets

    outcome = targets.Outcome("0.png", "bpp", 0.4, -0.5, 3, 0.7, 40.0)
    codec = Namespace(model=Namespace(identity=Namespace(name="tiny")))
    monkeypatch.setattr(targets.Codec, "load", lambda name: codec)
    monkeypatch.setattr(targets, "targets_of", lambda picture: [None])
    monkeypatch.setattr(targets, "measure", lambda *arguments: outcome)
    picture = write_picture(tmp_path, 0) / "0.png"
    output = tmp_path / "targets.json"
    assert targets.main(["--pictures", str(picture), "--output", str(output)]) == 0
    assert targets.Record.read(output) == targets.Record("tiny", 2, [outcome])


def equal_time_result(variant: str, seed: int, first_db: float, rate: float = 1.0):
    import equal_time

    points = [equal_time.Point(50.0, rate * bits, psnr) for bits, psnr in zip(RATES, decibels(first_db), strict=True)]
    return equal_time.Result(variant, seed, 1, 1, points, {})


def test_equal_times_in_brackets_speak_for_a_small_part_of_the_curves():
    import equal_time

    sound = [
        *(equal_time_result(equal_time.BASE, seed, 30.0) for seed in (1, 2)),
        equal_time_result("wide", 1, 30.0, 1.1),
        equal_time_result("random", 1, 30.0, 1.1),
        equal_time_result("random", 2, 50.0),  # above all of the base
        equal_time_result("zero", 3, 30.0),  # a seed that the base lacks
    ]
    table = equal_time.table(equal_time.Record(8.0, {}, results=sound))
    row_ends = {line.split(" | ")[1]: line.split(" | ")[5:] for line in table.splitlines() if " | " in line}
    assert row_ends["both wide"] == ["+10.0 %", "+10.0 |"]
    assert row_ends["random orthonormal filters"] == ["–", "+10.0 – |"]
    assert row_ends["no linear path"] == ["–", " |"]
    assert "nan" not in table
    assert BRACKETS not in table

    small = [equal_time_result("gaussian", 1, 30.0, 1.1), equal_time_result("gaussian", 2, 38.0, 4.0)]
    table = equal_time.table(equal_time.Record(8.0, {}, results=sound + small))
    assert re.search(r"\| one Gaussian .*\| \(\S+ %\) \| \+10\.0 \(\S+\) \|\n", table)
    assert table.count(BRACKETS) == 1


def test_a_learning_curve_in_brackets_speaks_for_a_small_part_of_the_curves():
    import learning_curve

    others = {"JPEG": list(zip(RATES, decibels(30.0), strict=True))}

    def table(*firsts_db: float) -> str:
        rows = [learning_curve.Validation("run", "all", 1, 0.0, RATES, tuple(decibels(first))) for first in firsts_db]
        return learning_curve.table(learning_curve.Record(1, others, rows))

    assert table(30.0, 50.0).splitlines()[-2:] == ["| 0.00 | run | all | 1 | +0.0 % |", "| 0.00 | run | all | 1 | – |"]
    assert re.search(rf"\| \(\S+ %\) \|\n\n{re.escape(BRACKETS)}$", table(38.0))


def test_an_anchor_is_compared_with_between_two_rates():
    import learning_curve

    rates = np.geomspace(0.05, 4.0, 40)
    psnr_db = 30 + 8 * np.log10(rates)
    fewer = np.where(rates < 1.2, 0.9, 3.0) * rates

    def record(*rows: tuple[np.ndarray, np.ndarray], crops: int = 1, sha256: str | None = None):
        validations = [learning_curve.Validation("run", "all", 1, 0.0, tuple(row[0]), tuple(row[1])) for row in rows]
        return learning_curve.Record(crops, {}, validations, sha256)

    anchor = record((rates, psnr_db))
    inside = record((fewer, psnr_db), (fewer[12:16], psnr_db[12:16]))
    rows = learning_curve.table(inside, anchor).splitlines()[4:6]
    assert "against run, 0.2 to 1 bpp" in learning_curve.table(inside, anchor)
    assert re.search(r"\| -10\.0 % \|$", rows[0])
    assert re.search(r"\| \(\S+ %\) \|$", rows[1])
    for other in (record((rates, psnr_db), crops=2), record((rates, psnr_db), sha256="a")):
        with pytest.raises(UsageError, match="the anchor must be of the same"):
            learning_curve.table(record((rates, psnr_db), sha256="b"), other)


@pytest.fixture
def log(tmp_path):
    line = {"kind": "validation", "phase": "all", "step": 1, "hours": 0.5}
    line |= {"bits_per_pixel": RATES, "psnr_db": decibels(20.0)}
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(line) + "\n")
    return path


def test_a_learning_curve_goes_on_with_the_same_crops_only(log, tmp_path, monkeypatch):
    import learning_curve

    monkeypatch.setattr(learning_curve, "QUALITIES", {"JPEG": (10, 30, 60, 90)})
    output = tmp_path / "curve.json"
    one, other = (write_picture(tmp_path / str(seed), seed) for seed in (0, 1))

    def go_on(*validation: Path) -> None:
        sources = map(str, validation)
        learning_curve.main(["--run", f"0:run:{log}", "--output", str(output), "--validation", *sources])

    go_on(one)
    monkeypatch.setattr(learning_curve, "measure", None)  # not called again
    go_on(one)
    for validation in ([other], [one, other]):
        with pytest.raises(UsageError, match=r"must be of the . crops of --validation, found 1 others"):
            go_on(*validation)

    earlier = json.loads(output.read_text())
    del earlier["crops_sha256"]
    output.write_text(json.dumps(earlier))
    go_on(one)
    assert learning_curve.Record.read(output).crops_sha256 is None
    with pytest.raises(UsageError, match="must be of the 2 crops of --validation, found 1 others"):
        go_on(one, other)


def test_a_learning_curve_gets_longer_and_has_no_validation_twice(log, tmp_path, monkeypatch):
    import learning_curve

    monkeypatch.setattr(learning_curve, "measure", lambda crops, form: list(zip(RATES, decibels(20.0), strict=True)))
    output = tmp_path / "curve.json"
    common = ["--output", str(output), "--validation", str(write_picture(tmp_path / "0", 0))]
    learning_curve.main(["--run", f"0:trunk:{log}", *common])
    later = json.loads(log.read_text()) | {"hours": 1.0, "bits_per_pixel": [2 * rate for rate in RATES]}
    log.write_text(log.read_text() + json.dumps(later) + "\n")
    learning_curve.main(["--run", f"0:branch:{log}", *common])
    found = learning_curve.Record.read(output).validations
    assert [(one.run, one.hours) for one in found] == [("trunk", 0.5), ("branch", 1.0)]


@pytest.mark.parametrize("missing", ["kind", "hours"])
def test_a_log_of_something_else_is_refused(log, missing):
    import learning_curve

    line = json.loads(log.read_text())
    del line[missing]
    log.write_text(json.dumps(line))
    with pytest.raises(UsageError, match=f"must be one of a training's log.jsonl, found another .*{missing}"):
        learning_curve.validations(f"0:run:{log}")


def equal_time_options(folder: Path, pictures: Path) -> Namespace:
    return Namespace(
        training=[pictures], validation=[pictures], minutes=8.0, runs=folder / "runs", output=folder / "equal_time.json"
    )


def test_equal_times_go_on_with_the_same_pictures_only(tmp_path):
    import equal_time

    one, other = (write_picture(tmp_path / str(seed), seed) for seed in (0, 1))
    options = equal_time_options(tmp_path, one)
    begun = equal_time.begun(options)
    begun.write(options.output)
    assert equal_time.begun(options) == begun
    options.validation = [other]
    with pytest.raises(UsageError, match="must be of the same pictures, found others for validation;"):
        equal_time.begun(options)
    options.training = [tmp_path / "missing"]
    with pytest.raises(ConfigurationError, match="missing: must be a folder, tar or picture"):
        equal_time.begun(options)


def test_equal_times_without_fingerprints_go_on(tmp_path):
    import equal_time

    options = equal_time_options(tmp_path, write_picture(tmp_path / "0", 0))
    options.output = RESULTS / "equal_time.json"
    assert equal_time.begun(options) == equal_time.Record.read(options.output)


def test_equal_times_go_on_with_a_run_of_the_same_configuration_only(tmp_path):
    import equal_time

    options = equal_time_options(tmp_path, write_picture(tmp_path / "0", 0))
    base = equal_time.VARIANTS[equal_time.BASE]
    record = equal_time.Record(8.0, {}, {equal_time.BASE: {phase.name: 1.0 for phase in base.phases}})
    phases = [equal_time.phase_config(phase, round(480 * phase.share)) for phase in base.phases]
    config = equal_time.configuration(base, 1, phases, options)
    folder = options.runs / f"{equal_time.BASE}-1"
    equal_time.check_resumable(folder, config)  # nothing is there
    folder.mkdir(parents=True)
    contents = {"configuration": config.model_dump_json(), "average": {}, "progress": {"step": 1}}
    torch.save(contents, folder / "last.ckpt")
    equal_time.check_resumable(folder, config)
    record.minutes = 4.0
    with pytest.raises(UsageError, match=r"must be of the same configuration, found other phases; remove .*base-1"):
        equal_time.train(equal_time.BASE, 1, record, torch.empty(0), options)


@pytest.mark.parametrize(("load", "warns"), [(1.66, True), (0.5, False), (None, False)])
def test_steps_timed_under_load_bring_a_warning(load, warns, tmp_path, monkeypatch, capsys):
    import equal_time

    monkeypatch.setattr(equal_time, "seconds_per_step", lambda *arguments: 1.0)
    options = Namespace(output=tmp_path / "equal_time.json")
    record = equal_time.Record(8.0, {"load": load})
    equal_time.time_all([equal_time.BASE], options, record)
    found = capsys.readouterr().err
    assert found.count("\n") == warns
    assert ("found 1.66; their times decide" in found) == warns
    equal_time.time_all([equal_time.BASE], options, record)  # nothing is timed again
    assert capsys.readouterr().err == ""


def test_the_command_of_efforts_measures_what_is_published():
    import effort

    record = effort.Record.read(RESULTS / "effort.json")
    numbers = re.search(r"--pictures kodak/kodim\{([\d,]+)\}\.png", effort.__doc__)[1].split(",")
    assert {f"kodim{number}.png" for number in numbers} == set(record.pictures)
    assert {one.quality for one in record.measurements} == set(effort.QUALITIES)
    assert {one.effort for one in record.measurements} == set(effort.EFFORTS)


def test_efforts_warm_up_at_full_size(tmp_path, monkeypatch):
    import effort

    measured = []

    def measure(codec, name, picture, quality, effort_level, limit):
        measured.append((picture.width, picture.height, effort_level))
        return effort.Measurement(name, quality, effort_level, 1, 1.0, 1.0, 1.0, 0)

    monkeypatch.setattr(effort, "measure", measure)
    options = Namespace(
        pictures=[write_picture(tmp_path, seed, side) / f"{seed}.png" for seed, side in ((0, 300), (1, 70))],
        qualities=[50.0],
        efforts=[1, 7],
        crop=None,
        time_limit=None,
        output=tmp_path / "effort.json",
    )
    record = effort.Record("tiny", "", 1, None, {})
    effort.measure_all(options, None, record)
    assert measured[:3] == [(300, 300, level) for level in (1, 2, 3)]
    assert measured[3:] == [(side, side, level) for side in (300, 70) for level in (1, 7)]
    assert len(record.measurements) == 4
    measured.clear()
    effort.measure_all(options, None, record)
    assert measured == []


def test_efforts_are_compared_with_the_one_below_by_the_objective_of_the_weights():
    import effort

    record = effort.Record("tiny", "", 1, None, {})
    for name, level, objective in (("a", 1, 2.0), ("a", 2, 1.0), ("b", 1, 4.0), ("b", 2, 4.4)):
        record.measurements.append(effort.Measurement(name, 20.0, level, 1, 1.0, 30.0, 1.0, 0, 0.01, objective))
    assert "| 2 against 1 | -20.00 % | +10.00 % |" in effort.table(record)
    assert record.measurements[0].own_db == pytest.approx(20)
    picture = Picture(np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3))
    assert (effort.middle_of(picture, 3).pixels == picture.pixels[1:4, 2:5]).all()
    assert (effort.middle_of(picture, None).pixels == picture.pixels).all()
    assert effort.middle_of(picture, 6).pixels.shape == (5, 6, 3)


def test_steps_of_recipes_are_timed_beside_their_plain_forms(tmp_path, monkeypatch):
    import training

    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    picture = write_picture(tmp_path, 0, 768) / "0.png"
    output = tmp_path / "training.json"
    options = ["--picture", str(picture), "--batch", "1", "--patch", "64", "--repeats", "1"]
    assert training.main(["--forms", "--models", "gllmm-lite", *options, "--output", str(output)]) == 0
    found = json.loads(output.read_text())["seconds"]["gllmm-lite"]
    assert found["ratio"] == found["step"] / found["plain_forms"]
    with pytest.raises(UsageError, match="--models must be of gllmm-lite, gllmm, found hyperprior"):
        training.main(["--forms", "--models", "hyperprior"])
