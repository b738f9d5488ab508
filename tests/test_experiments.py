"""The page of experiments says what the results' files say."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(monkeypatch):
    """Where benchmarks are imported from."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_likelihoods_are_those_that_were_found():
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    found = json.loads((ROOT / "results" / "likelihoods.json").read_text())["bits_per_pixel"]
    rows = [line.split(" | ") for line in page.splitlines() if re.match(r"\| (Gaussian|GLLMM)", line)]
    assert len(rows) == len(found)
    (base, *_) = found.values()
    for row, rates in zip(rows, found.values(), strict=True):
        assert [float(cell) for cell in row[2:9]] == [round(fmean(column), 4) for column in zip(*rates, strict=True)]
        if rates is not base:
            change = fmean(
                fmean(own / other - 1 for own, other in zip(mine, one, strict=True))
                for mine, one in zip(rates, base, strict=True)
            )
            assert row[9].replace("−", "-") == f"{100 * change:.2f} %"


def test_the_table_of_equal_times_is_that_of_the_results(benchmarks):
    import equal_time

    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").splitlines()
    record = equal_time.Record.read(ROOT / "results" / "equal_time.json")
    table = [line for line in equal_time.table(record).splitlines() if line]
    assert [line for line in table if line not in page] == []
    assert {one.variant for one in record.results} <= set(equal_time.VARIANTS)


def test_the_learning_curve_is_that_of_the_results(benchmarks):
    import learning_curve

    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").replace("−", "-")
    page = page[page.index("A plan of the compute for `gllmm-lite`") :]
    table = learning_curve.table(learning_curve.Record.read(ROOT / "results" / "learning_curve.json"))
    found = {
        (cells[1], cells[-3], cells[-2]) for cells in (row.split("|") for row in table.splitlines()) if len(cells) > 4
    }
    rows = re.findall(r"^\|( \d+\.\d\d )\|.*?\|( [^|]* )\|( [^|]*)\|$", page, re.MULTILINE)
    assert len(rows) > 6
    for hours, jpeg, webp in rows:
        assert any(
            (hours, jpeg) == (one, other) and webp.strip() in ("", last.strip()) for one, other, last in found
        ), hours


def test_the_learning_curve_of_gllmm_is_that_of_the_results(benchmarks):
    import learning_curve

    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").replace("−", "-")
    page = page[page.index("| core-hours |") : page.index("A plan of the compute for `gllmm-lite`")]
    record, anchor = (
        learning_curve.Record.read(ROOT / "results" / f"learning_curve{name}.json") for name in ("_gllmm", "")
    )
    found = [
        [hours, f"`{run}`", step, *changes]
        for hours, run, _, step, *changes in (
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in learning_curve.table(record, anchor).splitlines()
            if row.startswith("| ") and row[2].isdigit()
        )
    ]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in page.splitlines()]
    assert found
    assert [row for row in rows if row[0][:1].isdigit()] == found
