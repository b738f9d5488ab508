"""What a report is made of: files, curves on one set, anchors, BD-rates, views."""

import json
import math
from pathlib import Path

import pytest
from report_examples import means_only, results

from trimix.errors import UsageError
from trimix.evaluation.rate_points import RatePoint
from trimix.evaluation.report.curves import METRICS, collect, read_all, results_files
from trimix.evaluation.report.figures import draw_curves
from trimix.evaluation.report.page import all_bd_rates
from trimix.evaluation.results import QualityMeans, Results

KODAK = tuple(f"kodim{number:02d}.png" for number in range(1, 25))


def write(folder, name, found):
    path = folder / name
    path.write_text(json.dumps(found.to_json()))
    return path


def test_a_folder_stands_for_its_files_and_no_file_counts_twice(tmp_path):
    first, second = write(tmp_path, "a.json", results()), write(tmp_path, "b.json", results())
    (tmp_path / "c.partial.jsonl").write_text("{")
    assert results_files([second, tmp_path]) == [second, first]


def test_models_come_before_other_codecs_of_a_folder(tmp_path):
    write(tmp_path, "avif.json", results("AVIF"))
    write(tmp_path, "model.json", results("model", provenance={"settings": {"model_hash": "00"}}))
    assert [one.name for one in read_all([tmp_path])] == ["model", "AVIF"]
    assert [one.name for one in read_all([tmp_path / "avif.json", tmp_path / "model.json"])] == ["AVIF", "model"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "must be JSON"),
        (10**5 * "[", "must be JSON"),
        ('{"name": "a", "results": {"bpp": [1], "psnr-rgb": [1]}, "pictures": [{"width": 1e999}]}', "have the fields"),
        ("[]", "JSON object"),
        ("{}", "name and parallel arrays"),
        (None, "No such file"),
    ],
)
def test_unreadable_results_are_told_with_their_name(tmp_path, content, expected):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=rf"a\.json: .*{expected}"):
        read_all([path])


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"must have \.json files, found none"):
        read_all([tmp_path])
    with pytest.raises(UsageError, match="found none"):
        collect([])


def test_published_curves_are_beside_kodak_only():
    assert len(collect([results(data="Kodak", pictures=KODAK)]).curves) > 8
    assert len(collect([results(data="tecnick", pictures=KODAK)]).curves) == 1
    part = collect([results(data="kodak", pictures=KODAK[:3])])
    assert len(part.curves) == 1
    assert "all 24 pictures" in part.note
    assert "of 3" in part.note


def test_names_and_keys_are_unique():
    collection = collect([results("same", data="kodak", pictures=KODAK), results("same", data="kodak", pictures=KODAK)])
    assert [curve.name for curve in collection.measured] == ["same (1)", "same (2)"]
    for attribute in ("name", "key"):
        assert len({getattr(curve, attribute) for curve in collection.curves}) == len(collection.curves)


def test_results_on_several_sets_or_pictures_are_refused():
    with pytest.raises(UsageError, match="one of some; two of other"):
        collect([results("one"), results("two", data="other")])
    with pytest.raises(UsageError, match=r"2 of one and 1 of two, 1 in common"):
        collect([results("one"), results("two", pictures=("a.png",))])
    with pytest.raises(UsageError, match="others of the same names"):
        collect([results(provenance={"settings": {"pictures_sha256": hash_}}) for hash_ in ("1", "2")])


def test_published_means_are_taken_on_trust():
    collection = collect([results(data="some"), means_only("paper")])
    assert (collection.data, collection.picture_count) == ("some", 2)
    assert collect([means_only("paper")]).picture_count is None


def test_the_anchor_is_vtm_on_kodak_and_else_the_first():
    kodak, other = collect([results(data="kodak", pictures=KODAK)]), collect([results("one"), results("two")])
    assert kodak.anchor(None).key == "vtm"
    assert kodak.anchor("bpg").is_published
    assert other.anchor(None).name == "one"
    assert other.anchor("TWO").name == "two"
    with pytest.raises(UsageError, match=r"found 'three'; choose of: one, two"):
        other.anchor("three")


def test_bd_rates_of_all_pairs():
    collection = collect([results("one"), results("two", rate=0.9), means_only("paper", points=3)])
    one, two, paper = (curve.key for curve in collection.curves)
    found = all_bd_rates(collection)
    assert set(found) == {metric.key for metric in METRICS}
    assert found["psnr_db"][one][two][0] == pytest.approx(-10, abs=0.05)
    assert found["psnr_db"][two][one][0] == pytest.approx(100 / 9, abs=0.05)
    assert one not in found["psnr_db"][one]
    assert "at least 4 points, found 3" in found["psnr_db"][one][paper]
    assert found["ms_ssim_db"][one][paper] == "paper has no MS-SSIM"
    assert paper not in found["ms_ssim_db"]  # no anchor there


def test_the_view_holds_what_was_measured_and_no_far_published_rates():
    collection = collect([results(data="kodak", pictures=KODAK)])
    (measured,) = collection.measured
    for metric in METRICS:
        shown_rates, shown = collection.view(metric)
        rates = [point.bits_per_pixel for point in measured.curve.points]
        values = [metric.value(point) for point in measured.curve.points]
        assert shown_rates[0] == 0
        assert max(rates) < shown_rates[1] < 1.1 * max(rates)
        assert shown[0] < min(values) < max(values) < shown[1]


def test_infinite_distortions_are_no_points():
    lossless = QualityMeans(RatePoint(9.0, math.inf))
    assert METRICS[0].value(lossless.point) is None
    with pytest.raises(UsageError, match="none that is finite"):
        collect([Results("lossless", "", (lossless,))])


@pytest.mark.parametrize("set_of_pictures", ["kodak", "game", "pathology", "pixel", "screen"])
def test_nothing_of_a_figure_is_cut_off(set_of_pictures):
    collection = collect(read_all([Path(__file__).parents[3] / "results" / set_of_pictures]))
    for metric in collection.metrics:
        figure = draw_curves(collection, metric)
        figure.draw_without_rendering()
        drawn, canvas = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0) >= 0
        assert all((drawn.x1, drawn.y1) <= canvas)
