"""SSIMULACRA2 and Butteraugli are those of the reference programs, or are left out in one line."""

import os
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data as photographs
from ssimulacra2 import ssimulacra2 as package

from trimix.distortion.constants import SSIMULACRA2_WINDOW
from trimix.errors import TrimixError
from trimix.evaluation.metrics import (
    SSIMULACRA2_MINIMUM_SIDE,
    butteraugli,
    measure_point,
    missing_metrics,
    ssimulacra2,
    versions_of_metrics,
)


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
    assert ssimulacra2(original, decoded) == pytest.approx(score, abs=0.1)


@references
def test_ssimulacra2_is_that_of_the_package_with_zeros_beyond_the_borders(
    original, decoded, score, distance, monkeypatch, tmp_path
):
    def blurred(image, sigma=1.5):
        for axis in (0, 1):
            image = ndimage.correlate1d(image, SSIMULACRA2_WINDOW, axis=axis, mode="constant")
        return image

    monkeypatch.setattr(package, "blur_image", blurred)
    paths = [str(tmp_path / name) for name in ("original.png", "decoded.png")]
    for pixels, path in zip((original, decoded), paths, strict=True):
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)).save(path)
    assert ssimulacra2(original, decoded) == pytest.approx(package.compute_ssimulacra2(*paths), abs=0.01)


def test_equal_pictures_have_the_best_score_and_small_ones_none():
    assert ssimulacra2(CAT, CAT) == 100.0
    small, large = CAT[: SSIMULACRA2_MINIMUM_SIDE - 1], CAT[:SSIMULACRA2_MINIMUM_SIDE]
    assert ssimulacra2(small, small) is None
    assert 80 < ssimulacra2(large, noisy(large, 3)) < 90


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
    assert butteraugli(original, original + 2) == 2.0
    assert butteraugli(original, original) == 0.0
    assert butteraugli(original[:7], original[:7] + 2) is None
    assert versions_of_metrics()["Butteraugli"].startswith("butteraugli_main with SHA-256 ")
    assert measure_point(original, original + 2, 100).butteraugli == 2.0


@pytest.mark.skipif(missing_metrics(), reason="needs butteraugli_main")
@references
def test_butteraugli_is_that_of_the_program(original, decoded, score, distance):
    assert butteraugli(original, decoded) == pytest.approx(distance, rel=0.05)
    assert butteraugli(original, original) == 0.0


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
        butteraugli(CAT, CAT)


def test_what_is_not_installed_is_left_out_in_one_line(programs):
    (note,) = missing_metrics()
    assert note.startswith("Butteraugli needs butteraugli_main on the PATH, found none; install ")
    assert "\n" not in note
    assert versions_of_metrics()["Butteraugli"] is None
    point = measure_point(CAT, CAT, 1000)
    assert (point.ssimulacra2, point.butteraugli, point.ms_ssim) == (100.0, None, 1.0)
