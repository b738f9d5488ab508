"""Butteraugli for training, beside libjxl's program."""

import numpy as np
import pytest
import torch

from trimix.distortion.butteraugli import butteraugli

# 3-norms that libjxl's butteraugli_main prints (version 0.7, --intensity_target 80 --pnorm 3) for these pictures.
BY_THE_PROGRAM = {"noise": 1.834955, "blocks": 1.611584, "blur": 0.481118, "tint": 2.211594, "steps": 1.618329}


def original(height=96, width=120):
    generator = np.random.default_rng(5)
    rows, columns = np.mgrid[:height, :width]
    fields = [np.sin(rows / a + phase) * np.cos(columns / b) for a, b, phase in generator.uniform(2, 25, (6, 3))]
    red = sum(fields[:3]) * 25 + 120 + (columns > 70) * 40
    green = sum(fields[1:5]) * 22 + 110
    blue = sum(fields[3:]) * 20 + 100 + generator.normal(0, 6, (height, width))
    return np.stack([red, green, blue], axis=2).clip(0, 255).round()


def altered(kind):
    picture = original()
    if kind == "noise":
        picture = picture + np.random.default_rng(6).normal(0, 5, picture.shape)
    elif kind == "blocks":
        means = picture.reshape(24, 4, 30, 4, 3).mean(axis=(1, 3), keepdims=True)
        picture = (0.5 * picture.reshape(24, 4, 30, 4, 3) + 0.5 * means).reshape(picture.shape)
    elif kind == "blur":
        picture[1:-1, 1:-1] = (picture[:-2, 1:-1] + picture[2:, 1:-1] + picture[1:-1, :-2] + picture[1:-1, 2:]) / 4
    elif kind == "tint":
        picture = picture * np.array([1.03, 1.0, 0.96])
    elif kind == "steps":
        picture = 12 * np.round(picture / 12)
    return picture.clip(0, 255).round()


def as_planes(picture):
    return torch.from_numpy(picture / 255).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("kind", BY_THE_PROGRAM)
def test_it_is_within_4_percent_of_the_program(kind):
    found = butteraugli(as_planes(original()), as_planes(altered(kind))).item()
    assert found == pytest.approx(BY_THE_PROGRAM[kind], rel=0.04)


def test_equal_pictures_have_no_distance():
    x = as_planes(original())
    assert butteraugli(x, x).item() < 1e-3


def test_pictures_of_a_batch_are_measured_apart():
    x = as_planes(original()).repeat(2, 1, 1, 1)
    y = torch.cat([as_planes(altered("noise")), as_planes(altered("tint"))])
    alone = [butteraugli(x[:1], one[None]).item() for one in y]
    assert butteraugli(x, y).tolist() == pytest.approx(alone, rel=1e-4)


def test_the_gradient_is_that_of_small_changes():
    x, y = (as_planes(picture[:40, :48]).double() for picture in (original(), altered("noise")))
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y.requires_grad_()
    butteraugli(x, y).backward()
    step = 1e-6
    with torch.no_grad():
        slope = (butteraugli(x, y + step * direction) - butteraugli(x, y - step * direction)) / (2 * step)
    # The mask, and the largest distance by which powers are kept in range, are held fixed.
    assert (y.grad * direction).sum().item() == pytest.approx(slope.item(), rel=0.05)


def test_autocast_around_it_changes_nothing():
    x, y = as_planes(original()), as_planes(altered("noise"))
    with torch.autocast("cpu", torch.bfloat16):
        inside = butteraugli(x, y).item()
    assert inside == butteraugli(x, y).item()
