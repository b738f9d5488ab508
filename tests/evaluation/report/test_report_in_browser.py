"""The page in a real browser, from disk; left out where there is no Chromium."""

import time
from dataclasses import replace

import pytest
from browser import CHROMIUM, Browser
from report_examples import HOSTILE, compared, results

from trimix.evaluation.rate_points import reference_curves
from trimix.evaluation.report.curves import collect
from trimix.evaluation.report.page import make_page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
KODAK = tuple(f"kodim{number:02d}.png" for number in range(1, 25))
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
PLOTTED = "document.querySelectorAll('#plot .scatterlayer .trace').length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    collection = collect(
        [results("ours", data="kodak", pictures=KODAK), results(HOSTILE, 1.4, data="kodak", pictures=KODAK)]
    )
    page = folder / "report.html"
    example = compared()
    pictures = [example, replace(example, name="b.png")]
    page.write_bytes(make_page(collection, collection.anchor(None), HOSTILE, pictures))
    browser = Browser(folder / "profile")
    try:
        browser.resize(1280, 900)
        browser.prefer("light")
        browser.open(page)
        browser.wait_for(f"{PLOTTED} > 0")
        yield browser
    finally:
        browser.close()


@pytest.fixture(autouse=True)
def _no_complaints(browser):
    yield
    assert not browser.complaints
    assert all(address.startswith(("file:", "data:", "blob:")) for address in browser.requests)


def centre(browser, name):
    place = browser.run(
        f"(() => {{ const e = document.getElementById('{name}'); e.scrollIntoView({{block: 'center'}});"
        " const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
    )
    left, top, width, height = place
    return left, top + height / 2, width


def choose(browser, name, value, event="change"):
    browser.run(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = '{value}';"
        f" e.dispatchEvent(new Event('{event}')); }})()"
    )


def test_curves_are_plotted_and_the_legend_takes_them_away(browser):
    assert browser.run("getComputedStyle(document.querySelector('.still')).display") == "none"
    shown = browser.run(PLOTTED)
    assert shown == browser.run("document.querySelectorAll('#legend [aria-pressed=true]').length") == 6
    browser.run("document.querySelector('#legend [data-curve=m0]').click()")
    browser.wait_for(f"{PLOTTED} === {shown - 1}")
    browser.run("document.querySelector('#legend [data-curve=m0]').click()")
    browser.wait_for(f"{PLOTTED} === {shown}")
    browser.run("document.querySelector('#legend .more').click()")
    assert browser.run("document.querySelectorAll('#legend [data-curve]').length") == 2 + len(reference_curves())


def test_the_metric_is_chosen_for_plot_and_bd_rates(browser):
    first = browser.run("document.querySelector('#bd-rates tbody').innerText")
    browser.run("document.querySelector('[data-metric=ms_ssim_db]').click()")
    browser.wait_for("document.querySelector('#plot .ytitle').textContent === 'MS-SSIM, dB'")
    # VTM was published without it: the first measured codec stands in.
    assert browser.run("document.getElementById('anchor').value") == "m0"
    assert browser.run("document.querySelector('#bd-rates tbody').innerText") != first
    browser.run("document.querySelector('[data-metric=psnr_db]').click()")
    assert browser.run("document.getElementById('anchor').value") == "vtm"
    assert browser.run("document.querySelector('#bd-rates tbody').innerText") == first


def test_another_anchor_turns_the_sign(browser):
    def rate(anchor, row):
        choose(browser, "anchor", anchor)
        rows = browser.run("[...document.querySelectorAll('#bd-rates tbody tr')].map((r) => r.innerText)")
        (found,) = [text for text in rows if text.startswith(row)]
        return float(found.split("\t")[1].removesuffix(" %").replace("−", "-"))

    assert rate("m0", HOSTILE) == pytest.approx(40, abs=0.5)
    assert rate("m1", "ours") == pytest.approx(100 * (1 / 1.4 - 1), abs=0.5)


