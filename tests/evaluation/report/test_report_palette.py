"""Curves can be told apart, also by those who see fewer colours."""

import itertools

import numpy as np
import pytest

from trimix.evaluation.palette import _COLOURS, measured_style, published_style

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB to linear RGB.
VISION = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    dark, light = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_measured_colours_stay_apart(vision, theme):
    seen = [lab(np.array(VISION[vision]) @ linear(pair[theme])) for pair in _COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 15


@pytest.mark.parametrize("style", [*map(measured_style, range(12)), *map(published_style, range(12))])
def test_every_colour_is_seen_on_its_background(style):
    assert contrast(style.light, "#ffffff") >= 3
    assert contrast(style.dark, "#14171b") >= 3


def test_styles_differ():
    assert len({measured_style(index) for index in range(84)}) == 84
    assert len({published_style(index) for index in range(12)}) == 12
    assert all(published_style(index).matplotlib_dash for index in range(12))
    assert not any(measured_style(index).matplotlib_dash for index in range(84))
