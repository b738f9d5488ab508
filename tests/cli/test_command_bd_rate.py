"""`trimix bd-rate`: differences between curves, or one line of why there are none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Command, process_environment

from trimix.cli.bd_rate import Method, MetricName
from trimix.evaluation.bd_rate import bd_distortion, bd_rate
from trimix.evaluation.rate_points import reference_curves
from trimix.evaluation.report.curves import METRICS
from trimix.evaluation.results import Measurement, Results

RATES = (0.1, 0.2, 0.4, 0.8, 1.6)


def write_compressai(path: Path, name: str = "one", factor: float = 1.0, **arrays: list[float]) -> Path:
    """A results file as CompressAI publishes them: parallel arrays, nothing of the pictures."""
    found = {"bpp": [factor * rate for rate in RATES], "psnr-rgb": [28.0, 30.0, 32.5, 35.5, 39.0]} | arrays
    path.write_text(json.dumps({"name": name, "description": "made up", "results": found}))
    return path


def write_evaluation(path: Path, data: str, pictures: int = 1, offset_db: float = 0.0) -> Path:
    """A results file of `trimix evaluate`."""
    measurements = [
        Measurement(
            picture=f"{number}.png",
            width=100,
            height=80,
            quality=10.0 * step,
            file_bytes=200 * 2**step,
            payload_bytes=None,
            psnr_db=25.0 + 3 * step + offset_db,
            luma_psnr_db=26.0 + 3 * step + offset_db,
            ms_ssim=1 - 0.1 / 2**step,
            encoding_seconds=0.1,
            decoding_seconds=0.1,
        )
        for number in range(pictures)
        for step in range(5)
    ]
    results = Results.of_measurements(path.stem, "made up", data, measurements, {})
    path.write_text(json.dumps(results.to_json()))
    return path


def rows(text: str) -> list[list[str]]:
    """Cells of the table below its heading."""
    lines = [line for line in text.splitlines()[2:] if line[:2] not in ("* ", "- ")]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_published_curves_against_each_other(trimix: Command) -> None:
    outcome = trimix("bd-rate", "VTM", "hm", "elic")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.text.startswith("against VTM of 8 points, interpolated by pchip\n")
    assert rows(outcome.text) == [
        ["HM", "PSNR RGB", "+23.33", "26.14 to 46.14 dB", "94", "-1.009 dB", "0.0514 to 3.6326", "97"],
        ["ELIC", "PSNR RGB", "-7.01", "29.11 to 37.62 dB", "42*", "+0.323 dB", "0.1235 to 0.8573", "45*"],
    ]
    assert "* less than 50 % of the range of both curves together" in outcome.text


def test_no_mark_without_a_small_overlap(trimix: Command) -> None:
    assert "*" not in trimix("bd-rate", "vtm", "hm").text


def test_every_metric_that_both_have(trimix: Command, tmp_path: Path) -> None:
    one = write_evaluation(tmp_path / "one.json", "some")
    two = write_evaluation(tmp_path / "two.json", "some", offset_db=1.5)
    found = {row[1]: row for row in rows(trimix("bd-rate", one, two).text)}
    assert list(found) == ["PSNR RGB", "PSNR Y", "MS-SSIM"]
    assert [row[5] for row in found.values()] == ["+1.500 dB", "+1.500 dB", "+0.000 dB"]
    assert found["MS-SSIM"][2] == "+0.00"
    # The file of CompressAI has no luma, and no MS-SSIM.
    assert [row[1] for row in rows(trimix("bd-rate", one, write_compressai(tmp_path / "c.json")).text)] == ["PSNR RGB"]


def test_chosen_metrics(trimix: Command, tmp_path: Path) -> None:
    files = [write_evaluation(tmp_path / f"{name}.json", "some") for name in ("one", "two")]
    chosen = ("--metric", "ms-ssim", "--metric", "psnr-y")
    assert [row[1] for row in rows(trimix("bd-rate", *files, *chosen).text)] == ["PSNR Y", "MS-SSIM"]
    assert tuple(MetricName) == tuple(metric.file_name for metric in METRICS)


@pytest.mark.parametrize("method", list(Method))
def test_json_has_the_numbers_of_the_library(trimix: Command, method: Method) -> None:
    record = json.loads(trimix("bd-rate", "vtm", "jpeg", "--json", "--method", method).text)
    assert (record["anchor"], record["method"], record["warnings"]) == ("VTM", method, [])
    (found,) = record["comparisons"]
    anchor, test = reference_curves()["vtm"], reference_curves()["jpeg"]
    assert found == {
        "curve": "JPEG",
        "metric": "psnr-rgb",
        "bd_rate": vars(bd_rate(anchor, test, method=method.value)),
        "bd_distortion": vars(bd_distortion(anchor, test, method=method.value)),
    }


def test_a_factor_on_the_rates_is_the_percentage(trimix: Command, tmp_path: Path) -> None:
    one = write_compressai(tmp_path / "one.json")
    two = write_compressai(tmp_path / "two.json", "two", 0.8)
    assert rows(trimix("bd-rate", one, two).text)[0][:3] == ["two", "PSNR RGB", "-20.00"]


def test_the_older_names_of_compressai(trimix: Command, tmp_path: Path) -> None:
    one = write_compressai(tmp_path / "one.json")
    contents = json.loads(one.read_text())
    contents["results"]["psnr"] = contents["results"].pop("psnr-rgb")
    old = tmp_path / "old.json"
    old.write_text(json.dumps(contents | {"name": "old"}))
    assert rows(trimix("bd-rate", one, old).text)[0][:3] == ["old", "PSNR RGB", "+0.00"]


@pytest.mark.parametrize("anchor", ["two", "TWO", "two.json"])
def test_the_anchor_may_be_one_of_the_curves(
    trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anchor: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_compressai(Path("one.json"))
    write_compressai(Path("two.json"), "two", 1.25)
    outcome = trimix("bd-rate", "one.json", "two.json", "--anchor", anchor)
    assert outcome.text.startswith("against two of 5 points")
    assert [row[:3] for row in rows(outcome.text)] == [["one", "PSNR RGB", "-20.00"]]


def test_the_anchor_may_be_another_curve(trimix: Command, tmp_path: Path) -> None:
    one = write_compressai(tmp_path / "one.json")
    assert [row[0] for row in rows(trimix("bd-rate", one, "hm", "--anchor", "vtm").text)] == ["one", "HM"]
    two = write_compressai(tmp_path / "two.json", "two")
    outcome = trimix("bd-rate", one, "--anchor", two)
    assert outcome.text.startswith("against two of 5 points")
    # A name that is taken is told apart.
    assert trimix("bd-rate", one, "--anchor", write_compressai(tmp_path / "b.json")).text.startswith(
        f"against one ({tmp_path / 'b.json'}) of"
    )


def test_curves_of_one_name_are_told_apart_by_their_files(
    trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_compressai(Path("a.json"))
    write_compressai(Path("b.json"))
    outcome = trimix("bd-rate", "a.json", "b.json")
    assert outcome.text.startswith("against one (a.json) of")
    assert rows(outcome.text)[0][0] == "one (b.json)"


def test_a_published_name_comes_before_a_file_of_that_name(
    trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_compressai(Path("hm"))
    write_compressai(Path("plain"))
    assert rows(trimix("bd-rate", "vtm", "hm").text)[0][0] == "HM"
    assert rows(trimix("bd-rate", "vtm", "./hm").text)[0][0] == "one"
    assert rows(trimix("bd-rate", "vtm", "plain").text)[0][0] == "one"


def test_names_of_files_cannot_steer_the_terminal(trimix: Command, tmp_path: Path) -> None:
    outcome = trimix("bd-rate", "vtm", write_compressai(tmp_path / "a.json", "evil\x1b[2J\nname"))
    assert rows(outcome.text)[0][0] == "evil?[2J name"
    nameless = write_compressai(tmp_path / "b.json", "")
    assert rows(trimix("bd-rate", "vtm", nameless).text)[0][0] == str(nameless)


def test_what_is_refused_stands_beside_what_is_not(trimix: Command, tmp_path: Path) -> None:
    short = write_compressai(tmp_path / "s.json", "short", bpp=[0.1, 0.2, 0.3], **{"psnr-rgb": [30, 31, 32]})
    better = write_compressai(tmp_path / "b.json", "better", **{"psnr-rgb": [50, 51, 52, 53, 54]})
    outcome = trimix("bd-rate", "vtm", "hm", short, better)
    assert outcome.code == 0
    hm, refused, half = rows(outcome.text)
    assert hm[2] == "+23.33"
    assert refused == ["short", "PSNR RGB", *"------"]
    # No distortion in common, but rates: one of the two means is there.
    assert half[:5] == ["better", "PSNR RGB", "-", "-", "-"]
    assert float(half[5].removesuffix(" dB")) > 10
    reasons = [line for line in outcome.text.splitlines() if line.startswith("- ")]
    assert len(reasons) == 2
    assert "short: a Bjontegaard delta needs at least 4 points, found 3" in reasons[0]
    assert "VTM and better must have distortions in common" in reasons[1]
    record = json.loads(trimix("bd-rate", "vtm", short, better, "--json").text)
    assert "at least 4 points" in record["comparisons"][0]["bd_rate"]["refused"]
    assert "in common" in record["comparisons"][1]["bd_rate"]["refused"]
    assert record["comparisons"][1]["bd_distortion"]["difference"] > 10


@pytest.mark.parametrize(
    ("data", "pictures", "expected"),
    [
        ("clic", 1, "found VTM on kodak and a on clic"),
        ("Kodak", 3, "found VTM on 24 and a on 3"),
        ("Kodak", 24, ""),
        ("", 24, ""),
    ],
)
def test_other_pictures_are_warned_of(trimix: Command, tmp_path: Path, data: str, pictures: int, expected: str) -> None:
    results = write_evaluation(tmp_path / "a.json", data, pictures)
    outcome = trimix("bd-rate", "vtm", results)
    assert outcome.code == 0
    warnings = json.loads(trimix("bd-rate", "vtm", results, "--json").text)["warnings"]
    if expected:
        assert outcome.line.startswith("trimix: warning: curves should be of the same pictures")
        assert expected in outcome.line
        assert expected in warnings[0]
    else:
        assert outcome.error == ""
        assert warnings == []


def test_a_rate_in_other_units_is_warned_of(trimix: Command, tmp_path: Path) -> None:
    outcome = trimix("bd-rate", "vtm", write_compressai(tmp_path / "kbit.json", "kbit", 1000.0))
    assert outcome.code == 0
    assert "warning: kbit: rates must be bits per pixel, found " in outcome.line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("vtm",), "needs a curve besides the anchor, found VTM only"),
        (("vtm", "--anchor", "vtm"), "needs a curve besides the anchor"),
        (("vtm", "vvc"), "found 'vvc'; published are vtm, hm, bpg"),
        (("vtm", "missing.json"), "missing.json: cannot be read"),
        (("vtm", "hm", "folder/missing"), "folder/missing: cannot be read"),
        (("vtm", "hm", "--anchor", "missing.json"), "missing.json: cannot be read"),
        (("vtm", "broken.json"), "broken.json: must be JSON"),
        (("vtm", "list.json"), "list.json: must be a JSON object"),
        (("vtm", "other.json"), "other.json: a results file must have"),
        (("vtm", "short.json"), "short: a Bjontegaard delta needs at least 4 points, found 3"),
        (("short.json", "vtm", "hm"), "short: a Bjontegaard delta needs at least 4 points, found 3"),
        (("vtm", "far.json"), "VTM and far must have distortions in common"),
        (("vtm", "one.json", "--metric", "ms-ssim"), "VTM has no MS-SSIM"),
        (("vtm", "lossless.json"), "curves must have a finite distortion in common"),
        (("vtm", "hm", "--metric", "vmaf"), "--metric"),
        (("vtm", "hm", "--method", "linear"), "--method"),
    ],
)
def test_refusals_are_one_line(
    trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_compressai(Path("one.json"), **{"ms-ssim-rgb": [0.9, 0.92, 0.94, 0.96, 0.98]})
    write_compressai(Path("short.json"), "short", bpp=[0.1, 0.2, 0.3], **{"psnr-rgb": [30, 31, 32]})
    write_compressai(Path("far.json"), "far", 0.01, **{"psnr-rgb": [60, 61, 62, 63, 64]})
    write_compressai(Path("lossless.json"), **{"psnr-rgb": [float("inf")] * 5})
    Path("broken.json").write_text("{")
    Path("list.json").write_text("[]")
    Path("other.json").write_text("{}")
    outcome = trimix("bd-rate", *arguments)
    assert outcome.code == 2
    assert outcome.output == b""
    assert outcome.line.startswith("trimix: error: ")
    assert expected in outcome.line


def test_a_missing_package_is_told(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    outcome = trimix("bd-rate", "vtm", "hm")
    assert outcome.code == 2
    assert outcome.line.endswith("pip install 'trimix[evaluate]'")


@pytest.mark.slow
def test_torch_is_never_imported_and_help_imports_nothing_heavy() -> None:
    script = """