def test_the_slider_moves_by_mouse_and_keys(browser):
    split = "Number(document.getElementById('split').getAttribute('aria-valuenow'))"
    clip = "getComputedStyle(document.getElementById('left-picture')).clipPath"
    left, middle, width = centre(browser, "stage")
    browser.mouse("mousePressed", left + 0.5 * width, middle)
    browser.mouse("mouseMoved", left + 0.25 * width, middle)
    browser.mouse("mouseReleased", left + 0.25 * width, middle)
    assert browser.run(split) == 25
    before = browser.run(clip)
    browser.press("ArrowRight")
    assert browser.run(split) == 27
    assert browser.run(clip) != before
    browser.press("End")
    assert browser.run(split) == 100


def test_any_codec_may_stand_on_either_side(browser):
    sides = browser.run("[...document.getElementById('right-side').options].map((o) => o.text)")
    assert sides == ["original", "gllmm-tiny-0", "JPEG <4:2:0>"]
    choose(browser, "left-side", "2")
    assert browser.run("document.getElementById('left-tag').textContent") == "JPEG <4:2:0>"
    assert "bpp" in browser.run("document.getElementById('left-caption').textContent")
    browser.run("document.querySelectorAll('#pictures button')[1].click()")
    assert browser.run("document.getElementById('left-picture').alt") == "b.png, JPEG <4:2:0>"
    assert browser.run("document.getElementById('left-picture').decode().then(() => true)")


def test_the_bit_map_tells_bits_under_the_pointer_and_fades(browser):
    left, middle, width = centre(browser, "bit-map-stage")
    browser.mouse("mouseMoved", left + width / 2, middle)
    browser.wait_for(
        "/Column \\d+, row \\d+: [\\d.]+ bits/.test(document.getElementById('bit-map-readout').textContent)"
    )
    choose(browser, "opacity", "20", "input")
    assert float(browser.run("document.getElementById('bit-map-heat').style.opacity")) == pytest.approx(0.2)
    assert browser.run("document.getElementById('bit-map-totals').rows.length") == 5


def test_the_table_is_sorted_and_filtered(browser):
    bytes_of = (
        "[...document.querySelectorAll('#measurements-table tbody tr')]"
        ".map((row) => Number(row.cells[3].textContent.replace(/\\D/g, '')))"
    )
    found = browser.run(bytes_of)
    assert len(found) == 120  # the first codec only
    for expected in (sorted(found), sorted(found, reverse=True)):
        browser.run("document.querySelectorAll('#measurements-table thead button')[3].click()")
        assert browser.run(bytes_of) == expected
    choose(browser, "measurements-codec", "")
    assert len(browser.run(bytes_of)) == 240


def test_plots_are_downloaded(browser):
    browser.run(
        "window.saved = []; HTMLAnchorElement.prototype.click = function () {"
        " saved.push([this.download, this.href.slice(0, 30)]); }"
    )
    browser.run("document.querySelector('#downloads [data-format=png]').click()")
    browser.run("document.querySelector('#downloads [data-format=svg]').click()")
    browser.run("document.getElementById('bit-map-download').click()")
    browser.wait_for("saved.length === 3")
    assert sorted(browser.run("saved.map((one) => one[0])")) == [
        "bit-map-a.png", "rate-distortion-psnr-rgb.png", "rate-distortion-psnr-rgb.svg",
    ]  # fmt: skip
    assert all(browser.run("saved.map((one) => one[1].startsWith('data:image/'))"))


def test_the_theme_is_the_system_s_until_the_button_is_pressed(browser):
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = browser.run(background)
    browser.prefer("dark")
    dark = browser.run(background)
    assert dark != light
    browser.run("document.getElementById('theme').click()")
    assert browser.run(background) == light
    browser.run("document.getElementById('theme').click()")
    assert browser.run(background) == dark
    browser.prefer("light")


def test_nothing_is_wider_than_a_phone(browser):
    assert browser.run(OVERFLOW) <= 0
    browser.resize(390, 844, phone=True)
    for _ in range(20):
        if browser.run("document.querySelector('#plot .main-svg').getBoundingClientRect().right") <= 390:
            break
        time.sleep(0.05)
    assert browser.run("innerWidth") == 390
    assert browser.run(OVERFLOW) <= 0
    browser.resize(1280, 900)
