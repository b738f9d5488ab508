"""What the repository says of the released model is what was measured."""

import re
from pathlib import Path

import pytest

from trimix.cli.options import QUALITY_ANCHORS
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.rate_points import reference_curves
from trimix.evaluation.report.curves import collect, read_all
from trimix.evaluation.report.markdown import markdown_tables
from trimix.frozen.catalogue import DEFAULT_MODEL, Tune, find_model

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "results"
SETS = {"kodak": 24, "game": 8, "pathology": 8, "pixel": 8, "screen": 8}


@pytest.fixture(scope="module")
def collections():
    return {name: collect(read_all([RESULTS / name])) for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_the_tables_are_those_of_the_results(collections, name):
    collection = collections[name]
    tables = markdown_tables(collection, collection.anchor(None))
    assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == tables
    assert (RESULTS / f"{name}.svg").stat().st_size > 10_000


def test_every_row_of_the_readme_stands_in_the_tables():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
    rows = re.findall(r"^\|.*\|$", block, re.MULTILINE)
    assert len(rows) > 6
    pages = [(RESULTS / f"{name}.md").read_text(encoding="utf-8") for name in SETS]
    tables = "\n".join(pages).splitlines()
    assert [row for row in rows if row not in tables] == []


@pytest.mark.parametrize(
    ("name", "data"), [(tune.model, data) for tune in Tune for data in SETS if data == "kodak" or tune is not Tune.EYE]
)
def test_the_released_models_are_those_that_were_measured(collections, name, data):
    released = find_model(name)
    (ours,) = [one.results for one in collections[data].measured if one.name == released.name]
    assert ours.provenance["settings"]["model_hash"] == released.weights_hash.hex()
    assert len(ours.pictures) == SETS[data]
    assert len(ours.means) == 6


@pytest.mark.parametrize("name", [tune.model for tune in Tune])
def test_every_released_model_has_a_card_with_its_hash(name):
    released = find_model(name)
    card = released.path.with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {released.name}\n")
    assert f"hash `{released.weights_hash.hex()}`, {released.path.stat().st_size / 1e6:.1f} MB" in card


def test_jpeg_is_as_far_from_vtm_as_published(collections):
    (jpeg,) = [one.curve for one in collections["kodak"].measured if one.name == "JPEG"]
    assert bd_rate(reference_curves()["vtm"], jpeg).percent == pytest.approx(208, abs=5)


def test_no_path_of_a_machine_stands_in_the_results():
    for path in RESULTS.rglob("*.json"):
        assert not re.search(r'[" =](/home|/work|/tmp|/Users|/root|[A-Z]:\\\\)', path.read_text(encoding="utf-8"))


def curve_of(curves, codec):
    """AVIF is named with its tune."""
    (found,) = [curve for name, curve in curves.items() if name in (codec, f"{codec}, tune=iq")]
    return found


def test_what_is_said_of_other_pictures_is_what_was_found(collections):
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for name in SETS.keys() - {"kodak"}:
        curves = {one.name: one.curve for one in collections[name].measured}
        ours = curves[find_model(Tune.PSNR.model).name]
        found = [f"{bd_rate(curve_of(curves, other), ours).percent:+.1f}" for other in ("AVIF", "WebP")]
        assert f"(results/{name}.md) {found[0]} and {found[1]} %" in readme


def test_what_is_said_of_luma_is_what_was_found(collections):
    curves = {one.name: one.curve for one in collections["kodak"].measured}
    ours = curves[find_model(Tune.PSNR.model).name]
    found = [f"{bd_rate(curve_of(curves, other), ours, 'luma_psnr_db').percent:+.1f} %" for other in ("AVIF", "WebP")]
    said = f"In luma PSNR they are {found[0]} against AVIF and {found[1]} against WebP"
    assert said in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_what_is_said_for_the_eye_is_what_was_found(collections):
    curves = {one.name: one.curve for one in collections["kodak"].measured}
    ours = curves[find_model(Tune.EYE.model).name]

    def percent(other, metric):
        return bd_rate(curve_of(curves, other), ours, metric).percent

    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    avif, jxl, butteraugli = (
        percent("AVIF", "ssimulacra2"),
        percent("JPEG XL", "ssimulacra2"),
        percent("AVIF", "butteraugli_db"),
    )
    assert avif < -10
    assert f"needs {-avif:.0f} % fewer bits than AVIF and {-jxl:.0f} % fewer than JPEG XL by" in readme
    assert f"and {butteraugli:.0f} % more than AVIF by Butteraugli" in readme


def test_the_help_of_the_quality_says_what_was_measured(collections):
    (ours,) = [one.results for one in collections["kodak"].measured if one.name == find_model(DEFAULT_MODEL).name]
    measured = {mean.point.quality: mean for mean in ours.means}
    for quality, bits_per_pixel, points in QUALITY_ANCHORS:
        assert measured[quality].point.bits_per_pixel == pytest.approx(bits_per_pixel, abs=0.005)
        assert measured[quality].point.ssimulacra2 == pytest.approx(points, abs=0.5)
