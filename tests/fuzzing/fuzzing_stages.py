"""What is fuzzed: everything that reads bytes of others, one stage each.

A stage takes any bytes. It ends in success or in one of trimix' own errors, in bounded time and memory; anything else
is a finding. Where a checksum would refuse nearly every mutation, the bytes are read as they are, and once more with
checksums made right: whoever means harm can compute them.
"""

import io
import json
import math
import tomllib
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save
from safetensors.torch import load_file

from trimix.bitstream import MAGIC, Container, SliceStream, describe, join_slices
from trimix.bitstream.fields import FieldReader
from trimix.codec import Codec
from trimix.errors import CodecError, TrimixError
from trimix.evaluation.bd_rate import bd_distortion, bd_rate
from trimix.evaluation.rate_points import reference_curves
from trimix.evaluation.results import read_results
from trimix.frozen.storage import checksum_of, load_frozen
from trimix.images import Picture, read_picture
from trimix.images.chunks import PNG_SIGNATURE
from trimix.images.writing import OUTPUT_FORMATS, encode_picture
from trimix.integrations.compressai_import import model_from_state_dict, read_checkpoint
from trimix.lossless_codec import decode_lossless
from trimix.shapes import Rectangle
from trimix.training.checkpoint import load_checkpoint, run_of, steps_of
from trimix.training.config import load_training_config
from trimix.training.recipes import read_recipe

TESTS = Path(__file__).parent.parent
GOLDEN = TESTS / "golden"
CORPUS = Path(__file__).parent / "corpus"
"""A folder a stage: what once was a finding."""
_CONFIGURATIONS = TESTS.parent / "configs"
_MAXIMUM_PIXELS = 2**16


@dataclass(frozen=True)
class Stage:
    """One reader.

    Attributes:
        seeds: well-formed inputs, which are mutated.
        read: takes any bytes; raises a TrimixError at most.
        head_bytes: where structure stands, which is mutated more often than what follows; None for everywhere.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes], None]
    head_bytes: int | None = None

    def corpus(self) -> list[bytes]:
        """Former findings."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]


# Container: header, section table, sections.


def _compressed_files() -> list[bytes]:
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*.tmix"))]


def _with_right_checksums(data: bytes) -> bytes:
    """The file with the CRC-32 of its header and sections made right, as far as its table can be read."""
    reader = FieldReader(data)
    with suppress(TrimixError):
        reader.raw(len(MAGIC) + 1 + 2 + 8, name="magic, version, model")
        for name in ("width", "height"):
            reader.varint(name=name)
        reader.raw(1 + 1 + 2 + 1 + 4, name="the rest of the header")
        places = []
        for _ in range(reader.unsigned(size=1, name="count")):
            reader.raw(1, name="type")
            length = reader.varint(name="length")
            places.append((reader.position, length))
            reader.raw(4, name="CRC-32")
        mended, start = bytearray(data), reader.position + 4
        for place, length in places:
            mended[place : place + 4] = zlib.crc32(data[start : start + length]).to_bytes(4, "little")
            start += length
        end = reader.position
        mended[end : end + 4] = zlib.crc32(mended[:end]).to_bytes(4, "little")
        return bytes(mended)
    return data


def _read_container(data: bytes) -> None:
    for one in (data, _with_right_checksums(data)):
        for keep_going in (False, True):
            with suppress(TrimixError):
                describe(one)
                container = Container.from_bytes(one, keep_going=keep_going)
                if not keep_going:
                    assert Container.from_bytes(container.to_bytes()) == container


# Symbols: the range decoder and all after it, behind checksums that are right.


@cache
def _codec() -> Codec:
    return Codec.load(GOLDEN / "gllmm-tiny-0.safetensors")


def _read_symbols(data: bytes) -> None:
    choice = zlib.crc32(data)
    region = Rectangle(choice % 7, choice % 5, 1 + choice % 11, 1 + choice % 13) if choice & 1 else None
    mended = _with_right_checksums(data)
    with suppress(CodecError):
        container = Container.from_bytes(mended)
        if container.header.tile_layout and len(container.latent) > 18:  # an index that is right, of two slices
            middle = len(container.latent) // 2
            streams = [SliceStream(one, 0) for one in (container.latent[18:middle], container.latent[middle:])]
            mended = replace(container, latent=join_slices(streams)).to_bytes()
    with (
        patch("trimix.latent_reader.check_symbols"),
        patch("trimix.codec.check_symbols"),
        patch("trimix.coding.RangeDecoder.finish"),
    ):
        for keep_going in (False, True):
            with suppress(TrimixError):
                header = describe(mended).header
                if header.is_lossless:
                    with patch("trimix.lossless_codec._checksum", lambda _: describe(mended).symbol_checksum):
                        decode_lossless(mended, _MAXIMUM_PIXELS, 1 << choice % 3, region=region)
                    continue
                picture = _codec().decode(
                    mended, _MAXIMUM_PIXELS, 1 << choice % 3, region=region, keep_going=keep_going
                )
                assert picture.pixels.size <= 3 * _MAXIMUM_PIXELS


