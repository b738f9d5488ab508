"""Pictures at an eighth of their resolution, of the linear path alone."""

import numpy as np
import pytest
import torch

from tiny_models import GLLMM_WITH_LINEAR_PATH, TINY, calibration_pictures, lively, tiny_frozen, tiny_model
from trimix.architectures.config import HyperpriorConfig
from trimix.codec import Codec
from trimix.freezing.freeze import freeze
from trimix.frozen.linear_path import reduced_linear_path
from trimix.frozen.model import ModelIdentity
from trimix.frozen.program import Add, Affine, Program, ReplicatePadding, Sigmoid, TransposedConvolution
from trimix.images import Picture, reduced

TENSORS = {"weight": np.ones((3, 3, 16, 16), np.float32), "odd": np.ones((3, 3, 12, 12), np.float32)}
UP = TransposedConvolution(weight="weight", stride=16)


@pytest.mark.parametrize("lapped_channels", [0, 3])
def test_it_is_the_means_of_squares_where_the_network_adds_a_constant(lapped_channels):
    model = tiny_model(TINY.model_copy(update={"lapped_channels": lapped_channels}))
    weight, bias = model.synthesis.to_picture.parameters()
    with torch.no_grad():
        weight.zero_()
        bias.copy_(torch.tensor([0.2, -0.1, 0.3]).repeat_interleave(4))
    transforms = freeze(model, ModelIdentity("a", 1, bytes(8), {}), calibration_pictures()).transforms
    y_hat = np.random.default_rng(0).normal(size=(8, 5, 4)).astype(np.float32)
    whole = transforms.decode(y_hat, 60.0)
    means = whole.reshape(3, 10, 8, 8, 8).mean((2, 4))
    np.testing.assert_allclose(transforms.decode_reduced(y_hat, 60.0), means, atol=1e-5)


def test_every_architecture_with_a_linear_path_has_a_reduced_one():
    for config in (TINY, GLLMM_WITH_LINEAR_PATH):
        transforms = tiny_frozen(config).transforms
        assert reduced_linear_path(transforms.programs["synthesis"], transforms.tensors) is not None


def test_a_model_without_one_decodes_all_and_reduces():
    model = lively(HyperpriorConfig(channels=4, latent_channels=6))
    codec = Codec(freeze(model, ModelIdentity("a", 1, bytes(8), {}), calibration_pictures(), qualities=(50.0,)))
    assert not codec.model.transforms.has_reduced_path
    data = codec.encode(Picture(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)))
    assert (codec.decode(data, reduction=8).pixels == reduced(codec.decode(data).pixels, 8)).all()


@pytest.mark.parametrize(
    "program",
    [
        (UP,),  # no sum
        (Sigmoid(), UP, Add(inputs=(2, 2))),
        (UP, UP, Add(inputs=(2, 2))),  # means of means are not the means
        (UP, ReplicatePadding(margin=8), Add(inputs=(2, 2))),
        (TransposedConvolution(weight="odd", stride=8), Add(inputs=(1, 1))),
        (TransposedConvolution(weight="weight", stride=8, padding=4), Add(inputs=(1, 1))),
    ],
)
def test_what_cannot_be_reduced_exactly_has_none(program: Program):
    assert reduced_linear_path(program, TENSORS) is None


def test_what_only_the_network_needs_is_left_out():
    program, tensors = reduced_linear_path(
        (Sigmoid(), UP, Affine(inputs=(0,), factor=2.0), UP, Add(inputs=(4, 2))), TENSORS
    )
    assert program == (Affine(inputs=(0,), factor=2.0), TransposedConvolution(inputs=(1,), weight="weight", stride=2))
    assert tensors["weight"].shape == (3, 3, 2, 2)
