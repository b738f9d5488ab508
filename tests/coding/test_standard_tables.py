import runpy
from pathlib import Path

import numpy as np
import pytest

from family_laws import SCIPY
from trimix.coding.standard_tables import CDF_TABLES, INVERSE_SCALES, scale_of_index


@pytest.mark.parametrize(("family", "law"), SCIPY.items())
def test_a_table_is_the_rounded_cdf(family, law):
    arguments = np.arange(-768, 769) / 32
    table = CDF_TABLES[family, :-1].astype(np.int64)
    assert np.abs(table / 2**30 - law.cdf(arguments)).max() <= 0.51 * 2.0**-30
    assert table[0] == 0 and table[-1] == 2**30 == CDF_TABLES[family, -1]
    assert (np.diff(table) >= 0).all()
    assert (table + table[::-1] == 2**30).all()


def test_scales_have_16_levels_an_octave():
    assert scale_of_index[0] == 2.0**-4 and scale_of_index[255] == 2.0 ** (12 - 1 / 16)
    assert np.abs(INVERSE_SCALES - 2.0**22 / scale_of_index).max() <= 0.5 + 1e-6


def test_the_tables_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        CDF_TABLES[0, 0] = 1


def test_the_tool_makes_the_shipped_file():
    pytest.importorskip("mpmath")
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "make_standard_tables.py"))
    with np.load(tool["TARGET"]) as shipped:
        for name, array in tool["make_tables"]().items():
            np.testing.assert_array_equal(shipped[name], array)
            assert shipped[name].dtype == array.dtype
