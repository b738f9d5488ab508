"""What is seen in a file is what the file holds, for every kind of mixture."""

import json

import numpy as np
import pytest
from inspection_examples import KINDS, codec_of, inspection_of, photograph

from trimix.errors import CodecError, UsageError
from trimix.evaluation.inspection.inspecting import inspect_file, numbers


@pytest.fixture(scope="module", params=KINDS)
def seen(request):
    return inspection_of(request.param)


def test_bits_add_up_to_the_file(seen):
    codec, data, found = seen
    statistics = found.statistics
    counted = codec.latents.count(codec.unpack(data))
    assert statistics.bits == pytest.approx(counted.latent_bits.sum(axis=2))
    ideal_bits = float(statistics.bits.sum()) + found.hyper_latent_bits
    # Two ends of the coder, each a few bytes at most; what a reader can do without is not written.
    assert -8 < found.payload_bits - ideal_bits < 8 * 8
    assert found.coder_bits == pytest.approx(found.payload_bits - ideal_bits)
    assert found.header_bits + found.payload_bits + found.metadata_bits == 8 * len(data)
    assert found.latent_bits == pytest.approx(statistics.channel_bits.sum())


def test_shares_sum_to_1_wherever_one_looks(seen):
    _, _, found = seen
    statistics = found.statistics
    for split, whole in (
        (statistics.weight_bits, statistics.bits),
        (statistics.responsibility_bits, statistics.bits),
        (statistics.channel_weight_bits, statistics.channel_bits),
        (statistics.channel_responsibility_bits, statistics.channel_bits),
    ):
        assert split.min() >= 0
        assert split.sum(axis=-1) == pytest.approx(whole)
    assert found.weight_shares.sum() == pytest.approx(1)
    assert found.responsibility_shares.sum() == pytest.approx(1)


def test_mean_predicted_distributions_sum_to_1(seen):
    _, _, found = seen
    assert len(found.statistics.histograms) == min(8, len(found.statistics.channel_bits))
    bits = [found.statistics.channel_bits[one.channel] for one in found.statistics.histograms]
    assert bits == sorted(bits, reverse=True)
    for histogram in found.statistics.histograms:
        assert histogram.predicted.sum() == pytest.approx(1)
        assert histogram.observed.sum() == pytest.approx(1)
        assert 0 <= histogram.difference <= 1


def test_shares_are_those_of_the_model(seen):
    codec, _, found = seen
    layout = codec.model.latent_model.layout
    families = len(layout.families)
    assert len(found.statistics.shares) == (families if families > 1 else layout.count)
    assert found.rounded_around_mean == codec.model.latent_model.layout.around_mean


def test_numbers_are_plain_and_finite(seen):
    _, data, found = seen
    record = json.loads(json.dumps(numbers(found), allow_nan=False))
    assert record["bytes"] == len(data)
    assert record["bits_per_pixel"] == pytest.approx(8 * len(data) / (100 * 140))
    parts = ("header_bits", "metadata_bits", "hyper_latent_bits", "latent_bits", "coder_bits")
    assert sum(record[part] for part in parts) == pytest.approx(8 * len(data))
    assert sum(record["weight_shares"].values()) == pytest.approx(1)
    assert sum(channel["bits"] for channel in record["channels"]) == pytest.approx(record["latent_bits"])
    per_latent = record["bits_per_latent"]
    assert per_latent["percentile_50"] <= per_latent["percentile_99"] <= per_latent["maximum"]
    assert 0 <= record["zero_share"] <= 1
    assert 0 <= record["transform_deviation"] <= 1


def test_the_picture_is_the_decoded_one(seen):
    codec, data, found = seen
    assert np.array_equal(found.pixels, codec.decode(data).pixels)
    assert (found.width, found.height) == (140, 100)


def test_channels_are_chosen_once_each_and_must_exist():
    codec = codec_of(KINDS[0])
    data = codec.encode(photograph(64, 64), 60, 1)
    found = inspect_file(codec, data, channels=[5, 1, 5])
    assert [histogram.channel for histogram in found.statistics.histograms] == [5, 1]
    for wrong in ([8], [-1]):
        with pytest.raises(UsageError, match=r"from 0 to 7, found"):
            inspect_file(codec, data, channels=wrong)
    with pytest.raises(UsageError, match="at most 32 channels"):
        inspect_file(codec, data, channels=[0] * 33)


def test_damaged_files_are_refused():
    codec = codec_of(KINDS[0])
    data = codec.encode(photograph(64, 64), 60, 1)
    for damaged in (b"", data[:-1], data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        with pytest.raises(CodecError):
            inspect_file(codec, damaged)
