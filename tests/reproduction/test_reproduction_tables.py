from dataclasses import replace
from pathlib import Path

import pytest

from trimix.reproduction.comparisons import Comparisons
from trimix.reproduction.plan import read_budget
from trimix.reproduction.plots import all_figures
from trimix.reproduction.record import PictureRates, Record, configuration_of, differing_settings, read_records
from trimix.reproduction.tables import all_tables, by_set, by_steps, by_variant

SMALL = read_budget("regularizer", "small")
GLLMM = read_budget("gllmm", "small")
LAMBDAS = (0.0018, 0.0035, 0.0067, 0.013)
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "reproduction"
FACTORS = {"regularized": {1: 0.99, 2: 0.97}, "plain": {1: 1.0, 2: 1.02}}


def made_up_records():
    """Rates of variants as multiples of the plain ones, at the same distortions."""
    found = {}
    for run in SMALL.runs:
        factor = FACTORS.get(run.variant.key, {}).get(run.seed)
        if factor is None:
            continue
        level = 1 + LAMBDAS.index(run.rate_distortion_lambda)
        factor *= FACTORS["plain"][run.seed] if run.variant.key == "regularized" else 1
        rates = {
            data: (PictureRates((0.1 * level * factor, 0.3 * level * factor), (25.0 + level, 27 + level)),)
            for data in ("kodak", "pixel")
        }
        configuration = configuration_of(run, {})
        found[run.key] = Record(run.key, {run.steps: rates}, {"gradient_ratio": 0.25}, configuration)
    return found


@pytest.fixture
def comparisons():
    return Comparisons(made_up_records())


def test_rates_times_a_factor_are_that_bd_rate(comparisons):
    found = comparisons.against_plain("hyperprior", "regularized", 3000, "kodak")
    assert found == {1: pytest.approx(-1.0), 2: pytest.approx(-3.0)}
    assert comparisons.between_seeds("hyperprior", 3000, "kodak") == pytest.approx(2.0)


def test_tables_say_it(comparisons):
    assert "| 3 000 | −2.00 % | −1.00 %, −3.00 % | +2.00 % |" in by_steps(comparisons, "hyperprior")
    rows = by_set(comparisons, "hyperprior").splitlines()
    assert rows[3] == "| pixel (for Pixel-style) | −2.00 % | −1.00 %, −3.00 % | +2.00 % | −2.20 % |"
    assert len(rows) == 4
    assert by_variant(comparisons, "hyperprior", SMALL).splitlines()[2:] == [
        "| alpha = 0.1 | 0.250 | −2.00 % | −1.00 %, −3.00 % | −2.00 % | −1.00 %, −3.00 % |"
    ]


def test_what_is_not_there_is_left_open():
    records = made_up_records()
    del records["hyperprior-0.0067-regularized-seed2"]  # three points are no curve
    comparisons = Comparisons(records)
    assert comparisons.against_plain("hyperprior", "regularized", 3000, "kodak").keys() == {1}
    plain_alone = {key: record for key, record in records.items() if "-plain-seed1" in key}
    table = by_set(Comparisons(plain_alone), "hyperprior")
    assert "| kodak (for Natural) | – | – | – | −0.88 % |" in table


def test_curves_that_fall_have_no_bd_rate():
    records = made_up_records()
    for key, record in records.items():
        if "regularized" in key:
            rates = {
                steps: {
                    data: tuple(replace(one, psnr_db=tuple(-value for value in one.psnr_db)) for one in listed)
                    for data, listed in sets.items()
                }
                for steps, sets in record.rates.items()
            }
            records[key] = replace(record, rates=rates)
    assert Comparisons(records).against_plain("hyperprior", "regularized", 3000, "kodak") == {}


def test_mixtures_are_compared_with_the_full_one_on_every_set():
    factors = {"plain": (1.0, 1.02), "gaussian-1": (1.05, 1.122), "gaussian-9": (1.01, 1.02)}
    records = {}
    for run in GLLMM.runs:
        if run.variant.key not in factors:
            continue
        factor = factors[run.variant.key][run.seed - 1]
        listed = tuple(PictureRates((0.1 * level * factor,), (25.0 + level,)) for level in (1, 2, 3, 4))
        rates = {run.steps: {"kodak": listed, "screen": listed}}
        records[run.key] = Record(run.key, rates, {}, configuration_of(run, {}))
    tables = dict(all_tables(Comparisons(records), GLLMM, ROOT))
    assert list(tables) == ["rate points on Kodak", "against GLLMM: three of each family, CRM of two stages, by set"]
    rows = list(tables.values())[1].splitlines()
    assert rows[0] == "|  | kodak | screen |"
    of_one = "+7.50 % (+5.00 %, +10.00 %)"
    assert rows[2] == f"| one Gaussian | {of_one} | {of_one} |"
    assert rows[3].startswith("| nine Gaussians | +0.50 % (+1.00 %, ")
    assert (
        rows[4] == "| GLLMM: three of each family, CRM of two stages, second seed against first | +2.00 % | +2.00 % |"
    )
    assert "| plain | 2 | 0.1020 bpp, 26.000 dB |" in tables["rate points on Kodak"]
    assert tables["rate points on Kodak"].startswith("|  | seed | quality 15 | quality 40 |")


def test_figures_are_the_same_each_time(comparisons):
    first, second = dict(all_figures(comparisons)), dict(all_figures(comparisons))
    assert list(first) == ["hyperprior-rate-distortion.svg", "hyperprior-by-steps.svg"]
    assert first == second
    assert all(contents.startswith(b"<?xml") for contents in first.values())


def test_the_page_has_the_tables_of_the_records():
    page = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    tables = dict(all_tables(Comparisons(read_records(RESULTS)), SMALL, RESULTS))
    assert len(tables) >= 5
    for title, table in tables.items():
        assert table in page, title


def test_the_records_are_those_of_the_whole_budget():
    records = read_records(RESULTS)
    planned = {run.key: run for run in SMALL.runs}
    assert records.keys() == planned.keys()
    for key, record in records.items():
        run = planned[key]
        fingerprints = record.configuration["pictures"]
        assert differing_settings(record.configuration, configuration_of(run, fingerprints)) == [], key
        assert record.steps == run.steps, key
    assert len({str(record.configuration["pictures"]) for record in records.values()}) == 1
