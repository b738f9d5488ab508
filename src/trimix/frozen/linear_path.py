"""The linear path of a synthesis transform at an eighth of its resolution: a picture without running the network.

::

    y_hat --> gain --> transposed convolution with filters of 16x16 --(+)--> x_hat            synthesis
                   `-> network --------------------------------------'
    y_hat --> gain --> transposed convolution with filters of 2x2 ---------> means of 8x8     its reduced linear path

The mean over a square of what a transposed convolution writes is what one with averaged filters writes.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from trimix.frozen.program import (
    Add,
    Affine,
    FirstChannels,
    Program,
    QualityFactors,
    ReplicatePadding,
    TransposedConvolution,
    inputs_of,
)

REDUCTION = 8
"""Pixels to one, in both directions."""
_EVERYWHERE = (Add, Affine, FirstChannels, QualityFactors)
_OF_LATENTS = (ReplicatePadding, TransposedConvolution)
"""Linear, too, but only before the picture has its resolution."""


def reduced_linear_path(
    program: Program, tensors: Mapping[str, np.ndarray]
) -> tuple[Program, dict[str, np.ndarray]] | None:
    """What the first summand of a synthesis is after averaging squares of 8x8 pixels, with its tensors.

    None where the last operation is no sum, or its first summand is not made of gains and transposed convolutions
    whose filters and steps are multiples of 8.
    """
    inputs = inputs_of(program)
    if not isinstance(program[-1], Add):
        return None
    needed = {inputs[-1][0]}
    for index in range(len(program) - 1, -1, -1):
        if index + 1 in needed:
            needed.update(inputs[index])
    places, is_picture, reduced, averaged = {0: 0}, {0: False}, [], {}
    for index, one in enumerate(program):
        if index + 1 not in needed:
            continue
        came_before = any(is_picture[number] for number in inputs[index])
        if not isinstance(one, _EVERYWHERE) and (came_before or not isinstance(one, _OF_LATENTS)):
            return None
        is_picture[index + 1] = came_before or isinstance(one, TransposedConvolution)
        averaged |= {name: tensors[name] for name in one.tensors}
        if isinstance(one, TransposedConvolution):
            sides = (tensors[one.weight].shape[2], one.stride, one.padding, one.output_padding)
            if any(side % REDUCTION for side in sides):
                return None
            averaged |= {name: _averaged(tensors[name]) for name in one.tensors}
            stride, padding, more = (side // REDUCTION for side in sides[1:])
            one = replace(one, stride=stride, padding=padding, output_padding=more)
        reduced.append(replace(one, inputs=tuple(places[number] for number in inputs[index])))
        places[index + 1] = len(reduced)
    return tuple(reduced), averaged


def _averaged(filters: np.ndarray) -> np.ndarray:
    """Means over squares of the last two axes; a bias of one number for every channel has none."""
    if filters.ndim < 3:
        return filters
    *outer, height, width = filters.shape
    return filters.reshape(*outer, height // REDUCTION, REDUCTION, width // REDUCTION, REDUCTION).mean((-3, -1))
