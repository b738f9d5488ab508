"""The frozen probability path as a function that can be differentiated: what a symbol does to the bits of others.

::

    hyper-latents, quality --> h_s --> side features --+
                                                       |--> head --> mixture --> bits of the latents
    latents, those before each --> context features ---+

The integers of the layers become floats; nothing is rounded in between. It is a guide for the search and decides no
probability: what is chosen is counted and coded by the integers.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from trimix.encoder.mixture_bits import bits_of
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT, IntegerConvolution, IntegerLayer
from trimix.entropy_models.integer_mixture import (
    LOGIT_STEPS_PER_OCTAVE,
    SCALE_INDEX_OF_ONE,
    SCALE_STEPS_PER_OCTAVE,
    VALUE_STEPS,
    IntegerContext,
)
from trimix.entropy_models.layout import LINEAR_SCALE_STEPS, ScaleForm
from trimix.frozen.model import FrozenModel, quality_plane_value
from trimix.frozen.tiles import latent_strips
from trimix.probability import MixtureParameters
from trimix.shapes import Float, Int, Tensor

_POSITIONS_AT_ONCE = 2**12
"""Of the latent, that are differentiated together; bounds memory: a position has some 20 numbers for each channel."""


class _Layer:
    """An integer layer as a convolution in floats, in the units of its integers."""

    def __init__(self, layer: IntegerLayer, kernel: int, device: torch.device, upscale: int = 1) -> None:
        self.upscale = upscale
        self.padding, self.dilation = kernel // 2, 1
        tensors = {name: torch.from_numpy(array).double().to(device) for name, array in layer.arrays.items()}
        factor = tensors["multiplier"] / torch.exp2(tensors["shift"])
        weight = (tensors["weight"] * factor[:, None]).float()
        self.weight = weight.view(weight.shape[0], -1, kernel, kernel)
        self.bias = (tensors["bias"] * factor).float()
        slope = tensors["negative_multiplier"] / tensors["multiplier"].clamp(min=1)
        self.slope, self.minimum, self.maximum = (
            tensor.float()[:, None, None] for tensor in (slope, tensors["minimum"], tensors["maximum"])
        )
        self._has_activation = bool((self.slope != 1).any())

    def __call__(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        with torch.autocast(x.device.type, enabled=False):
            x = F.conv2d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)
        if self._has_activation:
            x = torch.where(x < 0, x * self.slope, x)
        x = torch.clamp(x, self.minimum, self.maximum)
        return F.pixel_shuffle(x, self.upscale) if self.upscale > 1 else x


class _SquareContext(_Layer):
    """A context as a convolution over the square that holds its taps, as coarse as their distances allow."""

    def __init__(self, context: IntegerContext, channels: int, device: torch.device) -> None:
        super().__init__(context.layer, 1, device)
        margin = self.padding = context.margin
        places = [(row + margin, column + margin) for row, column in context.offsets]
        self.dilation = math.gcd(2 * margin, *(coordinate for place in places for coordinate in place))
        side = 2 * margin // self.dilation + 1
        by_tap = self.weight.view(self.weight.shape[0], len(places), channels)
        self.weight = by_tap.new_zeros(len(by_tap), channels, side, side)
        for index, (row, column) in enumerate(places):
            self.weight[:, :, row // self.dilation, column // self.dilation] = by_tap[:, index]


def _reach(layers: Sequence[IntegerConvolution]) -> int:
    """How many rows of its input the result of a row looks at, above and below."""
    reach, scale = 0.0, 1
    for layer in layers:
        reach += (layer.kernel // 2) / scale
        scale *= layer.upscale
    return math.ceil(reach)


class DifferentiablePath:
    """Bits of latents as a function of the latents that their contexts see."""

    @torch.inference_mode(False)
    def __init__(self, model: FrozenModel, device: str = "cpu") -> None:
        latent_model = model.latent_model
        self.device = torch.device("cpu" if device == "torch" else device)
        self._model = model
        self._hyper_synthesis = [
            _Layer(one.layer, one.kernel, self.device, one.upscale) for one in model.hyper_synthesis
        ]
        self.hyper_margin = _reach(model.hyper_synthesis)
        """Rows of hyper-latents, above and below, that decide the side features of one."""
        self._layout = latent_model.layout
        self._channels = latent_model.latent_channels
        self._margin = latent_model.margin
        self._head = [_Layer(layer, 1, self.device) for layer in latent_model.head]
        self._contexts = [_SquareContext(one, self._channels, self.device) for one in latent_model.contexts]

    def side_features(self, hyper_latent: Float[Tensor, "Z hh hw"], quality_integer: int) -> Float[Tensor, "1 S h w"]:
        """h_s of hyper-latents, as ``FrozenModel.side_features``."""
        model, features = self._model, hyper_latent[None]
        if model.hyper_medians is not None:
            features = VALUE_STEPS * features + torch.from_numpy(model.hyper_medians).to(features)[:, None, None]
        features = features.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        if model.sees_quality:
            plane = torch.full_like(features[:, :1], quality_plane_value(quality_integer))
            features = torch.cat([features, plane], dim=1)
        for layer in self._hyper_synthesis:
            features = layer(features)
        return features

    def context_features(
        self, seen: Float[Tensor, "1 M h w"], looking: Float[Tensor, "1 P h w"]
    ) -> Float[Tensor, "1 C h w"]:
        """What the head sees of the latents; no channels in a model without context.

        Args:
            seen: latents, in steps of the quantizer.
        """
        values = seen * (VALUE_STEPS if self._layout.around_mean else 1)
        features = [context(values) * looking[:, index : index + 1] for index, context in enumerate(self._contexts)]
        return torch.stack(features).sum(dim=0) if features else seen[:, :0]

    def bits(
        self, values: Float[Tensor, "1 M h w"], context: Float[Tensor, "1 C h w"], side: Float[Tensor, "1 S h w"]
    ) -> Float[Tensor, "1 M h w"]:
        """-log2 likelihood of every latent.

        Args:
            values: whose bits are meant, in steps of the quantizer.
        """
        features = torch.cat([side, context], dim=1)
        for layer in self._head:
            features = layer(features)
        return bits_of(values, self._parameters(features))

    def looking_planes(self, height: int, width: int) -> Float[Tensor, "1 P h w"]:
        """A plane for each context: 1 where a position is coded with it, 0 elsewhere."""
        planes = torch.zeros(1, len(self._contexts), height, width, dtype=torch.float32, device=self.device)
        for one in self._model.schedule(height, width):
            if one.context is not None:
                rows, columns = (torch.from_numpy(places).to(planes.device) for places in (one.rows, one.columns))
                planes[0, one.context, rows, columns] = 1.0
        return planes

    @torch.inference_mode(False)
    @torch.enable_grad()
    def context_gradient(
        self, latents: Float[np.ndarray, "M h w"], side: Int[np.ndarray, "h w S"]
    ) -> Float[np.ndarray, "M h w"]:
        """How the bits of all latents change with what contexts see of each, its own bits left out, in bits a step.

        Args:
            latents: in steps of the quantizer.
        """
        if not self._contexts:
            return np.zeros_like(latents)
        values = torch.from_numpy(latents).to(self.device)
        gradient = torch.zeros_like(values)
        _, height, width = values.shape
        planes = torch.from_numpy(side).to(self.device).permute(2, 0, 1)[None].float()
        looking = self.looking_planes(height, width)
        for strip in latent_strips(height, width, self._margin, _POSITIONS_AT_ONCE):
            part = slice(strip.first, strip.last)
            seen = values[None, :, part].clone().requires_grad_(True)
            context = self.context_features(seen, looking[:, :, part])
            bits = self.bits(values[None, :, part], context, planes[:, :, part])
            kept = bits[:, :, strip.start - strip.first : strip.stop - strip.first].sum()
            gradient[:, part] += torch.autograd.grad(kept, seen)[0][0]
        return gradient.cpu().numpy()

    @torch.inference_mode(False)
    @torch.enable_grad()
    def hyper_gradient(
        self,
        values: Float[Tensor, "M h w"],
        context: Float[Tensor, "1 C h w"],
        hyper_latent: Float[Tensor, "Z hh hw"],
        quality_integer: int,
        *,
        differentiate: bool = True,
    ) -> tuple[Float[Tensor, "h w"], Float[Tensor, "Z hh hw"]]:
        """Bits of the latents at every position, and how their sum changes with the hyper-latents, in bits a step.

        Args:
            values: latents, in steps of the quantizer.
            differentiate: without, the second is zero, in half the time.
        """
        rows, columns = hyper_latent.shape[1:]
        scale = values.shape[1] // rows
        gradient, by_position = torch.zeros_like(hyper_latent), values.new_zeros(values.shape[1:])
        row_positions = scale * scale * columns
        for strip in latent_strips(rows, row_positions, self.hyper_margin, _POSITIONS_AT_ONCE):
            part = slice(strip.first, strip.last)
            symbols = hyper_latent[:, part].clone().requires_grad_(differentiate)
            side = self.side_features(symbols, quality_integer)
            side = side[:, :, scale * (strip.start - strip.first) : scale * (strip.stop - strip.first)]
            kept = slice(scale * strip.start, scale * strip.stop)
            bits = self.bits(values[None, :, kept], context[:, :, kept], side)
            if differentiate:
                gradient[:, part] += torch.autograd.grad(bits.sum(), symbols)[0]
            by_position[kept] = bits.detach().sum(dim=(0, 1))
        return by_position, gradient

    def _parameters(self, raw: Float[Tensor, "1 D h w"]) -> MixtureParameters:
        layout = self._layout
        numbers = raw.view(1, layout.numbers, self._channels, *raw.shape[2:])
        group_logits, logits, means, scales = numbers.split(layout.sizes, dim=1)
        octave = math.log(2) / LOGIT_STEPS_PER_OCTAVE
        if layout.sizes[0]:
            groups_log = torch.log_softmax(group_logits * octave, dim=1)
            parts = logits.split(layout.components, dim=1)
            log_weights = torch.cat(
                [
                    torch.log_softmax(part * octave, dim=1) + groups_log[:, index : index + 1]
                    for index, part in enumerate(parts)
                ],
                dim=1,
            )
        elif layout.has_weights:
            log_weights = torch.log_softmax(logits * octave, dim=1)
        else:
            log_weights = torch.zeros_like(scales)
        means = means / VALUE_STEPS if layout.sizes[2] else torch.zeros_like(scales)
        if layout.scale_form is ScaleForm.LOG2:
            scales = torch.exp2((scales - SCALE_INDEX_OF_ONE) / SCALE_STEPS_PER_OCTAVE)
        elif layout.scale_form is ScaleForm.BOUNDED:
            scales = scales / LINEAR_SCALE_STEPS
        else:
            scales = (scales.abs() + layout.integer_scale_minimum) / LINEAR_SCALE_STEPS
        shape = (1, len(layout.families), layout.components, self._channels, *raw.shape[2:])
        return MixtureParameters(
            layout.families, log_weights.reshape(shape), means.reshape(shape), scales.reshape(shape)
        )
