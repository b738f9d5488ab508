"""HM and VTM, the reference software of HEVC and VVC: single intra pictures through their programs.

The programs read and write raw samples, and what they write does not say the size of the picture in a place that is
easy to read: a file here is width and height, two bytes each with the higher first, and the bitstream.
"""

import hashlib
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimix.errors import PictureError, TrimixError, UsageError
from trimix.evaluation.peers.peer import Peer, QualityScale
from trimix.evaluation.peers.programs import (
    find_program,
    missing_programs,
    output_of,
    program_version,
    run_program,
)
from trimix.images import BT709_LUMA_WEIGHTS, Picture
from trimix.shapes import UInt8

_SIZE = struct.Struct(">HH")
_FOLDERS_ABOVE = 6
"""How far above the encoder its folder of configurations is looked for: bin/umake/gcc-12.2/x86_64/release at most."""


@dataclass(frozen=True, kw_only=True)
class ReferenceSoftwarePeer(Peer):
    """An encoder and a decoder that a standard was developed with.

    Attributes:
        encoder_names: names that the encoder goes by.
        decoder_names: names that the decoder goes by.
        configuration_name: file of the configuration, in a folder ``cfg`` of the source.
        configuration_variable: environment variable that names another file.
        timeout_seconds: after which a program is taken for hanging.
    """

    encoder_names: tuple[str, ...]
    decoder_names: tuple[str, ...]
    configuration_name: str
    configuration_variable: str
    timeout_seconds: float

    @property
    def obstacle(self) -> str | None:
        """Programs or a configuration that are missing."""
        missing = missing_programs((self.encoder_names, self.decoder_names))
        if missing:
            return (
                f"needs {self.encoder_names[0]} and {self.decoder_names[0]} on the PATH, found no {missing}; "
                f"build {self.name} and add its folder bin to the PATH, or leave this codec out"
            )
        if self.configuration is not None:
            return None
        named = os.environ.get(self.configuration_variable)
        if named:
            return (
                f"needs its configuration where {self.configuration_variable} says, found no file {named}; "
                "correct the variable"
            )
        return (
            f"needs its configuration {self.configuration_name}, found none beside {self.encoder_names[0]} nor in a "
            f"folder cfg above it; name the file in {self.configuration_variable}"
        )

    @property
    def configuration(self) -> Path | None:
        """The file that the environment variable names; else the one beside the encoder or in a ``cfg`` above it."""
        named = os.environ.get(self.configuration_variable)
        if named:
            path = Path(named).absolute()
            return path if path.is_file() else None
        encoder = find_program(self.encoder_names)
        if encoder is None:
            return None
        # On the PATH there may be a link to where it was built.
        for folder in dict.fromkeys((encoder.parent, encoder.resolve().parent)):
            above = [folder, *list(folder.parents)[:_FOLDERS_ABOVE]]
            for candidate in (
                folder / self.configuration_name,
                *(one / "cfg" / self.configuration_name for one in above),
            ):
                if candidate.is_file():
                    return candidate
        return None

    @property
    def version(self) -> str:
        """Version of the encoder, and the configuration with its hash: people edit these files."""
        encoder, configuration = find_program(self.encoder_names), self.configuration
        version = "of unknown version" if encoder is None else program_version(encoder, "--help")
        if configuration is None:
            return f"{self.name} {version}"
        digest = hashlib.sha256(configuration.read_bytes()).hexdigest()[:16]
        return f"{self.name} {version}, {configuration.name} with SHA-256 {digest}"

    def _encode(self, pixels: UInt8[np.ndarray, "H W C"], quality: float) -> bytes:
        encoder, configuration = find_program(self.encoder_names), self.configuration
        assert encoder is not None
        assert configuration is not None
        height, width, channels = pixels.shape
        if max(height, width) > 65535:
            raise UsageError(
                f"{self.name} takes sides up to 65535 pixels here, found {width} x {height}; crop the picture"
            )
        with tempfile.TemporaryDirectory(prefix="trimix-video-") as name:
            folder = Path(name)
            source, stream = folder / "picture.yuv", folder / "picture.bin"
            planes = pixels if channels == 1 else to_ycbcr(pixels)
            source.write_bytes(planes.transpose(2, 0, 1).tobytes())
            arguments = [
                *("-c", str(configuration)),
                *("-i", str(source)),
                *("-b", str(stream)),
                # The configurations name a file for the reconstruction, which would lie about.
                *("-o", str(folder / "reconstruction.yuv")),
                *("-wdt", str(width)),
                *("-hgt", str(height)),
                *("-f", "1"),
                *("-fr", "1"),
                *("-q", f"{quality:g}"),
                f"--InputChromaFormat={400 if channels == 1 else 444}",
                "--InputBitDepth=8",
                # Sides that are no multiple of the smallest block are padded, and cut again by the decoder.
                "--ConformanceWindowMode=1",
            ]
            run_program(encoder, arguments, folder, self.timeout_seconds)
            return _SIZE.pack(width, height) + output_of(encoder, stream)

    def _decode(self, data: bytes, channels: int) -> Picture:
        decoder = find_program(self.decoder_names)
        assert decoder is not None
        if len(data) <= _SIZE.size:
            raise PictureError(
                f"a file of {self.name} must have more than {_SIZE.size} bytes, found {len(data)}; "
                "encode it again"
            )
        width, height = _SIZE.unpack_from(data)
        with tempfile.TemporaryDirectory(prefix="trimix-video-") as name:
            folder = Path(name)
            stream, decoded = folder / "picture.bin", folder / "picture.yuv"
            stream.write_bytes(data[_SIZE.size :])
            run_program(
                decoder, ["-b", str(stream), "-o", str(decoded), "-d", "8"], folder, self.timeout_seconds
            )
            samples = np.frombuffer(output_of(decoder, decoded), np.uint8)
        # Luma comes first; of grey pictures some versions write empty chroma, too.
        expected = width * height * channels
        if samples.size < expected or (channels == 3 and samples.size != expected):
            raise TrimixError(
                f"{decoder.name} must write {expected} samples, found {samples.size}; "
                "check that it is of the version of the encoder"
            )
        planes = samples[:expected].reshape(channels, height, width).transpose(1, 2, 0)
        return Picture(np.ascontiguousarray(planes) if channels == 1 else to_rgb(planes))


