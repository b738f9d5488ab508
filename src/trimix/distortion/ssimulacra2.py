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

import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from trimix.distortion.constants import (
    SSIMULACRA2_CUBIC,
    SSIMULACRA2_ERROR_SCALE,
    SSIMULACRA2_EXPONENT,
    SSIMULACRA2_OPSIN,
    SSIMULACRA2_OPSIN_BIAS,
    SSIMULACRA2_REACH,
    SSIMULACRA2_SCALES,
    SSIMULACRA2_SLOPE_ABOVE,
    SSIMULACRA2_SMALLEST_WEIGHT,
    SSIMULACRA2_STABILIZER,
    SSIMULACRA2_STRAIGHT_ABOVE,
    SSIMULACRA2_STRAIGHT_BELOW,
    SSIMULACRA2_WEIGHTS,
    SSIMULACRA2_WINDOW,
    SSIMULACRA2_XYB,
    SSIMULACRA2_XYB_OFFSETS,
)
from trimix.distortion.windows import windowed_sums
from trimix.shapes import Float, Tensor

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
        return _score(SSIMULACRA2_ERROR_SCALE * _Error.apply(x, x_hat, as_patches, with_slope))


def _score(error: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """The published curve, with its straight ends."""
    e = error.clamp(max=SSIMULACRA2_STRAIGHT_ABOVE)
    third, second, first = SSIMULACRA2_CUBIC
    p = ((third * e + second) * e + first) * e
    lost = (
        10
        * p.clamp(min=SSIMULACRA2_STRAIGHT_BELOW) ** SSIMULACRA2_EXPONENT
        * (p / SSIMULACRA2_STRAIGHT_BELOW).clamp(max=1)
    )
    return 100 - lost - SSIMULACRA2_SLOPE_ABOVE * (error - e)


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
        return cls(1 / windowed_sums(torch.ones_like(planes[:1]), SSIMULACRA2_WINDOW, SSIMULACRA2_REACH))

    def means(self, *planes: _Planes) -> tuple[_Planes, ...]:
        sums = windowed_sums(torch.cat(planes), SSIMULACRA2_WINDOW, SSIMULACRA2_REACH)
        if self.inverse_mass is not None:
            sums.mul_(self.inverse_mass)
        return sums.split(len(planes[0]))

    def means_back(self, *slopes: _Planes) -> tuple[_Planes, ...]:
        joined = torch.cat(slopes)
        if self.inverse_mass is not None:
            joined.mul_(self.inverse_mass)
        return windowed_sums(joined, SSIMULACRA2_WINDOW, SSIMULACRA2_REACH).split(len(slopes[0]))


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
        [torch.stack([_mix([*each], weights, SSIMULACRA2_OPSIN_BIAS) for weights in SSIMULACRA2_OPSIN])]
        for each in (light, light_hat)
    )
    for level in range(1, SSIMULACRA2_SCALES):
        cones.append(_halve(cones[level - 1]))
        cones_hat.append(_halve(cones_hat[level - 1]))
    error, slope = x.new_zeros(len(x)), None
    for scale in reversed(range(SSIMULACRA2_SCALES)):
        weights = [
            [w if w >= SSIMULACRA2_SMALLEST_WEIGHT else 0.0 for w in of_channel[scale]]
            for of_channel in SSIMULACRA2_WEIGHTS
        ]
        channels = [channel for channel in range(3) if any(weights[channel])]
        count = 3 if 2 in channels else 2
        roots, roots_hat = (levels[scale][:count] ** (1 / 3) for levels in (cones, cones_hat))
        window = _Window.over(roots[0], as_patches)
        slopes = []
        for channel in channels:
            plane, plane_hat = (
                _mix([*each], SSIMULACRA2_XYB[channel], SSIMULACRA2_XYB_OFFSETS[channel]) for each in (roots, roots_hat)
            )
            of_plane, slope_of_plane = _plane_error(plane, plane_hat, weights[channel], window, with_slope)
            error += of_plane
            slopes.append(slope_of_plane)
        if with_slope:
            slope = torch.zeros_like(cones_hat[scale]) if slope is None else _halve_back(slope, cones_hat[scale])
            for cone in range(count):
                of_root = _mix(slopes, [SSIMULACRA2_XYB[channel][cone] for channel in channels])
                slope[cone].addcmul_(of_root, roots_hat[cone] / cones_hat[scale][cone], value=1 / 3)
    if slope is None or slope_of_light is None:
        return error, None
    of_light = torch.stack([_mix([*slope], weights) for weights in zip(*SSIMULACRA2_OPSIN, strict=True)])
    return error, of_light.mul_(slope_of_light).transpose(0, 1)


def _mix(planes: Sequence[_Planes], weights: Sequence[float], offset: float = 0.0) -> _Planes:
    total = torch.full_like(planes[0], offset)
    for plane, weight in zip(planes, weights, strict=False):
        if weight:
            total.add_(plane, alpha=weight)
    return total


def _light(coded: Float[Tensor, "3 N H W"], with_slope: bool) -> tuple[Float[Tensor, "3 N H W"], Tensor | None]:
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
        variances = squares.sub_(mean_x.square()).sub_(mean_y.square()).add_(SSIMULACRA2_STABILIZER)
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


def _norms(errors: _Planes, weights: Sequence[float], with_slope: bool) -> tuple[Float[Tensor, "N"], _Planes | None]:
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
