"""The codecs to compare with: real files, stated settings, sizes that are met."""

import sys
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from trimix.bitstream import Metadata
from trimix.errors import PictureError, UsageError
from trimix.evaluation import peers
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.peers import ALL_PEERS, DEFAULT_PEERS, QualityScale, find_peers
from trimix.images import Picture

in_process = [peer for peer in ALL_PEERS.values() if peer.available]
codecs = pytest.mark.parametrize("codec", in_process, ids=lambda codec: codec.key)


@pytest.fixture(scope="module")
def smooth_picture():
    """Gradients and a soft disc with a little noise, 96 x 64."""
    rows, columns = np.mgrid[0:64, 0:96]
    disc = 60 * np.tanh((20 - np.hypot(rows - 32, columns - 40)) / 4)
    noise = np.random.default_rng(1).normal(0, 3, (64, 96, 3))
    pixels = np.stack([100 + disc, 60 + 2 * rows, 40 + columns], axis=2) + noise
    return Picture(pixels.clip(0, 255).astype(np.uint8))


def grey(picture):
    return Picture(picture.pixels[:, :, 1:2])


@codecs
def test_decodes_to_the_same_size_and_close_to_the_original(codec, smooth_picture):
    decoded = codec.decode(codec.encode(smooth_picture, codec.qualities[-1]), channels=3)
    assert decoded.pixels.shape == smooth_picture.pixels.shape
    assert psnr_db(smooth_picture.pixels, decoded.pixels) > 30


@codecs
def test_grey_stays_grey(codec, smooth_picture):
    picture = grey(smooth_picture)
    decoded = codec.decode(codec.encode(picture, codec.qualities[-1]), channels=1)
    assert decoded.pixels.shape == picture.pixels.shape
    assert psnr_db(picture.pixels, decoded.pixels) > 30


@codecs
def test_later_qualities_give_larger_files_and_better_pictures(codec, smooth_picture):
    files = [codec.encode(smooth_picture, quality) for quality in codec.qualities[::4]]
    sizes = [len(file) for file in files]
    distortions_db = [psnr_db(smooth_picture.pixels, codec.decode(file, 3).pixels) for file in files]
    assert sizes == sorted(set(sizes))
    assert distortions_db == sorted(set(distortions_db))


@codecs
def test_the_file_of_a_target_size_is_the_last_that_fits(codec, smooth_picture):
    asked = codec.qualities[len(codec.qualities) // 2]
    target_bytes = len(codec.encode(smooth_picture, asked)) + 3
    found = codec.encode_to_size(smooth_picture, target_bytes)
    next_place = round(abs(found.quality - codec.scale.worst) / codec.scale.step) + 1
    following = codec.encode(smooth_picture, codec.scale.value(next_place))
    assert len(found.data) <= target_bytes < len(following)
    assert abs(found.quality - codec.scale.best) <= abs(asked - codec.scale.best)
    assert found.data == codec.encode(smooth_picture, found.quality)


@codecs
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 1), (33, 2, 3)])
def test_very_small_pictures_pass(codec, shape):
    picture = Picture(np.full(shape, 90, np.uint8))
    assert codec.decode(codec.encode(picture, codec.qualities[-1]), shape[2]).pixels.shape == shape


@codecs
def test_the_size_of_the_file_does_not_know_metadata(codec, smooth_picture):
    with_profile = Picture(smooth_picture.pixels, metadata=Metadata(exif=b"II*\0\x08\0\0\0\0\0", xmp=b"<x:xmpmeta/>"))
    quality = codec.qualities[3]
    assert codec.encode(with_profile, quality) == codec.encode(smooth_picture, quality)


@codecs
def test_versions_are_stated(codec):
    assert any(package in codec.version for package in ("Pillow 1", "imagecodecs 2"))
    assert "unknown" not in codec.version


