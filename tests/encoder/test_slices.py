"""Large pictures in slices: each is coded by itself, all give the same picture, and damage stays where it is."""

from dataclasses import replace

import numpy as np
import pytest
from searched import FOR_MS_SSIM, MODELS, cost, smooth_picture, some_picture, tiny_codec

from trimix import latent_codec
from trimix.bitstream import Container, SliceStream, describe, join_slices, split_slices
from trimix.encoder import first_choice
from trimix.encoder.curvature import first_damping
from trimix.encoder.picture_distortion import PictureDistortion
from trimix.entropy_models import schedule
from trimix.entropy_models.schedule import SLICE_SIDE, bands, latent_slices
from trimix.errors import CodecError, CorruptedFileError, DesynchronizedError, UsageError
from trimix.frozen.model import SideFeatures
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


@pytest.mark.parametrize("positions", [1, 32 * 70, 2 * 32 * 70, 10**6])
def test_bands_are_made_of_whole_rows_of_slices(positions, monkeypatch):
    monkeypatch.setattr(schedule, "POSITIONS_IN_BAND", positions)
    slices = latent_slices(150, 70)
    found = bands(slices)
    assert [number for _, numbers in found for number in numbers] == list(range(len(slices)))
    assert max(part.height for part, _ in found) == min(150, 32 * max(1, positions // (32 * 70)))
    for part, numbers in found:
        covered = np.zeros((part.height, part.width), int)
        for number in numbers:
            covered[slices[number].within(part)] += 1
        assert (covered == 1).all()


def test_side_features_of_a_part_are_that_part_of_all(codec):
    hyper_latent = codec.latents.analyze(some_picture(HEIGHT, WIDTH), 60).side_of.hyper_latent
    side_of, whole = SideFeatures(codec.model, hyper_latent, 240), codec.model.side_features(hyper_latent, 240)
    assert side_of.grid == whole.shape[:2]
    for part in (Rectangle(0, 0, *side_of.grid), Rectangle(5, 30, 9, 11), Rectangle(34, 0, 6, 3)):
        assert (side_of(part) == whole[part.positions]).all()


def test_latents_made_in_tiles_are_those_made_at_once(codec, monkeypatch):
    picture = some_picture(HEIGHT, WIDTH)
    whole = codec.latents.analyze(picture, 60)
    monkeypatch.setattr(latent_codec, "_ENCODER_PIXELS_AT_ONCE", 2**17)
    monkeypatch.setattr(latent_codec, "_ENCODER_HALO_SHARE", 1)
    monkeypatch.setattr(codec.model.transforms, "facts", replace(codec.model.transforms.facts, pixels_at_once=2**17))
    in_tiles = codec.latents.analyze(picture, 60)
    assert (np.abs(in_tiles.by_position - whole.by_position) > 1e-3).mean() < 1e-3
    assert (in_tiles.side_of.hyper_latent != whole.side_of.hyper_latent).mean() < 1e-3


@pytest.mark.parametrize("is_worth_it", [True, False])
def test_parts_of_a_large_picture_say_whether_to_choose(is_worth_it, monkeypatch):
    codec, picture = tiny_codec(FOR_MS_SSIM), smooth_picture(HEIGHT, WIDTH)
    monkeypatch.setattr(first_choice, "_PARTS_SIDE", 400)
    monkeypatch.setattr(first_choice, "_WORTH_IT", 0.0 if is_worth_it else 1.0)
    sizes, slope = [], PictureDistortion.slope
    monkeypatch.setattr(
        PictureDistortion, "slope", lambda self, *of, **how: (sizes.append(self.pixels), slope(self, *of, **how))[1]
    )
    chosen, nearest = (codec.unpack(codec.encode(picture, 60, effort)) for effort in (2, 1))
    assert sizes == [400 * 400, HEIGHT * WIDTH][: 1 + is_worth_it]
    in_picture = np.s_[:, : HEIGHT // 16, : WIDTH // 16]
    assert (chosen.latent != nearest.latent)[in_picture].any() == is_worth_it
    if is_worth_it:
        assert cost(codec, picture, chosen) < cost(codec, picture, nearest)


@pytest.mark.parametrize("way", ["rounded", "nearest", "chosen"])
def test_symbols_of_slices_take_the_place_of_latents_in_the_last_run(way):
    codec, picture = tiny_codec(FOR_MS_SSIM), some_picture(HEIGHT, WIDTH)
    found = []
    for in_place in (True, False):
        chooser = first_choice._Chooser(codec.latents, picture, 60, writes=True)
        if not in_place:
            chooser._latents = replace(chooser._latents, by_position=chooser._latents.by_position.astype(np.float32))
        choice = getattr(chooser, way)(*([first_damping(is_squared_error=True)] if way == "chosen" else []))
        assert np.shares_memory(choice.symbols.latent, chooser._latents.by_position) == in_place
        found.append(codec.pack(picture, choice.symbols, choice.writers))
    assert found[0] == found[1]


def test_a_gradient_in_half_precision_is_that_in_single_precision(codec):
    picture = some_picture(160, 96)
    distortion = PictureDistortion(codec.latents, picture.levels, 6000)
    values = codec.latents.analyze(picture, 60).by_position.transpose(2, 0, 1)
    single, half = (distortion.slope(values, gradient_type=kind).gradient for kind in (np.float32, np.float16))
    assert half.dtype == np.float16
    largest = np.abs(half).max()
    assert largest <= np.finfo(np.float16).max / 4
    within = np.abs(single) < largest
    np.testing.assert_allclose(half[within], single[within], rtol=2e-3, atol=1e-6)
    assert (np.sign(half) == np.sign(single))[~within].all()


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
