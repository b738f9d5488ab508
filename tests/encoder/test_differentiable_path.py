"""The path in floats counts what the integers count, and its gradient is that of its own bits."""

import pytest
import torch
from searched import MODELS, shaken, some_picture, tiny_codec

from trimix.encoder import differentiable_path
from trimix.encoder.differentiable_path import DifferentiablePath


def setting(name, height=100, width=150):
    """Path, values [M h w], side features [h w S] and where each context is looked at [1 P h w]."""
    codec = tiny_codec(name)
    symbols = shaken(codec, some_picture(height, width))
    side = torch.from_numpy(codec.model.side_features(symbols.hyper_latent, symbols.quality_integer))
    looking = torch.zeros(1, len(codec.model.latent_model.contexts), *side.shape[:2])
    for one in codec.model.schedule(*side.shape[:2]):
        if one.context is not None:
            looking[0, one.context, one.rows, one.columns] = 1
    return codec, symbols, torch.from_numpy(codec.latents.dequantize(symbols)), side, looking


def in_double_precision(path):
    for layer in (*path._hyper_synthesis, *path._head, *path._contexts):
        for name, tensor in vars(layer).items():
            setattr(layer, name, tensor.double() if isinstance(tensor, torch.Tensor) else tensor)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_floats_count_what_integers_count(name):
    codec, symbols, values, side, looking = setting(name)
    path = DifferentiablePath(codec.model)
    planes = side.permute(2, 0, 1)[None].float()
    context = path.context_features(values[None], looking)
    found = path.bits(values[None], context, planes)[0]
    counted = codec.latents.count(symbols).latent_bits
    assert float(found.double().sum()) == pytest.approx(counted.sum(), rel=0.01)
    by_channel = found.double().sum(dim=(1, 2)).numpy()
    assert by_channel == pytest.approx(counted.sum(axis=(0, 1)), rel=0.03, abs=5)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_its_own_bits(name, monkeypatch):
    codec, _, values, side, looking = setting(name)
    path = DifferentiablePath(codec.model)
    gradient = torch.from_numpy(path.context_gradient(values.numpy(), side.numpy()))
    if name == "hyperprior":
        assert not gradient.any()
        return
    monkeypatch.setattr(differentiable_path, "_POSITIONS_AT_ONCE", 1)
    in_strips = torch.from_numpy(path.context_gradient(values.numpy(), side.numpy()))
    assert torch.allclose(in_strips, gradient, rtol=1e-3, atol=1e-4)

    exact = in_double_precision(DifferentiablePath(codec.model))
    values, looking = values.double(), looking.double()
    planes = side.permute(2, 0, 1)[None].double()

    def bits(seen):
        # What is coded stays: a latent's own bits are left out.
        return float(exact.bits(values[None], exact.context_features(seen[None], looking), planes).sum())

    step = 1e-4
    generator = torch.Generator().manual_seed(1)
    places = [tuple(int(torch.randint(n, (1,), generator=generator)) for n in values.shape) for _ in range(12)]
    for place in places:
        up, down = values.clone(), values.clone()
        up[place] += step
        down[place] -= step
        assert float(gradient[place]) == pytest.approx((bits(up) - bits(down)) / (2 * step), rel=0.03, abs=1e-2)


@pytest.mark.parametrize("name", ["gllmm-lite", "gllmm-lite, interlaced", "gllmm"])
def test_what_nobody_sees_has_no_gradient(name):
    codec, _, values, side, looking = setting(name)
    gradient = torch.from_numpy(DifferentiablePath(codec.model).context_gradient(values.numpy(), side.numpy()))
    # The last position of a raster has no successor; positions of the last pass of the others are seen by none.
    unseen = torch.zeros(side.shape[:2], dtype=torch.bool) if name == "gllmm" else looking[0, -1].bool()
    unseen[-1, -1] |= name == "gllmm"
    assert not gradient[:, unseen].any()
    assert gradient[:, ~unseen].any()


@pytest.mark.parametrize("name", MODELS)
def test_the_side_features_are_those_of_the_integers(name):
    codec, symbols, _, side, _ = setting(name)
    path = DifferentiablePath(codec.model)
    found = path.side_features(torch.from_numpy(symbols.hyper_latent).float(), symbols.quality_integer)[0].permute(
        1, 2, 0
    )
    assert found.shape == side.shape
    assert torch.allclose(found, side.float(), rtol=0.01, atol=4)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_by_hyper_latents_is_that_of_the_bits(name, monkeypatch):
    codec, symbols, values, _, looking = setting(name)
    path = DifferentiablePath(codec.model)
    hyper_latent, quality = torch.from_numpy(symbols.hyper_latent).float(), symbols.quality_integer
    context = path.context_features(values[None], looking)
    bits, gradient = path.hyper_gradient(values, context, hyper_latent, quality)
    monkeypatch.setattr(differentiable_path, "_POSITIONS_AT_ONCE", 1)
    alone, nothing = path.hyper_gradient(values, context, hyper_latent, quality, differentiate=False)
    assert torch.equal(alone, bits)
    assert not nothing.any()
    bits_in_strips, in_strips = path.hyper_gradient(values, context, hyper_latent, quality)
    assert torch.allclose(bits_in_strips, bits, rtol=1e-4)
    assert torch.allclose(in_strips, gradient, rtol=1e-3, atol=1e-4)

    exact = in_double_precision(DifferentiablePath(codec.model))
    values, context = values.double()[None], context.double()

    def counted(hyper_latent):
        return exact.bits(values, context, exact.side_features(hyper_latent, quality))[0].sum(dim=0)

    assert torch.allclose(counted(hyper_latent.double()).float(), bits, rtol=1e-3, atol=1e-3)
    step = 1e-5
    for place in [(0, 0, 0), (1, 1, 2), (len(hyper_latent) - 1, 0, 1), (2, 1, 0)]:
        up, down = hyper_latent.double(), hyper_latent.double()
        up[place] += step
        down[place] -= step
        difference = float((counted(up) - counted(down)).sum()) / (2 * step)
        assert float(gradient[place]) == pytest.approx(difference, rel=0.03, abs=1e-2)
