"""Between pictures and symbols, without a file: the networks of one frozen model on one device.

::

    picture --analyze: g_a, h_a in strips--> latents --quantize: run over the schedule--> symbols
    picture <--synthesize: g_s in strips-- values <--dequantize-- symbols
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from trimix.bitstream import QUALITY_STEPS, check_sides
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.passes import KnownSymbols, Rounding, SymbolSink, SymbolSource, run_schedule
from trimix.errors import UsageError
from trimix.frozen.model import FrozenModel, SymbolBits, quality_to_integer
from trimix.frozen.strips import Strip, latent_strips
from trimix.images import Picture, collapse_to_grey, pad_to_multiple, to_pixels, to_tensor
from trimix.shapes import LATENT_STRIDE, Float, Int, Int16, Tensor, UInt

PICTURE_MULTIPLE = 64
"""Sides are padded to a multiple of it: 16 pixels a latent, 4 latents a hyper-latent."""


@dataclass(frozen=True)
class Symbols:
    """The integers that a file carries.

    Args:
        latent: y_hat, magnitudes below 2^15.
        hyper_latent: z_hat, magnitudes below 2^15.
        quality_integer: the header's quality.
        values: of the latents, in the model's steps, where they are rounded around their means; None where the
            symbols are the values, or where the schedule was not run yet.
    """

    latent: Int16[Tensor, "M h w"]
    hyper_latent: Int16[Tensor, "Z hh hw"]
    quality_integer: int
    values: Int[Tensor, "M h w"] | None = None

    @property
    def quality(self) -> float:
        """1..100."""
        return self.quality_integer / QUALITY_STEPS

    @property
    def by_position(self) -> Int[np.ndarray, "h w M"]:
        """The latent as sources take it, int32."""
        return np.ascontiguousarray(self.latent.permute(1, 2, 0).cpu().numpy(), np.int32)

    def checksum(self) -> int:
        """CRC-32 over hyper-latents, then latents, as little-endian 16-bit integers in order channel, row, column."""
        crc = 0
        for part in (self.hyper_latent, self.latent):
            crc = zlib.crc32(part.cpu().numpy().astype("<i2").tobytes(), crc)
        return crc


@dataclass(frozen=True)
class Latents:
    """A picture before its latents are quantized.

    Args:
        by_position: y, in steps of the quantizer, magnitudes up to ``ACTIVATION_LIMIT``.
        hyper_latent: z_hat, on the CPU.
        side: of ``FrozenModel.side_features``, on the device of the integer path.
        quality_integer: the header's quality.
    """

    by_position: Float[np.ndarray, "h w M"]
    hyper_latent: Int16[Tensor, "Z hh hw"]
    side: Int[Tensor, "h w S"]
    quality_integer: int


@contextmanager
def in_float32() -> Iterator[None]:
    """Whatever the caller's precision: a file must not depend on it."""
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


