"""The page: whole, quiet, and safe from names."""

import io
import json
import re

import pytest
from PIL import Image
from report_examples import HOSTILE, Elements, compared, means_only, results

from trimix.errors import UsageError
from trimix.evaluation.drawing import require_packages, svg_element
from trimix.evaluation.pages import PAGE_MAXIMUM_BYTES, script_json
from trimix.evaluation.report.curves import METRICS, collect
from trimix.evaluation.report.figures import all_figures, draw_curves, figure_names
from trimix.evaluation.report.page import make_page


@pytest.fixture(scope="module")
def collection():
    return collect([results("ours"), results(HOSTILE, rate=1.3, description=HOSTILE, provenance={HOSTILE: HOSTILE})])


@pytest.fixture(scope="module")
def page(collection):
    example = compared()
    return make_page(collection, collection.anchor(None), HOSTILE, [example]).decode()


@pytest.mark.slow
def test_it_is_small(page):
    assert len(page) < 3_000_000 < PAGE_MAXIMUM_BYTES


def test_it_loads_nothing(page):
    elements = Elements(page)
    addresses = [
        value
        for tag, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "srcset", "data") and value is not None
    ]
    assert addresses
    assert all(re.match(r"#|data:", address) for address in addresses)
    assert "@import" not in page
    assert not [tag for tag, _ in elements.found if tag in ("link", "iframe", "object") and tag != "link"]
    (policy,) = [a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_names_are_never_markup(page):
    elements = Elements(page)
    assert HOSTILE not in page
    assert not [attributes for tag, attributes in elements.found if "onerror" in attributes]
    assert [tag for tag, _ in elements.found].count("script") == 4
    assert "".join(elements.texts["title", None]).strip() == HOSTILE
    data = json.loads("".join(elements.texts["script", "report-data"]))
    assert data["curves"][1]["name"] == HOSTILE


def test_values_come_from_the_results(collection, page):
    data = json.loads("".join(Elements(page).texts["script", "report-data"]))
    for curve, found in zip(collection.curves, data["curves"], strict=True):
        assert [point["bpp"] for point in found["points"]] == [one.bits_per_pixel for one in curve.curve.points]
        assert [point["psnr_db"] for point in found["points"]] == [one.psnr_db for one in curve.curve.points]
    assert data["anchor"] == collection.curves[0].key
    assert len(data["measurements"]) == 20
    assert {metric["key"] for metric in data["metrics"]} == {metric.key for metric in METRICS}
    assert [metric["unit"] for metric in data["metrics"]] == ["dB", "dB", "dB", "points", "dB"]


@pytest.mark.slow
def test_without_pictures_there_is_no_such_part(collection):
    text = make_page(collection, collection.anchor(None), "title").decode()
    assert 'id="equal-size"' not in text
    assert 'id="bit-map"' not in text
    assert 'id="measurements"' in text


@pytest.mark.parametrize("value", ["</script>", "<!--", "\u2028", "a & b", "'\""])
def test_json_may_stand_in_a_script(value):
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_the_still_figure_follows_the_theme(collection):
    def still(metric):
        curve = collection.curves[0]
        return svg_element(draw_curves(collection, metric), metric.file_name, {curve.style.light: "series-m0"})

    svg, other = (still(metric) for metric in collection.metrics[:2])
    assert svg.startswith("<svg")
    assert "var(--ink)" in svg and "var(--series-m0)" in svg
    assert not re.search(r"<style|<metadata|<svg[^>]* width=", svg)
    assert svg == still(collection.metrics[0])
    identifiers = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (svg, other)]
    assert identifiers[0]
    assert not identifiers[0] & identifiers[1]


def test_figures_for_papers():
    # Only PSNR of RGB, so that it is quick.
    collection = collect([means_only("_ours $x_{$"), means_only("日本")])
    figures = dict(all_figures(collection, [compared()]))
    assert list(figures) == figure_names(collection, ["a.png"])
    assert set(figures) == {
        f"{name}.{extension}" for name in ("rate-distortion-psnr-rgb", "bit-map-a") for extension in ("png", "svg")
    }
    picture = Image.open(io.BytesIO(figures["rate-distortion-psnr-rgb.png"]))
    assert picture.size == (1800, 1260)
    assert b"<text" not in figures["rate-distortion-psnr-rgb.svg"]  # outlines
    assert collection.curves[0].style.light.encode() in figures["rate-distortion-psnr-rgb.svg"]


def test_pictures_of_one_name_have_figures_of_their_own(collection):
    names = figure_names(collection, ["a.png", "a.jpg"])
    assert len(set(names)) == len(names)


def test_a_missing_package_is_told_with_its_remedy(monkeypatch):
    require_packages("a report", "matplotlib", "plotly")
    monkeypatch.setattr("trimix.evaluation.drawing.find_spec", lambda name: None if name == "plotly" else 1)
    with pytest.raises(UsageError, match=r"found no plotly; pip install 'trimix\[evaluate\]'"):
        require_packages("a report", "matplotlib", "plotly")
