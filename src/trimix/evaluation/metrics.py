"""Distortion of a decoded picture: PSNR, MS-SSIM, SSIMULACRA2, and Butteraugli where it is installed.

All are values of one picture; a data set's value is the mean over its pictures. Pixels are of 8 bits, RGB or grey.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trimix.distortion.constants import MS_SSIM_MINIMUM_SIDE, MS_SSIM_SCALE_WEIGHTS
from trimix.distortion.ms_ssim import ms_ssim_factors
from trimix.distortion.ssimulacra2 import published_ssimulacra2
from trimix.errors import TrimixError
from trimix.evaluation.rate_points import RatePoint
from trimix.images import BT601_LUMA_WEIGHTS, PEAK, check_shapes, psnr_db, psnr_of_error_db
from trimix.shapes import UInt8

SSIMULACRA2_MINIMUM_SIDE = 113
"""Of smaller pictures the reference lacks the sixth scale, and takes others' weights."""
_BUTTERAUGLI_MINIMUM_SIDE = 8
"""Of smaller ones the program finds no difference."""
_PROGRAM = "butteraugli_main"
_PROGRAM_SECONDS = 600.0

_Original = UInt8[np.ndarray, "H W C"]
_Decoded = UInt8[np.ndarray, "h w c"]


def measure_point(original: _Original, decoded: _Decoded, file_bytes: int, quality: float | None = None) -> RatePoint:
    """All metrics of one decoded picture that are installed, and the rate of the whole file it came from.

    Raises:
        UsageError: the shapes differ.
        TrimixError: the program of a metric failed.
    """
    return RatePoint(
        bits_per_pixel=8 * file_bytes / (original.shape[0] * original.shape[1]),
        psnr_db=psnr_db(original, decoded),
        ms_ssim=ms_ssim(original, decoded),
        luma_psnr_db=luma_psnr_db(original, decoded),
        quality=quality,
        ssimulacra2=ssimulacra2(original, decoded),
        butteraugli=butteraugli(original, decoded),
    )


def luma_psnr_db(original: _Original, decoded: _Decoded) -> float:
    """PSNR in dB of the luma, Y = 0.299 R + 0.587 G + 0.114 B in full range (ITU-R BT.601), not rounded.

    Grey is its own luma. Infinity for equal lumas.

    Raises:
        UsageError: the shapes differ.
    """
    check_shapes(original, decoded)
    difference = original.astype(np.float64) - decoded
    if difference.shape[2] == 3:
        difference = difference @ np.array(BT601_LUMA_WEIGHTS)
    return psnr_of_error_db(float(np.square(difference).mean()))


def ms_ssim(original: _Original, decoded: _Decoded) -> float | None:
    """Multi-scale structural similarity, mean over the channels: 0 .. 1; None when a side has fewer than 161 pixels.

    prod_j cs_j^w_j (scales 1 .. 4) times ssim_5^w_5, see `trimix.distortion.ms_ssim`; negative factors
    count as 0, as in pytorch-msssim.

    Raises:
        UsageError: the shapes differ.
    """
    check_shapes(original, decoded)
    if min(original.shape[:2]) < MS_SSIM_MINIMUM_SIDE:
        return None
    planes = (
        np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / PEAK for pixels in (original, decoded)
    )
    value = np.ones(original.shape[2])
    for weight, factor in zip(MS_SSIM_SCALE_WEIGHTS, ms_ssim_factors(*planes), strict=True):
        value *= np.maximum(factor, 0.0) ** weight
    return min(float(value.mean()), 1.0)


def ssimulacra2(original: _Original, decoded: _Decoded) -> float | None:
    """SSIMULACRA2, version 2.1 (Sneyers 2023): 100 for equal pictures; None when a side has fewer than 113 pixels.

    Raises:
        UsageError: the shapes differ.
    """
    check_shapes(original, decoded)
    is_small = min(original.shape[:2]) < SSIMULACRA2_MINIMUM_SIDE
    return None if is_small else published_ssimulacra2(original, decoded)


def butteraugli(original: _Original, decoded: _Decoded) -> float | None:
    """Butteraugli (Alakuijala et al. 2017): 3-norm of a distance, 0 for equal pictures, 1 just visible.

    Measured by `butteraugli_main`, a development tool of libjxl, at its standard brightness of 80 nits; None where
    that is not installed, or a side has fewer than 8 pixels.

    Raises:
        UsageError: the shapes differ.
        TrimixError: the program failed.
    """
    check_shapes(original, decoded)
    if shutil.which(_PROGRAM) is None or min(original.shape[:2]) < _BUTTERAUGLI_MINIMUM_SIDE:
        return None
    from PIL import Image

    files = ("original.ppm", "decoded.ppm")
    with tempfile.TemporaryDirectory(prefix="trimix-butteraugli-") as folder:
        for pixels, file in zip((original, decoded), files, strict=True):
            Image.fromarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)).save(Path(folder, file))
        command = [_PROGRAM, *files, "--pnorm", "3", "--intensity_target", "80"]
        try:
            ended = subprocess.run(command, cwd=folder, capture_output=True, timeout=_PROGRAM_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TrimixError(f"{_PROGRAM} must run, found {error}; install it anew") from error
    printed = (ended.stdout + ended.stderr).decode(errors="replace")
    found = re.search(r"3-norm: ([0-9.]+)", printed)
    if ended.returncode or found is None:
        raise TrimixError(
            f"{_PROGRAM} must print a 3-norm, found exit code {ended.returncode} and {printed[:100]!r}; "
            "install that of libjxl 0.7 or newer"
        )
    return float(found[1])


def missing_metrics() -> list[str]:
    """Those that are not installed and what to do about that, a line for each."""
    if shutil.which(_PROGRAM) is not None:
        return []
    return [
        f"Butteraugli needs {_PROGRAM} on the PATH, found none; install Debian's libjxl-devtools, or build libjxl "
        "with its development tools"
    ]


def versions_of_metrics() -> Mapping[str, str | None]:
    """Of those that differ from place to place; None for one that is not installed."""
    program = shutil.which(_PROGRAM)  # which does not tell its version: its hash
    digest = program and hashlib.sha256(Path(program).read_bytes()).hexdigest()[:16]
    version = program and f"{_PROGRAM} with SHA-256 {digest}, 3-norm, 80 nits"
    return {"SSIMULACRA2": "2.1, by trimix", "Butteraugli": version}
