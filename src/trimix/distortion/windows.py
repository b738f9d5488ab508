"""Sums of pixels in small windows, for measures that compare what is around each pixel."""

from collections.abc import Sequence

from trimix.shapes import Float, Tensor


def windowed_sums(x: Float[Tensor, "C H W"], window: Sequence[float], margin: int) -> Float[Tensor, "C h w"]:
    """Weighted sums in a square window, the product of the same window along both axes.

    Sums of shifted pictures: exact in float32 on every device, where a convolution may be computed in TF32, which
    variances do not survive; and on a CPU many times as fast as one of a single channel.

    Args:
        x: planes.
        window: odd in number, and symmetric; then the adjoint of margin m has the margin ``len(window) - 1 - m``.
        margin: zeros that are thought around each plane: with none, the window stays inside.

    >>> import torch
    >>> windowed_sums(torch.ones(1, 3, 3), [0.25, 0.5, 0.25], margin=1)[0, 0].tolist()
    [0.5625, 0.75, 0.5625]
    """
    for axis in (1, 2):
        length = x.shape[axis]
        shape = list(x.shape)
        shape[axis] += 2 * margin - len(window) + 1
        total = x.new_zeros(shape)
        for place, weight in enumerate(window):
            first = max(0, margin - place)
            last = min(shape[axis], length + margin - place)
            total.narrow(axis, first, last - first).add_(
                x.narrow(axis, first + place - margin, last - first), alpha=weight
            )
        x = total
    return x
