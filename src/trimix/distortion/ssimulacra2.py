"""SSIMULACRA2 that can be differentiated: the distortion of models that are trained for the eye.

::

    x, x_hat --> linear light --> opsin L, M, S --> halve --> halve --> halve --> halve
                                       |              |         |         |         |
                                       Y            X, Y      X, Y     X, Y, B   X, Y, B    cube roots, differences
                                       |              |         |         |         |
                                       '--- maps of SSIM, artifacts and lost detail ---'
                                                          |
                                     1-norms, 4-norms --> weighted sum --> score

After Sneyers 2022-2023, github.com/cloudinary/ssimulacra2 (version 2.1), which is that of libjxl's tools: there, too,
windows reach beyond the picture, where all is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from trimix.distortion.windows import windowed_sums
from trimix.errors import PictureError
from trimix.shapes import Float, Tensor, UInt8

SSIMULACRA2_MINIMUM_SIDE = 128
"""Pixels: the coarsest scale with a weight has 8, which the metric asks for."""

# Rows: X, Y, B, and of each the scales from the finest to the coarsest. Columns: 1-norms of SSIM, artifacts and lost
# detail, then their 4-norms.
_WEIGHTS = (
    (
        (0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0),
        (0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752),
        (0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0),
        (0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0),
        (
            0.0007289346991508072,
            0.9677937080626833,
            0.0,
            0.00014003424285435884,
            0.9981766977854967,
            0.00031949755934435053,
        ),
        (0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0),
    ),
    (
        (0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262),
        (0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264),
        (225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985),
        (176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408),
        (0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    (
        (0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0),
        (0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0),
        (
            95.1080498811086,
            0.9863978034400682,
            0.9834382792465353,
            0.0012286405048278493,
            171.2667255897307,
            0.9807858872435379,
        ),
        (0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537),
    ),
)
_SMALLEST_WEIGHT = 0.01
"""Of the published weights none is between 0.0021 and 0.28. Those below are left out: they move the score by less than
0.01, and without them most planes, all of the sixth scale among them, need not be looked at."""
_SCALES = 5

_REACH = 4
_HALF_WINDOW = (
    0.2646211054881986,
    0.2129285920104222,
    0.1093353727774603,
    0.0360111146583644,
    0.0094143678096537,
)
_WINDOW = (*_HALF_WINDOW[:0:-1], *_HALF_WINDOW)
"""Of a recursive Gaussian with sigma 1.5 (Charalampidis 2016): a sum of three cosines that ends where all are 0."""
_STABILIZER = 0.0009
_OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_OPSIN_BIAS = 0.0037930732552754493
_XYB = ((7.0, -7.0, 0.0), (0.5, 0.5, 0.0), (-0.5, -0.5, 1.0))
"""X, Y and B - Y of the cube roots; X 14 times as large as that of JPEG XL."""
_XYB_OFFSETS = (0.42, 0.01 - _OPSIN_BIAS ** (1 / 3), 0.55)
_EXPONENT = 0.6276336467831387
_STRAIGHT_BELOW = 1e-3
_STRAIGHT_ABOVE = 36.0
_SLOPE_ABOVE = 1.460146055370411
_HALF = (torch.bfloat16, torch.float16)

_Planes = Float[Tensor, "N H W"]


def ssimulacra2(
    x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"], *, as_patches: bool = False
) -> Float[Tensor, "N"]:
    """SSIMULACRA2 score of every picture, 100 where it is the original; in float32, also under autocast.

    100 - 10 p(e)^0.6276, p of third degree, e the weighted sum of the norms of three maps of X, Y and B - Y:
    ssim = 1 - (1 - (m_x - m_y)^2) (2 s_xy + C) / (s_x^2 + s_y^2 + C), and the positive and the negative part of
    (1 + |y - m_y|) / (1 + |x - m_x|) - 1. Pictures are halved in linear light.

    Measured is what would be shown: x_hat clamped to [0, 1], though not rounded to 8 bits. Beyond the range the
    gradient is that at its end where it leads back, else 0. The published curve has slopes that training cannot use:
    above a score of 99.87, where they grow without bound, it is a straight line to 100 here; below -30, where it is
    soon all but level, it goes on by its tangent.

    Args:
        x: pictures in [0, 1], both sides at least 128 pixels.
        x_hat: what came of them; gets the gradient.
        as_patches: of larger pictures, whose score is meant: windows then count only what is inside. Zeros around hide
            errors near the border, of small pictures most, where a coarse scale is hardly more than border.

    >>> x = torch.linspace(0, 1, 128).expand(1, 3, 128, 128)
    >>> ssimulacra2(x, x).item()
    100.0
    >>> round(ssimulacra2(x, 0.9 * x).item(), 1)
    67.5
    """
    with torch.autocast(x.device.type, enabled=False):
        x, x_hat = (pictures.float() if pictures.dtype in _HALF else pictures for pictures in (x, x_hat))
        with_slope = torch.is_grad_enabled() and x_hat.requires_grad
        return _score(0.9562382616834844 * _Error.apply(x, x_hat, as_patches, with_slope))


@torch.no_grad()
def ssimulacra2_of_pixels(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "H W C"]) -> float:
    """SSIMULACRA2 score of 8-bit pixels, RGB or grey.

    Raises:
        PictureError: a side has fewer than 128 pixels.

    >>> pixels = np.full((128, 128, 1), 77, np.uint8)
    >>> ssimulacra2_of_pixels(pixels, pixels)
    100.0
    """
    height, width, _ = original.shape
    if min(height, width) < SSIMULACRA2_MINIMUM_SIDE:
        raise PictureError(
            f"a picture must have {SSIMULACRA2_MINIMUM_SIDE} pixels on both sides for an SSIMULACRA2 score, found "
            f"{width}x{height}; set a quality or another target"
        )
    x, x_hat = (
        torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32))[None].expand(1, 3, -1, -1) / 255
        for pixels in (original, decoded)
    )
    return float(ssimulacra2(x, x_hat))


def _score(error: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """The published curve, with its straight ends."""
    e = error.clamp(max=_STRAIGHT_ABOVE)
    p = ((6.248496625763138e-05 * e - 0.020884521182843837) * e + 2.326765642916932) * e
    lost = 10 * p.clamp(min=_STRAIGHT_BELOW) ** _EXPONENT * (p / _STRAIGHT_BELOW).clamp(max=1)
    return 100 - lost - _SLOPE_ABOVE * (error - e)


@dataclass(frozen=True)
class _Window:
    """Weighted means around every pixel.

    Args:
        inverse_mass: of the weights inside the picture; None where zeros around it count.
    """

    inverse_mass: Float[Tensor, "1 H W"] | None

    @classmethod
    def over(cls, planes: _Planes, as_patches: bool) -> "_Window":
        if not as_patches:
            return cls(None)
        return cls(1 / windowed_sums(torch.ones_like(planes[:1]), _WINDOW, _REACH))

    def means(self, *planes: _Planes) -> tuple[_Planes, ...]:
        sums = windowed_sums(torch.cat(planes), _WINDOW, _REACH)
        if self.inverse_mass is not None:
            sums.mul_(self.inverse_mass)
        return sums.split(len(planes[0]))

    def means_back(self, *slopes: _Planes) -> tuple[_Planes, ...]:
        joined = torch.cat(slopes)
        if self.inverse_mass is not None:
            joined.mul_(self.inverse_mass)
        return windowed_sums(joined, _WINDOW, _REACH).split(len(slopes[0]))


class _Error(torch.autograd.Function):
    """The weighted sum of all norms. Its slope is worked out with it, so that nothing else need be kept."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Float[Tensor, "N 3 H W"],
        x_hat: Float[Tensor, "N 3 H W"],
        as_patches: bool,
        with_slope: bool,
    ) -> Float[Tensor, "N"]:
        shown = x_hat.clamp(0, 1)
        error, slope = _error_and_slope(x, shown, as_patches, with_slope)
        if slope is not None:
            ctx.save_for_backward(slope, x_hat - shown)
        return error

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Float[Tensor, "N"]) -> tuple[Tensor | None, ...]:
        slope, excess = ctx.saved_tensors  # type: ignore[attr-defined]
        slope = slope * gradient[:, None, None, None]
        return None, slope * (slope * excess >= 0), None, None