# Model files.


def _model_files() -> list[bytes]:
    return [(GOLDEN / "gllmm-tiny-0.safetensors").read_bytes()]


def _with_right_model_checksum(data: bytes) -> bytes:
    try:
        # The length of the head is made right, too: a mutation inside it mostly changes it.
        head, length = json.JSONDecoder().raw_decode(data[8:].decode("latin-1"))
        whole = length.to_bytes(8, "little") + data[8:]
        metadata, tensors = head["__metadata__"], load(whole)
        metadata["checksum"] = checksum_of(metadata["program"], tensors).hex()
        return save(tensors, metadata)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
        return data


def _read_model(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for one in (data, _with_right_model_checksum(data)):
            path.write_bytes(one)
            with suppress(TrimixError):
                codec = Codec(load_frozen(path))
                codec.decode(codec.encode(Picture(np.zeros((20, 70, 3), np.uint8)), 50))


# Pictures.


def _pictures() -> list[bytes]:
    samples = np.random.default_rng(0).integers(0, 256, (12, 9, 4), dtype=np.uint8)
    coloured = read_picture(encode_picture(Picture(samples[:, :, :3], samples[:, :, 3]), "png")[0])
    deep = Picture(samples[:, :, :3].astype(np.uint16) * 257)
    files = [encode_picture(one, name)[0] for one in (coloured, deep) for name in sorted({*OUTPUT_FORMATS} - {"pgm"})]
    image = Image.fromarray(samples[:, :, :3])
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    for kind, options in (
        ("GIF", {}),
        ("JPEG2000", {}),
        ("QOI", {}),
        ("TIFF", {"compression": "tiff_lzw", "exif": exif}),
        ("JPEG", {"exif": exif, "comment": "some", "dpi": (72, 71), "progressive": True}),
        ("PNG", {"exif": exif, "icc_profile": _profile(), "dpi": (72, 72)}),
        ("WEBP", {"exif": exif, "xmp": b"<x:xmpmeta/>"}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    for mode in ("P", "CMYK", "1", "LAB"):
        buffer = io.BytesIO()
        (image.convert(mode) if mode != "LAB" else Image.new("LAB", (9, 12))).save(buffer, "TIFF")
        files.append(buffer.getvalue())
    return files


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _with_right_chunks(data: bytes) -> bytes:
    if not data.startswith(PNG_SIGNATURE):
        return data
    mended, start = bytearray(data), len(PNG_SIGNATURE)
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        mended[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4, "big")
        start = end + 4
    return bytes(mended[: len(data)])


def _read_picture(data: bytes) -> None:
    for one in dict.fromkeys((data, _with_right_chunks(data))):
        with suppress(TrimixError):
            picture = read_picture(one, maximum_pixels=_MAXIMUM_PIXELS, frame=0 if len(data) & 1 else None)
            assert picture.width * picture.height <= _MAXIMUM_PIXELS
            for name in ("png", "jpg", "tif"):
                encode_picture(picture, name)


# Checkpoints: pickles in a zip file, or alone.


@cache
def _states() -> tuple[dict[str, torch.Tensor], ...]:
    files = sorted((TESTS / "integrations" / "recorded").glob("*.safetensors"))[:1]
    return tuple(
        {name[6:]: one.clone() for name, one in load_file(path).items() if name.startswith("state.")} for path in files
    )


def _checkpoints() -> list[bytes]:
    seeds = []
    for state in _states():
        for contents in (state, {"state_dict": state}, {"average": state, "progress": {"step": 1}, "averaged": 1}):
            buffer = io.BytesIO()
            torch.save(contents, buffer)
            with ZipFile(buffer) as archive:
                seeds.append(archive.read("archive/data.pkl"))
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2), "b": torch.ones(1).to_sparse()}, buffer, _use_new_zipfile_serialization=False)
    return [*seeds, buffer.getvalue()]


