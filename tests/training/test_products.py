"""Products of single precision go to the faster library where it rounds nothing, and integers never notice."""

import pytest
import torch
from small_runs import small_run
from torch.nn import functional as F

from tiny_models import TINY
from trimix.architectures.building import build
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.layers.pointwise import bfloat16_factors, product_of_rows
from trimix.training import loop, products
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.loop import Trainer
from trimix.training.products import fast_products, rounds_nothing

CPU = torch.device("cpu")
settings = getattr(torch.backends.mkldnn, "matmul", None)
pytestmark = pytest.mark.skipif(settings is None, reason="this PyTorch has no such settings")


@pytest.fixture(autouse=True)
def unchanged():
    before = settings.fp32_precision
    rounds_nothing.cache_clear()
    yield
    rounds_nothing.cache_clear()
    assert settings.fp32_precision == before


def test_products_keep_single_precision():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(300, 500, generator=generator), torch.randn(200, 500, generator=generator)
    with fast_products(CPU):
        found = F.linear(x, weight)
    exact = x.double() @ weight.double().T
    assert torch.linalg.norm(found - exact) < 1e-6 * torch.linalg.norm(exact)


def test_integers_in_double_precision_are_exact_with_the_leave_to_round():
    generator = torch.Generator().manual_seed(1)
    x, weight = (
        torch.randint(-ACTIVATION_LIMIT, ACTIVATION_LIMIT + 1, shape, generator=generator)
        for shape in ((130, 1216), (192, 1216))
    )
    exact = x @ weight.T
    with bfloat16_factors():  # on any processor
        assert settings.fp32_precision == "bf16"
        for found in (
            x.double() @ weight.double().T,
            F.linear(x.double(), weight.double()),
            torch.bmm(x.double()[None], weight.double().T[None])[0],
            torch.einsum("pc,dc->pd", x.double(), weight.double()),
        ):
            assert torch.equal(found.long(), exact)


def test_the_leave_is_given_inside_alone_and_taken_back_after_an_error(monkeypatch):
    monkeypatch.setattr(products, "rounds_nothing", lambda: True)
    before = settings.fp32_precision
    with pytest.raises(KeyError), fast_products(CPU):
        assert settings.fp32_precision == "bf16"
        raise KeyError
    assert settings.fp32_precision == before


def test_other_devices_are_left_alone():
    before = settings.fp32_precision
    with fast_products(torch.device("cuda")):
        assert settings.fp32_precision == before


@pytest.mark.parametrize("reason", ["rounds", "tiles", "no settings"])
def test_a_processor_or_a_library_that_may_round_gets_no_leave(reason, monkeypatch):
    if reason == "rounds":
        # What a product of bfloat16 factors loses.
        plain = torch.Tensor.__matmul__

        def rounded(one, other):
            short = one.dtype == torch.float32
            return plain(one.bfloat16().float(), other.bfloat16().float()) if short else plain(one, other)

        monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
        monkeypatch.setattr(products, "_has_tiles", lambda: False)
    elif reason == "tiles":
        monkeypatch.setattr(products, "_has_tiles", lambda: True)
    else:
        monkeypatch.setattr(products, "product_settings", lambda: None)
    assert not rounds_nothing()
    before = settings.fp32_precision
    with fast_products(CPU):
        assert settings.fp32_precision == before


@pytest.mark.parametrize(("flags", "expected"), [("avx512f amx_tile amx_bf16", True), ("avx512f", False)])
def test_tiles_are_read_from_the_processors_flags(flags, expected, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"model name : one\nflags : fpu {flags} sse\n")
    assert products._has_tiles(tmp_path / "cpuinfo") == expected
    assert not products._has_tiles(tmp_path / "missing")


def test_a_run_has_the_leave_while_it_trains(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(products, "rounds_nothing", lambda: True)
    trainer = Trainer(small_run(picture_folder, steps=1), tmp_path, "cpu")
    before, seen = settings.fp32_precision, []
    trainer.run(after_phase=lambda: seen.append(settings.fp32_precision))
    assert seen == ["bf16"]
    assert settings.fp32_precision == before


@pytest.mark.parametrize("device", ["cuda", "meta"])
def test_other_devices_are_taken_to_be_fast_in_bfloat16(device):
    assert products.is_fast_in_bfloat16(torch.device(device))


def test_a_cpu_that_is_slow_in_bfloat16_trains_in_single_precision(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "is_fast_in_bfloat16", lambda _: False)
    weights = []
    for precision in ("32-true", "bf16-mixed"):
        phase = PhaseConfig(name="all", steps=2, batch_size=2, patch_size=64, precision=precision)
        config = TrainingConfig(model=TINY, data={"training": [picture_folder]}, phases=[phase])
        trainer = loop.Trainer(config, tmp_path / precision, "cpu")
        trainer.run()
        weights.append(trainer.model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_rounded_factors_round_both_gradients_too_and_nothing_else(monkeypatch):
    seen = []
    plain = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: (seen.append(settings.fp32_precision), plain(a, b))[1])
    before = settings.fp32_precision
    for may_round in (True, False):
        seen.clear()
        rows, weight = (torch.randn(shape, requires_grad=True) for shape in ((64, 256), (32, 256)))
        with bfloat16_factors(may_round):
            result = product_of_rows(rows, weight)
        result.square().sum().backward()
        assert seen == ["bf16" if may_round else before] * 2
        exact = rows.detach().double() @ weight.detach().double().T
        assert result.dtype == torch.float32
        assert torch.linalg.norm(result - exact) < (4e-3 if may_round else 1e-6) * torch.linalg.norm(exact)
        torch.testing.assert_close(rows.grad, (2 * exact @ weight.detach().double()).float(), rtol=0.05, atol=20)


def test_entropy_models_round_where_autocast_halves_the_rest(monkeypatch):
    seen = []
    model = build(TINY)
    looked = type(model).mixture_parameters

    def look(self, *arguments):
        seen.append(settings.fp32_precision)
        return looked(self, *arguments)

    monkeypatch.setattr(type(model), "mixture_parameters", look)
    x, quality = torch.rand(1, 3, 64, 64), torch.tensor([50.0])
    before = settings.fp32_precision
    for halved in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            model(x, quality)
    assert seen == ["bf16", before]
