"""The page and the figure: whole, quiet, small, and safe from names."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from inspection_examples import KINDS, inspection_of
from PIL import Image

from evaluation.report.report_examples import HOSTILE, Elements
from trimix.errors import UsageError
from trimix.evaluation.inspection import page as page_module
from trimix.evaluation.inspection.figure import draw_figure
from trimix.evaluation.inspection.page import make_page, parts_of_file
from trimix.evaluation.pages import PAGE_MAXIMUM_BYTES


@pytest.fixture(scope="module", params=KINDS)
def inspection(request):
    return inspection_of(request.param)[2]


def test_the_page_loads_nothing(inspection):
    page = make_page(inspection, "title").decode()
    assert len(page) < 1_000_000
    elements = Elements(page)
    addresses = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "srcset", "data") and value is not None
    ]
    assert addresses
    assert all(re.match(r"#|data:", address) for address in addresses)
    assert not re.search(r"@import|url\((?!#)", page)
    (policy,) = [a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy


def test_names_are_never_markup(inspection):
    text = make_page(replace(inspection, name=HOSTILE, model=HOSTILE), HOSTILE).decode()
    assert HOSTILE not in text
    elements = Elements(text)
    assert "".join(elements.texts["title", None]).strip() == HOSTILE
    assert not [attributes for _, attributes in elements.found if "onerror" in attributes]
    assert [tag for tag, _ in elements.found].count("script") == 2


def test_the_page_speaks_of_what_the_model_has(inspection):
    text = make_page(inspection, "title").decode()
    data = json.loads("".join(Elements(text).texts["script", "maps-data"]))
    names = inspection.statistics.shares.names
    assert data["names"] == list(names)
    several = len(names) > 1
    assert ("Responsibilities" in text) == several
    assert ("one Gaussian distribution" in text) == (not several)
    assert ('class="triangle"' in text) == (len(names) == 3)
    assert len(data["maps"]) == 2 + several * (1 + len(names))
    assert (data["rows"], data["columns"]) == inspection.statistics.bits.shape
    assert all(f"channel {histogram.channel}, difference" in text for histogram in inspection.statistics.histograms)


def test_parts_sum_to_the_file(inspection):
    with_metadata = replace(inspection, metadata_bits=800, file_bytes=inspection.file_bytes + 100)
    for one in (inspection, with_metadata):
        assert sum(parts_of_file(one).values()) == pytest.approx(8 * one.file_bytes)


def enlarged(inspection, times):
    """The same with a latent as of a picture that many times as high and as wide."""
    statistics = inspection.statistics
    repeated = {
        name: np.tile(getattr(statistics, name), (times, times, 1)[: getattr(statistics, name).ndim])
        for name in ("bits", "weight_bits", "responsibility_bits", "standard_deviation")
    }
    return replace(inspection, statistics=replace(statistics, **repeated))


def test_large_pictures_have_coarser_maps(monkeypatch):
    inspection = enlarged(inspection_of(KINDS[0])[2], 40)
    page = make_page(inspection, "title")
    assert len(page) < PAGE_MAXIMUM_BYTES
    data = json.loads("".join(Elements(page.decode()).texts["script", "maps-data"]))
    assert data["rows"] * data["columns"] <= 2**16
    assert data["stride"] == 32
    monkeypatch.setattr(page_module, "PAGE_MAXIMUM_BYTES", len(page) // 2)
    assert len(make_page(inspection, "title")) <= len(page) // 2
    monkeypatch.setattr(page_module, "PAGE_MAXIMUM_BYTES", 1000)
    with pytest.raises(UsageError, match=r"write a \.png"):
        make_page(inspection, "title")


@pytest.mark.slow
def test_the_figure_is_a_picture(inspection):
    data = draw_figure(replace(inspection, model="_ours $x_{$ 日本"), HOSTILE)
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert picture.width == 1950
    assert picture.height > 1500
    assert np.asarray(picture.convert("L")).std() > 20


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 1), (400, 20, 3), (20, 400, 1)])
def test_any_shape_of_picture_has_a_page_and_a_figure(height, width, channels):
    inspection = inspection_of(KINDS[0], height=height, width=width, channels=channels)[2]
    assert make_page(inspection, "title").endswith(b"</html>")
    assert Image.open(io.BytesIO(draw_figure(inspection, "title"))).width == 1950
