"""Pillow learns `.tmix`: `import trimix.pillow`, then `Image.open("a.tmix")` and `image.save("a.tmix", quality=60)`.

Opening reads the header and the metadata. The model comes with the pixels. Saving takes the arguments of
`trimix.compress`. Metadata are treated as by Pillow's other plugins: `icc_profile` and `xmp` are kept unless others are
given, `exif` is written if given.
"""

import contextlib
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile

from trimix.bitstream import MAGIC, QUALITY_STEPS, Container, Metadata, describe
from trimix.errors import CodecError, TrimixError
from trimix.images import Picture, metadata_information, picture_of_image, to_image

_FORMAT = "TMIX"
_EXIF_PREFIX = b"Exif\0\0"
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "YCbCr")
_ARGUMENTS = (
    *("quality", "model", "tune", "device", "effort", "lossless", "time_limit_seconds"),
    *("target_bits_per_pixel", "target_bytes", "target_psnr_db", "target_ssimulacra2"),
)


class TrimixImageFile(ImageFile.ImageFile):
    """A `.tmix` file that Pillow has opened; decoded when its pixels are asked for."""

    format = _FORMAT
    format_description = "trimix, learned image compression"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        try:
            description = describe(self._data)
        except CodecError as error:
            raise OSError(str(error)) from error
        header = description.header
        self._size = (header.width, header.height)
        # 16 bits in colour or with alpha come with 8.
        is_deep_grey = header.bit_depth == 16 and header.channels == 1
        self._mode = "I;16" if is_deep_grey else ("L", "LA", "RGB", "RGBA")[header.channels - 1]
        self.info |= {"quality": round(header.quality / QUALITY_STEPS, 2), "bit_depth": header.bit_depth}
        # Loading says what is wrong: a file that is cut short can still tell its size.
        with contextlib.suppress(CodecError):
            self.info |= metadata_information(Container.from_bytes(self._data).metadata)
        self._is_decoded = False

    def load(self) -> Any:
        """Decode, once (OSError: the file is damaged, or its model is missing; the message says which)."""
        if not self._is_decoded:
            from trimix.api import decompress_to_picture

            try:
                picture = decompress_to_picture(self._data, maximum_pixels=self.width * self.height)
            except TrimixError as error:
                raise OSError(str(error)) from error
            image = to_image(picture)[0]
            self.info |= image.info
            if self.fp is not None and self._exclusive_fp:
                self.fp.close()
            self.fp = BytesIO(image.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, (self.mode, 0, 1))]
            self._is_decoded, self._data = True, b""
        return super().load()


def _save(image: Image.Image, stream: Any, filename: str | bytes) -> None:
    from trimix.api import compress

    if image.mode not in _MODES:
        raise OSError(f"cannot write mode {image.mode} as {_FORMAT}")
    options = getattr(image, "encoderinfo", {})
    plain = image.copy()  # of an animation the frame that it shows, as Pillow's other plugins do without save_all
    plain.info = {key: image.info[key] for key in ("transparency", "dpi", "comment") if key in image.info}
    picture = picture_of_image(plain)
    exif = options.get("exif", b"")
    exif = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    metadata = Metadata(
        icc_profile=options.get("icc_profile", image.info.get("icc_profile")) or b"",
        exif=exif.removeprefix(_EXIF_PREFIX),
        xmp=options.get("xmp", image.info.get("xmp")) or b"",
        chunks=picture.metadata.chunks,
    )
    picture = Picture(picture.pixels, picture.alpha, metadata, picture.stands_for_rgb)
    try:
        data = compress(picture, **{name: options[name] for name in _ARGUMENTS if name in options})
    except TrimixError as error:
        raise OSError(str(error)) from error
    stream.write(data)


Image.register_open(_FORMAT, TrimixImageFile, lambda prefix: prefix.startswith(MAGIC))
Image.register_save(_FORMAT, _save)
Image.register_extension(_FORMAT, ".tmix")
Image.register_mime(_FORMAT, "image/x-trimix")