import sys
from trimix.cli import main
assert main(["bd-rate", "--help"]) == 0
heavy = {"torch", "numpy", "scipy", "matplotlib", "bjontegaard"} & set(sys.modules)
assert not heavy, heavy
sys.modules["torch"] = None
assert main(["bd-rate", "vtm", "hm"]) == 0
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], env=process_environment(), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "+23.33" in finished.stdout


def test_perceptual_metrics_in_their_units(trimix: Command, tmp_path: Path) -> None:
    arrays = {"ssimulacra2": [10.0, 30.0, 50.0, 70.0, 90.0], "butteraugli-3-norm": [4.0, 2.0, 1.0, 0.5, 0.25]}
    one = write_compressai(tmp_path / "one.json", **arrays)
    two = write_compressai(tmp_path / "two.json", "two", factor=0.9, **arrays)
    chosen = ("--metric", "ssimulacra2", "--metric", "butteraugli")
    found = rows(trimix("bd-rate", one, two, *chosen).text)
    assert [row[1:4] for row in found] == [
        ["SSIMULACRA2", "-10.00", "10.00 to 90.00 points"],
        ["Butteraugli", "-10.00", "-6.02 to 6.02 dB"],
    ]
    assert [row[5].split()[1] for row in found] == ["points", "dB"]
    (record,) = json.loads(trimix("bd-rate", one, two, "--metric", "ssimulacra2", "--json").text)["comparisons"]
    assert (record["metric"], record["bd_rate"]["unit"]) == ("ssimulacra2", "points")
    refused = trimix("bd-rate", "vtm", one, "--metric", "butteraugli")
    assert refused.code == 2
    assert "has no Butteraugli; measure it, or choose another --metric" in refused.line
