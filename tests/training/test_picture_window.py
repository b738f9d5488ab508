import io
import math
import tarfile
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import contents, same_checkpoint, small_run, stop_after

from trimix.errors import ConfigurationError
from trimix.training.config import DataConfig
from trimix.training.loop import Trainer
from trimix.training.patches import PatchSampler
from trimix.training.picture_files import PictureFile, index_pictures, load_pictures
from trimix.training.picture_window import GIBIBYTE, PictureWindow, open_pictures

LARGEST = 3 * 90 * 96
SETTINGS = {"patches_per_picture": 4, "workers": 0}
DRAWN = [np.full((70, 70, 3), 7, np.uint8)]


def write_tar(path, members):
    with tarfile.open(path, f"w:{path.suffix.strip('.').replace('tar', '')}") as tar:
        for name, data in members.items():
            information = tarfile.TarInfo(name)
            information.size = len(data)
            tar.addfile(information, io.BytesIO(data))
    return path


def encoded(count, first=0):
    """Files of small pictures of three sizes by their names."""
    members = {}
    for index in range(first, first + count):
        pixels = np.random.default_rng(index).integers(0, 256, (70 + 10 * (index % 3), 96, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        members[f"{index:02}.png"] = buffer.getvalue()
    return members


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    """Two shards of ten pictures each."""
    folder = tmp_path_factory.mktemp("shards")
    return [write_tar(folder / f"{number}.tar", encoded(10, 10 * number)) for number in range(2)]


def window_on(sources, pictures=8, **settings):
    """A window that has room for so many of the largest pictures."""
    return PictureWindow(index_pictures(sources, 64), 3, pictures * LARGEST, **(SETTINGS | settings))


def batches(window, steps, count=4, part=None):
    sampler = PatchSampler(window, 3, 0.5, 0.5, drawn=DRAWN, drawn_share=0.2, grey_share=0.2)
    return [sampler.batch(step, count, 64, part) for step in steps]


def equal(one, other):
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("pictures", [1, 3, 8])
def test_batches_are_the_same_for_any_number_of_workers_and_any_way_to_a_step(tars, pictures):
    steps = [*range(30), 7, 8, 9, 2**40, 2**32 + 9, 2**32 + 10, 10]
    expected = batches(window_on(tars, pictures), steps)
    for workers in (1, 2):
        assert equal(batches(window_on(tars, pictures, workers=workers), steps), expected)
    straight = batches(window_on(tars, pictures, workers=2), range(9, 30))
    assert equal(straight, expected[9:30])
    assert not torch.equal(expected[7], expected[8])


def test_what_is_closed_holds_nothing_and_goes_on_with_the_same_batches(tars, alive):
    expected = batches(window_on(tars), range(6))
    window = window_on(tars, workers=2)
    for step in range(6):
        assert equal(batches(window, [step]), [expected[step]])
        decoded = alive.decoded
        window.close()
        assert not window._held
        assert window._held_bytes == 0
    # No more than were running.
    assert alive.decoded <= decoded + 2


def test_batches_of_another_size_in_between_change_nothing(tars):
    expected = batches(window_on(tars), range(20))
    sampler = PatchSampler(window_on(tars, workers=2), 3, 0.5, 0.5, drawn=DRAWN, drawn_share=0.2, grey_share=0.2)
    for step in range(20):
        assert torch.equal(sampler.batch(step, 4, 64), expected[step])
        if step % 5 == 0:
            sampler.batch(step, 6, 64)


def test_parts_of_a_batch_are_those_of_the_whole(tars):
    whole = batches(window_on(tars), range(12))
    parts = [batches(window_on(tars, workers=1), range(12), part=part) for part in (range(2), range(2, 4))]
    assert equal([torch.cat(pair) for pair in zip(*parts, strict=True)], whole)


def test_a_folder_and_tars_of_its_pictures_give_the_same_batches(tars, tmp_path):
    for name, data in encoded(20).items():
        (tmp_path / name).write_bytes(data)
    assert equal(batches(window_on([tmp_path]), range(8)), batches(window_on(tars), range(8)))
    pattern = [tars[0].with_name("*.tar")]
    assert index_pictures(pattern, 64) == index_pictures(tars, 64)
    assert equal(map(torch.from_numpy, load_pictures(pattern, 64)), map(torch.from_numpy, load_pictures(tars, 64)))


@pytest.fixture
def alive(monkeypatch):
    """Most bytes of decoded pictures that there were at any time, and how many pictures were decoded."""
    plain, lock = PictureFile.pixels, threading.Lock()
    held, found = {}, SimpleNamespace(most_bytes=0, decoded=0, limit=math.inf)

    def counted(file):
        pixels = plain(file)
        until = time.monotonic() + 1
        # A worker that is just done may hold its picture a moment longer than anybody else.
        while sum(list(held.values())) + pixels.nbytes > found.limit and time.monotonic() < until:
            time.sleep(1e-3)
        with lock:
            key = object()
            held[key] = pixels.nbytes
            found.most_bytes = max(found.most_bytes, sum(list(held.values())))
            found.decoded += 1
        weakref.finalize(pixels, held.pop, key)
        return pixels

    monkeypatch.setattr(PictureFile, "pixels", counted)
    return found


@pytest.mark.parametrize("pictures", [1, 2, 5, 12])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_decoded_pictures_never_take_more_than_the_limit(tars, alive, pictures, workers):
    alive.limit = pictures * LARGEST
    batches(window_on(tars, pictures, workers=workers), [*range(40), *range(2**32, 2**32 + 10), 3, 4])
    assert 0 < alive.most_bytes <= alive.limit


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_is_decoded_once_for_as_many_patches_as_it_shall_serve(tars, alive, workers):
    count, patches_per_picture, steps = 4, 5, 250
    sampler = PatchSampler(
        window_on(tars, 12, workers=workers, patches_per_picture=patches_per_picture),
        3,
        scale_minimum=1,
        scaled_share=0,
    )
    for step in range(steps):
        sampler.batch(step, count, 64)
    # Of some no patch is cut at all: these are not decoded; those of the next steps are already.
    assert 0.9 < alive.decoded * patches_per_picture / (count * steps) < 1.1


def test_pictures_are_drawn_as_often_as_from_memory(tars):
    files = index_pictures(tars, 64)
    window = PictureWindow(files, 5, 8 * LARGEST, patches_per_picture=1)
    drawn = [window._picture(window.slot(0.5, step, index, 4)) for step in range(1500) for index in range(4)]
    shares = np.sqrt([file.decoded_bytes for file in files])
    found = np.bincount(drawn, minlength=len(files)) / len(drawn)
    assert found == pytest.approx(shares / shares.sum(), abs=0.012)
    # Places of one batch are drawn independently.
    rows = np.reshape(drawn, (-1, 4))
    assert float(np.mean(rows[:, 0] == rows[:, 1])) == pytest.approx(1 / 20, abs=0.02)


def test_a_damaged_picture_is_told_once_and_the_next_one_stands_in(tmp_path):
    members = encoded(6)
    members["02.png"] = members["02.png"][:500]  # its size can still be read
    members["04.png"] = b"no picture at all"
    source = [write_tar(tmp_path / "some.tar", members)]
    found, told = [], []
    for workers in (0, 2):
        notes = []
        window = open_pictures(
            source, 64, 3, memory_gibibytes=2 * LARGEST / GIBIBYTE, patches_per_picture=2, workers=workers,
            on_left_out=notes.append,
        )  # fmt: skip
        found.append(batches(window, range(30)))
        told.append(notes)
    assert equal(*found)
    for notes in told:
        assert [note.split(": is not a readable picture")[0][-6:] for note in notes] == ["04.png", "02.png"]
    window = window_on([write_tar(tmp_path / "one.tar", {"02.png": members["02.png"]})])
    with pytest.raises(ConfigurationError, match=r"02\.png: is not a readable picture"):
        batches(window, range(2))
    window = window_on([tmp_path / "one.tar"], on_left_out=notes.append)
    with pytest.raises(ConfigurationError, match="no picture of its set can be read"):
        batches(window, range(2))


def test_bad_sets_are_refused_before_the_first_step(tmp_path, tars):
    members = encoded(6)

    def opened(source, minimum_side=64):
        return open_pictures([source], minimum_side, 1, memory_gibibytes=1e-4, **SETTINGS)

    with pytest.raises(ConfigurationError, match=r"00\.png: both sides must have at least 80 pixels, found 96x70"):
        opened(tars[0], 80)
    for path in (tmp_path / "nowhere", tmp_path / "no*.tar"):
        with pytest.raises(ConfigurationError, match=r"no.*must be a folder, tar or picture"):
            opened(path)
    for suffix in ("tar", "tar.gz", "tar.xz"):
        path = write_tar(tmp_path / f"a.{suffix}", members)
        if suffix != "tar":
            with pytest.raises(ConfigurationError, match=r"must be an uncompressed tar.*memory_gibibytes"):
                opened(path)
        path.write_bytes(path.read_bytes()[:60_000])
        with pytest.raises(ConfigurationError, match="is a damaged tar"):
            opened(path)
    write_tar(tmp_path / "gone.tar", members)
    window = opened(tmp_path / "gone.tar")
    (tmp_path / "gone.tar").unlink()
    with pytest.raises(ConfigurationError, match=r"gone\.tar:0\d\.png: cannot be read: No such file"):
        batches(window, [0])


def test_sets_that_fit_into_memory_are_what_they_were(tars, tmp_path):
    loaded = open_pictures(tars, 64, 1, memory_gibibytes=4.0, **SETTINGS)
    assert isinstance(loaded, list)
    for source in (tars, [write_tar(tmp_path / "a.tar.gz", encoded(20))]):
        loaded, before = open_pictures(source, 64, 1, memory_gibibytes=4.0, **SETTINGS), load_pictures(source, 64)
        assert all(np.array_equal(*pair) for pair in zip(loaded, before, strict=True))


def configuration(tars, workers):
    data = {"training": tars, "memory_gibibytes": 6 * LARGEST / GIBIBYTE, "patches_per_picture": 3, "workers": workers}
    return small_run(tars[0], steps=7).model_copy(update={"data": DataConfig(**data)})


def test_a_run_that_is_stopped_and_resumed_ends_like_one_that_was_not(tars, tmp_path):
    whole = Trainer(configuration(tars, 0), tmp_path / "whole", "cpu")
    assert isinstance(whole.sampler._window, PictureWindow)
    whole.run()
    assert not whole.sampler._window._held
    stopped = Trainer(configuration(tars, 2), tmp_path / "parts", "cpu")
    stop_after(stopped, 3)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert contents(tmp_path / "parts")["progress"]["step"] == 4
    Trainer(configuration(tars, 1), tmp_path / "parts", "cpu").run()
    ends = [contents(tmp_path / name) | {"configuration": ""} for name in ("whole", "parts")]
    assert same_checkpoint(*ends)
