"""Files without a model give every visible sample back, and are made where they are no larger."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimix
from tiny_models import tiny_frozen
from trimix.bitstream import Container, Metadata, describe
from trimix.codec import Codec
from trimix.errors import (
    CorruptedFileError,
    PictureTooLargeError,
    UnknownModelError,
    UnsupportedVersionError,
    UsageError,
)
from trimix.images import Picture, picture_of_samples, reduced
from trimix.lossless_codec import decode_lossless, encode_best, encode_lossless

PHOTOGRAPH = Picture(np.random.default_rng(4).integers(0, 256, (40, 56, 3), np.uint8))
DRAWING = Picture(
    np.kron(np.random.default_rng(5).integers(0, 2, (8, 8, 3), np.uint8) * 255, np.ones((16, 16, 1), np.uint8))
)


@settings(deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 4), st.sampled_from([np.uint8, np.uint16]), st.integers(0)
)
def test_what_is_visible_comes_back_exactly(height, width, channels, kind, seed):
    generator = np.random.default_rng(seed)
    samples = generator.integers(0, np.iinfo(kind).max, (height, width, channels), kind, endpoint=True)
    if channels in (2, 4):
        samples[:, : width // 2, -1] = 0
    picture = replace(picture_of_samples(samples), metadata=Metadata(exif=b"MM\0*", icc_profile=b"profile"))
    found = decode_lossless(encode_lossless(picture))
    assert (found.samples.dtype, found.samples.shape) == (picture.samples.dtype, picture.samples.shape)
    seen = np.ones(samples.shape, bool) if picture.alpha is None else (picture.alpha > 0)[:, :, None]
    assert ((found.samples == picture.samples) | ~seen).all()
    assert (found.alpha is None) == (picture.alpha is None)
    assert picture.alpha is None or (found.alpha == picture.alpha).all()
    assert found.metadata == picture.metadata


def test_a_drawing_is_kept_where_that_is_no_larger_and_a_photograph_never():
    codec = Codec(tiny_frozen())
    drawn = encode_best(codec, DRAWING, 90.0, 1)
    assert drawn.is_lossless
    assert len(drawn.data) <= len(codec.encode(DRAWING, 90.0, 1))
    assert describe(drawn.data).format_version == 3
    photographed = encode_best(codec, PHOTOGRAPH, 90.0, 1)
    assert not photographed.is_lossless
    assert photographed.data == codec.encode(PHOTOGRAPH, 90.0, 1)
    small = Picture(np.ascontiguousarray(DRAWING.pixels[:16, :16]))
    with_noise = Picture(
        np.concatenate([DRAWING.pixels, np.random.default_rng(6).integers(0, 256, (96, 128, 3), np.uint8)])
    )
    assert encode_best(codec, small, 1.0, 1).is_lossless
    assert not encode_best(codec, with_noise, 1.0, 1).is_lossless  # half of it is flat, but it takes more bytes


def test_the_interface_keeps_samples_where_it_is_told():
    data = trimix.compress(PHOTOGRAPH, lossless=True)
    assert (np.asarray(trimix.decompress(data)) == PHOTOGRAPH.pixels).all()
    assert describe(trimix.compress(DRAWING)).header.is_lossless
    assert not describe(trimix.compress(DRAWING, lossless=False)).header.is_lossless
    for wrong in ({"quality": 50}, {"target_bytes": 1000}):
        with pytest.raises(UsageError, match="neither quality nor target"):
            trimix.compress(PHOTOGRAPH, lossless=True, **wrong)


@pytest.mark.parametrize("reduction", [2, 4, 8, 16])
def test_reductions_are_means_of_squares(reduction):
    found = decode_lossless(encode_lossless(PHOTOGRAPH), reduction=reduction)
    assert (found.pixels == reduced(PHOTOGRAPH.pixels, reduction)).all()


def test_damage_and_claims_are_refused():
    data = encode_lossless(PHOTOGRAPH)
    with pytest.raises(PictureTooLargeError):
        decode_lossless(data, maximum_pixels=100)
    whole = Container.from_bytes(data)
    other = encode_lossless(Picture(PHOTOGRAPH.pixels ^ np.uint8(1)))
    with pytest.raises(CorruptedFileError, match="samples must have the checksum"):
        decode_lossless(replace(whole, pixels=Container.from_bytes(other).pixels).to_bytes())
    with pytest.raises(CorruptedFileError, match="pixels must be lossless"):
        decode_lossless(replace(whole, pixels=b"nothing").to_bytes())
    older = bytearray(data)
    older[4] = 2
    with pytest.raises((UnsupportedVersionError, CorruptedFileError)):
        describe(bytes(older))
    for read in (Codec.for_file, Codec(tiny_frozen()).decode):
        with pytest.raises(UnknownModelError, match="a file without loss has no model"):
            read(data)
    with pytest.raises(UsageError, match="weights hash 0 and the quality 100"):
        replace(whole, header=replace(whole.header, quality=512)).to_bytes()
