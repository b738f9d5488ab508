"""Results files come back as they went, in the form of CompressAI, and damaged ones are told."""

import json
import math

import pytest

from trimix.errors import UsageError
from trimix.evaluation.results import Measurement, Results, read_results


def measurement(picture="a.png", quality=10.0, **changes):
    values = {
        "picture": picture, "width": 200, "height": 100, "quality": quality, "file_bytes": 1000,
        "payload_bytes": 950, "psnr_db": 30.0, "luma_psnr_db": 31.0, "ms_ssim": 0.95, "encoding_seconds": 0.5,
        "decoding_seconds": 0.25, "peak_memory_bytes": 2**20, "ssimulacra2": 70.5, "butteraugli": 1.25,
    }  # fmt: skip
    return Measurement(**(values | changes))


def results(*measurements):
    return Results.of_measurements("codec", "its settings", "kodak", measurements, {"date": "today"})


TWO_BY_TWO = (
    measurement("a.png", 10.0),
    measurement("a.png", 20.0, file_bytes=2000, psnr_db=33.0),
    measurement("b.png", 10.0, file_bytes=3000, psnr_db=32.0, peak_memory_bytes=3 * 2**20),
    measurement("b.png", 20.0, file_bytes=4000, psnr_db=math.inf),
)


def test_means_are_of_values_by_picture():
    low, high = results(*TWO_BY_TWO).means
    assert low.point.bits_per_pixel == pytest.approx((8000 + 24000) / 20000 / 2)
    assert low.point.psnr_db == 31.0
    assert low.point.quality == 10.0
    assert low.payload_bits_per_pixel == pytest.approx(8 * 950 / 20000)
    assert (low.encoding_seconds, low.decoding_seconds) == (0.5, 0.25)
    assert low.peak_memory_mebibytes == 3
    assert high.point.psnr_db == math.inf


def test_what_is_not_known_of_every_picture_has_no_mean():
    unknown = {"payload_bytes": None, "luma_psnr_db": None, "ms_ssim": None, "peak_memory_bytes": None}
    unknown |= {"ssimulacra2": None, "butteraugli": None}
    (means,) = results(measurement(), measurement("b.png", **unknown)).means
    assert means.payload_bits_per_pixel is None
    assert means.peak_memory_mebibytes is None
    assert means.point.ms_ssim is None
    assert means.point.luma_psnr_db is None
    assert means.point.ssimulacra2 is None
    assert means.point.butteraugli is None


def test_means_stand_by_growing_rate_whatever_the_quality():
    # Of video codecs a smaller number is the better quality.
    found = results(measurement(quality=20.0), measurement(quality=10.0, file_bytes=2000))
    assert [one.point.quality for one in found.means] == [20.0, 10.0]
    assert found.curve.points[0].bits_per_pixel < found.curve.points[1].bits_per_pixel
    assert found.curve.name == "codec"
    assert found.pictures == ("a.png",)


@pytest.mark.parametrize(
    "measurements",
    [(), TWO_BY_TWO[:3], (measurement(), measurement()), (measurement("a.png"), measurement("b.png", 20.0))],
    ids=["none", "one is missing", "one twice", "different pictures"],
)
def test_means_over_different_pictures_are_refused(measurements):
    with pytest.raises(UsageError, match="means need every picture once at every quality"):
        results(*measurements)


def test_a_file_comes_back_as_it_went(tmp_path):
    before = results(*TWO_BY_TWO)
    path = tmp_path / "codec.json"
    text = json.dumps(before.to_json(), allow_nan=False)
    path.write_text(text, encoding="utf-8")
    assert read_results(path) == before
    assert '"inf"' in text


def test_the_file_has_the_form_of_compressai():
    record = results(*TWO_BY_TWO).to_json()
    assert {"name", "description", "results"} <= set(record)
    assert {"bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time"} <= set(record["results"])
    assert {len(values) for values in record["results"].values()} == {2}
    assert record["results"]["peak_memory_mib"] == [3.0, 1.0]


def test_perceptual_metrics_have_arrays_of_their_own():
    record = results(*TWO_BY_TWO).to_json()["results"]
    assert (record["ssimulacra2"], record["butteraugli-3-norm"]) == ([70.5, 70.5], [1.25, 1.25])


def test_files_from_before_perceptual_metrics_are_read():
    record = results(*TWO_BY_TWO).to_json()
    for one in record["pictures"]:
        del one["ssimulacra2"], one["butteraugli"]
    del record["results"]["ssimulacra2"], record["results"]["butteraugli-3-norm"]
    found = Results.from_json(record)
    assert found.measurements[0] == measurement(ssimulacra2=None, butteraugli=None)
    assert [one.point.psnr_db for one in found.means] == [31.0, math.inf]
    assert found.means[0].point.ssimulacra2 is None
    assert found.to_json()["results"].keys() == record["results"].keys()


def test_files_of_compressai_are_read():
    record = {
        "name": "bmshj2018-hyperprior", "description": "Inference (ans)",
        "results": {"bpp": [0.5, 0.2], "psnr": [32.0, 29.0], "ms-ssim": [0.97, 0.93], "encoding_time": [0.1, 0.1]},
    }  # fmt: skip
    found = Results.from_json(record)
    assert [one.point.psnr_db for one in found.means] == [29.0, 32.0]
    assert found.means[0].point.ms_ssim == 0.93
    assert found.means[0].encoding_seconds == 0.1
    assert found.means[0].decoding_seconds is None
    assert (found.data, found.measurements, dict(found.provenance)) == ("", (), {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"name": "a", "results": {"bpp": [], "psnr-rgb": []}}',
        '{"name": "a", "results": {"bpp": [1, 2], "psnr-rgb": [30]}}',
        '{"name": "a", "results": {"bpp": [1], "psnr-rgb": [null]}}',
        '{"name": "a", "results": {"bpp": [-1], "psnr-rgb": [30]}}',
        '{"name": "a", "results": {"bpp": [1], "psnr-rgb": [30]}, "pictures": [{"picture": "a"}]}',
        '{"name": "a", "results": {"bpp": [1], "psnr-rgb": [30]}, "provenance": 5}',
    ],
)
def test_what_is_no_results_file_is_refused_by_name(text, tmp_path):
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"odd\.json: "):
        read_results(path)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({}, "no 'results'"),
        ({"results": {"psnr-rgb": [30]}}, "no 'bpp'"),
        ({"results": {"bpp": [1], "psnr-rgb": [30]}}, "no 'name'"),
        ({"results": {"bpp": [1]}}, "psnr-rgb lacks a value"),
        ({"results": [1]}, "a value of another kind"),
    ],
)
def test_what_a_file_lacks_is_told_in_words(record, found):
    with pytest.raises(UsageError) as caught:
        Results.from_json(record)
    assert f"found {found}; give one that 'trimix evaluate'" in str(caught.value)


def test_what_a_measurement_lacks_is_told_in_words():
    with pytest.raises(UsageError, match="found no 'width'; measure again"):
        Measurement.from_json({"picture": "a.png"})


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json: cannot be read"):
        read_results(tmp_path / "none.json")
