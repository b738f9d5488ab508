"""Weights of CompressAI's models: from a state dict of theirs to a model of ours. CompressAI itself is not needed.

::

    checkpoint --read--> state dict --names--> one vocabulary --recognise--> configuration --build--> model
                                                    `---- rename, check, convert ----> weights ------^

Known are bmshj2018-hyperprior, mbt2018-mean, mbt2018, cheng2020-anchor and cheng2020-attn, of any width. The model's
``forward`` equals theirs: rounding, medians of the hyper-latents, and lower bounds are the same.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from trimix.architectures.building import build
from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, CompressionConfig, HyperpriorConfig
from trimix.errors import ModelError
from trimix.layers.gdn import BETA_MINIMUM, PEDESTAL
from trimix.layers.residual import DownsamplingBlock, ResidualBlock, UpsamplingBlock
from trimix.shapes import Tensor
from trimix.training.checkpoint import read_pickled

ARCHITECTURES = ("bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor", "cheng2020-attn")
_WRAPPERS = ("state_dict", "network")
_LISTED = 4
"""How many names a message lists."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """State dict of a checkpoint, which may be plain or lie under ``state_dict`` or ``network``.

    Nothing in the file is executed.

    Raises:
        ModelError: the file is missing, is no checkpoint, or holds no tensors.
    """
    try:
        checkpoint = read_pickled(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such checkpoint") from error
    except Exception as error:  # what is damaged meets torch in many ways, AssertionError and struct.error among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path}: must be a checkpoint that holds tensors and nothing to execute, found another file ({reason}); "
            "save the model's state_dict() alone"
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise ModelError(
            f"{path}: must hold a state dict, found a {type(checkpoint).__name__}; save the model's state_dict()"
        )
    try:
        return _unwrapped(cast(Mapping[Any, object], checkpoint))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def model_from_state_dict(
    state: Mapping[str, object], *, rate_distortion_lambda: float | None = None
) -> CompressionModel:
    """The model that a state dict of CompressAI describes, with its weights, in single precision.

    Architecture and widths are recognised by names and shapes. Tables of the entropy coder, which ``update()`` adds,
    are ignored: ours are made from the weights.

    Args:
        state: plain or under ``state_dict`` or ``network``; with or without ``module.`` before every name; with the
            names of older and newer versions.
        rate_distortion_lambda: trade-off that the weights were trained for, of ``R + lambda * 255^2 * MSE``, which a
            state dict does not tell; by default the configuration's.

    Raises:
        ModelError: another architecture, or tensors that are missing, unknown or of the wrong shape.
    """
    tensors = {_with_common_name(name): tensor for name, tensor in _unwrapped(state).items()}
    config = _recognised(tensors)
    if rate_distortion_lambda is not None:
        config = config.model_copy(update={"rate_distortion_lambda": rate_distortion_lambda})
    _check_bounds(tensors)
    model = build(config)
    expected = model.state_dict()
    theirs = _their_names(model)
    # No gate follows the last matrix of the factorized prior; ours has a place for it, which stays zero.
    unused = f"hyper_prior.gates.{len(model.hyper_prior.gates) - 1}"
    missing = [theirs[name] for name in expected if theirs[name] not in tensors and name != unused]
    unknown = [name for name in set(tensors) - set(theirs.values()) if not _IGNORED.fullmatch(name)]
    if missing or unknown:
        found = [f"{what} {_listed(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ModelError(
            f"the state dict must hold every weight of its architecture and no other, found {'; '.join(found)}; "
            f"known are {', '.join(ARCHITECTURES)}"
        )
    for name, start in expected.items():
        converted = torch.zeros_like(start)
        if theirs[name] in tensors:
            converted = _converted(theirs[name], tensors, config)
        if converted.shape != start.shape:
            raise ModelError(
                f"{theirs[name]} must be {list(start.shape)} to fit the other layers, found {list(converted.shape)}"
            )
        expected[name] = converted
    model.load_state_dict(expected)
    return model


def architecture_of(config: CompressionConfig) -> str:
    """CompressAI's name of the architecture of a model that was made from its weights.

    Raises:
        ModelError: CompressAI has no such architecture.

    >>> architecture_of(HyperpriorConfig(zero_mean=True))
    'bmshj2018-hyperprior'
    """
    match config:
        case HyperpriorConfig():
            return "bmshj2018-hyperprior" if config.zero_mean else "mbt2018-mean"
        case AutoregressiveConfig():
            return "mbt2018"
        case AttentionConfig():
            return "cheng2020-attn" if config.attention else "cheng2020-anchor"
    raise ModelError(f"the architecture must be one of {', '.join(ARCHITECTURES)}, found {config.kind}")


def _unwrapped(state: Mapping[Any, object]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        inner = state.get(wrapper)
        if isinstance(inner, Mapping):
            state = cast(Mapping[Any, object], inner)
            break
    tensors = {name: one for name, one in state.items() if isinstance(name, str) and isinstance(one, Tensor)}
    if not tensors or len(tensors) != len(state):
        others = [repr(name) for name in state if name not in tensors]
        raise ModelError(
            f"a state dict must hold tensors and nothing else, found {_listed(others) or 'nothing'}: give the model's "
            f"state_dict(), plain or under {' or '.join(map(repr, _WRAPPERS))}"
        )
    for name, one in tensors.items():
        # A few bytes can claim to be a large tensor by naming each of them many times.
        is_plain = one.layout == torch.strided and not one.is_complex()
        if not is_plain or one.is_quantized or one.numel() * one.element_size() > one.untyped_storage().nbytes():
            raise ModelError(
                f"{name[:60]!r} must be a plain tensor of real numbers, each stored once, found {_kind(one)}; "
                "save it with contiguous()"
            )
    return tensors


def _kind(tensor: Tensor) -> str:
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return str(tensor.dtype).removeprefix("torch.") + " of " + "x".join(map(str, tensor.shape))


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


_PRIOR = re.compile(r"entropy_bottleneck\._?(matri|bias|factor)[a-z]*\.?(\d+)")


def _with_common_name(name: str) -> str:
    """A name as the newest version has it."""
    name = name.removeprefix("module.").replace(".downsample.", ".skip.")
    prior = _PRIOR.fullmatch(name)
    if prior:
        kind = {"matri": "matrices", "bias": "biases", "factor": "factors"}[prior[1]]
        return f"entropy_bottleneck.{kind}.{prior[2]}"
    return name


def _recognised(tensors: Mapping[str, Tensor]) -> CompressionConfig:
    def channels(name: str, axis: int = 0) -> int:
        tensor = tensors.get(name)
        if tensor is None or tensor.dim() <= axis:
            raise ModelError(
                f"{name} is missing, so this is none of {', '.join(ARCHITECTURES)}; give the state dict of one of them"
            )
        return tensor.shape[axis]

    has_context = "context_prediction.weight" in tensors
    if "g_a.0.conv1.weight" in tensors:
        attention = any(".conv_a." in name for name in tensors)
        return AttentionConfig(latent_channels=channels("g_a.0.conv1.weight"), attention=attention)
    n, m = channels("g_a.0.weight"), channels("g_a.6.weight")
    channels("g_a.1.beta")
    if has_context:
        return AutoregressiveConfig(channels=n, latent_channels=m)
    zero_mean = channels("h_s.4.weight") == m
    return HyperpriorConfig(channels=n, latent_channels=m, zero_mean=zero_mean)


_IGNORED = re.compile(
    r"(entropy_bottleneck|gaussian_conditional)\._(offset|quantized_cdf|cdf_length)"
    r"|entropy_bottleneck\.target|gaussian_conditional\.(scale_table|scale_bound)"
    r"|context_prediction\.mask|.*\.pedestal|.*\.bound"
)


def _check_bounds(tensors: Mapping[str, Tensor]) -> None:
    # Ours are fixed; a checkpoint with others would silently give other bits.
    for name, tensor in tensors.items():
        if name.endswith("likelihood_lower_bound.bound"):
            ours = 1e-9
        elif name in ("gaussian_conditional.lower_bound_scale.bound", "gaussian_conditional.scale_bound"):
            ours = 0.11
        else:
            continue
        # In the precision of the checkpoint: half precision has no 1e-9.
        found, expected = tensor.double().flatten(), torch.full_like(tensor, ours).double().flatten()
        if not torch.allclose(found, expected, rtol=1e-4, atol=0):
            raise ModelError(f"{name} must be {ours:g}, found {found.tolist()}: this model is of another kind")


_RENAMED = (
    (r"^analysis\.", "g_a."),
    (r"^synthesis\.", "g_s."),
    (r"^hyper_analysis\.", "h_a."),
    (r"^hyper_synthesis\.", "h_s."),
    (r"^head\.", "entropy_parameters."),
    (r"^context\.convolution\.", "context_prediction."),
    (r"^hyper_prior\.medians$", "entropy_bottleneck.quantiles"),
    (r"^hyper_prior\.gates\.", "entropy_bottleneck.factors."),
    (r"^hyper_prior\.", "entropy_bottleneck."),
    (r"\.trunk\.(\d)\.branch\.", r".conv_a.\1.conv."),
    (r"\.mask\.(\d)\.branch\.", r".conv_b.\1.conv."),
    (r"\.mask\.", ".conv_b."),
)
_RENAMED_IN = {
    ResidualBlock: {"first": "conv1", "second": "conv2"},
    DownsamplingBlock: {"first": "conv1", "second": "conv2", "normalization": "gdn", "shortcut": "skip"},
    UpsamplingBlock: {"first": "subpel_conv", "second": "conv", "normalization": "igdn", "shortcut": "upsample"},
}


def _their_names(model: CompressionModel) -> dict[str, str]:
    """Their name of every tensor of a model of ours."""
    names = {}
    for name in model.state_dict():
        theirs = name
        for path, module in model.named_modules():
            if type(module) in _RENAMED_IN and name.startswith(f"{path}."):
                part, _, rest = name.removeprefix(f"{path}.").partition(".")
                theirs = f"{path}.{_RENAMED_IN[type(module)][part]}.{rest}"
        for ours, pattern in _RENAMED:
            theirs = re.sub(ours, pattern, theirs)
        if model.config.head_layout.zero_mean and theirs.startswith("h_a."):
            # Ours begins with a module that takes the magnitude.
            theirs = re.sub(r"\d+", lambda found: str(int(found[0]) - 1), theirs, count=1)
        names[name] = theirs
    return names


def _converted(name: str, tensors: Mapping[str, Tensor], config: CompressionConfig) -> Tensor:
    tensor = tensors[name].float()
    if not bool(tensor.isfinite().all()):
        raise ModelError(f"{name} must be finite, found NaN or infinity: the checkpoint is damaged")
    if name == "entropy_bottleneck.quantiles":
        if tensor.dim() != 3 or tensor.shape[1:] != (1, 3):
            raise ModelError(f"{name} must be [channels 1 3], found {list(tensor.shape)}")
        return tensor[:, 0, 1]
    if name.endswith((".beta", ".gamma")):
        return _converted_gdn(name, tensor, tensors)
    last = "entropy_parameters.4." if config.has_context else "h_s.4."
    if name.startswith(last) and not config.head_layout.zero_mean:
        scales, means = tensor.chunk(2)  # ours are the other way round
        return torch.cat([means, scales])
    return tensor


def _converted_gdn(name: str, stored: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """Both store sqrt(p + pedestal), bounded from below: the same numbers where pedestal and bound agree."""
    minimum = BETA_MINIMUM if name.endswith(".beta") else 0.0
    pedestal = _number(tensors, f"{name}_reparam.pedestal", PEDESTAL)
    bound = _number(tensors, f"{name}_reparam.lower_bound.bound", (minimum + PEDESTAL) ** 0.5)
    same = abs(pedestal / PEDESTAL - 1) < 1e-5 and abs(bound / (minimum + PEDESTAL) ** 0.5 - 1) < 1e-5
    if same:
        return stored
    value = stored.double().clamp(min=bound).square() - pedestal
    return torch.sqrt(value.clamp(min=minimum) + PEDESTAL).float()


def _number(tensors: Mapping[str, Tensor], name: str, otherwise: float) -> float:
    tensor = tensors.get(name)
    return otherwise if tensor is None or tensor.numel() != 1 else float(tensor)
