"""Butteraugli that can be differentiated: the 3-norm of a distance as an eye sees it from near.

::

    x, x_hat --> linear light --> cones, as bright as around them --> X, Y, B --+--> low (blur) ---------------.
                     |                                                          +--> middle, high, highest     |
                     |                                                                |           |            |
                     |                             lines of 16 directions and squares of the differences       |
                     |                                                                |           |            |
                     |                                                 masked by what is busy, X and Y         |
                     |                                                                '-----------+------------'
                     '--> halve --> the same --> doubled ---------------------------------> map --> 3-, 6-, 12-norm

After Alakuijala et al. 2017, arxiv.org/abs/1703.04421, with the numbers of libjxl's lib/jxl/butteraugli, at 80 nits.
Within 4 % of libjxl's program, by which results are measured; its mask is taken as fixed by gradients.
"""

import math
from functools import lru_cache

import torch
from torch.nn import functional

from trimix.distortion.differentiable import single_precision
from trimix.distortion.planes import evened, halved, linear_light
from trimix.shapes import Float, Tensor

_Plane = Float[Tensor, "N H W"]

_NITS = 80.0
_MIX = (
    (0.29956550340058319, 0.63373087833825936, 0.077705617820981968),
    (0.22158691104574774, 0.69391388044116142, 0.0987313588422),
    (0.02, 0.02, 0.20480129041026129),
)
_MIX_OFFSETS = (1.7557483643287353, 1.7557483643287353, 12.226454707163354)
_GAMMA = (19.245013259874995, 9.9710635769299145, -23.16046239805755)
_SIGMA_SENSITIVITY, _SIGMA_LOW, _SIGMA_HIGH, _SIGMA_HIGHEST, _SIGMA_MASK = (
    1.2,
    7.15593339443,
    3.22489901262,
    1.56416327805,
    2.7,
)
# Of the differences along lines ("Malta"): weight and norm; lines have 9 pixels in the highest band, else 5.
_LINES = {
    ("highest", "y"): (1.10039032555, 71.7800275169),
    ("highest", "x"): (173.5, 5.0),
    ("high", "y"): (18.7237414387, 4498534.45232),
    ("high", "x"): (6923.99476109, 8051.15833247),
    ("middle", "y"): (37.0819870399, 130262059.556),
    ("middle", "x"): (8246.75321353, 1009002.70582),
}
_LINE_LENGTH = 2 * 3.75 + 1
_LINE_SCALES = {"highest": 0.39905817637, "high": 0.611612573796, "middle": 0.611612573796}
_ASYMMETRY = 0.8
"""As the program's: what is added counts less, what is lost more."""
_GLOBAL_SCALE = 1 / 14.62
"""Makes it as large as the program's in the mean of the pictures on which the two were compared."""
# Column and row of the pixels beside the one in the middle.
_DIRECTIONS_OF_9 = (
    "-4,0 -3,0 -2,0 -1,0 1,0 2,0 3,0 4,0",
    "0,-4 0,-3 0,-2 0,-1 0,1 0,2 0,3 0,4",
    "-3,-3 -2,-2 -1,-1 1,1 2,2 3,3",
    "3,-3 2,-2 1,-1 -1,1 -2,2 -3,3",
    "1,-4 1,-3 1,-2 0,-1 0,1 -1,2 -1,3 -1,4",
    "-1,-4 -1,-3 -1,-2 0,-1 0,1 1,2 1,3 1,4",
    "-4,-1 -3,-1 -2,-1 -1,0 1,0 2,1 3,1 4,1",
    "-4,1 -3,1 -2,1 -1,0 1,0 2,-1 3,-1 4,-1",
    "-2,-3 -1,-2 -1,-1 1,1 1,2 2,3",
    "2,-3 1,-2 1,-1 -1,1 -1,2 -2,3",
    "-3,-2 -2,-1 -1,-1 1,1 2,1 3,2",
    "3,-2 2,-1 1,-1 -1,1 -2,1 -3,2",
)
_COUNT_TWICE = range(4, 8)
"""Of the lines of 9: the program has them under two directions."""
_DIRECTIONS_OF_5 = (
    "-4,0 -2,0 2,0 4,0",
    "0,-4 0,-2 0,2 0,4",
    "-3,-3 -2,-2 2,2 3,3",
    "3,-3 2,-2 -2,2 -3,3",
    "1,-4 1,-2 -1,2 -1,4",
    "-1,-4 -1,-2 1,2 1,4",
    "-4,-1 -2,-1 2,1 4,1",
    "-4,1 -2,1 2,-1 4,-1",
    "-2,-3 -1,-2 1,2 2,3",
    "2,-3 1,-2 -1,2 -2,3",
    "-3,-2 -2,-1 2,1 3,2",
    "3,-2 2,-1 -2,1 -3,2",
    "-4,2 -2,1 2,-1 4,-2",
    "-4,-2 -2,-1 2,1 4,2",
    "-2,-4 -1,-2 1,2 2,4",
    "2,-4 1,-2 -1,2 -2,4",
)