class LatentCodec:
    """The networks of a frozen model at work. Immutable.

    Args:
        model: the frozen model.
        device: where transforms and integer path run.
    """

    def __init__(self, model: FrozenModel, device: str | torch.device = "cpu") -> None:
        self.model = model.to(device)
        self.device = torch.device(device)

    def quality_tensor(self, quality_integer: int) -> Float[Tensor, "1"]:
        """The header's quality as the transforms take it, on the device."""
        return torch.tensor([quality_integer / QUALITY_STEPS], dtype=torch.float32, device=self.device)

    def side_features(self, hyper_latent: Int16[Tensor, "Z hh hw"], quality_integer: int) -> Tensor:
        """Integer side features of one picture, [h w S]."""
        return self.model.side_features(hyper_latent[None], [quality_integer])[0]

    @torch.inference_mode()
    @in_float32()
    def analyze(self, picture: Picture, quality: float) -> Latents:
        """What g_a, gain and h_a make of a picture.

        Args:
            picture: grey or RGB, 8 or 16 bits.
            quality: 1..100.

        Raises:
            UsageError: the quality is out of range.
            PictureTooLargeError: a side is too long.
        """
        if not 1 <= quality <= 100:
            raise UsageError(f"quality must be from 1 to 100, found {quality:g}")
        check_sides(picture.width, picture.height)
        quality_integer = quality_to_integer(quality)
        factor = self.quality_tensor(quality_integer)
        pixels = pad_to_multiple(picture.pixels, PICTURE_MULTIPLE)
        height, width, _ = pixels.shape
        strips = self.strips(height // LATENT_STRIDE, width // LATENT_STRIDE)
        y = torch.cat([self._analyze_strip(pixels, strip, factor) for strip in strips], dim=2)
        y = torch.nan_to_num(y).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        z_hat = self.model.hyper_symbols(self.model.transforms.hyper_analysis(y)[0])
        side = self.side_features(z_hat, quality_integer)
        return Latents(y[0].permute(1, 2, 0).cpu().numpy(), z_hat, side, quality_integer)

    def _analyze_strip(
        self, pixels: UInt[np.ndarray, "H W C"], strip: Strip, quality: Float[Tensor, "1"]
    ) -> Float[Tensor, "1 M h w"]:
        x = to_tensor(pixels[LATENT_STRIDE * strip.first : LATENT_STRIDE * strip.last]).to(self.device)
        y = self.model.transforms.encode_latent(x, quality)
        return y[:, :, strip.start - strip.first : strip.stop - strip.first]

    def strips(self, rows: int, columns: int, share: int = 1) -> Iterator[Strip]:
        """Parts of a latent that the transforms work on one after the other; memory is bounded by them.

        Args:
            rows: of the latent.
            columns: of the latent.
            share: how many times as much memory is needed as without gradients.
        """
        facts = self.model.transforms.facts
        area = LATENT_STRIDE**2 * columns
        return latent_strips(rows, area, facts.halo, facts.pixels_at_once // share)

    @torch.inference_mode()
    @in_float32()
    def quantize(
        self,
        side: Int[Tensor, "h w S"],
        hyper_latent: Int16[Tensor, "Z hh hw"],
        quality_integer: int,
        source: SymbolSource,
        sink: SymbolSink | None = None,
    ) -> Symbols:
        """The symbols of a source, in one run over the schedule.

        Args:
            side: of ``side_features``.
            hyper_latent: its symbols.
            quality_integer: the header's.
            source: rounds, chooses or reads.
            sink: writes or counts.
        """
        model, passes = self.model.latent_model, self.model.schedule(*side.shape[:2])
        found = run_schedule(model, side, passes, source, sink)
        symbols, values = (
            planes.permute(2, 0, 1).contiguous().cpu() for planes in (found.symbols, found.values)
        )
        return Symbols(symbols, hyper_latent, quality_integer, values if model.layout.around_mean else None)

    def round(self, latents: Latents, sink: SymbolSink | None = None) -> Symbols:
        """The nearest symbols of latents."""
        source = Rounding(latents.by_position, ACTIVATION_LIMIT)
        return self.quantize(latents.side, latents.hyper_latent, latents.quality_integer, source, sink)

    def put(self, symbols: Symbols, sink: SymbolSink | None = None) -> Symbols:
        """Give known symbols to a sink, and return them with their values."""
        side = self.side_features(symbols.hyper_latent, symbols.quality_integer)
        source = KnownSymbols(symbols.by_position)
        return self.quantize(side, symbols.hyper_latent, symbols.quality_integer, source, sink)

    def count(self, symbols: Symbols) -> SymbolBits:
        """Bits of symbols under the coder's own integers, by position and channel, without writing a file."""
        return self.model.count_bits(symbols.latent, symbols.hyper_latent, symbols.quality_integer)

    def dequantize(self, symbols: Symbols) -> Float[Tensor, "M h w"]:
        """What symbols stand for, in steps of the quantizer, on the device of the transforms."""
        latent_model = self.model.latent_model
        if latent_model.layout.around_mean and symbols.values is None:
            symbols = self.put(symbols)
        values = symbols.latent if symbols.values is None else symbols.values
        return values.to(self.device, torch.float32) / latent_model.value_steps

    def synthesize_strip(
        self, y_hat: Float[Tensor, "1 M h w"], strip: Strip, height: int, width: int, quality_integer: int
    ) -> Float[Tensor, "1 3 H W"]:
        """The part of a picture that comes of the latent rows of a strip; nominally in [0, 1], not clamped.

        Args:
            y_hat: values from the strip's first to its last row.
            strip: of the latent.
            height: of the picture.
            width: of the picture.
            quality_integer: the header's.
        """
        x_hat = self.model.transforms.decode(y_hat.to(self.device), self.quality_tensor(quality_integer))
        top = LATENT_STRIDE * (strip.start - strip.first)
        bottom = min(LATENT_STRIDE * strip.stop, height) - LATENT_STRIDE * strip.first
        return x_hat[:, :, top : max(top, bottom), :width]

    @torch.inference_mode()
    @in_float32()
    def synthesize(
        self, symbols: Symbols, height: int, width: int, channels: int = 3, bit_depth: int = 8
    ) -> UInt[np.ndarray, "H W C"]:
        """Pixels of symbols, [height width channels]: gain, g_s, crop, clamp; one channel is their mean."""
        y_hat = self.dequantize(symbols)
        _, rows, columns = y_hat.shape
        pixels = np.empty((height, width, channels), dtype=np.uint8 if bit_depth == 8 else np.uint16)
        for strip in self.strips(rows, columns):
            part = y_hat[None, :, strip.first : strip.last]
            x_hat = self.synthesize_strip(part, strip, height, width, symbols.quality_integer)
            rows_of_strip = slice(LATENT_STRIDE * strip.start, LATENT_STRIDE * strip.stop)
            x_hat = collapse_to_grey(x_hat) if channels == 1 else x_hat
            pixels[rows_of_strip] = to_pixels(x_hat, bit_depth)
        return pixels
