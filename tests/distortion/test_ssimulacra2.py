"""The differentiable SSIMULACRA2 equals an independent one, with gradients that are right and stay finite."""

import io
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import ndimage
from ssimulacra2 import ssimulacra2 as package
from torch.nn import functional

from trimix.distortion import constants as ours
from trimix.distortion.constants import SSIMULACRA2_MINIMUM_SIDE
from trimix.distortion.differentiable import differentiable
from trimix.distortion.planes import windowed_sums
from trimix.distortion.ssimulacra2 import _score, ssimulacra2_and_slope
from trimix.training.drawn_pictures import draw_picture

SIGMA, END = 1.5, 5


def ssimulacra2(x, x_hat, *, as_patches=False):
    return differentiable(partial(ssimulacra2_and_slope, as_patches=as_patches), x, x_hat)


def smooth(rows, columns, seed=0, count=2):
    """Random pictures with energy at all scales and in all colours."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, rows, columns)
    for side in (4, 16, 64):
        coarse = torch.rand(count, 3, side, side, generator=generator) - 0.5
        total += functional.interpolate(coarse, (rows, columns), mode="bicubic") * 4 / side**0.5
    return (0.5 + 0.3 * total).clamp(0, 1)


def noise(x, seed=1):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(x)


def damaged(x, deviation=0.02):
    return functional.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False) + deviation * noise(x)


def recursive_window():
    """The filter of libjxl (Charalampidis 2016), run as it is: the answer to a single pixel."""
    omega = np.array([1, 3, 5]) * np.pi / (2 * END)
    signs = np.array([1, -1, 1])
    sums = signs / np.tan(omega / 2)
    moments = signs * sums**2 / np.sin(omega)
    spectrum = np.exp(-((SIGMA * omega) ** 2) / 2) / END
    free = np.cross(sums, moments)  # what neither the sum nor the variance fixes
    amplitudes = np.linalg.solve([sums, moments, free], [1, END**2 - SIGMA**2, free @ spectrum])
    pixels = np.zeros(6 * END)
    pixels[3 * END] = 1
    outputs = np.zeros((3, 6 * END))
    for n in range(END + 1, 5 * END):
        fed = pixels[n - END - 1] + pixels[n + END - 1]
        outputs[:, n] = -amplitudes * np.cos(omega * (END + 1)) * fed
        outputs[:, n] += 2 * np.cos(omega) * outputs[:, n - 1] - outputs[:, n - 2]
    return outputs.sum(axis=0)[2 * END : 4 * END + 1]


@pytest.fixture
def reference(monkeypatch):
    """The package, with the window of libjxl, around which is 0; the package mirrors the left and right border."""

    def blurred(image, sigma=SIGMA):
        for axis in (0, 1):
            image = ndimage.correlate1d(image, recursive_window(), axis=axis, mode="constant")
        return image

    monkeypatch.setattr(package, "blur_image", blurred)

    def score(original, decoded):
        files = [io.BytesIO(), io.BytesIO()]
        for pixels, file in zip((original, decoded), files, strict=True):
            Image.fromarray(pixels).save(file, "PNG")
        return package.compute_ssimulacra2(*files)

    return score


def as_tensor(pixels):
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def coded(pixels, codec, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, codec, quality=quality)
    return np.array(Image.open(file).convert("RGB"))


def noisy(pixels, deviation):
    noise = np.random.default_rng(2).normal(0, deviation, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


DAMAGE = {
    "JPEG 20": lambda pixels: coded(pixels, "JPEG", 20),
    "JPEG 85": lambda pixels: coded(pixels, "JPEG", 85),
    "WebP 60": lambda pixels: coded(pixels, "WEBP", 60),
    "blur": lambda pixels: np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.7))),
    "noise 3": lambda pixels: noisy(pixels, 3),
}


@pytest.mark.parametrize("picture", ["smooth", "smooth, odd", "line art", "chart"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_scores_equal_the_package_with_the_window_of_libjxl(reference, picture, damage):
    rows, columns = (229, 251) if picture == "smooth, odd" else (256, 256)
    if picture.startswith("smooth"):
        original = (smooth(rows, columns)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    else:
        original = draw_picture(seed=5, index={"line art": 3, "chart": 4}[picture], side=256)
    decoded = DAMAGE[damage](original)
    expected = reference(original, decoded)
    assert -30 < expected < 99.8
    assert float(ssimulacra2(as_tensor(original), as_tensor(decoded))) == pytest.approx(expected, abs=0.01)


def test_the_window_is_that_of_the_recursive_filter():
    window = recursive_window()
    assert pytest.approx(window, abs=1e-12) == [0, *ours.SSIMULACRA2_WINDOW, 0]
    places = np.arange(-END, END + 1)
    assert window.sum() == pytest.approx(1)
    assert window @ places**2 == pytest.approx(SIGMA**2)


def test_weights_are_the_published_ones_but_for_the_least():
    published = package.weights.reshape(3, 6, 2, 3)
    found = np.zeros((3, 6, 6))
    for (scale, channel), weights in ours.SSIMULACRA2_WEIGHTS.items():
        found[channel, scale] = weights
    assert np.array_equal(found.reshape(published.shape), np.where(published < 0.01, 0, published))
    # The coarsest scale that counts has the 8 pixels that the metric asks for.
    assert max(scale for scale, _ in ours.SSIMULACRA2_WEIGHTS) == ours.SSIMULACRA2_SCALES - 1
    assert SSIMULACRA2_MINIMUM_SIDE == 8 * 2 ** (ours.SSIMULACRA2_SCALES - 1)


@pytest.mark.parametrize("margin", [0, 2, 4])
def test_windowed_sums_are_those_of_scipy_and_their_adjoint_has_the_other_margin(margin):
    window = [0.1, 0.2, 0.4, 0.2, 0.1]
    x = noise(torch.empty(2, 7, 9, dtype=torch.float64))
    found = windowed_sums(x, window, margin)
    padded = np.pad(x.numpy(), ((0, 0), (4, 4), (4, 4)))
    expected = ndimage.correlate1d(ndimage.correlate1d(padded, window, 1), window, 2)
    inside = 6 - margin
    assert found.numpy() == pytest.approx(expected[:, inside : 15 - inside, inside : 17 - inside])
    y = noise(found)
    assert float((found * y).sum()) == pytest.approx(float((x * windowed_sums(y, window, 4 - margin)).sum()))


@pytest.mark.parametrize("shape", [(128, 128), (131, 150)])
@pytest.mark.parametrize("as_patches", [False, True])
def test_the_gradient_is_that_of_finite_differences(shape, as_patches):
    x = smooth(*shape).double()
    x_hat = damaged(x).clamp(0.02, 0.98).requires_grad_()
    (gradient,) = torch.autograd.grad(ssimulacra2(x, x_hat, as_patches=as_patches).sum(), x_hat)
    for direction in (noise(x, seed=3), torch.ones_like(x), x):
        with torch.no_grad():
            ahead, behind = (
                ssimulacra2(x, x_hat + sign * 1e-7 * direction, as_patches=as_patches).sum() for sign in (1, -1)
            )
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-7, rel=1e-4)


@pytest.mark.parametrize("deviation", [0.01, 0.3])
def test_float32_is_enough(deviation):
    x = smooth(192, 192)
    x_hat = damaged(x, deviation)
    found = {}
    for precision in (torch.float32, torch.float64):
        y = x_hat.to(precision).requires_grad_()
        score = ssimulacra2(x.to(precision), y, as_patches=True)
        (gradient,) = torch.autograd.grad(score.sum(), y)
        found[precision] = score.detach().double(), gradient.double()
    assert found[torch.float32][0] == pytest.approx(found[torch.float64][0], abs=2e-3)
    difference = found[torch.float32][1] - found[torch.float64][1]
    assert float(difference.norm() / found[torch.float64][1].norm()) < 1e-3


def test_the_score_falls_as_noise_grows():
    x = smooth(192, 192)
    for as_patches in (False, True):
        scores = [
            ssimulacra2(x, (x + deviation * noise(x)).clamp(0, 1), as_patches=as_patches)
            for deviation in (0, 1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
        ]
        assert float(scores[0].min()) == 100
        assert all(bool((after < before).all()) for before, after in itertools.pairwise(scores))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_identical_and_flat_pictures_have_finite_gradients(level):
    flat = torch.full((1, 3, 128, 128), level)
    for x in (flat, smooth(128, 128, count=1)):
        x_hat = x.clone().requires_grad_()
        score = ssimulacra2(x, x_hat)
        score.sum().backward()
        assert float(score.detach()) == 100
        assert not bool(x_hat.grad.any())
    for x, other in ((flat, smooth(128, 128, count=1)), (smooth(128, 128, count=1), flat), (flat, flat * 0.9)):
        x_hat = other.clone().requires_grad_()
        ssimulacra2(x, x_hat).sum().backward()
        assert bool(x_hat.grad.isfinite().all())


def test_values_beyond_the_range_count_as_its_ends_and_are_only_led_back():
    x = smooth(128, 128)
    x_hat = (damaged(x) * 3 - 1).requires_grad_()
    clamped = x_hat.detach().clamp(0, 1).requires_grad_()
    scores = [ssimulacra2(x, y) for y in (x_hat, clamped)]
    assert torch.equal(*scores)
    # What is minimised is minus the score: where its gradient is positive a step leads down.
    gradient, of_clamped = (
        torch.autograd.grad(-score.sum(), y)[0] for score, y in zip(scores, (x_hat, clamped), strict=True)
    )
    above, below = x_hat > 1, x_hat < 0
    leads_back = torch.where(above, of_clamped >= 0, torch.where(below, of_clamped <= 0, True))
    assert torch.equal(gradient, torch.where(leads_back, of_clamped, 0))
    for side in (above, below):
        assert bool((side & (gradient != 0)).any())
        assert bool((side & (gradient != of_clamped)).any())
    wild = (x + 1e4 * noise(x)).requires_grad_()
    ssimulacra2(x, wild).sum().backward()
    assert bool(wild.grad.isfinite().all())


def test_the_curve_is_straight_at_both_ends_and_never_level():
    error = torch.linspace(0, 200, 200001, dtype=torch.float64)
    score, slope = _score(error)
    e = error[(score < 99.87) & (score > -30)]
    p = 2.326765642916932 * e - 0.020884521182843837 * e**2 + 6.248496625763138e-05 * e**3
    assert _score(e)[0] == pytest.approx(100 - 10 * p**0.6276336467831387, rel=1e-12)
    slopes = -score.diff() / 0.001
    assert -(slope[1:] + slope[:-1])[20:] / 2 == pytest.approx(slopes[20:], rel=1e-2)
    assert float(slopes.min()) == pytest.approx(1.46, abs=0.001)
    assert float(slopes.max()) < 10 * 1e-3**-0.37 * 2.33
    assert float(slopes.diff()[1:].abs().max()) < 30  # no leap, but for the corner at 99.87


def test_patches_score_as_their_picture_does():
    # What is the same everywhere, coded the same everywhere: of each size the score should be one.
    x = functional.avg_pool2d(noise(torch.empty(1, 3, 520, 520), seed=4) * 0.2 + 0.5, 5, 1)
    x_hat = functional.avg_pool2d(x, 5, 1)[:, :, :512, :512]
    x = x[:, :, 2:514, 2:514]
    whole = float(ssimulacra2(x, x_hat))
    part = [pictures[:, :, 100:292, 100:292] for pictures in (x, x_hat)]
    as_patch, as_picture = (float(ssimulacra2(*part, as_patches=as_patches)) for as_patches in (True, False))
    assert as_patch == pytest.approx(float(ssimulacra2(x, x_hat, as_patches=True)), abs=1)
    # Zeros around flatter it, the whole picture less than a part.
    assert as_patch + 3 < whole < as_picture - 3


def test_pictures_and_memory_formats_do_not_mix():
    x = smooth(128, 140, count=3)
    x_hat = damaged(x)
    together = ssimulacra2(x, x_hat)
    alone = torch.cat([ssimulacra2(x[i : i + 1], x_hat[i : i + 1]) for i in range(3)])
    last = ssimulacra2(*(pictures.to(memory_format=torch.channels_last) for pictures in (x, x_hat)))
    assert together == pytest.approx(alone, abs=1e-3)
    assert torch.equal(together, last)


def test_it_is_computed_in_float32_under_autocast():
    x = smooth(128, 128)
    x_hat = damaged(x).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score = ssimulacra2(x, x_hat)
    assert score.dtype == torch.float32
    assert torch.equal(score, ssimulacra2(x, x_hat.float()))
    score.sum().backward()
    assert bool(x_hat.grad.isfinite().all())
