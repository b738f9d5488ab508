"""SOAP: Adam in a basis that it finds itself."""

import copy

import pytest
import torch
from torch import nn

from tiny_models import tiny_model
from trimix.errors import TrainingError
from trimix.layers.masked_convolution import MaskedConvolution, TapConvolution
from trimix.layers.offsets import raster_offsets
from trimix.training.checkpoint import RunState
from trimix.training.config import OptimizerConfig, SoapConfig
from trimix.training.optimizers import NonFiniteSteps, build_average, build_optimizer
from trimix.training.soap import Soap

RATE = 0.01


def soap(*weights, taps=None, others=(), **options):
    optimizer = Soap(dict(zip(weights, taps or [1] * len(weights), strict=True)), others, **options)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    return optimizer


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rotation(size, seed):
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator(seed)))[0]


def steps_to_a_tenth(make, dtype=torch.float64):
    """Of a quadratic whose Hessian, as the noise of its gradients, is A x B: turned diagonals of condition 100 each."""
    spectra = [torch.logspace(-1, 1, size, dtype=torch.float64) for size in (8, 6)]
    turns = [rotation(len(spectrum), seed) for seed, spectrum in enumerate(spectra, 1)]
    left, right = (
        (turn @ spectrum.sqrt().diag() @ turn.T).to(dtype) for turn, spectrum in zip(turns, spectra, strict=True)
    )
    # As far from the minimum in every direction, by the loss.
    start = torch.randn(8, 6, dtype=dtype, generator=generator(3))
    weight = nn.Parameter(left.inverse() @ start @ right.inverse())
    optimizer, noise = make(weight), generator(4)
    for step in range(2000):
        root = left @ weight.detach() @ right
        if root.square().sum() < 0.1 * start.square().sum():
            return step
        weight.grad = left @ (root + torch.randn(8, 6, dtype=dtype, generator=noise)) @ right
        for group in optimizer.param_groups:
            group["lr"] = 3 * RATE
        optimizer.step()
    return 2000


def test_it_needs_far_fewer_steps_than_adam_where_the_hessian_is_a_kronecker_product():
    by_adam = steps_to_a_tenth(lambda weight: torch.optim.Adam([weight], betas=(0.95, 0.95)))
    assert steps_to_a_tenth(soap) < by_adam / 3
    rounded = steps_to_a_tenth(lambda weight: soap(weight, half_products=True), torch.float32)
    assert rounded < by_adam / 3


def test_in_the_standard_basis_it_is_adam_from_the_second_gradient_on():
    weight = nn.Parameter(torch.randn(5, 4, 3, 3, dtype=torch.float64, generator=generator()))
    gradients = torch.randn(12, *weight.shape, dtype=torch.float64, generator=generator(1))
    expected, first, second = weight.detach().clone(), 0.0, 0.0
    optimizer = soap(weight, taps=[9], largest_side=1, decay=0.9, eps=1e-3)
    for count, gradient in enumerate(gradients):
        weight.grad = gradient.clone()
        optimizer.step()
        if count:
            first = 0.9 * first + 0.1 * gradient
            second = 0.9 * second + 0.1 * gradient**2
            correction = 1 - 0.9**count
            expected -= RATE * (first / correction) / ((second / correction).sqrt() + 1e-3)
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=1e-14)


def test_turned_rows_and_columns_turn_its_path():
    """Adam's would be another; this basis is that of the gradients, wherever the axes are."""
    rows, columns = rotation(4, 5), rotation(5, 6)

    def turned(arrays):
        return torch.einsum("ab,...btc,cd->...atd", rows, arrays, columns)

    gradients = torch.randn(14, 4, 3, 5, dtype=torch.float64, generator=generator(7))
    ends = []
    for each in (gradients, turned(gradients)):
        weight = nn.Parameter(torch.zeros(4, 5, 1, 3, dtype=torch.float64))
        optimizer = soap(weight, taps=[3])
        for gradient in each:
            weight.grad = gradient.permute(0, 2, 1)[:, :, None]
            optimizer.step()
        ends.append(weight.detach()[:, :, 0].permute(0, 2, 1))
    assert ends[0].abs().max() > RATE
    torch.testing.assert_close(turned(ends[0]), ends[1], rtol=1e-9, atol=1e-12)


