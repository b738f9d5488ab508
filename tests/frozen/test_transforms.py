"""What an encoder knows of the transforms of a frozen model."""

import numpy as np
import pytest
import torch

from tiny_models import TINY, calibration_pictures, tiny_frozen, tiny_model
from trimix.freezing.freeze import freeze
from trimix.frozen.model import ModelIdentity

QUALITY = 60.0


@pytest.mark.parametrize("lapped_channels", [0, 3])
def test_a_squared_step_costs_what_it_changes_in_the_picture(lapped_channels):
    # Of the linear path alone: lambda * 255^2 * MSE * pixels, for one latent moved by one step of the quantizer.
    model = tiny_model(TINY.model_copy(update={"lapped_channels": lapped_channels}))
    with torch.no_grad():
        for parameter in model.synthesis.to_picture.parameters():
            parameter.zero_()
    transforms = freeze(model, ModelIdentity("a", 1, bytes(8), {}), calibration_pictures()).transforms
    weights = transforms.step_weights(QUALITY)
    before = transforms.decode(np.zeros((8, 4, 4), np.float32), QUALITY)
    for channel in (1, 5):
        moved = np.zeros((8, 4, 4), np.float32)
        moved[channel, 1, 2] = 1.0
        changed = np.square(transforms.decode(moved, QUALITY) - before)
        bits = transforms.squared_error_lambda(QUALITY) * 255**2 * changed.mean() * before[0].size
        assert weights[channel] == pytest.approx(bits, rel=1e-3)


def test_lambda_is_exponential_in_the_quality():
    transforms = tiny_frozen().transforms
    low, middle, high = map(transforms.squared_error_lambda, (1.0, 50.5, 100.0))
    assert (low, high) == pytest.approx((TINY.lambda_minimum, TINY.lambda_maximum))
    assert middle == pytest.approx((low * high) ** 0.5, rel=1e-5)