def _in_archive(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save(_states()[0], buffer)
    packed = io.BytesIO()
    with ZipFile(buffer) as archive, ZipFile(packed, "w") as other:
        for one in archive.infolist():
            other.writestr(one.filename, pickled if one.filename.endswith(".pkl") else archive.read(one))
    return packed.getvalue()


def _read_checkpoint(data: bytes) -> None:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "some.ckpt"
        for one in (data, _in_archive(data)):
            path.write_bytes(one)
            with suppress(TrimixError):
                model_from_state_dict(read_checkpoint(path))
            with suppress(TrimixError):
                checkpoint = load_checkpoint(path)
                steps_of(path, checkpoint)
                run_of(path, checkpoint)


# Text: recipes and results.


def _recipes() -> list[bytes]:
    seeds = [path.read_bytes() for path in sorted(_CONFIGURATIONS.glob("*.toml"))]
    assert all(tomllib.loads(one.decode()) for one in seeds)
    return seeds


def _read_recipe(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_bytes(data)
        (path.parent / "base").symlink_to(_CONFIGURATIONS / "base")
        with suppress(TrimixError):
            read_recipe(path)
            load_training_config(path)


def _results() -> list[bytes]:
    plain = {"bpp": [0.1, 0.2, 0.4, 0.8], "psnr-rgb": [28.0, 30.0, 33.0, 36.5], "ms-ssim-rgb": [0.9, 0.95, 0.97, 0.99]}
    picture = {
        "picture": "a.png", "width": 40, "height": 30, "quality": 10.0, "file_bytes": 200, "payload_bytes": 100,
        "psnr_db": "inf", "luma_psnr_db": 30.0, "ms_ssim": None, "encoding_seconds": 0.5, "decoding_seconds": 0.2,
    }  # fmt: skip
    whole = {"name": "one", "results": plain, "data": "some", "pictures": [picture], "provenance": {"settings": {}}}
    return [json.dumps(one).encode() for one in ({"name": "two", "results": plain}, whole)]


def _read_results(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        path.write_bytes(data)
        with suppress(TrimixError):
            found = read_results(path)
            path.write_text(json.dumps(found.to_json(), allow_nan=False), encoding="utf-8")
            assert read_results(path) == found or any(map(_has_nan, found.measurements))
            for delta in (bd_rate, bd_distortion):
                with suppress(TrimixError):
                    delta(reference_curves()["vtm"], found.curve)


def _has_nan(measurement: object) -> bool:
    return any(isinstance(one, float) and math.isnan(one) for one in vars(measurement).values())


STAGES = {
    stage.name: stage
    for stage in (
        Stage("container", _compressed_files, _read_container, 80),
        Stage("symbols", _compressed_files, _read_symbols),
        Stage("model", _model_files, _read_model, 12_000),
        Stage("picture", _pictures, _read_picture),
        Stage("checkpoint", _checkpoints, _read_checkpoint),
        Stage("recipe", _recipes, _read_recipe),
        Stage("results", _results, _read_results),
    )
}


def mutations(stage: Stage, seed: int) -> Iterator[bytes]:
    """Mutated seeds without end, the same for equal seeds of the generator."""
    generator = np.random.default_rng(seed)
    seeds = [*stage.seeds(), *stage.corpus()]
    while True:
        data = bytearray(seeds[generator.integers(len(seeds))])
        for _ in range(1 << generator.integers(4)):
            reach = len(data)
            if stage.head_bytes is not None and generator.random() < 0.7:
                reach = min(reach, stage.head_bytes)
            at, length = int(generator.integers(reach + 1)), 1 << int(generator.integers(6))
            match generator.integers(7):
                case 0 if reach:
                    data[min(at, reach - 1)] ^= 1 << int(generator.integers(8))
                case 1:
                    data[at : at + length] = generator.bytes(length)
                case 2:
                    data[at:at] = _TELLING[generator.integers(len(_TELLING))]
                case 3:
                    del data[at : at + length]
                case 4:  # a part of another seed
                    other = seeds[generator.integers(len(seeds))]
                    start = int(generator.integers(len(other) + 1))
                    data[at : at + length] = other[start : start + length]
                case 5:
                    telling = _TELLING[generator.integers(len(_TELLING))]
                    data[at : at + len(telling)] = telling
                case _ if generator.random() < 0.2:
                    del data[at:]
        yield bytes(data)


_TELLING = (
    b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x80\x80\x80\x08", b"-1", b"1e999",
    b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}", b'""', b"\\u0000", b"\\ud800", b"9" * 40, b"[" * 2000,
    b'{"a":' * 2000, b"a.b.c = 1\n", b"'''", b"inf", b"nan", b"../..", b"\xc3\x28",
)  # fmt: skip
"""Values at the ends of ranges, and what parsers stumble over."""
