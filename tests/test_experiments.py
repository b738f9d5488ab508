"""The page of experiments says what the results' files say."""

import json
import re
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[1]


def test_likelihoods_are_those_that_were_found():
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    found = json.loads((ROOT / "results" / "likelihoods.json").read_text())["bits_per_pixel"]
    rows = [line.split(" | ") for line in page.splitlines() if re.match(r"\| (Gaussian|GLLMM)", line)]
    assert len(rows) == len(found)
    (base, *_) = found.values()
    for row, rates in zip(rows, found.values(), strict=True):
        assert [float(cell) for cell in row[2:9]] == [
            round(fmean(column), 4) for column in zip(*rates, strict=True)
        ]
        if rates is not base:
            change = fmean(
                fmean(own / other - 1 for own, other in zip(mine, one, strict=True))
                for mine, one in zip(rates, base, strict=True)
            )
            assert row[9].replace("−", "-") == f"{100 * change:.2f} %"
