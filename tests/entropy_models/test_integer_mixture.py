from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimix.coding import Family
from trimix.entropy_models.integer_mixture import (
    IntegerMixtureModel,
    exponential_table,
    integer_softmax,
    integer_softmax_of_groups,
    scale_thresholds,
)
from trimix.entropy_models.layout import MixtureLayout, ScaleForm


def test_the_exponential_table_is_two_to_the_power_rounded_down():
    getcontext().prec = 60
    for index, value in enumerate(exponential_table().tolist()):
        assert value == int(Decimal(2) ** (24 - Decimal(index) / 256))


@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=9))
def test_weights_sum_exactly_and_keep_the_order(logits):
    weights = integer_softmax(np.array(logits).reshape(1, -1, 1)).ravel().tolist()
    assert sum(weights) == 2**16
    assert min(weights) >= 0
    assert weights.index(max(weights)) == logits.index(max(logits))
    ordered = [w for _, w in sorted(zip(logits, weights, strict=True))]
    assert ordered == sorted(ordered)


@given(st.lists(st.integers(-2000, 2000), min_size=1, max_size=9))
def test_weights_follow_the_real_softmax(logits):
    weights = torch.from_numpy(integer_softmax(np.array(logits).reshape(1, -1, 1))).flatten().double() / 2**16
    real = torch.softmax(torch.tensor(logits).double() * (torch.log(torch.tensor(2.0)).item() / 256), dim=0)
    assert (weights - real).abs().max() <= len(logits) / 2**16 + 1e-6


def test_adding_a_constant_to_all_logits_changes_nothing():
    logits = np.random.default_rng(0).integers(-5000, 5000, (4, 6, 3))
    assert np.array_equal(integer_softmax(logits), integer_softmax(logits + 777))


@given(st.lists(st.lists(st.integers(-3000, 3000), min_size=1, max_size=3), min_size=1, max_size=3), st.randoms())
def test_weights_of_groups_are_a_product_of_softmaxes(groups, random):
    group_logits = [random.randint(-3000, 3000) for _ in groups]
    flat = np.array([logit for group in groups for logit in group]).reshape(1, -1, 1)
    found = integer_softmax_of_groups(
        np.array(group_logits).reshape(1, -1, 1), flat, tuple(len(group) for group in groups)
    ).ravel()
    nats = torch.log(torch.tensor(2.0).double()) / 256
    outer = torch.softmax(torch.tensor(group_logits).double() * nats, dim=0)
    real = torch.cat(
        [
            share * torch.softmax(torch.tensor(group).double() * nats, dim=0)
            for share, group in zip(outer, groups, strict=True)
        ]
    )
    assert found.sum() == 2**16 and found.min() >= 0
    assert np.abs(found / 2**16 - real.numpy()).max() <= 3 * len(flat[0]) / 2**16 + 1e-6


def test_a_linear_scale_has_the_nearest_index():
    thresholds = scale_thresholds()
    edges = 4096 * 2.0 ** (-4 + (np.arange(255) + 0.5) / 16)
    assert ((edges - thresholds) >= 0).all() and ((edges - thresholds) < 1).all()
    scales = np.array([1, 256, 4096, 2 * 4096, 4096 * 4095])
    indices = np.searchsorted(scale_thresholds(), scales)
    assert indices.tolist() == [0, 0, 64, 80, 255]


def test_numbers_are_read_as_the_layout_says():
    layout = MixtureLayout((Family.GAUSSIAN, Family.LAPLACIAN), 2, True, ScaleForm.ABSOLUTE, scale_minimum=400 / 4096)
    assert layout.component_families == (0, 0, 1, 1) and layout.numbers == 2 + 4 * 3
    model = IntegerMixtureModel((), (), layout, latent_channels=2)
    rows = np.arange(5)
    side = np.random.default_rng(0).integers(-3000, 3000, (5, 28))
    found = model.parameters(side, np.zeros((1, 5, 2), np.int32), rows * 0, rows, context=None)
    raw = side.reshape(5, 14, 2)
    assert found.centres is None
    assert (found.mixture.means.reshape(5, 2, 4) == raw[:, 6:10].transpose(0, 2, 1)).all()
    scales = 2.0 ** (-4 + found.mixture.scale_indices.reshape(5, 2, 4) / 16)
    real = (np.abs(raw[:, 10:]) + 400).transpose(0, 2, 1) / 4096
    assert (np.abs(np.log2(scales / real.clip(2**-4))) <= 1 / 32 + 0.003).all()
    assert (found.mixture.weights.sum(axis=1) == 2**16).all()


@pytest.mark.parametrize("has_weights", [False, True])
def test_a_latent_rounded_around_its_mean_is_coded_without_it(has_weights):
    layout = MixtureLayout(
        (Family.GAUSSIAN,), scale_form=ScaleForm.BOUNDED, around_mean=True, has_lone_logit=has_weights
    )
    model = IntegerMixtureModel((), (), layout, latent_channels=3)
    side = np.random.default_rng(1).integers(1, 9000, (4, 3 * layout.numbers))
    found = model.parameters(side, np.zeros((2, 2, 3), np.int32), np.zeros(4, np.int64), np.arange(4), context=None)
    means = side.reshape(4, layout.numbers, 3)[:, int(has_weights)]
    assert (found.centres.reshape(4, 3) == means).all()
    assert not found.mixture.means.any()
