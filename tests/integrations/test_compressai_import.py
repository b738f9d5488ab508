"""Weights of CompressAI's models: against what they compute, recorded, and against CompressAI where it is installed."""

import importlib.util
import io
import math
import warnings
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from compressai_models import ARCHITECTURES, coded, fitted_model, outcome, pictures, random_model, training_outcome
from safetensors.torch import load_file

from trimix.architectures.config import GllmmConfig
from trimix.codec import Codec
from trimix.errors import ModelError
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity
from trimix.frozen.storage import load_frozen, save_frozen
from trimix.images import Picture, to_pixels
from trimix.integrations.compressai_import import architecture_of, model_from_state_dict, read_checkpoint
from trimix.layers.gdn import BETA_MINIMUM, GeneralizedDivisiveNormalization

RECORDED = Path(__file__).parent / "recorded"
QUALITY = torch.tensor([50.0])
KINDS = dict(zip(ARCHITECTURES, ("hyperprior", "hyperprior", "autoregressive", "attention", "attention"), strict=True))
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
installed = pytest.mark.skipif(importlib.util.find_spec("compressai") is None, reason="needs CompressAI")


def recorded(architecture):
    return load_file(RECORDED / f"{architecture}.safetensors")


def state_of(architecture):
    return {
        name.removeprefix("state."): tensor.clone()  # what is loaded shares memory
        for name, tensor in recorded(architecture).items()
        if name.startswith("state.")
    }


def equal_models(first, second):
    mine, other = first.state_dict(), second.state_dict()
    return (
        first.config == second.config
        and mine.keys() == other.keys()
        and all(torch.equal(mine[name], other[name]) for name in mine)
    )


@every_architecture
def test_computes_what_compressai_computes(architecture):
    found = recorded(architecture)
    model = model_from_state_dict(state_of(architecture))
    with torch.no_grad():
        output = model(found["pixels"] / 255, QUALITY, rounding="round")
    difference = output.reconstruction[..., ::4, ::4] - found["reconstruction"]
    assert difference.abs().max() <= 1e-4
    assert float(output.latent_bits) == pytest.approx(float(found["latent_bits"]), rel=1e-4)
    assert float(output.hyper_latent_bits) == pytest.approx(float(found["hyper_latent_bits"]), rel=1e-4)
    assert 0.1 < float(found["latent_bits"]) / 64**2 < 1.0


@every_architecture
def test_recognises_the_architecture_and_its_widths(architecture):
    config = model_from_state_dict(state_of(architecture)).config
    assert config.latent_channels == (4 if architecture.startswith("cheng") else 6)
    assert config.hyper_latent_channels == 4
    assert config.kind == KINDS[architecture]
    assert config.head_layout.zero_mean == (architecture == "bmshj2018-hyperprior")
    if config.kind == "attention":
        assert config.attention == (architecture == "cheng2020-attn")
    assert architecture_of(config) == architecture


def test_an_architecture_that_compressai_lacks_has_no_name_there():
    with pytest.raises(ModelError, match=r"one of bmshj2018-hyperprior, .* found gllmm"):
        architecture_of(GllmmConfig())


def test_the_trade_off_is_noted():
    state = state_of("mbt2018")
    noted = model_from_state_dict(state, rate_distortion_lambda=0.0483)
    plain = model_from_state_dict(state)
    assert noted.config.rate_distortion_lambda == 0.0483
    assert noted.config.model_copy(update={"rate_distortion_lambda": 0.013}) == plain.config


@every_architecture
def test_names_of_other_versions_mean_the_same(architecture):
    plain = state_of(architecture)
    expected = model_from_state_dict(plain)
    prior = "entropy_bottleneck."
    renamings = {
        "parallel": lambda name: f"module.{name}",
        "lists": lambda name: (
            name.replace("._matrix", ".matrices.").replace("._bias", ".biases.").replace("._factor", ".factors.")
        ),
        "private lists": lambda name: (
            name.replace("._matrix", "._matrices.").replace("._bias", "._biases.").replace("._factor", "._factors.")
        ),
        "older blocks": lambda name: name.replace(".skip.", ".downsample."),
    }
    for rename in renamings.values():
        state = {rename(name): tensor for name, tensor in plain.items()}
        assert equal_models(model_from_state_dict(state), expected)
    updated = plain | {
        f"{prior}_quantized_cdf": torch.zeros(4, 30, dtype=torch.int32),
        f"{prior}_offset": torch.zeros(4, dtype=torch.int32),
        f"{prior}_cdf_length": torch.zeros(4, dtype=torch.int32),
        "gaussian_conditional._quantized_cdf": torch.zeros(64, 30, dtype=torch.int32),
        "gaussian_conditional._offset": torch.zeros(64, dtype=torch.int32),
        "gaussian_conditional._cdf_length": torch.zeros(64, dtype=torch.int32),
        "gaussian_conditional.scale_table": torch.zeros(64),
    }
    assert equal_models(model_from_state_dict(updated), expected)
    # As one that trained on several cards and was then made ready to code is saved.
    renamed = {f"module.{renamings['lists'](name)}": tensor for name, tensor in updated.items()}
    assert equal_models(model_from_state_dict({"state_dict": renamed}), expected)
    bare = {name: t for name, t in plain.items() if not name.endswith((".bound", ".pedestal", ".target"))}
    assert equal_models(model_from_state_dict(bare), expected)


