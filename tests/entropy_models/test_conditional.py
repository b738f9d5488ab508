"""Laws of the head of the conditional entropy model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.coding.standard_tables import SCALE_LEVELS, scale_of_index
from trimix.entropy_models.conditional import bounded_log_likelihood, mixture_head, read_parameters
from trimix.entropy_models.layout import LOG2_SCALE_MAXIMUM, LOG2_SCALE_MINIMUM, MixtureLayout, ScaleForm
from trimix.probability import Family

GLLMM = tuple(Family)


def parameters_from_head(raw, families, components):
    """In the layout of ``gllmm-lite``, which has a logit for a single component, too."""
    return read_parameters(raw, MixtureLayout(families, components, has_lone_logit=True))


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
    with pytest.raises(ValueError, match=r"0 \+ 6 \+ 6 \+ 6 = 18"):
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


def test_head_without_bias_on_its_last_layer():
    head = mixture_head(6, (8,), 12, slope=0.5, last_bias=False)
    assert head[0].bias is not None
    assert head[1].negative_slope == 0.5
    assert head[2].bias is None


LAYOUTS = [
    (MixtureLayout(GLLMM, 3, two_level=True), (3, 9, 9, 9)),
    (MixtureLayout(GLLMM, 3), (0, 9, 9, 9)),
    (MixtureLayout(GLLMM, 1, two_level=True), (0, 3, 3, 3)),
    (MixtureLayout((Family.LAPLACIAN,), 9, two_level=True), (0, 9, 9, 9)),
    (MixtureLayout((Family.LOGISTIC,)), (0, 0, 1, 1)),
    (MixtureLayout((Family.GAUSSIAN,), zero_mean=True), (0, 0, 0, 1)),
    (MixtureLayout((Family.GAUSSIAN,), 3, zero_mean=True, scale_form=ScaleForm.ABSOLUTE), (0, 3, 0, 3)),
]


def numbers_of(layout, latent_channels, amplitude=3.0):
    generator = torch.Generator().manual_seed(3)
    return amplitude * torch.randn(2, layout.numbers * latent_channels, 3, 4, generator=generator)


@pytest.mark.parametrize(("layout", "sizes"), LAYOUTS)
def test_order_of_the_channels(layout, sizes):
    assert layout.sizes == sizes
    assert layout.numbers == sum(sizes)
    m = 5
    raw = numbers_of(layout, m)
    p = read_parameters(raw, layout)
    ends = [m * sum(sizes[: part + 1]) for part in range(4)]
    for f in range(len(layout.families)):
        for k in range(layout.components):
            first = (f * layout.components + k) * m
            means = raw[:, ends[1] + first :][:, :m] if sizes[2] else torch.zeros(2, m, 3, 4)
            scales = raw[:, ends[2] + first :][:, :m]
            logits = raw[:, ends[0] + first :][:, :m] if sizes[1] else torch.zeros(2, m, 3, 4)
            assert torch.equal(p.means[:, f, k], means)
            if layout.scale_form is ScaleForm.LOG2:
                scales = torch.exp2(scales.clamp(LOG2_SCALE_MINIMUM, LOG2_SCALE_MAXIMUM))
            else:
                scales = scales.abs() + layout.scale_minimum
            torch.testing.assert_close(p.scales[:, f, k], scales)
            # A softmax keeps differences of logits inside a family, whichever the levels.
            base = raw[:, ends[0] + f * layout.components * m :][:, :m] if sizes[1] else logits
            torch.testing.assert_close(
                p.log_weights[:, f, k] - p.log_weights[:, f, 0], logits - base, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize(("layout", "sizes"), LAYOUTS)
@pytest.mark.parametrize("amplitude", [0.0, 3.0, 100.0])
def test_weights_of_every_layout_sum_to_one(layout, sizes, amplitude):
    total = read_parameters(numbers_of(layout, 2, amplitude), layout).log_weights.exp().sum(dim=(1, 2))
    torch.testing.assert_close(total, torch.ones_like(total))
    assert sizes[1] > 0 or (total == 1).all()


def test_two_levels_are_a_softmax_over_families_times_one_inside_each():
    layout = MixtureLayout(GLLMM, 3, two_level=True)
    raw = numbers_of(layout, 4)
    weights = read_parameters(raw, layout).log_weights.exp()
    families = torch.softmax(raw[:, : 3 * 4].view(2, 3, 4, 3, 4), dim=1)
    inside = torch.softmax(raw[:, 3 * 4 : 12 * 4].view(2, 3, 3, 4, 3, 4), dim=2)
    torch.testing.assert_close(weights, families[:, :, None] * inside)
    torch.testing.assert_close(weights.sum(dim=2), families)


@pytest.mark.parametrize("form", [ScaleForm.LOG2, ScaleForm.BOUNDED])
def test_bounded_scales_have_a_minimum_and_a_gradient_that_leads_back(form):
    layout = MixtureLayout((Family.GAUSSIAN,), zero_mean=True, scale_form=form, scale_minimum=0.11)
    raw = torch.tensor([-50.0, 1.0])[None, None, None].requires_grad_()
    scales = read_parameters(raw, layout).scales.flatten()
    torch.testing.assert_close(scales.detach(), torch.tensor([0.11, 2.0 if form is ScaleForm.LOG2 else 1.0]))
    (-scales).sum().backward()
    assert (raw.grad < 0).all()
    raw.grad = None
    read_parameters(raw, layout).scales[..., 0].sum().backward()
    assert (raw.grad == 0).all()


def test_absolute_scales_are_magnitudes_above_a_minimum():
    layout = MixtureLayout((Family.GAUSSIAN,), zero_mean=True, scale_form=ScaleForm.ABSOLUTE, scale_minimum=0.5)
    scales = read_parameters(torch.tensor([-2.0, 0.0, 3.0])[None, None, None], layout).scales
    assert scales.flatten().tolist() == [2.5, 0.5, 3.5]


def test_a_bounded_likelihood_keeps_a_part_of_the_gradient_that_raises_it():
    values = torch.tensor([-1.0, -20.0, -22.0, -200.0], requires_grad=True)
    bounded = bounded_log_likelihood(values, 1e-9)
    expected = torch.tensor([math.exp(-1), math.exp(-20), 1e-9, 1e-9])
    torch.testing.assert_close(bounded.exp().detach(), expected)
    (-bounded).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([-1.0, -1.0, -math.exp(-22) / 1e-9, 0.0]))
    values.grad = None
    bounded_log_likelihood(values, 1e-9).sum().backward()
    assert values.grad.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0])
    assert bounded_log_likelihood(values, 0.0) is values


def test_refuses_layouts_without_sense():
    for wrong in (
        {"families": ()},
        {"components": 0},
        {"scale_minimum": 0.0},
        {"scale_minimum": float("nan")},
        {"families": (Family.GAUSSIAN, Family.GAUSSIAN)},
        {"around_mean": True},
        {"families": GLLMM[:1], "zero_mean": True, "around_mean": True},
    ):
        with pytest.raises(ValueError, match="found"):
            MixtureLayout(**{"families": GLLMM, **wrong})
    with pytest.raises(ValueError, match=r"3 \+ 9 \+ 9 \+ 9 = 30"):
        read_parameters(torch.zeros(1, 20, 2, 2), MixtureLayout(GLLMM, 3, two_level=True))
