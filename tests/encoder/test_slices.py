"""Large pictures in slices: each is coded by itself, all give the same picture, and damage stays where it is."""

from dataclasses import replace

import numpy as np
import pytest
from searched import MODELS, some_picture, tiny_codec

from trimix import latent_codec
from trimix.bitstream import Container, SliceStream, describe, join_slices, split_slices
from trimix.entropy_models.schedule import SLICE_SIDE, latent_slices
from trimix.errors import CodecError, CorruptedFileError, DesynchronizedError, UsageError
from trimix.images import reduced
from trimix.shapes import HYPER_STRIDE, Rectangle

HEIGHT, WIDTH = 16 * SLICE_SIDE + 100, 2 * 16 * SLICE_SIDE + 41
"""Two slices by three."""


@pytest.fixture(autouse=True)
def large_is_small(monkeypatch):
    monkeypatch.setattr(latent_codec, "POSITIONS_IN_ONE", 1000)


@pytest.fixture(scope="module", params=MODELS)
def codec(request):
    return tiny_codec(request.param)


def test_slices_cover_every_latent_once():
    seen = np.zeros((70, 33), int)
    for one in latent_slices(70, 33):
        seen[one.positions] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("effort", [1, 2])
def test_what_is_decoded_is_what_was_chosen(codec, effort):
    picture = some_picture(HEIGHT, WIDTH)
    data = codec.encode(picture, 60, effort)
    assert (describe(data).header.tile_layout, describe(data).format_version) == (1, 3)
    symbols = codec.unpack(data)
    assert codec.pack(picture, symbols) == data
    assert (codec.decode(data).pixels == codec.latents.synthesize(symbols, HEIGHT, WIDTH)).all()


def test_the_bytes_do_not_depend_on_threads(codec, monkeypatch):
    picture = some_picture(HEIGHT, WIDTH)
    files = set()
    for threads in (1, 4):
        monkeypatch.setattr(latent_codec, "thread_count", lambda threads=threads: threads)
        files.add(codec.encode(picture, 40, 2))
    assert len(files) == 1


def test_slices_cost_little(codec):
    picture = some_picture(HEIGHT, WIDTH)
    symbols = codec.unpack(codec.encode(picture, 60, 1))
    whole = codec.pack(picture, replace(symbols, is_sliced=False))
    assert len(codec.pack(picture, symbols)) < 1.05 * len(whole) + 6 * 12


@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_a_region_is_that_part_of_the_whole(codec, reduction):
    data = codec.encode(some_picture(HEIGHT, WIDTH), 60, 1)
    whole = codec.decode(data, reduction=reduction).pixels.astype(int)
    for top, left, height, width in ((0, 0, 1, 1), (497, 500, 60, 40), (HEIGHT - 16, WIDTH - 33, 16, 33)):
        found = codec.decode(data, reduction=reduction, region=Rectangle(top, left, height, width)).pixels
        rows = slice(top // reduction, -(-(top + height) // reduction))
        columns = slice(left // reduction, -(-(left + width) // reduction))
        assert found.shape == whole[rows, columns].shape
        # Floats may round differently in another part.
        assert np.abs(found - whole[rows, columns]).max() <= 1


def test_regions_of_pictures_that_are_not_sliced(codec):
    picture = some_picture(90, 70)
    data = codec.encode(picture, 60, 1)
    assert describe(data).header.tile_layout == 0
    whole = codec.decode(data).pixels.astype(int)
    assert np.abs(codec.decode(data, region=Rectangle(7, 9, 50, 33)).pixels - whole[7:57, 9:42]).max() <= 1
    for wrong in (Rectangle(0, 0, 91, 70), Rectangle(-1, 0, 5, 5), Rectangle(3, 3, 0, 2)):
        with pytest.raises(UsageError, match="a region must lie within the picture"):
            codec.decode(data, region=wrong)


def damaged(data: bytes, number: int, how) -> bytes:
    whole = Container.from_bytes(data)
    height, width = (-(-side // 64) * HYPER_STRIDE for side in (whole.header.height, whole.header.width))
    slices = split_slices(whole.latent, len(latent_slices(height, width)))
    slices[number] = how(slices[number])
    return replace(whole, latent=join_slices(slices)).to_bytes()


def with_other_bytes(one: SliceStream) -> SliceStream:
    return replace(one, stream=bytes(255 - byte for byte in one.stream))


def test_damage_stays_in_its_slice(codec):
    data = codec.encode(some_picture(HEIGHT, WIDTH), 60, 1)
    whole = codec.decode(data).pixels.astype(int)
    for how in (with_other_bytes, lambda one: replace(one, stream=b""), lambda one: replace(one, symbol_checksum=7)):
        bad = damaged(data, 4, how)
        with pytest.raises((CorruptedFileError, DesynchronizedError)):
            codec.decode(bad)
        found = codec.decode(bad, keep_going=True)
        assert found.notes == ("damaged: 1 of 6 slices were lost; a guess stands there",)
        far = 16 * (SLICE_SIDE - codec.model.transforms.halo)
        assert np.abs(found.pixels[:far, :far] - whole[:far, :far]).max() <= 1
        # What lies elsewhere needs no damaged slice.
        there = codec.decode(bad, region=Rectangle(0, 0, 50, 50)).pixels
        assert np.abs(there - whole[:50, :50]).max() <= 1


def test_a_byte_flipped_in_the_file_is_found_or_survived(codec):
    data = bytearray(codec.encode(some_picture(HEIGHT, WIDTH), 60, 1))
    data[-20] ^= 0x40
    with pytest.raises(CorruptedFileError, match="section latent must have CRC-32"):
        codec.decode(bytes(data))
    assert len(codec.decode(bytes(data), keep_going=True).notes) == 1


def test_an_index_that_lies_is_refused():
    good = join_slices([SliceStream(b"abc", 1), SliceStream(b"de", 2)])
    for bad in (good + b"x", good[:-1], b"\xff" + good[1:], good[:6] + b"\x01" + good[7:]):
        with pytest.raises(CodecError):
            split_slices(bad, 2)


def test_a_small_picture_of_a_large_one(codec):
    data = codec.encode(some_picture(HEIGHT, WIDTH), 60, 1)
    whole = codec.decode(data).pixels
    assert np.abs(codec.decode(data, reduction=4).pixels.astype(int) - reduced(whole, 4)).max() <= 1
