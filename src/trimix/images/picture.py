"""A picture as the codec takes it and gives it back."""

from dataclasses import dataclass, replace

import numpy as np

from trimix.bitstream import METADATA_BYTES_MAXIMUM, NO_METADATA, Metadata
from trimix.errors import PictureError
from trimix.images.alpha import fill_hidden, flatten
from trimix.shapes import UInt

WHITE = (255, 255, 255)
_KINDS = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture and the metadata that travel with it.

    `picture_of_samples` makes one of any samples; the constructor takes what is ready to be coded.

    Attributes:
        pixels: uint8 or uint16 [height, width, channels], all levels used; 1 channel (grey) or 3 (RGB).
        alpha: of the type of the pixels [height, width], the largest value opaque; None for none.
        metadata: ICC profile, EXIF, XMP and the rest.
        stands_for_rgb: the one channel is written as three equal ones, for so it was given.
        notes: what reading has changed or left out, one line each.

    Raises:
        PictureError: pixels or alpha of another type or shape; metadata too long to be stored.

    >>> Picture(np.zeros((2, 3, 1), np.uint8)).width
    3
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = NO_METADATA
    stands_for_rgb: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype not in _KINDS or len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
            raise PictureError(
                "pixels must be uint8 or uint16 [height, width, 1 or 3] with at least one pixel, "
                f"found {self.pixels.dtype} {list(shape)}; convert them"
            )
        if self.alpha is not None and (self.alpha.dtype, self.alpha.shape) != (self.pixels.dtype, shape[:2]):
            raise PictureError(
                f"alpha must be {self.pixels.dtype} {list(shape[:2])} like its pixels, "
                f"found {self.alpha.dtype} {list(self.alpha.shape)}; convert it"
            )
        for kind, data in self.metadata.sections():
            if len(data) > METADATA_BYTES_MAXIMUM:
                raise PictureError(
                    f"{kind.name.lower()} may have at most {METADATA_BYTES_MAXIMUM} bytes, found {len(data)}; strip it"
                )

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    @property
    def channels(self) -> int:
        """Of the pixels: 1 for grey, 3 for RGB; alpha is none of them."""
        return self.pixels.shape[2]

    @property
    def file_channels(self) -> int:
        """Of the samples: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        return (3 if self.stands_for_rgb else self.channels) + (self.alpha is not None)

    @property
    def bit_depth(self) -> int:
        """8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def levels(self) -> np.ndarray:
        """Pixels on the scale 0 .. 255: uint8, or float32 with fractions where they have 16 bits."""
        return self.pixels if self.bit_depth == 8 else self.pixels.astype(np.float32) / np.float32(257)

    @property
    def samples(self) -> UInt[np.ndarray, "H W C"]:
        """All samples as they were given: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        pixels = self.pixels.repeat(3, axis=2) if self.stands_for_rgb else self.pixels
        return pixels if self.alpha is None else np.concatenate([pixels, self.alpha[:, :, None]], axis=2)

    def flattened(self, background: tuple[int, int, int] = WHITE) -> "Picture":
        """The picture on a background, R, G, B, 0 .. 255, without alpha.

        >>> half = Picture(np.zeros((1, 1, 1), np.uint8), np.full((1, 1), 51, np.uint8))
        >>> half.flattened().pixels.item()
        204
        """
        if self.alpha is None:
            return self
        is_grey = self.channels == 1 and len(set(background)) == 1
        pixels = self.pixels if is_grey or self.channels == 3 else self.pixels.repeat(3, axis=2)
        flat = flatten(pixels, self.alpha, background[: pixels.shape[2]])
        return replace(self, pixels=flat, alpha=None, stands_for_rgb=self.stands_for_rgb and is_grey)

    def in_8_bits(self) -> "Picture":
        """The picture with samples of 8 bits, rounded to the nearest."""
        if self.bit_depth == 8:
            return self
        alpha = None if self.alpha is None else _rounded(self.alpha)
        return replace(self, pixels=_rounded(self.pixels), alpha=alpha)

    def bare(self) -> "Picture":
        """What codecs are compared on: 8 bits, on white, grey or RGB as it was given, without metadata."""
        return Picture(self.flattened().in_8_bits().samples)


def picture_of_samples(
    samples: np.ndarray,
    metadata: Metadata = NO_METADATA,
    notes: tuple[str, ...] = (),
    background: tuple[int, int, int] | None = None,
) -> Picture:
    """The picture that samples make, in the form in which it takes the fewest bytes.

    Alpha that is opaque everywhere is no alpha. Colours that nobody sees become a smooth continuation of those
    around them. Three channels that are equal everywhere become one.

    Args:
        samples: uint8 or uint16 [H W] or [H W C]: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; else PictureError.
        metadata: to travel with it.
        notes: what has been changed or left out already.
        background: R, G, B, 0 .. 255, that takes the place of transparency; None keeps alpha.

    >>> picture_of_samples(np.zeros((4, 5, 3), np.uint8)).pixels.shape
    (4, 5, 1)
    """
    shape = samples.shape
    if samples.dtype not in _KINDS or len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        raise PictureError(
            "samples must be uint8 or uint16 [H W] or [H W 1..4] (grey or RGB, with alpha last), "
            f"found {samples.dtype} {list(shape)}; convert them"
        )
    if 0 in shape:
        raise PictureError(f"a picture must have at least one pixel, found {list(shape)}")
    samples = samples if samples.ndim == 3 else samples[:, :, None]
    has_alpha = samples.shape[2] in (2, 4)
    pixels, alpha = (samples[:, :, :-1], samples[:, :, -1]) if has_alpha else (samples, None)
    if alpha is not None and int(alpha.min()) == np.iinfo(alpha.dtype).max:
        alpha = None
    if alpha is not None and background is not None:
        flat = Picture(pixels, alpha, metadata).flattened(background)
        return picture_of_samples(flat.pixels, metadata, notes)
    if alpha is not None:
        pixels, alpha = fill_hidden(pixels, alpha), np.ascontiguousarray(alpha)
    has_equal_colours = pixels.shape[2] == 3 and _are_equal(pixels)
    pixels = pixels[:, :, :1] if has_equal_colours else pixels
    return Picture(np.ascontiguousarray(pixels), alpha, metadata, has_equal_colours, notes)


def _are_equal(pixels: UInt[np.ndarray, "H W 3"]) -> bool:
    return all(np.array_equal(pixels[:, :, 0], pixels[:, :, other]) for other in (1, 2))


def _rounded(samples: np.ndarray) -> np.ndarray:
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