def test_reads_plain_and_wrapped_checkpoints(tmp_path):
    state = state_of("mbt2018")
    path = tmp_path / "checkpoint.pth.tar"
    for checkpoint in (
        state,
        {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": [1e-4]}},
        {"network": state},
    ):
        torch.save(checkpoint, path)
        assert read_checkpoint(path).keys() == state.keys()
        assert equal_models(model_from_state_dict(checkpoint), model_from_state_dict(read_checkpoint(path)))
        torch.save(checkpoint, path, _use_new_zipfile_serialization=False)  # before PyTorch 1.6
        assert read_checkpoint(path).keys() == state.keys()


@pytest.mark.slow
def test_reads_what_a_training_of_compressai_saves(tmp_path):
    """As its example has it: epoch, loss, two optimizers and a scheduler beside the weights."""
    state = state_of("mbt2018-mean")
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min")
    scheduler.step(torch.tensor(0.5))
    path = tmp_path / "checkpoint_best_loss.pth.tar"
    torch.save(
        {
            "epoch": 3,
            "state_dict": state,
            "loss": torch.tensor(0.5),
            "optimizer": optimizer.state_dict(),
            "aux_optimizer": optimizer.state_dict(),
            "lr_scheduler": scheduler.state_dict(),
        },
        path,
    )
    assert equal_models(model_from_state_dict(read_checkpoint(path)), model_from_state_dict(state))


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision_are_read(precision):
    state = state_of("mbt2018-mean")
    cast = {name: t.to(precision) if t.is_floating_point() else t for name, t in state.items()}
    found, expected = model_from_state_dict(cast), model_from_state_dict(state)
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected.state_dict()[name], rtol=0.01, atol=0.01)


class Executable:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_executes_nothing(tmp_path):
    path, witness = tmp_path / "checkpoint.pth", tmp_path / "executed"
    torch.save({"state_dict": Executable(witness)}, path)
    with pytest.raises(ModelError, match="nothing to execute"):
        read_checkpoint(path)
    assert not witness.exists()


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(ModelError, match="no such checkpoint"):
        read_checkpoint(path)
    packed = io.BytesIO()
    torch.save({"a": torch.zeros(10**6)}, path)
    with ZipFile(path) as stored, ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    # Pickles that are cut off, and that call on what is not there.
    damaged = (b"\x80\x02j", b"\x80\x02a.", b"\x80\x02K\x01Q.", b"\x80\x02h\x07.")
    for contents in (b"", b"nonsense", b"PK\x03\x04 nonsense", packed.getvalue(), *damaged):
        path.write_bytes(contents)
        with pytest.raises(ModelError, match="must be a checkpoint"):
            read_checkpoint(path)
    for checkpoint, message in (
        (torch.zeros(3), "found a Tensor"),
        ({}, "found nothing"),
        ({"epoch": 3}, "found 'epoch'"),
        ({"state_dict": {"a": torch.zeros(1), "b": 3}}, "found 'b'"),
        ({("a", 1): torch.zeros(1)}, r"found \('a', 1\)"),
    ):
        torch.save(checkpoint, path)
        with pytest.raises(ModelError, match=message):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("h_a.2.bias"), r"missing h_a\.2\.bias"),
        (lambda state: state.pop("entropy_bottleneck._factor2"), r"missing entropy_bottleneck\.factors\.2"),
        (lambda state: state.update({"Gain": torch.ones(6)}), "unknown Gain"),
        (lambda state: state.pop("g_a.0.weight"), r"g_a\.0\.weight is missing"),
        (lambda state: state.pop("g_a.1.beta"), r"g_a\.1\.beta is missing"),
        (lambda state: state.update({"g_s.2.weight": torch.zeros(4, 4, 3, 3)}), r"g_s\.2\.weight must be"),
        (lambda state: state["h_s.0.bias"].fill_(math.nan), r"h_s\.0\.bias must be finite"),
        (lambda state: state.update({"h_a.0.bias": torch.zeros(9)}), r"h_a\.0\.bias must be \[4\]"),
        (
            lambda state: state["gaussian_conditional.lower_bound_scale.bound"].fill_(0.5),
            r"lower_bound_scale\.bound must be 0\.11",
        ),
        (
            lambda state: state.update({"entropy_bottleneck.quantiles": torch.zeros(4, 3)}),
            r"quantiles must be \[channels 1 3\]",
        ),
    ],
)
def test_refuses_other_models_and_damage(change, message):
    state = state_of("mbt2018-mean")
    change(state)
    with pytest.raises(ModelError, match=message):
        model_from_state_dict(state)