def butteraugli(x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N"]:
    """3-norm of the distance of every picture, 0 where it is the original, about 1 where a difference is just seen.

    The mean of the norms of order 3, 6 and 12, as the program has it.

    Args:
        x: pictures in [0, 1], both sides at least 16 pixels.
        x_hat: what came of them; gets the gradient.

    >>> x = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    >>> butteraugli(x, 0.9 * x).item() > butteraugli(x, 0.95 * x).item() > 0.5
    True
    """
    with single_precision(x, x_hat) as pictures:
        distance = _distance_map(*pictures)
    largest = distance.detach().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    scaled = distance / largest
    cubes = scaled * scaled * scaled
    norms = [(cubes**power).mean(dim=(1, 2)).clamp(min=1e-30) ** (1 / (3 * power)) for power in (1, 2, 4)]
    return sum(norms) / 3 * largest.flatten()  # type: ignore[return-value]


def _distance_map(x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]) -> _Plane:
    with torch.no_grad():
        light = linear_light(x)
    light_hat = linear_light(x_hat.clamp(0, 1))
    fine = _distance_at(light, light_hat)
    coarse = _distance_at(halved(evened(light)), halved(evened(light_hat)))
    doubled = coarse.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)[:, : x.shape[2], : x.shape[3]]
    return (1 - 0.3 * 0.5) * fine + 0.5 * doubled


@lru_cache(maxsize=64)
def _blur_matrix(length: int, sigma: float) -> Float[Tensor, "n n"]:
    """A Gaussian that ends at 2.25 sigma; beyond the border nothing counts."""
    reach = max(1, int(2.25 * sigma))
    places = torch.arange(length)
    apart = (places[:, None] - places[None, :]).abs()
    weights = torch.exp(-(apart.double() ** 2) / (2 * sigma**2)) * (apart <= reach)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def _blurred(planes: Float[Tensor, "*n H W"], sigma: float) -> Float[Tensor, "*n H W"]:
    rows, columns = (_blur_matrix(side, sigma).to(planes) for side in planes.shape[-2:])
    return rows @ planes @ columns.T


def _mixed(light: Tensor) -> list[Tensor]:
    planes = light.unbind(dim=1)
    return [
        sum((_NITS * weight * plane for weight, plane in zip(weights, planes, strict=True)), start=offset)  # type: ignore[misc]
        for weights, offset in zip(_MIX, _MIX_OFFSETS, strict=True)
    ]


def _opponents(light: Float[Tensor, "N 3 H W"]) -> tuple[_Plane, _Plane, _Plane]:
    """X, Y and B: cones weighted by the sensitivity that what is around them leaves."""
    factor, bias, offset = _GAMMA
    cones = []
    around = _mixed(_blurred(light, _SIGMA_SENSITIVITY))
    for one, near, least in zip(_mixed(light), around, _MIX_OFFSETS, strict=True):
        near = near.clamp(min=least)
        sensitivity = ((factor * torch.log(near + bias) + offset) / near).clamp(min=1e-4)
        cones.append((one * sensitivity).clamp(min=least))
    return cones[0] - cones[1], cones[0] + cones[1], cones[2]


def _amplified(x: Tensor, width: float) -> Tensor:
    return x + x.clamp(-width, width)


def _soft_clamp(x: Tensor, largest: float) -> Tensor:
    inside = x.clamp(-largest, largest)
    return inside + 0.934914340314 * (x - inside)


def _bands(light: Tensor) -> dict[tuple[str, str], Tensor]:
    x, y, b = _opponents(light)
    planes = torch.stack([x, y, b])
    low = _blurred(planes, _SIGMA_LOW)
    rest = planes - low
    middle = _blurred(rest, _SIGMA_HIGH)
    high_x, high_y = rest[0] - middle[0], rest[1] - middle[1]
    high_x = high_x * (0.653020556257 + (1 - 0.653020556257) * 46.0 / (high_y * high_y + 46.0))
    high = _blurred(torch.stack([high_x, high_y]), _SIGMA_HIGHEST)
    clamped_y = _soft_clamp(high[1], 28.4691806922)
    return {
        ("low", "x"): low[0] * 33.832837186260,
        ("low", "y"): low[1] * 14.458268100570,
        ("low", "b"): (low[2] - 0.362267051518 * low[1]) * 49.87984651440,
        ("middle", "x"): functional.softshrink(middle[0], 0.29),
        ("middle", "y"): _amplified(middle[1], 0.1),
        ("middle", "b"): middle[2],
        ("high", "x"): functional.softshrink(high[0], 1.5),
        ("high", "y"): _amplified(clamped_y * 2.155, 0.132),
        ("highest", "x"): functional.softshrink(high_x - high[0], 0.04),
        ("highest", "y"): _soft_clamp(high_y - clamped_y, 5.19175294647) * 2.69313763794,
    }


