"""The codec on one page: picture -> bytes -> picture. Read this file first.

::

    encode   Picture [H W C] -> LatentCodec.analyze: strips, g_a, h_a -> latents y, hyper-latents z_hat
             -> encoder.find_symbols: the nearest integers, what they cost the picture (g_s backwards),
                one run over the schedule that chooses and writes          -> y_hat, "latent"
             -> pack: z_hat by the factorized table                        -> "side"
                header, side, latent, alpha, metadata, symbols' checksum   -> Container -> bytes

    decode   bytes -> Container -> "side": z_hat by the factorized table
             -> LatentReader: integer h_s, then "latent": the same run over the schedule with a reader for its source,
                slice by slice as they are asked for                        -> y_hat
             -> LatentCodec.render: g_s in strips, crop, clamp              -> Picture

Only integers decide probabilities, so every reader decodes the same symbols; pixels come from floats and may differ by
one step between machines.
"""

import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock

import numpy as np

from trimix.bitstream import (
    MAXIMUM_PIXELS,
    QUALITY_STEPS,
    Container,
    Header,
    SliceStream,
    check_header,
    join_slices,
    read_header,
    refuse_lossless,
    split_slices,
)
from trimix.coding import RangeDecoder, RangeEncoder
from trimix.encoder.effort import DEFAULT_EFFORT, DEFAULT_QUALITY, search_steps
from trimix.encoder.search import SearchProgress, find_symbols
from trimix.encoder.target_search import Encoded, encode_to_target, even_if_interrupted
from trimix.encoder.targets import Target, Trial
from trimix.entropy_models.passes import SliceWriters
from trimix.entropy_models.schedule import latent_slices
from trimix.errors import ModelError
from trimix.frozen.catalogue import DEFAULT_MODEL, find_model, find_model_by_hash
from trimix.frozen.model import FrozenModel
from trimix.frozen.storage import load_frozen
from trimix.images import Picture, decode_samples, encode_samples, reduced, region_or_whole
from trimix.latent_codec import PICTURE_MULTIPLE, LatentCodec, Symbols, symbol_checksum
from trimix.latent_reader import LatentReader, check_symbols
from trimix.shapes import HYPER_STRIDE, Rectangle
from trimix.threads import single_threaded_products
from trimix.time_budget import limited_time


