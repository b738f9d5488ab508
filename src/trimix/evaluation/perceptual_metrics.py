"""SSIMULACRA2 and Butteraugli: what practitioners tune codecs by. Each is left out where it is not installed.

SSIMULACRA2 is worked out by the package `ssimulacra2`, but for its blur; Butteraugli by libjxl's program.
"""

import hashlib
import importlib.metadata
import math
import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from trimix.errors import TrimixError
from trimix.images import check_shapes
from trimix.shapes import Float, UInt8

_SCALES = 6
_BLUR_SIGMA = 1.5
_PROGRAM = "butteraugli_main"
_PROGRAM_SECONDS = 600.0


class PerceptualMetric(ABC):
    """A distortion as people see it, by a package or a program.

    Attributes:
        name: as in tables.
        minimum_side: pixels of the smallest picture.
    """

    name: str
    minimum_side: int

    @property
    @abstractmethod
    def obstacle(self) -> str | None:
        """Why it cannot be measured here and what to do about that; None where it can."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the package or the program."""

    def measure(self, original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "h w c"]) -> float | None:
        """The value of a decoded picture.

        Args:
            original: pixels of sRGB, 0 .. 255, RGB or grey.
            decoded: the same shape.

        Returns:
            None where the metric is not installed, or the picture is too small for it.

        Raises:
            UsageError: the shapes differ.
            TrimixError: the program failed.
        """
        check_shapes(original, decoded)
        if self.obstacle is not None or min(original.shape[:2]) < self.minimum_side:
            return None
        return self._measure(_rgb(original), _rgb(decoded))

    @abstractmethod
    def _measure(self, original: UInt8[np.ndarray, "H W 3"], decoded: UInt8[np.ndarray, "H W 3"]) -> float: ...


class Ssimulacra2(PerceptualMetric):
    """SSIMULACRA2, version 2.1 (Sneyers 2023): 100 for equal pictures, 90 hard to tell apart, 30 poor, no lower end.

    A weighted sum over six scales of XYB of structural errors and of edges that appear or vanish, mapped to ratings by
    people. The package's own blur mirrors the picture beyond two of its borders, where the reference sees zeros: its
    scores are points too low. With the blur here they are the reference's up to tenths of a point.
    """

    name = "SSIMULACRA2"
    minimum_side = 113  # of smaller pictures the reference lacks the sixth scale, and takes others' weights

    @property
    def obstacle(self) -> str | None:
        """No package, or one without the parts that are needed."""
        if _package() is not None:
            return None
        return "needs the package ssimulacra2, found none that serves; pip install 'trimix[evaluate]'"

    @property
    def version(self) -> str:
        """Of the package."""
        return f"ssimulacra2 {importlib.metadata.version('ssimulacra2')}, zeros beyond the borders"

    def _measure(self, original: UInt8[np.ndarray, "H W 3"], decoded: UInt8[np.ndarray, "H W 3"]) -> float:
        package = _package()
        assert package is not None
        pair = [package.srgb_to_linear(pixels.astype(np.float64)) for pixels in (original, decoded)]
        found = package.Msssim()
        for number in range(_SCALES):
            if number:
                pair = [package.downsample(linear, 2, 2) for linear in pair]
            # float32: 0.003 off, in two thirds of the time.
            x, y = (package.make_positive_xyb(package.linear_rgb_to_xyb(linear)).astype(np.float32) for linear in pair)
            mean_x, mean_y = _blurred(x), _blurred(y)
            scale = package.MsssimScale()
            scale.avg_ssim = package.ssim_map(mean_x, mean_y, _blurred(x * x), _blurred(y * y), _blurred(x * y))
            scale.avg_edgediff = package.edge_diff_map(x, mean_x, y, mean_y)
            found.scales.append(scale)
        return float(found.score())


