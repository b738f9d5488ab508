"""Make `src/trimix/coding/standard_tables.npz`, the numbers that every encoder and decoder shares.

    python tools/make_standard_tables.py [target.npz]

Run once: the file is part of the file format and is shipped, never recomputed. 60 digits of mpmath
make the rounding right wherever the script runs.
"""

import sys
from pathlib import Path

import mpmath
import numpy as np

from trimix.coding.families import Family

CDF_BITS = 30
STEPS_PER_UNIT = 32
REACH = 24
SCALE_LEVELS = 256
INVERSE_SCALE_BITS = 22

TARGET = Path(__file__).parents[1] / "src" / "trimix" / "coding" / "standard_tables.npz"


@mpmath.workdps(60)
def make_tables() -> dict[str, np.ndarray]:
    """Return the arrays of the data file by name."""
    total = 1 << CDF_BITS
    half = REACH * STEPS_PER_UNIT
    cdf = np.zeros((len(Family), 2 * half + 1), dtype=np.uint32)
    for family in Family:
        for step in range(half + 1):
            value = int(mpmath.nint(family.lower_tail(mpmath.mpf(-step) / STEPS_PER_UNIT, mpmath) * total))
            cdf[family, half - step] = value
            cdf[family, half + step] = total - value
    return {
        "cdf": cdf,
        "inverse_scales": np.array(
            [int(mpmath.nint(2 ** (INVERSE_SCALE_BITS + 4 - mpmath.mpf(i) / 16))) for i in range(SCALE_LEVELS)],
            dtype=np.int32,
        ),
    }


def main() -> None:
    """Write the data file."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    np.savez(target, **make_tables())
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