def _error_and_slope(
    x: Float[Tensor, "N 3 H W"], y: Float[Tensor, "N 3 H W"], as_patches: bool, with_slope: bool
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N 3 H W"] | None]:
    light, _ = _light(x.transpose(0, 1).contiguous(), with_slope=False)
    light_hat, slope_of_light = _light(y.transpose(0, 1).contiguous(), with_slope)
    cones, cones_hat = (
        [torch.stack([_mix([*each], weights, _OPSIN_BIAS) for weights in _OPSIN])]
        for each in (light, light_hat)
    )
    for level in range(1, _SCALES):
        cones.append(_halve(cones[level - 1]))
        cones_hat.append(_halve(cones_hat[level - 1]))
    error, slope = x.new_zeros(len(x)), None
    for scale in reversed(range(_SCALES)):
        weights = [
            [w if w >= _SMALLEST_WEIGHT else 0.0 for w in of_channel[scale]] for of_channel in _WEIGHTS
        ]
        channels = [channel for channel in range(3) if any(weights[channel])]
        count = 3 if 2 in channels else 2
        roots, roots_hat = (levels[scale][:count] ** (1 / 3) for levels in (cones, cones_hat))
        window = _Window.over(roots[0], as_patches)
        slopes = []
        for channel in channels:
            plane, plane_hat = (
                _mix([*each], _XYB[channel], _XYB_OFFSETS[channel]) for each in (roots, roots_hat)
            )
            of_plane, slope_of_plane = _plane_error(plane, plane_hat, weights[channel], window, with_slope)
            error += of_plane
            slopes.append(slope_of_plane)
        if with_slope:
            slope = (
                torch.zeros_like(cones_hat[scale]) if slope is None else _halve_back(slope, cones_hat[scale])
            )
            for cone in range(count):
                of_root = _mix(slopes, [_XYB[channel][cone] for channel in channels])
                slope[cone].addcmul_(of_root, roots_hat[cone] / cones_hat[scale][cone], value=1 / 3)
    if slope is None or slope_of_light is None:
        return error, None
    of_light = torch.stack([_mix([*slope], weights) for weights in zip(*_OPSIN, strict=True)])
    return error, of_light.mul_(slope_of_light).transpose(0, 1)


def _mix(planes: Sequence[_Planes], weights: Sequence[float], offset: float = 0.0) -> _Planes:
    total = torch.full_like(planes[0], offset)
    for plane, weight in zip(planes, weights, strict=False):
        if weight:
            total.add_(plane, alpha=weight)
    return total


def _light(
    coded: Float[Tensor, "3 N H W"], with_slope: bool
) -> tuple[Float[Tensor, "3 N H W"], Tensor | None]:
    """Linear light of coded values (IEC 61966-2-1), and its slope."""
    # A mask that is multiplied: torch.where takes as long as a power.
    bright = (coded > 0.04045).to(coded)
    power = ((coded + 0.055) / 1.055).pow_(2.4)
    light = torch.lerp(coded / 12.92, power, bright)
    if not with_slope:
        return light, None
    return light, power.mul_(2.4).div_(coded + 0.055).sub_(1 / 12.92).mul_(bright).add_(1 / 12.92)


def _halve(x: Float[Tensor, "3 N H W"]) -> Float[Tensor, "3 N h w"]:
    """Means of 2 x 2 pixels; a last odd row or column counts twice."""
    odd_rows, odd_columns = (side % 2 for side in x.shape[2:])
    if odd_rows or odd_columns:
        x = functional.pad(x, (0, odd_columns, 0, odd_rows), mode="replicate")
    rows = x[:, :, ::2] + x[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def _halve_back(slope: Float[Tensor, "3 N h w"], x: Float[Tensor, "3 N H W"]) -> Float[Tensor, "3 N H W"]:
    back = (0.25 * slope).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    rows, columns = x.shape[2:]
    if back.shape[2] > rows:
        back[:, :, rows - 1] *= 2
    if back.shape[3] > columns:
        back[..., columns - 1] *= 2
    return back[:, :, :rows, :columns]


def _plane_error(
    x: _Planes, y: _Planes, weights: Sequence[float], window: _Window, with_slope: bool
) -> tuple[Float[Tensor, "N"], _Planes | None]:
    """Weighted sum of the norms of the three maps of a plane, and its slope by y."""
    difference = x - y
    mean_x, mean_difference = window.means(x, difference)
    error, slope, slope_of_mean = x.new_zeros(len(x)), None, None
    ssim_weights, artifact_weights, lost_weights = weights[::3], weights[1::3], weights[2::3]
    mean_y = mean_x - mean_difference
    if any(ssim_weights):
        # 1 - (1 - d^2) (v - w) / v = d^2 + (1 - d^2) w / v: d the difference of the means, w the variance of the
        # difference, v the sum of both variances. Nothing cancels there: of equal pictures it is 0.
        squares, square = window.means(x.square().addcmul_(y, y), difference.square())
        squared_mean = mean_difference.square()
        variances = squares.sub_(mean_x.square()).sub_(mean_y.square()).add_(_STABILIZER)
        share = square.sub_(squared_mean).clamp_(min=0).div_(variances)
        rest = 1 - squared_mean
        ssim = torch.addcmul(squared_mean, rest, share)
        error, of_ssim = _norms(ssim, ssim_weights, with_slope)
        if of_ssim is not None:
            of_square = of_ssim * rest / variances
            of_squares = of_square * share
            slope_of_mean = (of_ssim * (1 - share) - of_square) * mean_difference - of_squares * mean_y
            of_squares, of_square = window.means_back(of_squares, of_square)
            slope = (of_squares * y).addcmul_(of_square, difference).mul_(-2)
            slope_of_mean.mul_(2)
    if any(artifact_weights) or any(lost_weights):
        edge = (x - mean_x).abs_().add_(1)
        edge_hat = y - mean_y
        growth = edge_hat.abs().add_(1).div_(edge).sub_(1)
        of_growth = torch.zeros_like(growth) if with_slope else None
        for sign, edge_weights in ((1, artifact_weights), (-1, lost_weights)):
            if any(edge_weights):
                of_kind, of_map = _norms((sign * growth).clamp_(min=0), edge_weights, with_slope)
                error = error + of_kind
                if of_map is not None and of_growth is not None:
                    of_growth.add_(of_map, alpha=sign)
        if of_growth is not None:
            of_edge = of_growth.mul_(edge_hat.sign_()).div_(edge)
            slope = of_edge if slope is None else slope + of_edge
            slope_of_mean = of_edge if slope_of_mean is None else slope_of_mean + of_edge
    if slope is not None and slope_of_mean is not None:
        slope = slope - window.means_back(slope_of_mean)[0]
    return error, slope


def _norms(
    errors: _Planes, weights: Sequence[float], with_slope: bool
) -> tuple[Float[Tensor, "N"], _Planes | None]:
    """Weighted 1-norm and 4-norm, both as means, of a map that is nowhere negative; and their slope."""
    pixels = errors.shape[1] * errors.shape[2]
    of_one, of_four = weights
    norm, slope = errors.new_zeros(len(errors)), torch.zeros_like(errors) if with_slope else None
    if of_one:
        norm += of_one * errors.mean(dim=(1, 2))
        if slope is not None:
            slope.add_(errors.sign(), alpha=of_one / pixels)
    if of_four:
        squares = errors.square()
        four_norm = squares.square().mean(dim=(1, 2)).pow_(0.25)
        norm += of_four * four_norm
        if slope is not None:
            # The bound is for errors whose powers float32 no longer tells from 0.
            factor = of_four / pixels / four_norm.clamp(min=1e-8) ** 3
            slope.addcmul_(squares.mul_(errors), factor[:, None, None])
    return norm, slope