class Codec:
    """Encodes and decodes pictures with one frozen model. Immutable; its tables exist from here on.

    Args:
        device: where the transforms run, see ``network_for``; the file does not depend on it but for ties of rounding.

    >>> import numpy as np
    >>> codec = Codec.load()
    >>> data = codec.encode(Picture(np.zeros((48, 64, 3), np.uint8)), quality=50)
    >>> codec.decode(data).pixels.shape
    (48, 64, 3)
    """

    def __init__(self, model: FrozenModel, device: str = "cpu") -> None:
        self.latents = LatentCodec(model, device)
        self.model = self.latents.model
        self.device = self.latents.device

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, device: str = "cpu") -> "Codec":
        """The codec of a model by name or file, loaded once a process; ModelError if there is none."""
        path = find_model(model).path
        try:
            state = path.stat()
        except OSError as error:
            raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error
        with _LOADING:
            return _loaded(path.resolve(), state.st_mtime_ns, state.st_size, device)

    @classmethod
    def for_file(cls, data: bytes, device: str = "cpu") -> "Codec":
        """The codec that a compressed file asks for by its hash; UnknownModelError if it asks for none that is here."""
        header = read_header(data)
        refuse_lossless(header)
        return cls.load(find_model_by_hash(header.weights_hash).path, device)

    def encode(self, picture: Picture, quality: float = DEFAULT_QUALITY, effort: int = DEFAULT_EFFORT) -> bytes:
        """Compress a picture at a quality, 1..100, to the contents of a ``.tmix`` file; see ``encode_to``."""
        encoded = self.encode_to(picture, quality, effort)
        if encoded.ended == "interrupt":
            raise KeyboardInterrupt
        return encoded.data

    @single_threaded_products()
    def encode_to(
        self,
        picture: Picture,
        aim: float | Target,
        effort: int = DEFAULT_EFFORT,
        *,
        time_limit_seconds: float | None = None,
        on_step: Callable[[SearchProgress], None] = lambda progress: None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
    ) -> Encoded:
        """Compress a picture to a quality or a target, and say what it took. Every file is made here.

        Args:
            picture: 8 bits, grey or RGB.
            aim: a quality 1..100, continuous, one step about 7 % in lambda; or a ``Target``.
            effort: 1 (fastest) to 9 (smallest file).
            time_limit_seconds: ends a search in time; its best so far is kept. So does Ctrl-C; a second one raises.
            on_trial: called after every encoding on the way to a target.

        Raises:
            UsageError: quality or effort are out of range.
            OutOfReachError: no quality meets the target.

        >>> from trimix.encoder.targets import TargetKind
        >>> picture = Picture(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
        >>> encoded = Codec.load().encode_to(picture, Target(TargetKind.BYTES, 3000))
        >>> 2940 <= len(encoded.data) <= 3000
        True
        """
        if isinstance(aim, Target):
            return encode_to_target(
                self.latents, self.pack, picture, aim, effort, time_limit_seconds, on_step, on_trial
            )
        found = find_symbols(self.latents, picture, aim, effort, time_limit_seconds, on_step)
        pack, quality = partial(self.pack, picture, found.symbols, found.writers), found.symbols.quality
        if not search_steps(effort):
            return Encoded(pack(), quality)
        data, ended = even_if_interrupted(pack, found.ended)
        return Encoded(data, quality, found.steps, ended)

    @single_threaded_products()
    def pack(self, picture: Picture, symbols: Symbols, writers: SliceWriters | None = None) -> bytes:
        """The file of symbols, which may have been written already; size and metadata are the picture's."""
        if writers is None:
            self.latents.put(symbols, writers := SliceWriters())
        z = symbols.hyper_latent
        side_encoder = RangeEncoder()
        channels = self.model.hyper_channels_of(z.shape)
        side_encoder.encode_factorized(z.astype(np.int32).ravel(), channels, self.model.hyper_table)
        streams = writers.finish()
        if symbols.is_sliced:
            checksums = [symbol_checksum(symbols.latent[:, *one.positions]) for one in symbols.slices]
            streams = [join_slices(list(map(SliceStream, streams, checksums)))]
        container = Container(
            header=Header(
                model_identifier=self.model.identity.identifier,
                weights_hash=self.model.identity.weights_hash,
                width=picture.width,
                height=picture.height,
                channels=picture.file_channels,
                bit_depth=picture.bit_depth,
                quality=symbols.quality_integer,
                tile_layout=int(symbols.is_sliced),
                has_equal_colours=picture.stands_for_rgb,
            ),
            side=side_encoder.finish(),
            latent=streams[0],
            symbol_checksum=symbols.checksum(),
            alpha=b"" if picture.alpha is None else encode_samples(picture.alpha[:, :, None]),
            metadata=picture.metadata,
        )
        return container.to_bytes()

    @single_threaded_products()
    def decode(
        self,
        data: bytes,
        maximum_pixels: int = MAXIMUM_PIXELS,
        reduction: int = 1,
        *,
        region: Rectangle | None = None,
        keep_going: bool = False,
        maximum_seconds: float | None = None,
    ) -> Picture:
        """Decompress a file, or a part of its picture.

        Args:
            data: the file.
            maximum_pixels: of the file's picture, whatever the reduction.
            reduction: pixels to one, in both directions, see ``LatentCodec.synthesize``.
            region: the part, in pixels of the whole, widened to multiples of the reduction; None for all.
            keep_going: where a slice of a large picture is damaged, show what is expected there, and say so in the
                picture's notes; otherwise such a file is refused.
            maximum_seconds: by the clock; a short file may claim a large picture.

        Raises:
            CodecError: the bytes are no valid file of this model.
            PictureTooLargeError: the header claims more than ``maximum_pixels``.
            TimeOverError: ``maximum_seconds`` are not enough.
            UsageError: the region lies outside of the picture.
        """
        with limited_time(maximum_seconds):
            return self._decoded(self._read(data, maximum_pixels, keep_going=keep_going), reduction, region, keep_going)

    def _decoded(self, container: Container, reduction: int, region: Rectangle | None, keep_going: bool) -> Picture:
        header = container.header
        height, width, bit_depth = header.height, header.width, header.bit_depth
        window = region_or_whole(region, height, width, reduction)
        reader = self._reader(container, keep_going=keep_going)
        pixels = self.latents.render(
            reader.read,
            reader.grid,
            window,
            header.quality / QUALITY_STEPS,
            header.colour_channels,
            bit_depth,
            reduction,
        )
        notes: tuple[str, ...] = ()
        if reader.lost:
            notes = (f"damaged: {len(reader.lost)} of {len(reader.slices)} slices were lost; a guess stands there",)
        alpha = None
        if header.has_alpha:
            plane = decode_samples(container.alpha, height, width, 1, bit_depth, name="alpha")
            alpha = reduced(plane[window.positions], reduction)[:, :, 0]
        return Picture(pixels, alpha, container.metadata, header.has_equal_colours, notes)

    @single_threaded_products()
    def unpack(self, data: bytes, maximum_pixels: int = MAXIMUM_PIXELS) -> Symbols:
        """The symbols of a file; raises as ``decode`` does."""
        return self._reader(self._read(data, maximum_pixels)).symbols()

    def _read(self, data: bytes, maximum_pixels: int, *, keep_going: bool = False) -> Container:
        model = self.model.identity
        check_header(read_header(data), model.name, model.identifier, model.weights_hash, maximum_pixels)
        return Container.from_bytes(data, keep_going=keep_going)

    def _reader(self, container: Container, *, keep_going: bool = False) -> LatentReader:
        header, count = container.header, len(self.model.hyper_table)
        shape = count, -(-header.height // PICTURE_MULTIPLE), -(-header.width // PICTURE_MULTIPLE)
        reader = RangeDecoder(container.side)
        z = reader.decode_factorized(self.model.hyper_channels_of(shape), self.model.hyper_table)
        reader.finish()
        z_hat, is_sliced = z.astype(np.int16).reshape(shape), bool(header.tile_layout)
        if is_sliced:
            check_symbols(symbol_checksum(z_hat), container.symbol_checksum)
            slices = latent_slices(HYPER_STRIDE * shape[1], HYPER_STRIDE * shape[2])
            streams = split_slices(container.latent, len(slices))
        else:
            streams = [SliceStream(container.latent, container.symbol_checksum)]
        return LatentReader(
            self.model, z_hat, header.quality, streams, is_sliced=is_sliced, keep_going=keep_going and is_sliced
        )


_LOADING = Lock()
if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread holds
    os.register_at_fork(before=_LOADING.acquire, after_in_parent=_LOADING.release, after_in_child=_LOADING.release)


@lru_cache(maxsize=4)
def _loaded(path: Path, modified_ns: int, size: int, device: str) -> Codec:
    # Time and size stand among the arguments so that a replaced file is read again.
    return Codec(load_frozen(path), device)
