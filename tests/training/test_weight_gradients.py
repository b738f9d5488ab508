"""Weight gradients by products are those of the convolution, and are taken where they are faster, and nowhere else."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trimix.training.weight_gradients import fast_weight_gradients, weight_gradient

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [(7, 7), (8, 13), (1, 1), (3, 20)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 2, 2), (3, 3, 0), (1, 2, 0), (2, 3, 1)]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_is_that_of_the_convolution(size, kernel, stride, padding, memory_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).contiguous(memory_format=memory_format)
    weight = torch.randn(4, 3, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    if min(size) + 2 * padding < kernel:
        pytest.skip("no result")
    result = F.conv2d(x, weight, stride=stride, padding=padding)
    gradient = torch.randn(result.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(result, weight, gradient)
    torch.testing.assert_close(weight_gradient(x, gradient, kernel, stride, padding), expected)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(32, 40, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(40, 32, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(32, 4, 3, padding="same"),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@pytest.mark.parametrize("capability", ["AVX2", "AVX512", "DEFAULT"])
def test_a_network_has_the_same_gradients_and_takes_products_where_they_are_faster(capability, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    x = torch.randn(2, 32, 49, 51, generator=torch.Generator().manual_seed(1))
    found = []
    for inside in (False, True):
        network, fed = chain(), x.clone().requires_grad_()
        if inside:
            with fast_weight_gradients(CPU):
                result = network(fed)
        else:
            result = network(fed)
        result.square().mean().backward()
        found.append([fed.grad, *(parameter.grad for parameter in network.parameters())])
    with fast_weight_gradients(CPU):
        by_products = "_Convolution" in type(chain()(x)[:, 0].grad_fn).__name__ + _names(chain()(x).grad_fn)
    assert by_products == (capability == "AVX2")
    for plain, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)


def _names(node: object) -> str:
    """Of a graph's functions, the first of each followed."""
    names = []
    while node is not None:
        names.append(type(node).__name__)
        followed = [one for one, _ in getattr(node, "next_functions", ()) if one is not None]
        node = followed[0] if followed else None
    return " ".join(names)


@pytest.mark.parametrize(
    "change",
    [
        {"weight": torch.zeros(32, 32, 5, 5, requires_grad=True)},
        {"weight": torch.zeros(16, 32, 3, 3, requires_grad=True)},
        {"weight": torch.zeros(32, 16, 3, 3, requires_grad=True), "groups": 2},
        {"weight": torch.zeros(32, 32, 3, 3)},
        {"dilation": 2},
        {"padding": (0, 1)},
        {"padding": "valid"},
        {"stride": (1, 2)},
        {"stride": 3},
        {"input": torch.zeros(1, 32, 20, 20, requires_grad=True)},
    ],
)
def test_other_convolutions_are_left_alone(change, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    arguments = {
        "input": torch.zeros(1, 32, 40, 40, requires_grad=True),
        "weight": torch.zeros(32, 32, 3, 3, requires_grad=True),
    }
    with fast_weight_gradients(CPU):
        assert "_Convolution" in type(F.conv2d(**arguments).grad_fn).__name__
        assert "_Convolution" not in type(F.conv2d(**(arguments | change)).grad_fn).__name__
