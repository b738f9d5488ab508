"""Evaluations measure everything once, however often they are stopped, and never mix what does not belong together."""

import json
import mmap
import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tiny_models import tiny_frozen
from trimix.codec import Codec
from trimix.errors import ModelError, PictureError, PictureTooLargeError, TrimixError, UsageError
from trimix.evaluation.contenders import model_contender
from trimix.evaluation.data_sets import find_pictures
from trimix.evaluation.journal import journal_path
from trimix.evaluation.measuring import forget_peak_memory, measuring, peak_memory_bytes
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.results import read_results
from trimix.evaluation.run import Evaluation, examine
from trimix.frozen.storage import save_frozen
from trimix.images import Picture, read_picture
from trimix.progress import ProgressDisplay

QUALITIES = (1.0, 4.0)
coded: list[tuple[int, float]] = []
"""Width of each picture that a `Shift` of this process has encoded, and the quality."""


@dataclass(frozen=True)
class Shift:
    """A codec of three lines: drops the lower bits of every sample, all but `quality` of them."""

    key: str = "shift"
    name: str = "Shift"
    qualities: tuple[float, ...] = QUALITIES
    widest: int = 1000
    made_worse: bool = False

    @property
    def description(self):
        return "drops bits"

    def identity(self):
        return {"codec": self.name, "widest": self.widest, "qualities": list(self.qualities)}

    def open(self):
        return self

    def facts(self):
        return {"answer": 42}

    def encode(self, picture, quality):
        coded.append((picture.width, quality))
        if picture.width > self.widest:
            raise PictureTooLargeError(f"the picture must be narrower than {self.widest}; cut it")
        kept = picture.pixels >> int(8 - quality)
        shape = bytes(kept.shape[:2])
        return shape + bytes([int(quality)]) + zlib.compress(kept.tobytes())

    def decode(self, data, channels):
        kept = np.frombuffer(zlib.decompress(data[3:]), np.uint8).reshape(*data[:2], channels)
        if self.made_worse:
            kept = kept[:-1]
        return Picture(kept << int(8 - data[2]))

    def payload_bytes(self, data):
        return len(data) - 3


