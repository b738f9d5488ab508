"""What the pages say of efforts and targets is what was measured."""

import importlib
import json
import re
from pathlib import Path

import pytest

from trimix.frozen.catalogue import find_model

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "effort.md").read_text(encoding="utf-8")


@pytest.fixture
def effort(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("effort")


def test_the_table_of_efforts_is_that_of_the_results(effort):
    record = effort.Record.read(ROOT / "results" / "effort.json")
    assert effort.table(record) in PAGE
    assert record.model_hash == find_model("gllmm-lite").weights_hash.hex()
    assert len(record.pictures) == 8


def test_the_table_of_ms_ssim_is_that_of_the_results_and_no_effort_is_worse(effort):
    record = effort.Record.read(ROOT / "results" / "effort-ms-ssim.json")
    assert effort.table(record) in PAGE
    costs = {(one.picture, one.quality, one.effort): one.objective_bits_per_pixel for one in record.measurements}
    for picture, quality, _ in costs:
        found = [costs[picture, quality, one] for one in (1, 2, 3, 5)]
        assert found == sorted(found, reverse=True)


def test_the_readme_has_its_numbers(effort):
    table = effort.table(effort.Record.read(ROOT / "results" / "effort.json"))
    measured = {}
    for row in re.findall(r"^\| (\d) \|.*$", table, re.MULTILINE):
        cells = [cell.strip(" %") for cell in re.search(rf"^\| {row} \|.*$", table, re.MULTILINE)[0].split("|")]
        measured[row] = (float(cells[6]), float(cells[3]))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme[readme.index("| `--effort` |") :].splitlines()
    levels = re.findall(r"\d", block[0])
    percents, seconds = ([cell.strip() for cell in line.strip("|").split("|")][1:] for line in (block[2], block[3]))
    for level, percent, second in zip(levels[1:], percents[1:], seconds[1:], strict=True):
        assert float(percent) == pytest.approx(measured[level][0], abs=0.051)
        assert float(second) == pytest.approx(measured[level][1], abs=0.051)


def test_the_table_of_targets_is_that_of_the_results():
    outcomes = json.loads((ROOT / "results" / "targets.json").read_text(encoding="utf-8"))["outcomes"]
    assert len(outcomes) == 24 * 8
    for heading in ("0.15 bpp", "0.4 bpp", "0.8 bpp", "30 dB", "34 dB"):
        value, unit = heading.split()
        misses = [one["miss"] for one in outcomes if (one["unit"], one["target"]) == (unit, float(value))]
        assert len(misses) == 24
        largest = max(misses, key=abs)
        shown = f"{largest:+.3f} {'dB' if unit == 'dB' else '%'}"
        assert f"| {heading} | 24 | 0 | {shown} |" in PAGE
