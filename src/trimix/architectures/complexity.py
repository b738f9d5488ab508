"""What a model costs: parameters, multiplications and additions for each pixel, and passes of its entropy model.

::

    to encode    g_a, h_a, then the entropy model: h_s, context, entropy parameters
    to decode    the entropy model, then g_s

Counted is what a decoder does: of a masked convolution the taps that are used, at the positions that look at them (all
of a raster's, half of a checkerboard's). Counts are of the shapes alone; no weight is made and nothing is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from trimix.architectures.building import build
from trimix.architectures.config import CompressionConfig
from trimix.entropy_models.context import Context, layers_of, schedule_of
from trimix.shapes import HYPER_STRIDE, LATENT_STRIDE

_Result = TypeVar("_Result")
_SIDE = 4096
"""Pixels of the picture that is counted on: so many that what filters add at the border is lost in the whole."""


@dataclass(frozen=True)
class NetworkComplexity:
    """What one network of a model costs.

    Args:
        name: as papers have it: g_a, h_a, h_s, context, entropy parameters, g_s; then gains and hyper prior, which
            multiply next to nothing: 0.
        parameters: that are trained; of a masked convolution all taps, as they are stored.
        encodes: whether encoding needs it.
        decodes: whether decoding needs it.
    """

    name: str
    parameters: int
    multiply_accumulates_per_pixel: float
    encodes: bool
    decodes: bool


def complexity(config: CompressionConfig) -> tuple[NetworkComplexity, ...]:
    """Cost of every network that a model of this configuration has, in the order of the data.

    >>> from trimix.architectures.config import GllmmLiteConfig
    >>> networks = complexity(GllmmLiteConfig())
    >>> sum(network.multiply_accumulates_per_pixel for network in networks if network.decodes) < 60_000
    True
    """
    with FakeTensorMode(), torch.no_grad():
        model = build(config).eval()
        quality = torch.full((1,), 50.0)
        x = torch.empty(1, 3, _SIDE, _SIDE)
        y, in_analysis = _counted(lambda: model.encode_latent(x, quality))
        z, in_hyper_analysis = _counted(lambda: model.hyper_analysis(y))
        features, in_hyper_synthesis = _counted(lambda: model.side_features(z, quality))
        rows: list[tuple[str, nn.Module | None, float]] = [
            ("g_a", model.analysis, in_analysis),
            ("h_a", model.hyper_analysis, in_hyper_analysis),
            ("h_s", model.hyper_synthesis, in_hyper_synthesis),
        ]
        if (context := model.context) is not None:
            features = torch.cat([features, context(y)], dim=1)
            rows.append(("context", context, _looking_per_position(context) * y.shape[2] * y.shape[3]))
        if (head := model.head) is not None:
            rows.append(("entropy parameters", head, multiply_accumulates(lambda: head(features))))
        rows += [
            ("g_s", model.synthesis, multiply_accumulates(lambda: model.decode(y, quality))),
            ("gain", model.gain, 0),
            ("inverse gain", model.inverse_gain, 0),
            ("hyper prior", model.hyper_prior, 0),  # a table by the time that anything is coded
        ]
    return tuple(
        NetworkComplexity(
            name,
            sum(parameter.numel() for parameter in network.parameters()),
            counted / _SIDE**2,
            encodes=name not in ("g_s", "inverse gain"),
            decodes=name not in ("g_a", "h_a", "gain"),
        )
        for name, network, counted in rows
        if network is not None
    )


def entropy_model_passes(config: CompressionConfig, height: int, width: int) -> int:
    """How often the entropy model runs, one run after the other, for a picture of this size in pixels.

    >>> from trimix.architectures.config import GllmmConfig, GllmmLiteConfig
    >>> entropy_model_passes(GllmmLiteConfig(), 512, 768), entropy_model_passes(GllmmConfig(), 512, 768)
    (2, 141)
    """
    with torch.device("meta"):
        schedule = schedule_of(build(config).context)
    multiple = LATENT_STRIDE * HYPER_STRIDE  # to which pictures are padded
    rows, columns = (-(-side // multiple) * HYPER_STRIDE for side in (height, width))
    return len(schedule(rows, columns))


def multiply_accumulates(run: Callable[[], object]) -> int:
    """Multiplications, each with its addition, of the convolutions and matrix products that ``run`` does.

    >>> multiply_accumulates(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
    30
    """
    return _counted(run)[1]


def _counted(run: Callable[[], _Result]) -> tuple[_Result, int]:
    with FlopCounterMode(display=False) as counter:
        result = run()
    return result, counter.get_total_flops() // 2


def _looking_per_position(context: Context) -> float:
    """Multiplications of the taps that are used, at the positions that look at them, a position of all."""
    layers = layers_of(context)
    passes = schedule_of(context)(HYPER_STRIDE, HYPER_STRIDE)
    looking = sum(
        len(one.rows) * layers[one.context].tap_weights().numel() for one in passes if one.context is not None
    )
    return looking / HYPER_STRIDE**2