@lru_cache
def _line_kernels(long: bool) -> Float[Tensor, "lines 1 9 9"]:
    lines = _DIRECTIONS_OF_9 if long else _DIRECTIONS_OF_5
    kernels = torch.zeros(len(lines), 1, 9, 9)
    for kernel, line in zip(kernels[:, 0], lines, strict=True):
        kernel[4, 4] = 1
        for place in line.split():
            column, row = map(int, place.split(","))
            kernel[4 + row, 4 + column] = 1
    if long:
        kernels[_COUNT_TWICE] *= math.sqrt(2)  # what they give is squared
    return kernels


def _outside(a: _Plane, b: _Plane, least: float, most: float) -> _Plane:
    """How far b, seen from the side of a, is below or above those parts of a."""
    size, along = a.abs(), torch.where(a < 0, -b, b)
    return functional.relu(least * size - along) + functional.relu(along - most * size)


def _line_energy(a: _Plane, b: _Plane, band: str, channel: str) -> _Plane:
    weight, norm = _LINES[band, channel]
    scale = _LINE_SCALES[band] / _LINE_LENGTH * norm
    asymmetry = {"highest": _ASYMMETRY, "high": math.sqrt(_ASYMMETRY), "middle": 1.0}[band]
    symmetric, half_open = scale * math.sqrt(0.5 * weight * asymmetry), scale * math.sqrt(0.33 * weight / asymmetry)
    share = 1 / (norm + 0.5 * (a.abs() + b.abs()))
    difference = a - b
    half_open_difference = _outside(a, b, 0.55, 1.05) * torch.where(difference < 0, -1.0, 1.0)
    total = share * (symmetric * difference + half_open * half_open_difference)
    lines = functional.conv2d(total[:, None], _line_kernels(band == "highest").to(total), padding=4)
    return lines.square().sum(dim=1)


def _squares_asymmetric(a: _Plane, b: _Plane, weight: float) -> _Plane:
    outside = _outside(a, b, 0.4, 1.0)
    return 0.8 * weight * (_ASYMMETRY * (a - b).square() + outside.square() / _ASYMMETRY)


def _activity(bands: dict[tuple[str, str], Tensor]) -> _Plane:
    of_x = (bands["highest", "x"] + bands["high", "x"]) * 2.5
    of_y = bands["highest", "y"] * 0.4 + bands["high", "y"] * 0.4
    both = (of_x.square() + of_y.square() + 1e-12).sqrt()
    bias = 6.19424080439 * 12.61050594197
    return _blurred((6.19424080439 * both + bias).sqrt() - math.sqrt(bias), _SIGMA_MASK)


def _eroded(plane: _Plane) -> _Plane:
    """Weighted mean of the three smallest of a pixel and its neighbours three pixels away."""
    padded = functional.pad(plane[:, None], (3, 3, 3, 3), value=math.inf)[:, 0]
    height, width = plane.shape[1:]
    near = [
        padded[:, row : row + height, column : column + width]
        for row in (0, 3, 6)
        for column in (0, 3, 6)
        if (row, column) != (3, 3)
    ]
    least = torch.stack([plane, 2 * plane, 2 * plane, *near]).topk(3, dim=0, largest=False).values
    return 0.45 * least[0] + 0.3 * least[1] + 0.25 * least[2]


def _mask(delta: _Plane, scaler: float, offset: float, factor: float) -> _Plane:
    return (_GLOBAL_SCALE * (1 + factor / (scaler * delta + offset))).square()


def _distance_at(light: Tensor, light_hat: Tensor) -> _Plane:
    with torch.no_grad():
        bands = _bands(light)
        activity = _activity(bands)
    bands_hat = _bands(light_hat)
    activity_hat = _activity(bands_hat)
    fine = sum(_line_energy(bands[one], bands_hat[one], *one) for one in _LINES)
    for channel, weight in (("x", 400.0), ("y", 1.50815703118)):
        fine = fine + _squares_asymmetric(bands["high", channel], bands_hat["high", channel], weight)
    for channel, weight in (("x", 2150.0), ("y", 10.6195433239), ("b", 16.2176043152)):
        fine = fine + weight * (bands["middle", channel] - bands_hat["middle", channel]).square()
    fine = fine + 10 * (activity - activity_hat).square()
    coarse = sum(
        weight * (bands["low", channel] - bands_hat["low", channel]).square()
        for channel, weight in (("x", 29.2353797994), ("y", 0.844626970982), ("b", 0.703646627719))
    )
    with torch.no_grad():
        busy = _eroded(activity)
        of_fine = _mask(busy, 0.451936922203, 0.829591754942, 2.5485944793)
        of_coarse = _mask(busy, 3.87449418804, 0.20025578522, 0.505054525019)
    return (of_fine * fine + of_coarse * coarse + 1e-8).sqrt()
