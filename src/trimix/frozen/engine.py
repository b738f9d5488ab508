"""What runs programs: one Protocol, an implementation with ONNX Runtime (on CPUs), one with torch (on GPUs).

Values are float32 arrays [C H W] in the memory of the CPU, whatever the engine does in between. Engines differ by the
rounding of floats only: latents by a thousandth of a step, pixels by less than one.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from trimix.frozen.program import Program
from trimix.shapes import Float

QUALITY_MINIMUM, QUALITY_MAXIMUM = 1.0, 100.0


@runtime_checkable
class Network(Protocol):
    """A program with its tensors, ready to run."""

    def __call__(self, x: Float[np.ndarray, "C H W"], quality: float | None = None) -> Float[np.ndarray, "D h w"]:
        """The result."""
        ...

    def with_adjoint(
        self, x: Float[np.ndarray, "C H W"], quality: float | None = None
    ) -> tuple[Float[np.ndarray, "D h w"], Callable[[np.ndarray], np.ndarray]]:
        """The result, and what turns a slope of the result into one of the input. That may be called once."""
        ...


def network_for(device: str, program: Program, tensors: Mapping[str, np.ndarray], channels: int) -> Network:
    """A program, ready to run: by ONNX Runtime on ``cpu``, by torch on other devices and on ``torch``, its CPU.

    Args:
        program: that is checked already.
        tensors: in single precision, by name.
        channels: of the input.
    """
    if device == "cpu":
        from trimix.frozen.onnx_engine import OnnxNetwork

        return OnnxNetwork(program, tensors, channels)
    from trimix.frozen.torch_engine import TorchArrays

    return TorchArrays(program, tensors, "cpu" if device == "torch" else device)


def interpolated_factors(logarithms: Float[np.ndarray, "anchors C"], quality: float) -> Float[np.ndarray, "C"]:
    """Exponentials of the rows of a table, interpolated at a quality; outside of 1..100 those of the nearest end.

    >>> interpolated_factors(np.log(np.array([[1.0], [4.0]], np.float32)), 50.5).tolist()
    [2.0]
    """
    last = len(logarithms) - 1
    place = (np.clip(quality, QUALITY_MINIMUM, QUALITY_MAXIMUM) - QUALITY_MINIMUM) * (
        last / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
    )
    lower = min(int(place), last - 1)
    fraction = np.float32(place - lower)
    return np.exp(logarithms[lower] + fraction * (logarithms[lower + 1] - logarithms[lower]))


def quality_on_plane(quality: float) -> float:
    """What a plane with the quality has: -1 at quality 1, 1 at quality 100."""
    middle = (QUALITY_MAXIMUM + QUALITY_MINIMUM) / 2
    return (quality - middle) / (QUALITY_MAXIMUM - middle)
