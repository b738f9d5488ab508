"""Models of CompressAI with random weights that use every part: no latent collapses, every parameter matters.

As a script it records what tiny ones compute, for the tests that run without CompressAI:

    python tests/integrations/compressai_models.py tests/integrations/recorded
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

ARCHITECTURES = ("bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor", "cheng2020-attn")
LATENT_SPREAD = 3.0


@dataclass(frozen=True)
class Outcome:
    """What a model computes of a batch: reconstruction, and bits of each picture."""

    reconstruction: torch.Tensor
    latent_bits: torch.Tensor
    hyper_latent_bits: torch.Tensor


def classes():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from compressai import models
    return dict(
        zip(
            ARCHITECTURES,
            (
                models.ScaleHyperprior,
                models.MeanScaleHyperprior,
                models.JointAutoregressiveHierarchicalPriors,
                models.Cheng2020Anchor,
                models.Cheng2020Attention,
            ),
            strict=True,
        )
    )


def pictures(seed=1, side=64, count=2):
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.rand(count, 3, side // 8, side // 8, generator=generator)
    x = nn.functional.interpolate(smooth, scale_factor=8, mode="bilinear")
    return ((x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1) * 255).round() / 255


def random_model(architecture, channels, latent_channels, x, seed=0):
    """A model of theirs whose latents and hyper-latents of ``x`` spread over several integers."""
    torch.manual_seed(seed)
    widths = (channels,) if architecture.startswith("cheng") else (channels, latent_channels)
    model = classes()[architecture](*widths).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("entropy_bottleneck._"):
                parameter.add_(0.3 * torch.randn(parameter.shape))
            elif name.endswith(".gamma"):
                parameter.add_(0.1 * torch.rand(parameter.shape))
            elif name.endswith("quantiles"):
                parameter[:, 0, 1] = 0.8 * torch.rand(parameter.shape[0]) - 0.4
        last = [module for module in model.g_a if isinstance(module, nn.Conv2d)][-1]
        _spread(last, lambda: model.g_a(x), LATENT_SPREAD)
        y = model.g_a(x)
        y = y.abs() if architecture == "bmshj2018-hyperprior" else y
        convolutions = [module for module in model.h_a if isinstance(module, nn.Conv2d)]
        _spread(convolutions[-1], lambda: model.h_a(y), LATENT_SPREAD)
        _spread_parameters(model, architecture, y)
    return model


def _spread(convolution, run, spread):
    # Twice: a part behind the convolution is not quite linear.
    for _ in range(2):
        factor = spread / run().std()
        convolution.weight.mul_(factor)
        convolution.bias.mul_(factor).add_(0.5 * torch.randn(convolution.bias.shape))


def _spread_parameters(model, architecture, y):
    """Scales between the bound and several steps; means that differ from latent to latent."""
    last, raw = _parameters(model, y)
    last.weight.mul_(1 / raw.std())
    half = len(last.bias) if architecture == "bmshj2018-hyperprior" else len(last.bias) // 2
    last.bias[:half] = LATENT_SPREAD * torch.rand(half)
    last.bias[half:] = torch.randn(len(last.bias) - half)


def _parameters(model, y):
    """The last layer of the entropy model, and what it gives."""
    z_hat = model.entropy_bottleneck(model.h_a(y))[0]
    if not hasattr(model, "entropy_parameters"):
        return model.h_s[4], model.h_s[:5](z_hat)  # before the ReLU of scales alone
    side = model.h_s(z_hat)
    features = torch.cat([side, model.context_prediction(y.round())], dim=1)
    return model.entropy_parameters[-1], model.entropy_parameters(features)


def fitted_model(architecture, channels, latent_channels, x, seed=0, largest_spread=6.0):
    """A random model whose probabilities fit the latents of ``x``, as training would make them.

    Channels spread from ``largest_spread`` down to a hundredth of it, geometrically; scales and means follow them, and
    vary a little from place to place.
    """
    model = random_model(architecture, channels, latent_channels, x, seed)
    scales_alone = architecture == "bmshj2018-hyperprior"
    with torch.no_grad():
        last = [module for module in model.g_a if isinstance(module, nn.Conv2d)][-1]
        wanted = largest_spread * torch.logspace(0, -2, last.out_channels)
        for _ in range(3):
            factor = wanted / model.g_a(x).std(dim=(0, 2, 3))
            last.weight.mul_(factor[:, None, None, None])
            last.bias.mul_(factor)
        y = model.g_a(x)
        seen = y.abs() if scales_alone else y
        last = [module for module in model.h_a if isinstance(module, nn.Conv2d)][-1]
        _spread(last, lambda: model.h_a(seen), LATENT_SPREAD)
        centre, spread = y.mean(dim=(0, 2, 3)), y.std(dim=(0, 2, 3))
        fitted = torch.hypot(centre, spread) if scales_alone else torch.cat([1.1 * spread, centre])
        last, raw = _parameters(model, seen)
        factor = 0.2 * (fitted if scales_alone else spread.repeat(2)) / raw.std(dim=(0, 2, 3))
        last.weight.mul_(factor[:, None, None, None])
        last.bias.zero_()
        last.bias.copy_(fitted - _parameters(model, seen)[1].mean(dim=(0, 2, 3)))
    return model


def outcome(model, x):
    """Of their ``forward`` in evaluation mode."""
    with torch.no_grad():
        return _outcome(model(x))


def coded(model, x):
    """Bytes of their entropy coder's strings, and the picture that they decode to."""
    model.update()
    with torch.no_grad():
        compressed = model.compress(x)
        decompressed = model.decompress(compressed["strings"], compressed["shape"])
    byte_count = sum(len(string) for strings in compressed["strings"] for string in strings)
    return byte_count, decompressed["x_hat"]


def training_outcome(model, x, y_noise, z_noise):
    """Of their ``forward`` in training mode with this noise, wherever they draw some for y and for z."""

    def noisy(noise, permuted):
        def quantize(inputs, mode, means=None):
            assert mode == "noise"
            return inputs + (noise.transpose(0, 1).reshape(inputs.shape) if permuted else noise)

        return quantize

    model.train()
    model.entropy_bottleneck.quantize = noisy(z_noise, True)
    model.gaussian_conditional.quantize = noisy(y_noise, False)
    try:
        return _outcome(model(x))
    finally:
        del model.entropy_bottleneck.quantize, model.gaussian_conditional.quantize
        model.eval()


def _outcome(output):
    bits = {name: -p.double().log2().sum(dim=(1, 2, 3)) for name, p in output["likelihoods"].items()}
    return Outcome(output["x_hat"], bits["y"].float(), bits["z"].float())


def record(folder):
    """State dicts of tiny models with what they compute, one file each."""
    x = pictures(count=1)
    for architecture in ARCHITECTURES:
        model = random_model(architecture, 4, 6, x)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.half())  # half the size
        found = outcome(model, x)
        parameters = dict(model.named_parameters())
        tensors = {
            f"state.{name}": (value.half() if name in parameters else value).contiguous()
            for name, value in model.state_dict().items()
        }
        tensors["pixels"] = (x * 255).round().to(torch.uint8)
        tensors["reconstruction"] = found.reconstruction[..., ::4, ::4].contiguous()
        tensors["latent_bits"], tensors["hyper_latent_bits"] = found.latent_bits, found.hyper_latent_bits
        save_file(tensors, folder / f"{architecture}.safetensors")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
