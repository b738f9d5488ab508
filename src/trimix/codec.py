"""The codec on one page: picture -> bytes -> picture. Read this file first.

::

    Picture [H W C] -> tensor, padded -> g_a, h_a -> round -> integers y_hat, z_hat
        z_hat --RangeEncoder, factorized table--------------------------------> "side"
        z_hat, quality --integer h_s--> side features --walk, encoding hand---> "latent"
    header, side, latent, alpha, metadata, checksum of all symbols -> Container -> bytes

and back by the same walk with a decoding hand, then g_s. Only integers decide probabilities, so every reader decodes
the same symbols; pixels come from floats and may differ by one step between machines.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from trimix.bitstream import Container, Header, read_header
from trimix.coding import RangeDecoder, RangeEncoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.walk import DecodingHand, EncodingHand, Hand, KnownHand, QuantizingHand, walk
from trimix.errors import (
    CorruptedFileError,
    DesynchronizedError,
    ModelError,
    PictureTooLargeError,
    UnknownModelError,
    UsageError,
)
from trimix.images import (
    Picture,
    collapse_to_grey,
    decode_alpha,
    encode_alpha,
    pad_to_multiple,
    to_pixels,
    to_tensor,
)
from trimix.models.catalogue import find_model, find_model_by_hash
from trimix.models.frozen import QUALITY_STEPS, FrozenModel, SymbolBits, quality_to_integer
from trimix.models.weights import load_frozen
from trimix.shapes import Float, Int, Int16, Tensor, UInt
from trimix.transforms.analysis import LATENT_STRIDE
from trimix.transforms.strips import Strip, latent_strips

PICTURE_MULTIPLE = 64
"""Sides are padded to a multiple of it: 16 pixels a latent, 4 latents a hyper-latent."""
MAXIMUM_PIXELS = 2**28
MAXIMUM_SIDE = 2**16


@dataclass(frozen=True)
class Symbols:
    """The integers that a file carries.

    Args:
        latent: y_hat, magnitudes below 2^15.
        hyper_latent: z_hat, magnitudes below 2^15.
        quality_integer: the header's quality.
        values: of the latents, in the model's steps, where they are rounded around their means; None where the
            symbols are the values, or where nobody has walked yet.
    """

    latent: Int16[Tensor, "M h w"]
    hyper_latent: Int16[Tensor, "Z hh hw"]
    quality_integer: int
    values: Int[Tensor, "M h w"] | None = None

    def checksum(self) -> int:
        """CRC-32 over hyper-latents, then latents, as little-endian 16-bit integers in order channel, row, column."""
        parts = (self.hyper_latent, self.latent)
        crc = 0
        for part in parts:
            crc = zlib.crc32(part.cpu().numpy().astype("<i2").tobytes(), crc)
        return crc


@dataclass(frozen=True)
class Latents:
    """A picture before its latents are rounded.

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


