"""A family is a line of a table, a row of another and one file; and what no kernel knows is refused."""

import io
import math
import tokenize
from pathlib import Path

import numpy as np
import pytest

from family_laws import SCIPY
from trimix.coding import Family, MixtureParameters, information
from trimix.coding.standard_tables import CDF_TABLES

ROOT = Path(__file__).parents[1]
TOUCHED = (
    "src/trimix/coding/families.py",
    "src/trimix/coding/standard_tables.npz",
    "src/trimix/probability/",
    "tests/family_laws.py",
    "docs/format.md",
)
"""What a new family touches; `probability/` gets one file."""


def code_names(path):
    """Names in the code of a file, without strings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return {token.string.lower() for token in tokens if token.type == tokenize.NAME}


def test_no_file_beside_those_that_are_listed_knows_a_family():
    knowing = set()
    for path in (*ROOT.glob("src/**/*.py"), *ROOT.glob("tools/*.py")):
        if code_names(path) & {"laplacian", "logistic"}:
            knowing.add(path.relative_to(ROOT).as_posix())
    choosing = {"src/trimix/architectures/config.py"}  # the models' defaults
    assert knowing - choosing == {"src/trimix/coding/families.py"}


def test_the_guide_names_what_a_new_family_touches():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    recipe = text[text.index("**A distribution family.**") : text.index("**A layer.**")]
    assert [path for path in TOUCHED if f"`{path}" not in recipe] == []
    assert len(TOUCHED) <= 5


def test_every_family_has_its_row_and_its_file():
    assert list(Family) == list(range(len(CDF_TABLES)))
    for family in Family:
        assert (ROOT / f"src/trimix/probability/{family.name.lower()}.py").is_file()


@pytest.mark.parametrize("family", Family)
def test_the_table_of_families_is_true(family):
    law = SCIPY[family]
    assert family.deviation == pytest.approx(law.std())
    assert [family.lower_tail(u, math) for u in (-5.0, -0.3, 0.0)] == pytest.approx(law.cdf([-5, -0.3, 0]))


@pytest.mark.parametrize("family", Family)
def test_a_family_fits_if_less_than_the_smallest_probability_is_left_at_24_scales(family):
    assert SCIPY[family].sf(24) < 2.0**-30


def test_a_family_that_the_tables_do_not_have_is_refused_by_every_kernel():
    families, one = np.array([0, len(Family)], np.uint8), np.ones((1, 2), np.int32)
    wanted = f"families must be numbers from 0 to {len(Family) - 1}, found {len(Family)}: a newer version"
    with pytest.raises(ValueError, match=wanted):
        MixtureParameters(families, 2**15 * one, one, one.astype(np.uint8))
    plane = np.ones((2, 1), np.float32)
    with pytest.raises(ValueError, match=wanted):
        information(np.zeros(1, np.float32), families.tolist(), 0 * plane, plane, plane)


@pytest.mark.parametrize("family", Family)
def test_the_guide_of_searches_is_that_of_the_law(family):
    values = np.arange(-12, 13, dtype=np.float32)
    for mean, scale in ((0.0, 1.0), (0.3, 0.4), (-2.6, 3.0)):
        plane = np.ones((1, len(values)), np.float32)
        found = information(values, [family], 0 * plane, mean * plane, scale * plane)

        def bits(mean, scale):
            law, distance = SCIPY[family], np.abs(values.astype(float) - mean)
            return -np.log2(law.sf((distance - 0.5) / scale) - law.sf((distance + 0.5) / scale))

        exact, step = bits(mean, scale), 1e-5
        likely = exact < 15
        assert found.bits[likely] == pytest.approx(exact[likely], rel=0.005, abs=0.002)
        by_mean = (bits(mean + step, scale) - bits(mean - step, scale)) / (2 * step)
        by_scale = (bits(mean, scale + step) - bits(mean, scale - step)) / (2 * step)
        assert found.by_mean[0, likely] == pytest.approx(by_mean[likely], rel=0.02, abs=0.01)
        assert found.by_scale[0, likely] == pytest.approx(by_scale[likely], rel=0.02, abs=0.01)