def test_lists_a_few_of_many_names():
    state = state_of("cheng2020-attn")
    for name in [name for name in state if name.startswith("h_s.")]:
        del state[name]
    with pytest.raises(ModelError, match=r"missing h_s\.0\.weight, .* and 6 more;"):
        model_from_state_dict(state)


def test_a_factorized_prior_alone_is_another_architecture():
    state = {name: tensor for name, tensor in state_of("bmshj2018-hyperprior").items() if name[:2] != "h_"}
    with pytest.raises(ModelError, match=r"h_s\.4\.weight is missing"):
        model_from_state_dict(state)


def test_divisive_normalization_is_stored_alike():
    state = state_of("mbt2018-mean")
    model = model_from_state_dict(state)
    assert torch.equal(model.analysis[1].gamma, state["g_a.1.gamma"].float())
    assert torch.equal(model.synthesis[1].beta, state["g_s.1.beta"].float())


def test_another_pedestal_gives_the_same_coefficients():
    state = state_of("mbt2018-mean")
    pedestal, minimum = 2.0**-20, 1e-3
    state["g_a.1.beta"][:] = torch.tensor([1.0, 0.5, 0.01, -1.0])
    state["g_a.1.beta_reparam.pedestal"] = torch.tensor([pedestal])
    state["g_a.1.beta_reparam.lower_bound.bound"] = torch.tensor([(minimum + pedestal) ** 0.5])
    normalization = model_from_state_dict(state).analysis[1]
    assert isinstance(normalization, GeneralizedDivisiveNormalization)
    beta, _ = normalization.coefficients()
    smallest = max(0.0001 - pedestal, minimum)
    expected = torch.tensor([1 - pedestal, 0.25 - pedestal, smallest, minimum])
    torch.testing.assert_close(beta.detach(), expected)
    assert minimum > BETA_MINIMUM


def close(found, expected):
    """Reconstructions within 1e-4, bits within 0.01 %."""
    torch.testing.assert_close(found.reconstruction, expected.reconstruction, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.latent_bits, expected.latent_bits, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.hyper_latent_bits, expected.hyper_latent_bits, rtol=1e-4, atol=0)


@pytest.fixture(params=ARCHITECTURES)
def theirs(request):
    """One of their models, and pictures."""
    x = pictures(side=128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return random_model(request.param, 16, 24, x), x


@installed
def test_equals_an_installed_compressai(theirs):
    model, x = theirs
    expected = outcome(model, x)
    model.update()
    with torch.no_grad():
        found = model_from_state_dict(model.state_dict())(x, QUALITY.expand(2), rounding="round")
    close(found, expected)
    bits_per_pixel = (expected.latent_bits + expected.hyper_latent_bits).mean() / 128**2
    assert 0.3 < bits_per_pixel < 1.0


@installed
def test_trains_like_an_installed_compressai(theirs):
    model, x = theirs
    ours = model_from_state_dict(model.state_dict())
    with torch.no_grad():
        y, z = ours.encode(x, QUALITY.expand(2))
    generator = torch.Generator().manual_seed(7)
    z_noise, y_noise = (torch.rand(latent.shape, generator=generator) - 0.5 for latent in (z, y))
    generator.manual_seed(7)
    gradients, outputs = [], []
    for run in (
        lambda x: ours(x, QUALITY.expand(2), rounding="noise", generator=generator),
        lambda x: training_outcome(model, x, y_noise, z_noise),
    ):
        pixels = x.clone().requires_grad_()
        output = run(pixels)
        error = 1e3 * (output.reconstruction - pixels).square().sum()
        (output.latent_bits.sum() + output.hyper_latent_bits.sum() + error).backward()
        gradients.append(pixels.grad)
        outputs.append(output)
    close(*outputs)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4 * float(gradients[1].abs().max()))


def psnr_db(pixels, original):
    return -10 * math.log10(((pixels / 255.0 - original / 255.0) ** 2).mean())


@installed
@every_architecture
def test_compresses_like_an_installed_compressai(architecture, tmp_path):
    """Our file has at most 1 % and 64 bytes more than their strings; the decoded pictures are equally good."""
    x = pictures(side=128, count=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fitted_model(architecture, 64, 64, x)
        their_bytes, their_reconstruction = coded(model, x)
    ours = model_from_state_dict(model.state_dict())
    identity = ModelIdentity("imported", IDENTIFIERS[ours.config.kind], b"", {})
    save_frozen(freeze(ours, identity, pictures(seed=2, side=128)), tmp_path / "imported.safetensors")
    original = to_pixels(x)
    data = Codec(load_frozen(tmp_path / "imported.safetensors")).encode(Picture(original))
    decoded = Codec(load_frozen(tmp_path / "imported.safetensors")).decode(data).pixels
    assert 0.3 < 8 * their_bytes / 128**2 < 1.0
    assert len(data) <= 1.01 * their_bytes + 64
    theirs = to_pixels(their_reconstruction)
    assert psnr_db(decoded, original) == pytest.approx(psnr_db(theirs, original), abs=0.02)
    assert psnr_db(decoded, theirs) > 35  # half precision moves a few latents to the next integer
