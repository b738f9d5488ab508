"""Laws of generalized divisive normalization."""

import math

import pytest
import torch

from trimix.layers import gdn
from trimix.layers.gdn import GeneralizedDivisiveNormalization


def random_layer(seed, channels, inverse, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    layer = GeneralizedDivisiveNormalization(channels, inverse=inverse).to(dtype)
    with torch.no_grad():
        layer.beta.copy_(0.5 + torch.rand(channels, generator=generator))
        layer.gamma.copy_(torch.rand(channels, channels, generator=generator))
    return layer, torch.randn(2, channels, 3, 4, generator=generator, dtype=dtype)


@pytest.mark.parametrize("inverse", [False, True])
def test_equals_a_naive_loop(inverse):
    layer, x = random_layer(1, 3, inverse)
    beta = [b.item() ** 2 - 2.0**-36 for b in layer.beta]
    gamma = [[g.item() ** 2 - 2.0**-36 for g in row] for row in layer.gamma]
    expected = torch.empty_like(x)
    for n in range(2):
        for row in range(3):
            for column in range(4):
                pixel = x[n, :, row, column].tolist()
                for i in range(3):
                    energy = beta[i] + sum(gamma[i][j] * pixel[j] ** 2 for j in range(3))
                    expected[n, i, row, column] = pixel[i] * energy ** (0.5 if inverse else -0.5)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("inverse", [False, True])
def test_gradcheck(inverse):
    layer, x = random_layer(2, 2, inverse)
    parameters = dict(layer.named_parameters())

    def call(x, beta, gamma):
        return torch.func.functional_call(layer, {"beta": beta, "gamma": gamma}, (x,))

    inputs = tuple(
        v.detach().clone().requires_grad_() for v in (x[:1, :, :2, :2], parameters["beta"], parameters["gamma"])
    )
    assert torch.autograd.gradcheck(call, inputs)


def test_starts_as_the_formula_with_beta_1_and_gamma_a_tenth_of_the_identity():
    layer = GeneralizedDivisiveNormalization(4)
    beta, gamma = layer.coefficients()
    torch.testing.assert_close(beta, torch.ones(4))
    torch.testing.assert_close(gamma, 0.1 * torch.eye(4))
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"beta": (4,), "gamma": (4, 4)}


@pytest.mark.parametrize("inverse", [False, True])
def test_parameters_stay_positive_under_hostile_steps_and_come_back(inverse):
    layer = GeneralizedDivisiveNormalization(3, inverse=inverse)
    with torch.no_grad():
        layer.beta.sub_(100.0)
        layer.gamma.sub_(100.0)
    beta, gamma = layer.coefficients()
    assert (beta > 0).all()
    assert (gamma >= 0).all()
    assert layer(torch.full((1, 3, 2, 2), 1e-3)).isfinite().all()
    assert layer(torch.zeros(1, 3, 2, 2)).abs().max() == 0
    # The gradient that asks for larger coefficients reaches them even below the bound.
    (-beta.sum() - gamma.sum()).backward()
    assert (layer.beta.grad < 0).all()
    assert (layer.gamma.grad < 0).all()


def test_stays_positive_while_an_optimizer_pushes_it_down():
    layer = GeneralizedDivisiveNormalization(2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    x = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    for sign in (1, -1, 1, 1, -1):
        optimizer.zero_grad()
        (-sign * layer(x).square().sum()).backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        beta, gamma = layer.coefficients()
        assert (beta > 0).all()
        assert (gamma >= 0).all()
        assert layer(x).isfinite().all()


def test_large_inputs_end_on_a_sphere():
    layer = GeneralizedDivisiveNormalization(1)
    assert layer(torch.full((1, 1, 1, 1), 1e6)).item() == pytest.approx(1 / math.sqrt(0.1), rel=1e-6)


@pytest.mark.parametrize("inverse", [False, True])
def test_single_precision_under_autocast(inverse):
    layer, x = random_layer(4, 8, inverse, torch.float32)
    plain = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x), plain)
        short = layer(x.bfloat16())
    assert short.dtype == torch.bfloat16
    assert torch.equal(short, layer(x.bfloat16().float()).bfloat16())


def test_keeps_channels_last():
    layer, x = random_layer(5, 4, False, torch.float32)
    last = layer(x.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, layer(x))


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_parts_make_no_difference(inverse, layout, monkeypatch):
    layer, x = random_layer(6, 4, inverse)
    x = x.contiguous(memory_format=layout).requires_grad_()
    results = []
    for at_once in (2**18, 20):
        monkeypatch.setattr(gdn, "_NUMBERS_AT_ONCE", at_once)
        result = layer(x)
        results.append((result, *torch.autograd.grad(result.square().sum(), (x, *layer.parameters()))))
    for whole, in_parts in zip(*results, strict=True):
        torch.testing.assert_close(in_parts, whole, rtol=1e-12, atol=1e-12)


def test_half_precision_has_gradients_in_half_precision():
    layer, x = random_layer(7, 8, False, torch.float32)
    gradients = []
    for values in (x, x.bfloat16()):
        values = values.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (layer(values) * x).sum().backward()
        gradients.append(values.grad)
    exact, found = gradients
    assert exact.dtype == torch.float32
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0, atol=0.02 * float(exact.abs().max()))
