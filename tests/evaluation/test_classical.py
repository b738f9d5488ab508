"""The codecs to compare with: real files, stated settings, sizes that are met."""

import numpy as np
import pytest

from trimix.errors import UsageError
from trimix.evaluation import classical
from trimix.evaluation.metrics import psnr_db
from trimix.images import Picture

available = [codec for codec in classical.ALL_CODECS if codec.available]
codecs = pytest.mark.parametrize("codec", available, ids=lambda codec: codec.name)


@pytest.fixture(scope="module")
def smooth_picture():
    """Gradients and a soft disc with a little noise, 96 x 64."""
    rows, columns = np.mgrid[0:64, 0:96]
    disc = 60 * np.tanh((20 - np.hypot(rows - 32, columns - 40)) / 4)
    noise = np.random.default_rng(1).normal(0, 3, (64, 96, 3))
    pixels = np.stack([100 + disc, 60 + 2 * rows, 40 + columns], axis=2) + noise
    return Picture(pixels.clip(0, 255).astype(np.uint8))


@codecs
def test_decodes_to_the_same_size_and_close_to_the_original(codec, smooth_picture):
    decoded = codec.decode(codec.encode(smooth_picture, 90), channels=3)
    assert decoded.pixels.shape == smooth_picture.pixels.shape
    assert psnr_db(smooth_picture.pixels, decoded.pixels) > 30


@codecs
def test_grey_stays_grey(codec, smooth_picture):
    grey = Picture(smooth_picture.pixels[:, :, 1:2])
    decoded = codec.decode(codec.encode(grey, 90), channels=1)
    assert decoded.pixels.shape == grey.pixels.shape
    assert psnr_db(grey.pixels, decoded.pixels) > 30


@codecs
def test_the_file_of_a_target_size_is_the_last_that_fits(codec, smooth_picture):
    target_bytes = len(codec.encode(smooth_picture, 40)) + 3
    found = codec.encode_to_size(smooth_picture, target_bytes)
    assert len(found.data) <= target_bytes < len(codec.encode(smooth_picture, found.quality + 1))
    assert found.quality >= 40
    assert found.data == codec.encode(smooth_picture, found.quality)


def test_a_generous_target_gives_the_highest_quality(smooth_picture):
    assert classical.JPEG.encode_to_size(smooth_picture, 10**6).quality == 100


def test_an_impossible_target_is_refused(smooth_picture):
    with pytest.raises(UsageError, match="must fit into 10 bytes"):
        classical.JPEG.encode_to_size(smooth_picture, 10)


@pytest.mark.parametrize("quality", [0, 101])
def test_qualities_outside_the_scale_are_refused(quality, smooth_picture):
    with pytest.raises(UsageError, match=r"1 \.\. 100"):
        classical.JPEG.encode(smooth_picture, quality)


def test_a_format_that_pillow_lacks_is_refused(monkeypatch, smooth_picture):
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(UsageError, match="install Pillow"):
        classical.AVIF.encode(smooth_picture, 50)


def test_files_hold_pixels_only(smooth_picture):
    with_profile = Picture(smooth_picture.pixels, exif=b"II*\0\x08\0\0\0\0\0", xmp=b"<x:xmpmeta/>")
    for codec in available:
        assert codec.encode(with_profile, 50) == codec.encode(smooth_picture, 50)


@pytest.mark.parametrize(
    ("codec", "factor"), [(classical.JPEG, 2), (classical.JPEG_444, 1)], ids=["default", "4:4:4"]
)
def test_the_stated_subsampling_is_the_one_of_the_file(codec, factor, smooth_picture):
    data = codec.encode(smooth_picture, 50)
    start = data.index(b"\xff\xc2" if b"\xff\xc2" in data else b"\xff\xc0")
    assert data[start + 11] == 16 * factor + factor  # sampling factors of the first component, luma


@codecs
def test_versions_are_stated(codec):
    assert "Pillow" in codec.version
    assert "unknown" not in codec.version