class Codec:
    """Encodes and decodes pictures with one frozen model. Immutable; its tables exist from here on.

    Args:
        model: the frozen model.
        device: where transforms and integer path run; the file does not depend on it but for rounding ties of g_a.

    >>> import numpy as np
    >>> codec = Codec.load()
    >>> data = codec.encode(Picture(np.zeros((48, 64, 3), np.uint8)), quality=50)
    >>> codec.decode(data).pixels.shape
    (48, 64, 3)
    """

    def __init__(self, model: FrozenModel, device: str | torch.device = "cpu") -> None:
        self.model = model.to(device)
        self.device = torch.device(device)
        # Convolutions are faster so, transposed ones twice.
        self.model.transforms.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, model: str | Path = "gllmm-lite", device: str | torch.device = "cpu") -> "Codec":
        """The codec of a model by name or file.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        return cls(load_frozen(find_model(model).path), device)

    @classmethod
    def for_file(cls, data: bytes, device: str | torch.device = "cpu") -> "Codec":
        """The codec that a compressed file asks for by its hash.

        Raises:
            CodecError: no trimix file.
            UnknownModelError: its model is not installed.
        """
        return cls(load_frozen(find_model_by_hash(read_header(data).weights_hash).path), device)

    def encode(self, picture: Picture, quality: float = 50.0) -> bytes:
        """Compress a picture, every latent to the nearest integer; ``search.encoding.encode`` makes smaller files.

        Args:
            picture: grey or RGB, 8 or 16 bits.
            quality: 1..100, continuous; one step is about 7 % in lambda.

        Returns:
            The contents of a ``.tmix`` file.

        Raises:
            UsageError: the quality is out of range.
        """
        latent_encoder = RangeEncoder()
        latents = self.latents(picture, quality)
        symbols = self.quantized(
            latents, QuantizingHand(latents.by_position, ACTIVATION_LIMIT, latent_encoder)
        )
        return self._container(picture, symbols, latent_encoder).to_bytes()

    def decode(self, data: bytes, maximum_pixels: int = MAXIMUM_PIXELS) -> Picture:
        """Decompress a file.

        Raises:
            CodecError: the bytes are no valid file of this model.
            PictureTooLargeError: the header claims more than ``maximum_pixels``.
        """
        container = self._read(data, maximum_pixels)
        symbols = self._unpack(container)
        header = container.header
        height, width, bit_depth = header.height, header.width, header.bit_depth
        pixels = self.reconstruct(symbols, height, width, header.colour_channels, bit_depth)
        alpha = decode_alpha(container.alpha, height, width, bit_depth) if header.has_alpha else None
        return Picture(pixels, alpha, container.metadata, header.has_equal_colours)

    def quantize(self, picture: Picture, quality: float) -> Symbols:
        """The nearest symbols of a picture: g_a, gain, h_a, rounding.

        Args:
            picture: grey or RGB, 8 or 16 bits.
            quality: 1..100.

        Raises:
            UsageError: the quality is out of range.
        """
        latents = self.latents(picture, quality)
        return self.quantized(latents, QuantizingHand(latents.by_position, ACTIVATION_LIMIT))

    @torch.inference_mode()
    def latents(self, picture: Picture, quality: float) -> Latents:
        """What g_a, gain and h_a make of a picture.

        Args:
            picture: grey or RGB, 8 or 16 bits.
            quality: 1..100.

        Raises:
            UsageError: the quality is out of range.
        """
        if not 1 <= quality <= 100:
            raise UsageError(f"quality must be from 1 to 100, found {quality:g}")
        _check_sides(picture.width, picture.height)
        quality_integer = quality_to_integer(quality)
        factor = self.quality_tensor(quality_integer)
        pixels = pad_to_multiple(picture.pixels, PICTURE_MULTIPLE)
        height, width, _ = pixels.shape
        strips = self._strips(height // LATENT_STRIDE, LATENT_STRIDE * width)
        y = torch.cat([self._analyse(pixels, strip, factor) for strip in strips], dim=2)
        y = torch.nan_to_num(y).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        z_hat = self.model.hyper_symbols(self.model.transforms.hyper_analysis(y)[0])
        side = self.model.side_features(z_hat[None], [quality_integer])[0]
        return Latents(y[0].permute(1, 2, 0).cpu().numpy(), z_hat, side, quality_integer)

    @torch.inference_mode()
    def quantized(self, latents: Latents, hand: Hand) -> Symbols:
        """The symbols that a hand takes for latents.

        Args:
            latents: of a picture.
            hand: rounds or chooses, and may write.
        """
        return self.walked(latents.side, latents.hyper_latent, latents.quality_integer, hand)

    @torch.inference_mode()
    def reconstruct(
        self, symbols: Symbols, height: int, width: int, channels: int = 3, bit_depth: int = 8
    ) -> UInt[np.ndarray, "H W C"]:
        """Pixels of symbols [height width channels]: gain, g_s, crop, clamp; one channel is their mean."""
        factor = self.quality_tensor(symbols.quality_integer)
        y_values = self.values(symbols)
        _, rows, columns = y_values.shape
        pixels = np.empty(
            (rows * LATENT_STRIDE, width, channels), dtype=np.uint8 if bit_depth == 8 else np.uint16
        )
        for strip in self._strips(rows, LATENT_STRIDE**2 * columns):
            y_hat = y_values[None, :, strip.first : strip.last].to(self.device, torch.float32)
            y_hat = y_hat / self.model.latent_model.value_steps
            x_hat = self.model.transforms.decode(y_hat, factor)[..., :width]
            kept = x_hat[:, :, LATENT_STRIDE * (strip.start - strip.first) :]
            kept = kept[:, :, : LATENT_STRIDE * (strip.stop - strip.start)]
            part = slice(LATENT_STRIDE * strip.start, LATENT_STRIDE * strip.stop)
            pixels[part] = to_pixels(collapse_to_grey(kept) if channels == 1 else kept, bit_depth)
        return pixels[:height]

    def _strips(self, rows: int, pixels_a_row: int) -> Iterator[Strip]:
        config = self.model.transforms.config
        return latent_strips(rows, pixels_a_row, config.latent_halo, config.pixels_at_once)

    def _analyse(
        self, pixels: UInt[np.ndarray, "H W C"], strip: Strip, quality: Float[Tensor, "1"]
    ) -> Float[Tensor, "1 M h w"]:
        x = to_tensor(pixels[LATENT_STRIDE * strip.first : LATENT_STRIDE * strip.last]).to(self.device)
        y = self.model.transforms.encode_latent(x, quality)
        return y[:, :, strip.start - strip.first : strip.stop - strip.first]

    def pack(
        self,
        picture: Picture,
        symbols: Symbols,
        *,
        merged: bool = True,
        latent_encoder: RangeEncoder | None = None,
    ) -> bytes:
        """The file of given symbols.

        Args:
            picture: size, channels and metadata.
            symbols: what is coded.
            merged: code known latents in large groups; the bytes are the same either way.
            latent_encoder: has written the latents of these symbols already.
        """
        if latent_encoder is not None:
            return self._container(picture, symbols, latent_encoder).to_bytes()
        latent_encoder = RangeEncoder()
        known = np.ascontiguousarray(_as_int32(symbols.latent).transpose(1, 2, 0))
        side = self._side_features(symbols)
        passes = self.model.schedule(*side.shape[:2])
        walk(self.model.latent_model, side, passes, EncodingHand(known, latent_encoder), merged=merged)
        return self._container(picture, symbols, latent_encoder).to_bytes()

    def _container(self, picture: Picture, symbols: Symbols, latent_encoder: RangeEncoder) -> Container:
        side_encoder = RangeEncoder()
        z = symbols.hyper_latent
        channels = self.model.hyper_channels_of((z.shape[0], z.shape[1], z.shape[2]))
        side_encoder.encode_factorized(_as_int32(z).ravel(), channels, self.model.hyper_table)
        return Container(
            header=Header(
                model_identifier=self.model.identity.identifier,
                weights_hash=self.model.identity.weights_hash,
                width=picture.width,
                height=picture.height,
                channels=(3 if picture.stands_for_rgb else picture.channels) + (picture.alpha is not None),
                bit_depth=picture.bit_depth,
                quality=symbols.quality_integer,
                has_equal_colours=picture.stands_for_rgb,
            ),
            side=side_encoder.finish(),
            latent=latent_encoder.finish(),
            symbol_checksum=symbols.checksum(),
            alpha=b"" if picture.alpha is None else encode_alpha(picture.alpha),
            metadata=picture.metadata,
        )

    def unpack(self, data: bytes, maximum_pixels: int = MAXIMUM_PIXELS) -> Symbols:
        """The symbols of a file.

        Raises:
            CodecError: the bytes are no valid file of this model.
            PictureTooLargeError: the header claims more than ``maximum_pixels``.
        """
        return self._unpack(self._read(data, maximum_pixels))

    def count(self, symbols: Symbols) -> SymbolBits:
        """Bits of symbols under the coder's own integers, by position and channel, without writing a file."""
        return self.model.count_bits(symbols.latent, symbols.hyper_latent, symbols.quality_integer)

    def _read(self, data: bytes, maximum_pixels: int) -> Container:
        header = read_header(data)
        if header.width * header.height > maximum_pixels:
            raise PictureTooLargeError(
                f"the picture must have at most {maximum_pixels} pixels, the file claims "
                f"{header.width}x{header.height}; raise the limit with --max-pixels"
            )
        _check_sides(header.width, header.height)
        if header.weights_hash != self.model.identity.weights_hash:
            raise UnknownModelError(
                f"the file needs the model with hash {header.weights_hash.hex()}, this codec has "
                f"{self.model.identity.name} ({self.model.identity.weights_hash.hex()})"
            )
        if header.model_identifier != self.model.identity.identifier:
            raise CorruptedFileError(
                f"a file of the model {self.model.identity.name} must name the architecture "
                f"{self.model.identity.identifier}, found {header.model_identifier}: the file is damaged, get it again"
            )
        return Container.from_bytes(data)

    def _unpack(self, container: Container) -> Symbols:
        header = container.header
        config = self.model.transforms.config
        rows, columns = (-(-side // PICTURE_MULTIPLE) for side in (header.height, header.width))
        channels = self.model.hyper_channels_of((config.hyper_channels, rows, columns))
        decoded = RangeDecoder(container.side).decode_factorized(channels, self.model.hyper_table)
        z = torch.as_tensor(decoded, dtype=torch.int16).view(config.hyper_channels, rows, columns)
        empty = torch.empty(0, 0, 0, dtype=torch.int16)
        side = self._side_features(Symbols(empty, z, header.quality))
        hand = DecodingHand(RangeDecoder(container.latent))
        symbols = self.walked(side, z, header.quality, hand)
        found = symbols.checksum()
        if found != container.symbol_checksum:
            raise DesynchronizedError(
                f"the decoded symbols must have the checksum {container.symbol_checksum:08x}, found {found:08x}: "
                "the file was not made by this model, or is damaged"
            )
        return symbols

    def walked(self, side: Tensor, z_hat: Tensor, quality_integer: int, hand: Hand) -> Symbols:
        """The symbols that a hand takes in a walk over the latents.

        Args:
            side: of ``FrozenModel.side_features``, of one picture.
            z_hat: hyper-latents.
            quality_integer: the header's.
            hand: writes, reads, chooses or counts.
        """
        model = self.model.latent_model
        walked = walk(model, side, self.model.schedule(*side.shape[:2]), hand)
        symbols, values = (
            latent.permute(2, 0, 1).contiguous().cpu() for latent in (walked.symbols, walked.values)
        )
        return Symbols(symbols, z_hat, quality_integer, values if model.layout.around_mean else None)

    def values(self, symbols: Symbols) -> Int[Tensor, "M h w"]:
        """What symbols stand for, in steps of ``IntegerMixtureModel.value_steps``."""
        if symbols.values is not None or not self.model.latent_model.layout.around_mean:
            return symbols.latent if symbols.values is None else symbols.values
        known = np.ascontiguousarray(_as_int32(symbols.latent).transpose(1, 2, 0))
        side = self._side_features(symbols)
        walked = self.walked(side, symbols.hyper_latent, symbols.quality_integer, KnownHand(known))
        assert walked.values is not None
        return walked.values

    def _side_features(self, symbols: Symbols) -> Tensor:
        return self.model.side_features(symbols.hyper_latent[None], [symbols.quality_integer])[0]

    def quality_tensor(self, quality_integer: int) -> Float[Tensor, "1"]:
        """The header's quality as the transforms take it, on the device."""
        return torch.tensor([quality_integer / QUALITY_STEPS], dtype=torch.float32, device=self.device)


def _check_sides(width: int, height: int) -> None:
    # Strips bound the memory of tall pictures, not of wide ones; and a picture one pixel high is padded to 64.
    if max(width, height) > MAXIMUM_SIDE:
        raise PictureTooLargeError(
            f"a side must have at most {MAXIMUM_SIDE} pixels, found {width}x{height}; cut the picture"
        )


def _as_int32(symbols: Tensor) -> np.ndarray:
    return symbols.cpu().numpy().astype(np.int32)


@lru_cache(maxsize=4)
def _cached(path: Path, modified_ns: int, size: int, device: str) -> Codec:
    # Time and size stand among the arguments so that a replaced file is read again.
    return Codec(load_frozen(path), device)


def _loaded(path: Path, device: str) -> Codec:
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error
    return _cached(path.resolve(), state.st_mtime_ns, state.st_size, device)


def load_codec(model: str | Path = "gllmm-lite", device: str = "cpu") -> Codec:
    """The codec of a model by name or file; loaded once a process."""
    return _loaded(find_model(model).path, device)


def load_codec_for_file(data: bytes, device: str = "cpu") -> Codec:
    """The codec that a compressed file asks for; loaded once a process."""
    return _loaded(find_model_by_hash(read_header(data).weights_hash).path, device)