class Butteraugli(PerceptualMetric):
    """Butteraugli (Alakuijala et al. 2017): 3-norm of a distance, 0 for equal pictures, 1 just visible.

    Measured by `butteraugli_main`, a development tool of libjxl, at its standard brightness of 80 nits.
    """

    name = "Butteraugli"
    minimum_side = 8  # of smaller ones the program finds no difference

    @property
    def obstacle(self) -> str | None:
        """No program."""
        if shutil.which(_PROGRAM) is not None:
            return None
        return (
            f"needs {_PROGRAM} on the PATH, found none; install Debian's libjxl-devtools, or build libjxl with its "
            "development tools"
        )

    @property
    def version(self) -> str:
        """Of the program, which does not tell it: its hash."""
        program = shutil.which(_PROGRAM)
        assert program is not None
        return f"{_PROGRAM} with SHA-256 {hashlib.sha256(Path(program).read_bytes()).hexdigest()[:16]}, 3-norm, 80 nits"

    def _measure(self, original: UInt8[np.ndarray, "H W 3"], decoded: UInt8[np.ndarray, "H W 3"]) -> float:
        from PIL import Image

        with tempfile.TemporaryDirectory(prefix="trimix-butteraugli-") as name:
            folder = Path(name)
            for pixels, file in ((original, "original.ppm"), (decoded, "decoded.ppm")):
                Image.fromarray(pixels).save(folder / file)
            arguments = ["original.ppm", "decoded.ppm", "--pnorm", "3", "--intensity_target", "80"]
            try:
                ended = subprocess.run(
                    [_PROGRAM, *arguments], cwd=folder, capture_output=True, timeout=_PROGRAM_SECONDS, check=False
                )
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


SSIMULACRA2, BUTTERAUGLI = Ssimulacra2(), Butteraugli()
PERCEPTUAL_METRICS: tuple[PerceptualMetric, ...] = (SSIMULACRA2, BUTTERAUGLI)


def versions_of_metrics() -> Mapping[str, str | None]:
    """By name; None for one that is not installed."""
    return {one.name: None if one.obstacle is not None else one.version for one in PERCEPTUAL_METRICS}


def missing_metrics() -> list[str]:
    """Those that are not installed and why, a line for each."""
    return [f"{one.name} {one.obstacle}" for one in PERCEPTUAL_METRICS if one.obstacle is not None]


@lru_cache
def _package() -> ModuleType | None:
    """The package, where it has the parts that are needed."""
    try:
        # It needs SciPy, which this project does not: both are looked for only here.
        from ssimulacra2 import ssimulacra2 as package
    except ImportError:
        return None
    parts = (
        "Msssim",
        "MsssimScale",
        "downsample",
        "edge_diff_map",
        "linear_rgb_to_xyb",
        "make_positive_xyb",
        "srgb_to_linear",
        "ssim_map",
    )
    return package if all(hasattr(package, part) for part in parts) else None


@lru_cache
def _blur_weights() -> Float[np.ndarray, "taps"]:
    """A Gaussian of sigma 1.5 as a sum of three cosines that end at 5 pixels: the reference's recursive filter.

    Nearest to the Gaussian's own cosines, exp(-sigma^2 omega^2 / 2) / 5, among those of sum 1 and variance sigma^2.
    Charalampidis 2016.
    """
    reach = round(3.2795 * _BLUR_SIGMA + 0.2546)
    places = np.arange(1 - reach, reach)
    omega = np.array([1, 3, 5]) * math.pi / (2 * reach)
    cosines = np.cos(np.outer(omega, places))
    moments = np.stack([cosines.sum(axis=1), cosines @ places**2])
    amplitudes = np.exp(-((_BLUR_SIGMA * omega) ** 2) / 2) / reach
    amplitudes += np.linalg.pinv(moments) @ (np.array([1.0, _BLUR_SIGMA**2]) - moments @ amplitudes)
    return amplitudes @ cosines


def _blurred(x: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W C"]:
    """Rows and columns one after the other, zeros beyond the borders."""
    from scipy.ndimage import correlate1d

    for axis in (0, 1):
        x = correlate1d(x, _blur_weights(), axis=axis, mode="constant")
    return x


def _rgb(pixels: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2))
