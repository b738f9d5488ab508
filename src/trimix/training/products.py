"""Products of single precision on a CPU, by the library that is faster there.

PyTorch gives them to MKL, which on processors of others than Intel takes a path of less than half the speed. oneDNN is
fast on all, but PyTorch gives it such products only where it may round their factors to bfloat16; which oneDNN does on
processors with instructions for tiles (AMX), and on no other with AVX-512. So it gets them where it rounds nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from trimix.layers.pointwise import bfloat16_factors, product_settings
from trimix.training.weight_gradients import fast_weight_gradients

_ERROR_LIMIT = 1e-5
"""Relative: single precision has 1e-7 to 1e-6, bfloat16 1e-3."""
_SHAPES = ((64, 768, 304), (512, 224, 128), (32, 1216, 192), (2048, 64, 64))
"""Rows, inputs and outputs of products: such as models have, but smaller."""


@contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Products of single precision by oneDNN inside, where the device that trains is a CPU on which it rounds nothing.

    And weight gradients of convolutions by products, where they are faster so.

    Of double precision, in which integers are multiplied, they are always as they were.
    """
    with bfloat16_factors(device.type == "cpu" and rounds_nothing()), fast_weight_gradients(device):
        yield


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 saves time: on a CPU without AVX-512 its products take eighty times as long as in float32."""
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
def rounds_nothing() -> bool:
    """Whether products keep single precision where they may lose it: no tiles, and no error in some of all kinds."""
    return product_settings() is not None and not _has_tiles() and _largest_error() < _ERROR_LIMIT


def _has_tiles(processor: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        return "amx" in processor.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system
        return False


def _largest_error() -> float:
    """Relative, of products with the leave to round as layers have them: themselves, and both of their gradients."""
    errors = []
    for rows, inputs, outputs in _SHAPES:
        generator = torch.Generator().manual_seed(0)
        shapes = ((rows, inputs), (outputs, inputs), (rows, outputs))
        x, weight, gradient = (torch.randn(shape, generator=generator) for shape in shapes)
        for one, other in ((x, weight.T), (gradient, weight), (gradient.T, x)):
            exact = one.double() @ other.double()
            with bfloat16_factors():
                errors.append(float(torch.linalg.norm(one @ other - exact) / torch.linalg.norm(exact)))
    return max(errors)