@codecs
def test_damage_is_a_picture_error(codec, smooth_picture):
    data = codec.encode(smooth_picture, codec.qualities[3])
    with pytest.raises(PictureError):
        codec.decode(data[: len(data) // 8], channels=3)
    with pytest.raises(PictureError):
        codec.decode(b"something else", channels=3)


def test_a_generous_target_gives_the_best_quality(smooth_picture):
    assert peers.JPEG.encode_to_size(smooth_picture, 10**6).quality == 100


def test_an_impossible_target_is_refused(smooth_picture):
    with pytest.raises(UsageError, match="must fit into 10 bytes"):
        peers.JPEG.encode_to_size(smooth_picture, 10)


@pytest.mark.parametrize("quality", [0, 101, 50.5, float("nan")])
def test_qualities_outside_the_scale_are_refused(quality, smooth_picture):
    with pytest.raises(UsageError, match=r"an integer, 1 \.\. 100 \(quality"):
        peers.JPEG.encode(smooth_picture, quality)


def test_fractions_are_taken_where_the_scale_has_them(smooth_picture):
    assert len(peers.JPEG_2000.encode(smooth_picture, 1.55)) < len(peers.JPEG_2000.encode(smooth_picture, 1.95))


def test_the_rate_asked_of_jpeg_2000_is_the_rate_of_the_file():
    pixels = np.random.default_rng(2).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for picture in (Picture(pixels), grey(Picture(pixels))):
        for bits_per_pixel in (0.5, 2.0):
            file = peers.JPEG_2000.encode(picture, bits_per_pixel)
            assert 8 * len(file) / 256**2 == pytest.approx(bits_per_pixel, rel=0.05)


def test_scales_count_from_the_worst_to_the_best():
    qp = QualityScale(51, 0, meaning="QP")
    assert (qp.places, qp.value(0), qp.value(51)) == (52, 51, 0)
    distance = QualityScale(15, 0.01, 0.01)
    assert (distance.places, distance.value(1), distance.value(1499)) == (1500, 14.99, 0.01)
    assert isinstance(qp.checked(22.0, "HM"), int)


@pytest.mark.parametrize("peer", ALL_PEERS.values(), ids=lambda peer: peer.key)
def test_default_qualities_go_from_worse_to_better_and_are_on_the_scale(peer):
    assert 8 <= len(peer.qualities) <= 10
    places = [abs(peer.scale.checked(quality, peer.name) - peer.scale.worst) for quality in peer.qualities]
    assert places == sorted(set(places))


def test_codecs_are_found_by_short_name():
    assert find_peers(["webp", "jpeg", "webp"]) == (peers.WEBP, peers.JPEG)
    assert find_peers([]) == ()
    assert all(key == peer.key for key, peer in ALL_PEERS.items())
    assert set(DEFAULT_PEERS) <= set(ALL_PEERS.values())
    assert len({peer.name for peer in ALL_PEERS.values()}) == len(ALL_PEERS)


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match=r"jpeg2000, .* found 'jpg2000'; did you mean jpeg2000\?"):
        find_peers(["jpeg", "jpg2000"])


def test_a_format_that_pillow_lacks_is_refused(monkeypatch, smooth_picture):
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    assert not peers.AVIF.available
    with pytest.raises(UsageError, match=r"AVIF, tune=iq needs a Pillow that writes it, .* install Pillow"):
        peers.AVIF.encode(smooth_picture, 50)
    with pytest.raises(UsageError, match="install Pillow"):
        find_peers(["avif"])


def test_jpeg_xl_says_what_to_install(monkeypatch, smooth_picture):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(UsageError, match=r"JPEG XL needs the package imagecodecs, .* pip install 'trimix"):
        peers.JPEG_XL.encode(smooth_picture, 1)


def test_a_picture_that_the_format_cannot_hold_is_refused():
    with pytest.raises(UsageError, match=r"WebP must be able to hold the picture, found 16384 x 1 refused"):
        peers.WEBP.encode(Picture(np.zeros((1, 16384, 3), np.uint8)), 50)


@pytest.mark.parametrize(("codec", "factor"), [(peers.JPEG, 2), (peers.JPEG_444, 1)], ids=lambda value: str(value)[:12])
def test_the_stated_subsampling_is_the_one_of_the_file(codec, factor, smooth_picture):
    data = codec.encode(smooth_picture, 50)
    start = data.index(b"\xff\xc2" if b"\xff\xc2" in data else b"\xff\xc0")
    assert data[start + 11] == 16 * factor + factor  # sampling factors of the first component, luma


@pytest.mark.parametrize("quality", [0, 50, 99, 100])
@pytest.mark.parametrize("made_grey", [False, True])
def test_files_of_avif_are_those_of_the_defaults_where_one_tile_is_enough(quality, made_grey, smooth_picture):
    picture = grey(smooth_picture) if made_grey else smooth_picture
    buffer = BytesIO()
    Image.fromarray(picture.pixels.squeeze()).save(buffer, "AVIF", quality=quality)
    assert peers.AVIF.encode(picture, quality) == buffer.getvalue()


def test_every_tune_of_avif_makes_files_of_its_own(smooth_picture):
    tunes = (peers.AVIF, peers.AVIF_PSNR, peers.AVIF_444, replace(peers.AVIF, tune="ssim"))
    assert len({codec.encode(smooth_picture, 50) for codec in tunes}) == len(tunes)


def test_a_tune_that_the_encoder_does_not_know_is_refused(smooth_picture):
    unknown = replace(peers.AVIF, name="AVIF, tune=other", tune="other")
    with pytest.raises(UsageError, match=r"needs an encoder with tune=other, found one without \(libavif"):
        unknown.encode(smooth_picture, 50)
