"""SSIMULACRA2 and Butteraugli are those of the reference programs, or are left out in one line."""

import os
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from trimix.errors import TrimixError, UsageError
from trimix.evaluation import perceptual_metrics
from trimix.evaluation.metrics import measure_point
from trimix.evaluation.perceptual_metrics import BUTTERAUGLI, SSIMULACRA2, missing_metrics, versions_of_metrics


def noisy(pixels, deviation):
    noise = np.random.default_rng(7).normal(0, deviation, pixels.shape)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def shrunk(pixels):
    """Blurred by leaving out every other pixel."""
    return pixels[::2, ::2].repeat(2, 0).repeat(2, 1)[: pixels.shape[0], : pixels.shape[1]]


CAT = photographs.chelsea()  # 300 x 451
GREY = CAT[:, :, 1:2]
# What ssimulacra2 and butteraugli_main of libjxl 0.11.2 print.
REFERENCE = {
    "a little noise": (CAT, noisy(CAT, 3), 86.0748, 1.107539),
    "much noise": (CAT, noisy(CAT, 20), 15.1771, 6.094320),
    "blurred": (CAT, shrunk(CAT), 33.3266, 4.255611),
    "darker": (CAT, CAT // 2, -62.8927, 54.157293),
    "grey": (GREY, noisy(GREY, 3), 81.9950, 1.482868),
}
references = pytest.mark.parametrize(
    ("original", "decoded", "score", "distance"), REFERENCE.values(), ids=REFERENCE.keys()
)


@references
def test_ssimulacra2_is_that_of_the_reference_program(original, decoded, score, distance):
    assert SSIMULACRA2.measure(original, decoded) == pytest.approx(score, abs=0.1)


def test_the_package_alone_is_farther_from_the_reference(tmp_path):
    from ssimulacra2 import compute_ssimulacra2

    original, decoded, score, _ = REFERENCE["much noise"]
    paths = [str(tmp_path / name) for name in ("original.png", "decoded.png")]
    for pixels, path in zip((original, decoded), paths, strict=True):
        Image.fromarray(pixels).save(path)
    assert compute_ssimulacra2(*paths) < score - 4


def test_equal_pictures_have_the_best_score():
    assert SSIMULACRA2.measure(CAT, CAT) == 100.0


def test_pictures_without_a_sixth_scale_have_no_score():
    small = CAT[:112]
    assert SSIMULACRA2.measure(small, noisy(small, 3)) is None
    large = CAT[:113]
    assert 80 < SSIMULACRA2.measure(large, noisy(large, 3)) < 90


def test_the_blur_is_a_gaussian_of_sum_1_and_variance_sigma_squared():
    weights = perceptual_metrics._blur_weights()
    places = np.arange(-4, 5)
    assert weights.sum() == pytest.approx(1)
    assert weights @ places**2 == pytest.approx(1.5**2)
    gaussian = np.exp(-(places**2) / (2 * 1.5**2))
    assert np.abs(weights - gaussian / gaussian.sum()).max() < 0.003


def test_pictures_of_different_shapes_are_refused():
    for metric in (SSIMULACRA2, BUTTERAUGLI):
        with pytest.raises(UsageError):
            metric.measure(CAT, CAT[1:])


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """The only folder on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder, program):
    path = folder / "butteraugli_main"
    path.write_text(f"#!{sys.executable}\n{program}", encoding="utf-8")
    path.chmod(0o755)


# Stands in for the program: the mean of the absolute differences, as its 3-norm.
PROGRAM = """
import sys
import numpy as np
from PIL import Image
first, second, *options = sys.argv[1:]
assert options == ["--pnorm", "3", "--intensity_target", "80"], options
pixels = [np.asarray(Image.open(name), np.int32) for name in (first, second)]
assert all(one.shape[2] == 3 for one in pixels)
print(f"7.5\\n3-norm: {np.abs(pixels[0] - pixels[1]).mean():.6f}")
"""
stand_ins = pytest.mark.skipif(os.name == "nt", reason="the stand-ins start by their first line")


@stand_ins
@pytest.mark.parametrize("channels", [1, 3])
def test_butteraugli_is_the_norm_that_the_program_prints(programs, channels):
    install(programs, PROGRAM)
    original = CAT[:40, :30, :channels] // 2
    assert BUTTERAUGLI.measure(original, original + 2) == 2.0
    assert BUTTERAUGLI.measure(original, original) == 0.0
    assert BUTTERAUGLI.measure(original[:7], original[:7] + 2) is None
    assert BUTTERAUGLI.version.startswith("butteraugli_main with SHA-256 ")
    point = measure_point(original, original + 2, 100)
    assert (point.butteraugli, point.ssimulacra2) == (2.0, None)


@pytest.mark.skipif(BUTTERAUGLI.obstacle is not None, reason="needs butteraugli_main")
@references
def test_butteraugli_is_that_of_the_program(original, decoded, score, distance):
    assert BUTTERAUGLI.measure(original, decoded) == pytest.approx(distance, rel=0.01)
    assert BUTTERAUGLI.measure(original, original) == 0.0


@stand_ins
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("print('3')", r"butteraugli_main must print a 3-norm, found exit code 0 and '3\\n'"),
        ("import sys; print('no such file'); sys.exit(1)", r"exit code 1 and 'no such file\\n'"),
    ],
    ids=["another program", "a failure"],
)
def test_a_program_that_fails_is_one_error(programs, program, expected):
    install(programs, program)
    with pytest.raises(TrimixError, match=expected):
        BUTTERAUGLI.measure(CAT, CAT)


@pytest.fixture
def _no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    perceptual_metrics._package.cache_clear()
    yield
    perceptual_metrics._package.cache_clear()


@pytest.mark.usefixtures("_no_package")
def test_what_is_not_installed_is_left_out_in_one_line(programs):
    assert SSIMULACRA2.measure(CAT, CAT) is None
    assert BUTTERAUGLI.measure(CAT, CAT) is None
    package, program = missing_metrics()
    assert package.startswith("SSIMULACRA2 needs the package ssimulacra2, found none")
    assert package.endswith("pip install 'trimix[evaluate]'")
    assert program.startswith("Butteraugli needs butteraugli_main on the PATH, found none; install ")
    assert "\n" not in package + program
    assert versions_of_metrics() == {"SSIMULACRA2": None, "Butteraugli": None}
    point = measure_point(CAT, CAT, 1000)
    assert (point.ssimulacra2, point.butteraugli) == (None, None)
    assert point.ms_ssim == 1.0


def test_a_package_without_the_parts_that_are_needed_is_left_out(monkeypatch):
    from ssimulacra2 import ssimulacra2 as package

    monkeypatch.delattr(package, "edge_diff_map")
    perceptual_metrics._package.cache_clear()
    assert SSIMULACRA2.measure(CAT, CAT) is None
    monkeypatch.undo()
    perceptual_metrics._package.cache_clear()
    assert SSIMULACRA2.measure(CAT, CAT) == 100.0