def networks():
    """Layers of three layouts, two of them alike, and a vector."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 1), TapConvolution(4, 5, ((0, 1), (1, 0)))]
    network = nn.ModuleList(layers).to(memory_format=torch.channels_last)
    return network, build_optimizer(network, OptimizerConfig(kind="soap"))


def train(network, optimizer, steps, skip=()):
    """Steps with gradients that are functions of step and name."""
    for step in steps:
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator(step))
            parameter.grad = None if name in skip else noise + 0.1 * parameter.detach()
        for group in optimizer.param_groups:
            group["lr"] = RATE * group["ratio"]
        optimizer.step()


def assert_same(one, other):
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_the_order_of_stacks_changes_nothing():
    network, optimizer = networks()
    train(network, optimizer, range(12))
    again, _ = networks()
    matrices = [(layer.weight, taps) for layer, taps in zip(again, (9, 9, 1, 2), strict=True)][::-1]
    vectors = [layer.bias for layer in again][::-1]
    backwards = Soap(dict(matrices), [{"params": vectors, "ratio": SoapConfig().vector_ratio, "betas": (0.9, 0.999)}])
    train(again, backwards, range(12))
    assert_same(network, again)


@pytest.mark.parametrize("stop", [1, 2, 7, 10])
def test_a_loaded_state_goes_on_bit_for_bit(stop, tmp_path):
    network, optimizer = networks()
    train(network, optimizer, range(stop))
    torch.save([network.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
    train(network, optimizer, range(stop, 13))
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    kept = copy.deepcopy(state)
    again, other = networks()
    train(again, other, range(3))  # something else to forget
    again.load_state_dict(weights)
    other.load_state_dict(state)
    assert other.state_dict().keys() == kept.keys()
    for index, values in other.state_dict()["state"].items():
        for name, value in values.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(kept["state"][index][name]))
    train(again, other, range(stop, 13))
    assert_same(network, again)


def test_weights_without_gradients_wait_and_the_others_do_not_notice():
    network, optimizer = networks()
    train(network, optimizer, range(4))
    before = copy.deepcopy(network[0].state_dict())
    train(network, optimizer, range(4, 8), skip=("0.weight", "0.bias"))
    assert all(torch.equal(value, before[name]) for name, value in network[0].state_dict().items())
    train(network, optimizer, range(8, 12))
    alone, its_own = networks()
    train(alone, its_own, range(4))
    train(alone, its_own, range(8, 12), skip=("1.weight",))
    assert torch.equal(alone[0].weight, network[0].weight)
    whole, never_stopped = networks()
    train(whole, never_stopped, range(12))
    for layer in (1, 2, 3):
        torch.testing.assert_close(whole[layer].weight, network[layer].weight, rtol=0, atol=1e-6)


def test_a_skipped_step_changes_nothing():
    network, optimizer = networks()
    train(network, optimizer, range(3))
    again, other = networks()
    train(again, other, range(3))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    guard = NonFiniteSteps("cpu")
    guard.look([torch.tensor(torch.nan)])
    guard.step(optimizer)
    for a, b in ((network, optimizer), (again, other)):
        train(a, b, range(3, 7))
    assert_same(network, again)


@pytest.mark.parametrize("factor", [1.0, 1e8])
def test_no_update_is_larger_than_the_rate(factor):
    weight = nn.Parameter(torch.zeros(6, 8, dtype=torch.float64))
    optimizer = soap(weight)
    for step in range(40):
        before = weight.detach().clone()
        # The direction changes again and again, and the size where the basis is still that of before.
        direction = torch.outer(*(torch.randn(n, dtype=torch.float64, generator=generator(step)) for n in (6, 8)))
        weight.grad = direction * (factor if step % 7 == 0 else 1.0)
        optimizer.step()
        assert (weight - before).square().mean().sqrt() <= RATE * (1 + 1e-9)


def test_masked_taps_stay_as_they_are():
    layer = MaskedConvolution(6, 7, 5, raster_offsets(5)).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(layer, OptimizerConfig(kind="soap"))
    optimizer.param_groups[0]["lr"] = RATE
    before = layer.weight.detach().clone()
    for step in range(6):
        optimizer.zero_grad()
        layer(torch.randn(2, 6, 5, 5, generator=generator(step))).square().sum().backward()
        optimizer.step()
    moved = (layer.weight != before).flatten(0, 1).any(0)
    assert torch.equal(moved, layer.mask[0, 0].bool())


def test_weights_of_layers_are_matrices_and_the_linear_path_is_adams():
    model = tiny_model()
    config = OptimizerConfig(kind="soap", soap=SoapConfig(vector_ratio=0.5), linear_path_ratio=0.1)
    matrices, vectors, linear = build_optimizer(model, config).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted(names.values()) == sorted(
        names[id(parameter)] for group in (matrices, vectors, linear) for parameter in group["params"]
    )
    assert (matrices["ratio"], vectors["ratio"], linear["ratio"]) == (1.0, 0.5, pytest.approx(0.05))
    assert all(parameter.ndim == 4 and min(parameter.shape[:2]) >= 4 for parameter in matrices["params"])
    assert {names[id(parameter)] for parameter in linear["params"]} == {
        f"{part}.linear.{name}"
        for part, name in (("analysis", "weight"), ("analysis", "bias"), ("synthesis", "weight"), ("synthesis", "mean"))
    }
    assert not any(names[id(parameter)].endswith(("bias", "log_factors")) for parameter in matrices["params"])


def checkpoint_parts(kind):
    model = tiny_model()
    return (model, build_average(model, 0.9, NonFiniteSteps("cpu")), build_optimizer(model, OptimizerConfig(kind=kind)))


def write(path, kind):
    model, average, optimizer = checkpoint_parts(kind)
    train(model, optimizer, range(2))
    RunState(model, average, optimizer).save(path, "{}")


@pytest.mark.parametrize(("has", "wants"), [("adam", "soap"), ("soap", "adam")])
def test_a_checkpoint_of_the_other_optimiser_is_one_clear_line(tmp_path, has, wants):
    write(tmp_path / "last.ckpt", has)
    with pytest.raises(TrainingError, match=f"must be that of the run, {wants}, found {has}; take") as caught:
        RunState(*checkpoint_parts(wants)).load(tmp_path / "last.ckpt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["row_basis", "column_factor", "exp_avg"])
def test_a_damaged_basis_is_one_clear_line(tmp_path, name):
    write(tmp_path / "last.ckpt", "soap")
    contents = torch.load(tmp_path / "last.ckpt", weights_only=True)
    contents["optimizer"]["state"][0][name] = torch.zeros(2, 3)
    torch.save(contents, tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match="is not a whole checkpoint"):
        RunState(*checkpoint_parts("soap")).load(tmp_path / "last.ckpt")


def test_bases_of_gradients_nearly_of_rank_one_are_found_in_double_precision(monkeypatch):
    plain = torch.linalg.eigh

    def giving_up(matrix):
        if matrix.dtype != torch.float64:
            raise torch.linalg.LinAlgError("too many repeated eigenvalues")  # as LAPACK did, of a long run
        return plain(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", giving_up)
    weight = nn.Parameter(torch.zeros(48, 32))
    rows = torch.randn(48, generator=generator()) * (torch.arange(48) % 3 > 0)
    weight.grad = torch.outer(rows, torch.randn(32, generator=generator(1)))
    optimizer = soap(weight)
    optimizer.step()
    for side, size in (("row", 48), ("column", 32)):
        basis = optimizer.state[weight][f"{side}_basis"]
        torch.testing.assert_close(basis.T @ basis, torch.eye(size), rtol=0, atol=1e-5)
