"""Laws of the head of the conditional entropy model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.coding.standard_tables import SCALE_LEVELS, scale_of_index
from trimix.entropy_models.conditional import (
    LOG2_SCALE_MAXIMUM,
    LOG2_SCALE_MINIMUM,
    mixture_head,
    parameters_from_head,
)
from trimix.probability import Family

GLLMM = tuple(Family)


def random_raw(families, components, latent_channels, seed=1, amplitude=3.0):
    channels = 3 * len(families) * components * latent_channels
    generator = torch.Generator().manual_seed(seed)
    return amplitude * torch.randn(2, channels, 3, 4, generator=generator)


@pytest.mark.parametrize("families", [GLLMM, (Family.LAPLACIAN, Family.GAUSSIAN), (Family.LOGISTIC,)])
@pytest.mark.parametrize("components", [1, 3])
def test_layout(families, components):
    m = 5
    raw = random_raw(families, components, m)
    p = parameters_from_head(raw, families, components)
    assert p.families == families
    count = len(families) * components
    for f in range(len(families)):
        for k in range(components):
            first = (f * components + k) * m
            weights, means, log2_scales = (
                raw[:, part * count * m + first : part * count * m + first + m] for part in range(3)
            )
            assert torch.equal(p.means[:, f, k], means)
            torch.testing.assert_close(p.scales[:, f, k], torch.exp2(log2_scales.clamp(-4, 12 - 1 / 16)))
            # A softmax keeps differences of logits: here to those of the very first component.
            torch.testing.assert_close(
                p.log_weights[:, f, k] - p.log_weights[:, 0, 0], weights - raw[:, :m], rtol=1e-5, atol=1e-5
            )


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    families=st.sets(st.sampled_from(GLLMM), min_size=1),
    components=st.integers(1, 3),
    amplitude=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
)
def test_weights_sum_to_one_and_scales_stay_in_the_coders_range(families, components, amplitude):
    families = tuple(sorted(families))
    raw = random_raw(families, components, 2, amplitude=amplitude)
    p = parameters_from_head(raw, families, components)
    total = p.log_weights.exp().sum(dim=(1, 2))
    torch.testing.assert_close(total, torch.ones_like(total))
    assert (p.scales >= scale_of_index[0]).all()
    assert (p.scales <= scale_of_index[SCALE_LEVELS - 1]).all()


def test_limits_are_those_of_the_integer_coder():
    assert scale_of_index[0] == 2.0**LOG2_SCALE_MINIMUM
    assert scale_of_index[SCALE_LEVELS - 1] == 2.0**LOG2_SCALE_MAXIMUM


def test_softmax_over_all_equals_a_softmax_of_families_times_one_inside_each():
    raw = random_raw(GLLMM, 3, 1)
    p = parameters_from_head(raw, GLLMM, 3)
    logits = raw[:, :9].view(2, 3, 3, 3, 4)
    inside = torch.softmax(logits, dim=2)
    families = torch.softmax(torch.logsumexp(logits, dim=2), dim=1)
    torch.testing.assert_close(p.log_weights.exp()[:, :, :, 0], inside * families[:, :, None])


def test_gradient_leads_scales_back_into_the_range_from_both_sides():
    raw = torch.zeros(1, 3, 1, 2)
    raw[0, 2, 0] = torch.tensor([-50.0, 50.0])
    raw.requires_grad_()
    small, large = parameters_from_head(raw, (Family.GAUSSIAN,), 1).scales.flatten()
    (large - small).backward()
    assert raw.grad[0, 2, 0, 0] < 0
    assert raw.grad[0, 2, 0, 1] > 0


def test_gradient_does_not_lead_further_out():
    raw = torch.zeros(1, 3, 1, 2)
    raw[0, 2, 0] = torch.tensor([-50.0, 50.0])
    raw.requires_grad_()
    small, large = parameters_from_head(raw, (Family.GAUSSIAN,), 1).scales.flatten()
    (small - large).backward()
    assert raw.grad[0, 2, 0].tolist() == [0.0, 0.0]


def test_memory_format_and_precision_of_the_head_do_not_matter():
    raw = random_raw(GLLMM, 2, 4).bfloat16()
    plain = parameters_from_head(raw.float(), GLLMM, 2)
    last = parameters_from_head(raw.contiguous(memory_format=torch.channels_last), GLLMM, 2)
    for name in ("log_weights", "means", "scales"):
        assert getattr(last, name).dtype == torch.float32
        torch.testing.assert_close(getattr(last, name), getattr(plain, name))


def test_refuses_channels_that_cannot_be_split():
    with pytest.raises(ValueError, match="18"):
        parameters_from_head(torch.zeros(1, 20, 2, 2), GLLMM, 2)


def test_head_is_pointwise():
    torch.manual_seed(2)
    head = mixture_head(6, (8, 10), 12)
    assert [tuple(layer.weight.shape) for layer in head if hasattr(layer, "weight")] == [
        (8, 6, 1, 1),
        (10, 8, 1, 1),
        (12, 10, 1, 1),
    ]
    x = torch.randn(1, 6, 3, 4)
    torch.testing.assert_close(head(x)[..., 1:2, 2:3], head(x[..., 1:2, 2:3]))
