"""The tables say what stands in the results, and nothing else."""

from dataclasses import replace

from report_examples import means_only, results

from trimix.evaluation.report.curves import collect
from trimix.evaluation.report.tables import ABSENT, facts_of, measurement_rows, speed_rows


def test_a_row_for_every_measurement():
    found = results()
    rows = measurement_rows(collect([found, means_only("paper")]))
    assert len(rows) == len(found.measurements) == 10
    first = found.measurements[0]
    assert rows[0][1:4] == [first.picture, first.quality, first.file_bytes]
    assert rows[0][4] == round(8 * first.file_bytes / (first.width * first.height), 5)


def test_infinite_and_unknown_values_are_plain():
    found = results(qualities=1, pictures=("a.png",))
    strange = replace(found.measurements[0], psnr_db=float("inf"), ms_ssim=None)
    (row,) = measurement_rows(collect([replace(found, measurements=(strange,))]))
    assert (row[5], row[7]) == ("inf", None)
    assert row[8:] == [strange.ssimulacra2, round(strange.butteraugli, 4), 0.5, 0.25]


def test_speeds_are_means_and_megapixels_of_what_was_measured():
    ((curve, cells),) = speed_rows(collect([results(), means_only("paper")]))
    assert (curve.name, cells) == ("one", ["0.500", "0.250", "0.240", "0.480", "300"])


def test_unknown_times_are_told_apart_from_zero():
    found = results()
    means = tuple(
        replace(one, encoding_seconds=None, peak_memory_mebibytes=None, decoding_seconds=0.0) for one in found.means
    )
    ((_, cells),) = speed_rows(collect([replace(found, means=means, measurements=())]))
    assert cells == [ABSENT, "0", ABSENT, ABSENT, ABSENT]


def test_provenance_is_shown_to_its_last_leaf():
    provenance = {
        "machine": {"cores": 2, "load": None},
        "sessions": [{"command": "first"}, {"command": "second"}],
        "qualities": [1, 2],
    }
    (curve,) = collect([results(provenance=provenance)]).curves
    facts = dict(facts_of(curve))
    assert facts["settings"] == "made up"
    assert facts["machine: cores"] == "2"
    assert facts["machine: load"] == ABSENT
    assert facts["sessions: 2: command"] == "second"
    assert ("qualities", "1, 2") in facts_of(curve)