def to_ycbcr(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Y, Cb, Cr of ITU-R BT.709 in full range, rounded to 8 bits: what these encoders are given in publications.

    Args:
        pixels: RGB, 0 .. 255.
    """
    red, _, blue = np.moveaxis(pixels.astype(np.float64), 2, 0)
    weight_red, _, weight_blue = BT709_LUMA_WEIGHTS
    y = pixels @ np.array(BT709_LUMA_WEIGHTS)
    planes = [y, 128 + (blue - y) / (2 - 2 * weight_blue), 128 + (red - y) / (2 - 2 * weight_red)]
    return _to_bytes(np.stack(planes, axis=2))


def to_rgb(planes: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """R, G, B of `to_ycbcr`, up to rounding.

    Args:
        planes: Y, Cb, Cr, 0 .. 255.
    """
    y, cb, cr = np.moveaxis(planes.astype(np.float64), 2, 0)
    weight_red, weight_green, weight_blue = BT709_LUMA_WEIGHTS
    red = y + (2 - 2 * weight_red) * (cr - 128)
    blue = y + (2 - 2 * weight_blue) * (cb - 128)
    green = (y - weight_red * red - weight_blue * blue) / weight_green
    return _to_bytes(np.stack([red, green, blue], axis=2))


def _to_bytes(samples: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    return np.rint(samples).clip(0, 255).astype(np.uint8)


_SETTINGS = (
    "single intra picture, 4:4:4 (grey 4:0:0), YCbCr of BT.709 in full range, 8 bits in and out, inner depth of the "
    "configuration; 4 bytes for the size are counted"
)
_QUALITIES = (43, 40, 37, 34, 31, 28, 25, 22, 19)

HM = ReferenceSoftwarePeer(
    key="hm",
    name="HM",
    settings=f"HEVC, {_SETTINGS}",
    scale=QualityScale(51, 0, meaning="QP"),
    qualities=_QUALITIES,
    encoder_names=("TAppEncoderStatic", "TAppEncoder"),
    decoder_names=("TAppDecoderStatic", "TAppDecoder"),
    configuration_name="encoder_intra_main_rext.cfg",
    configuration_variable="TRIMIX_HM_CONFIG",
    timeout_seconds=3600.0,
)
VTM = ReferenceSoftwarePeer(
    key="vtm",
    name="VTM",
    settings=f"VVC, {_SETTINGS}",
    scale=QualityScale(63, 0, meaning="QP"),
    qualities=_QUALITIES,
    encoder_names=("EncoderAppStatic", "EncoderApp"),
    decoder_names=("DecoderAppStatic", "DecoderApp"),
    configuration_name="encoder_intra_vtm.cfg",
    configuration_variable="TRIMIX_VTM_CONFIG",
    timeout_seconds=6 * 3600.0,
)
