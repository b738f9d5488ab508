"""The page in a real browser, from disk; left out where there is no Chromium."""

import pytest
from inspection_examples import KINDS, inspection_of

from evaluation.report.browser import CHROMIUM, Browser
from trimix.evaluation.inspection.page import make_page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
CAPTION = "document.getElementById('map-caption').textContent"
READOUT = "document.getElementById('readout').textContent"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for index, kind in enumerate(KINDS[:2]):
        found[kind] = folder / f"{index}.html"
        found[kind].write_bytes(make_page(inspection_of(kind)[2], kind))
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser") / "profile")
    try:
        browser.resize(1280, 900)
        yield browser
    finally:
        browser.close()


@pytest.fixture(autouse=True)
def _no_complaints(browser):
    yield
    assert not browser.complaints
    assert all(address.startswith(("file:", "data:")) for address in browser.requests)


def test_maps_and_kinds_are_chosen(browser, pages):
    browser.open(pages[KINDS[0]])
    assert browser.run(CAPTION) == "mixture, by weights"
    source = "document.getElementById('heat').src"
    seen = {browser.run(source)}
    for key in ("bits", "share-0", "share-1", "share-2", "deviation"):
        browser.run(f"document.querySelector('[data-map={key}]').click()")
        assert not browser.run("document.getElementById('ramp-legend').hidden")
        assert browser.run("document.getElementById('mixture-legend').hidden")
        seen.add(browser.run(source))
    assert len(seen) == 6
    browser.run("document.querySelector('[data-map=share-1]').click()")
    browser.run("document.querySelector('[data-kind=responsibilities]').click()")
    assert browser.run(CAPTION) == "share of Laplacian, by responsibilities"
    assert browser.run(source) not in seen
    shown = "[...document.querySelectorAll('.stack')].filter((one) => one.offsetParent).map((one) => one.className)"
    assert set(browser.run(shown)) == {"stack responsibilities"}


def test_the_pointer_tells_the_numbers_of_a_place_in_both_pictures(browser, pages):
    browser.open(pages[KINDS[0]])
    left, top, width, height = browser.run(
        "(() => { const stage = document.querySelector('[data-stage]'); stage.scrollIntoView({block: 'center'});"
        " const r = stage.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
    )
    browser.mouse("mouseMoved", left + width / 2, top + height / 2)
    browser.wait_for(f"/^column 64, row 48: [\\d.]+ bits, .*Gaussian \\d+ %.*scale [\\d.]+$/.test({READOUT})")
    assert browser.run("[...document.querySelectorAll('.cursor')].every((one) => !one.hidden)")


def test_a_model_of_one_distribution_has_bits_and_scales_alone(browser, pages):
    browser.open(pages[KINDS[1]])
    assert browser.run("[...document.querySelectorAll('[data-map]')].map((one) => one.textContent)") == [
        "Bits",
        "Scale",
    ]
    assert browser.run(CAPTION) == "bits per pixel"
    browser.run("document.querySelector('[data-map=deviation]').click()")
    assert browser.run(CAPTION) == "mean predicted standard deviation"


def test_nothing_is_wider_than_a_phone_and_the_theme_changes(browser, pages):
    for page in pages.values():
        browser.resize(390, 844, phone=True)
        browser.open(page)
        assert browser.run(OVERFLOW) <= 0
        browser.resize(1280, 900)
        assert browser.run(OVERFLOW) <= 0
    background = "getComputedStyle(document.documentElement).backgroundColor"
    before = browser.run(background)
    browser.run("document.getElementById('theme').click()")
    assert browser.run(background) != before