@pytest.fixture
def folder(tmp_path):
    """Three pictures, 20, 30 and 40 pixels wide; the second is grey."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number, width in enumerate((20, 30, 40)):
        pixels = random.integers(0, 256, (16, width, 3), dtype=np.uint8)
        Image.fromarray(pixels[:, :, 0] if number == 1 else pixels).save(folder / f"{number}.png")
    coded.clear()
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "results"


def evaluation(folder, output, *contenders, **options):
    pictures = examine(find_pictures(str(folder)))
    return Evaluation(pictures, contenders or (Shift(),), output, **({"isolated": False} | options))


def measured(results):
    """Everything but what differs from run to run."""
    unclocked = {"encoding_seconds": 0.0, "decoding_seconds": 0.0, "peak_memory_bytes": None}
    return [replace(one, **unclocked) for one in results.measurements]


class Acts(ProgressDisplay):
    """Does something when a measurement begins, or after so many have been made."""

    def __init__(self, action, count=None):
        super().__init__(silent=True)
        self.action, self.count = action, count

    def show(self, text, done=0, total=None, *, always=False, **_):
        if always if self.count else " quality " in text:
            self.count = self.count and self.count - 1
            if not self.count:
                self.action()


def interrupt():
    raise KeyboardInterrupt


def stops_after(count):
    return Acts(interrupt, count)


def test_every_picture_is_measured_at_every_quality(folder, output):
    (results,) = evaluation(folder, output).run()
    found = [(one.picture, one.quality) for one in results.measurements]
    assert found == [(f"{number}.png", quality) for number in range(3) for quality in QUALITIES]
    for one in results.measurements:
        picture = read_picture(folder / one.picture)
        data = Shift().encode(picture, one.quality)
        decoded = Shift().decode(data, picture.channels)
        assert (one.width, one.height) == (picture.width, picture.height)
        assert (one.file_bytes, one.payload_bytes) == (len(data), len(data) - 3)
        assert one.psnr_db == psnr_db(picture.pixels, decoded.pixels)
        assert one.ms_ssim is None
        assert one.encoding_seconds > 0
        assert one.decoding_seconds > 0


def test_means_are_those_of_the_pictures(folder, output):
    (results,) = evaluation(folder, output).run()
    record = json.loads((output / "shift.json").read_text(encoding="utf-8"))
    for place, quality in enumerate(record["results"]["quality"]):
        pictures = [one for one in record["pictures"] if one["quality"] == quality]
        assert len(pictures) == 3
        rates = [8 * one["file_bytes"] / (one["width"] * one["height"]) for one in pictures]
        assert record["results"]["bpp"][place] == pytest.approx(np.mean(rates))
        assert record["results"]["psnr-rgb"][place] == pytest.approx(np.mean([o["psnr_db"] for o in pictures]))
    assert record["results"]["bpp"] == sorted(record["results"]["bpp"])
    assert read_results(output / "shift.json") == results


def test_the_first_coding_is_not_measured(folder, output):
    evaluation(folder, output).run()
    assert len(coded) == 1 + 6


@pytest.mark.parametrize("count", range(1, 6))
def test_an_evaluation_that_was_stopped_goes_on_without_measuring_twice(folder, output, count):
    with pytest.raises(KeyboardInterrupt):
        evaluation(folder, output).run(stops_after(count))
    assert not (output / "shift.json").exists()
    coded.clear()
    (results,) = evaluation(folder, output).run()
    assert len(coded) == 1 + 6 - count
    (whole,) = evaluation(folder, output.with_name("whole")).run()
    assert measured(results) == measured(whole)
    assert len(results.provenance["sessions"]) == 2
    assert [path.name for path in output.iterdir()] == ["shift.json"]


def test_ctrl_c_while_the_first_measurement_is_written_keeps_it(folder, output, monkeypatch):
    real, lines = os.fsync, []

    def interrupted(descriptor):
        real(descriptor)
        lines.append(descriptor)
        if len(lines) == 3:  # settings and session before it
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluation(folder, output).run()
    assert journal_path(output / "shift.json").read_bytes().count(b'"measurement"') == 1
    count = len(coded)
    (results,) = evaluation(folder, output).run()
    assert len(results.measurements) == 6
    assert len(coded) == count + 1 + 5  # the warm-up, and all but the first


def test_a_journal_that_ends_anywhere_is_gone_on_with(folder, output):
    with pytest.raises(KeyboardInterrupt):
        evaluation(folder, output).run(stops_after(3))
    journal = journal_path(output / "shift.json")
    data = journal.read_bytes()
    lines = data.splitlines(keepends=True)
    ends = np.cumsum([len(line) for line in lines])
    for length in [*range(1, int(ends[1]), 40), *range(int(ends[2]), len(data), 97), len(data)]:
        journal.write_bytes(data[:length])
        (output / "shift.json").unlink(missing_ok=True)
        coded.clear()
        (results,) = evaluation(folder, output).run()
        whole_lines = data[:length].count(b"\n")
        assert len(coded) == 1 + 6 - max(whole_lines - 2, 0)
        assert len(results.measurements) == 6


def test_a_damaged_journal_is_refused_until_forced(folder, output):
    with pytest.raises(KeyboardInterrupt):
        evaluation(folder, output).run(stops_after(3))
    journal = journal_path(output / "shift.json")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"{nonsense}\n", *lines[3:]]))
    with pytest.raises(UsageError, match=r"shift\.partial\.jsonl: must be a journal .*, found it damaged"):
        evaluation(folder, output)
    coded.clear()
    evaluation(folder, output, force=True).run()
    assert len(coded) == 1 + 6


def test_finished_results_are_not_measured_again(folder, output):
    (first,) = evaluation(folder, output).run()
    before = (output / "shift.json").read_bytes()
    coded.clear()
    journal_path(output / "shift.json").write_bytes(b"left over")
    assert evaluation(folder, output).run() == [first]
    assert [path.name for path in output.iterdir()] == ["shift.json"]
    assert evaluation(folder, output, force=True).run() == [first]
    assert coded == []
    assert (output / "shift.json").read_bytes() == before


@pytest.mark.parametrize("finished", [True, False])
def test_results_of_other_settings_are_refused_until_forced(folder, output, finished):
    if finished:
        evaluation(folder, output).run()
    else:
        with pytest.raises(KeyboardInterrupt):
            evaluation(folder, output).run(stops_after(2))
    other = Shift(qualities=(1.0, 4.0, 6.0))
    with pytest.raises(UsageError, match=r"found qualities 1,4 \(now 1,4,6\); choose another folder, or measure anew"):
        evaluation(folder, output, other)
    with pytest.raises(KeyboardInterrupt):
        evaluation(folder, output, other, force=True).run(stops_after(4))
    coded.clear()
    (results,) = evaluation(folder, output, other, force=True).run()
    assert len(coded) == 1 + 9 - 4
    assert {one.quality for one in results.measurements} == {1.0, 4.0, 6.0}


def test_results_of_other_pictures_are_refused_whatever_the_codec(folder, output):
    evaluation(folder, output).run()
    Image.new("RGB", (20, 16)).save(folder / "1.png")
    with pytest.raises(UsageError, match=r"of the same pictures \(pictures\), found shift\.json of pictures, 3 files"):
        evaluation(folder, output, Shift(key="other"))
    with pytest.raises(UsageError, match="must hold results of the same pictures"):
        evaluation(folder, output)
    (results,) = evaluation(folder, output, force=True).run()
    assert results.measurements[2].width == 20


def test_nothing_measured_is_nothing_in_the_way(folder, output):
    with pytest.raises(KeyboardInterrupt):
        evaluation(folder, output).run(Acts(interrupt))
    assert list(output.iterdir()) == []
    journal_path(output / "shift.json").write_bytes(b'{"settings": {"codec": "another"}}\n')
    evaluation(folder, output).run()


def test_two_codecs_give_two_files(folder, output):
    results = evaluation(folder, output, Shift(), Shift(key="second", name="Second")).run()
    assert [one.name for one in results] == ["Shift", "Second"]
    assert sorted(path.name for path in output.iterdir()) == ["second.json", "shift.json"]


def test_impossible_contenders_are_refused(folder, output):
    pictures = examine(find_pictures(str(folder)))
    for contenders, expected in (
        ((), "needs a codec to measure, found none"),
        ((Shift(), Shift(key="Shift")), "names of their own, found Shift twice"),
        ((Shift(qualities=()),), "must have qualities, each once, found none"),
        ((Shift(qualities=(1.0, 1.0)),), "found 1,1"),
    ):
        with pytest.raises(UsageError, match=expected):
            Evaluation(pictures, contenders, output)
    output.touch()
    with pytest.raises(UsageError, match="must be a folder, found a file"):
        evaluation(folder, output)


def test_two_processes_do_not_measure_the_same_at_once(folder, output):
    second = evaluation(folder, output)

    def intrude():
        with pytest.raises(UsageError, match="found another that measures the same"):
            second.run()

    (results,) = evaluation(folder, output).run(Acts(intrude, 1))
    assert len(results.measurements) == 6


def test_a_picture_that_a_codec_refuses_is_named_and_the_others_are_kept(folder, output):
    with pytest.raises(PictureTooLargeError, match=r"2\.png through Shift at quality 1: the picture must be narrower"):
        evaluation(folder, output, Shift(widest=35)).run()
    assert journal_path(output / "shift.json").read_bytes().count(b'"measurement"') == 4


def test_a_picture_that_comes_back_in_another_size_is_named(folder, output):
    with pytest.raises(UsageError, match=r"0\.png through Shift at quality 1: compared pictures must have one shape"):
        evaluation(folder, output, Shift(made_worse=True)).run()


def test_a_damaged_picture_is_left_out_and_named_before_anything_is_measured(folder, output):
    whole = examine(find_pictures(str(folder)))
    path = folder / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    examined = examine(find_pictures(str(folder)))
    (note,) = examined.left_out
    assert "2.png: a picture must decode, found it damaged" in note
    assert examined.paths == tuple(one for one in whole.paths if one.name != "2.png")
    assert examined.fingerprint != whole.fingerprint
    assert coded == []
    for one in folder.iterdir():
        one.write_bytes(b"damaged")
    with pytest.raises(PictureError, match="found another or a damaged"):
        examine(find_pictures(str(folder)))


def test_metadata_are_not_counted(folder, output):
    (plain,) = evaluation(folder, output).run()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for path in folder.iterdir():
        with Image.open(path) as image:
            image.load()
        image.save(path, icc_profile=profile, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    (tagged,) = evaluation(folder, output.with_name("tagged")).run()
    assert measured(tagged) == measured(plain)


def test_provenance_tells_versions_machine_and_settings(folder, output):
    (results,) = evaluation(folder, output, command="trimix evaluate pictures").run()
    provenance = results.provenance
    for key in ("trimix", "python", "torch", "numpy", "pillow", "date", "memory"):
        assert provenance[key], key
    assert provenance["command"] == "trimix evaluate pictures"
    assert provenance["machine"]["processor"]
    assert provenance["machine"]["cores"] >= 1
    assert provenance["answer"] == 42
    assert provenance["settings"]["pictures_count"] == 3
    assert len(provenance["settings"]["pictures_sha256"]) == 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny-1.safetensors"
    save_frozen(tiny_frozen(), path)
    return path


def test_a_model_is_measured_by_its_files(folder, output, weights):
    contender = model_contender(str(weights), (20, 70))
    (results,) = evaluation(folder, output, contender).run()
    codec = Codec.load(weights)
    assert results.name == contender.key == "tiny-1"
    for one in results.measurements:
        picture = Picture(read_picture(folder / one.picture).pixels)
        data = codec.encode(picture, one.quality)
        assert one.file_bytes == len(data)
        assert one.payload_bytes is not None
        assert 0 < one.payload_bytes < len(data)
        assert one.psnr_db == psnr_db(picture.pixels, codec.decode(data).pixels)
    assert results.provenance["settings"]["model_hash"] == codec.model.identity.weights_hash.hex()
    assert results.provenance["threads"] >= 1


def test_qualities_of_a_model_are_checked(weights):
    for quality in (0.5, 101, float("nan")):
        with pytest.raises(UsageError, match=r"from 1 .* to 100"):
            model_contender(str(weights), (quality,))


def test_a_model_that_was_replaced_meanwhile_is_refused(weights):
    contender = replace(model_contender(str(weights)), model_hash="00" * 8)
    with pytest.raises(ModelError, match="must stay the model with hash 0000"):
        contender.open()


def test_memory_of_a_stretch_is_that_of_the_stretch():
    forget_peak_memory()
    before = peak_memory_bytes()
    if before is None:
        pytest.skip("this system does not tell")
    with mmap.mmap(-1, 100 * 2**20) as block:  # not malloc's, which may keep it
        block.write(bytes(range(256)) * (100 * 2**12))
        during = peak_memory_bytes()
    forget_peak_memory()
    assert during - before > 90 * 2**20
    if sys.platform == "linux":
        assert during - peak_memory_bytes() > 90 * 2**20


@dataclass(frozen=True)
class Trouble(Shift):
    """Does what no codec should, by the quality."""

    name: str = "Trouble"
    folder: str = ""

    def encode(self, picture, quality):
        if quality == 5:
            print("a library that prints")
        if quality == 6:
            raise RuntimeError("something\nelse")
        if quality == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if quality == 8:
            Path(self.folder, "processes.tmp").write_text(str(os.getpid()))
            Path(self.folder, "processes.tmp").rename(Path(self.folder, "processes"))
            time.sleep(600)
        return super().encode(picture, min(quality, 4.0))


@pytest.mark.slow
def test_a_process_of_its_own_answers_tells_and_ends():
    picture = Picture(np.random.default_rng(2).integers(0, 256, (10, 12, 3), dtype=np.uint8))
    with measuring(Trouble(), isolated=True) as measure:
        assert measure.facts["answer"] == 42
        here = Shift().decode(Shift().encode(picture, 4), 3)
        there = measure.code(picture, 4.0)
        np.testing.assert_array_equal(there.pixels, here.pixels)
        assert measure.code(picture, 5.0).file_bytes == there.file_bytes
        with pytest.raises(TrimixError, match="found RuntimeError: something else") as caught:
            measure.code(picture, 6.0)
        assert "in encode" in str(caught.value.__cause__)
        np.testing.assert_array_equal(measure.code(picture, 4.0).pixels, here.pixels)
        with pytest.raises(TrimixError, match="Trouble must code in a process of its own, found that it was ended"):
            measure.code(picture, 7.0)


@pytest.mark.slow
def test_killing_an_evaluation_kills_all_that_it_started(folder, output, tmp_path):
    contender = f"Trouble(qualities=(4.0, 8.0), folder={str(tmp_path)!r})"
    arguments = f"{str(folder)!r}, Path({str(output)!r}), {contender}, isolated=True"
    script = f"from test_run import *; evaluation({arguments}).run()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as process:
        started = tmp_path / "processes"
        _wait_for(started.exists)
        process.kill()
    _wait_for(lambda: not any(_is_alive(int(one)) for one in started.read_text().split()))
    # What was measured before is there.
    assert journal_path(output / "shift.json").read_bytes().count(b'"measurement"') == 1


def _wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_alive(identifier):
    try:
        state = Path(f"/proc/{identifier}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    except OSError:
        pass
    try:
        os.kill(identifier, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc/self").exists()
