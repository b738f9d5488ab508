"""Equal size: no file is larger than asked for, and none much smaller than need be."""

import pytest
from report_examples import JpegPeer, compared, photograph, tiny_codec

from trimix.evaluation.report.equal_size import compare_at_equal_size, encode_to_size


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95, 2.0])
def test_the_file_has_the_size_asked_for_or_is_the_nearest(share):
    codec, picture = tiny_codec(), photograph(64, 128)
    smallest, largest = (len(codec.encode(picture, quality)) for quality in (1, 100))
    target = round(smallest + share * (largest - smallest))
    quality, data = encode_to_size(codec, picture, target)
    assert data == codec.encode(picture, quality)
    assert quality == 100 if share > 1 else abs(len(data) - target) <= 0.02 * target


def test_a_size_that_no_quality_reaches_gives_the_lowest_and_a_note():
    codec, picture = tiny_codec(), photograph(64, 64)
    found = compare_at_equal_size("a.png", picture, codec, (), 1e-6)
    assert found.renditions[0].point.quality == 1
    assert "even at its lowest quality" in found.notes[0]


def test_peers_are_not_larger_than_trimix_and_missing_ones_are_told():
    found = compared()
    ours, peer = found.renditions
    assert (peer.name, peer.description) == (JpegPeer().name, "of Pillow; any")
    assert found.bit_map.file_bytes == ours.file_bytes
    assert peer.file_bytes <= ours.file_bytes
    assert ours.pixels.shape == peer.pixels.shape == found.original.pixels.shape
    assert any(note.startswith("never is left out: ") for note in found.notes)
    assert ours.file_bytes == found.bit_map.file_bytes


def test_grey_pictures_are_compared_too():
    codec, picture = tiny_codec(), photograph(64, 64, channels=1)
    found = compare_at_equal_size("grey.png", picture, codec, (), 2.0)
    assert found.renditions[0].pixels.shape == (64, 64, 1)
