"""Values over a picture as colours: the same in the report and in what is seen of one file."""

import numpy as np

from trimix.shapes import Float, UInt8

_SCALE_PERCENTILE = 99.5
"""Few positions are far above all others; a scale up to the highest would show nothing else."""


def upper_end(values: np.ndarray) -> float:
    """Upper end of a colour scale from 0: few positions lie above, and it is never 0."""
    return max(float(np.percentile(values, _SCALE_PERCENTILE)), 1e-3)


def heat_colours(values: Float[np.ndarray, "h w"], highest: float, scale: str) -> UInt8[np.ndarray, "h w 3"]:
    """Values from 0 to the highest in the colours of a scale of Matplotlib."""
    from matplotlib import colormaps

    return np.round(255 * colormaps[scale](np.clip(values / highest, 0, 1))[..., :3]).astype(np.uint8)
