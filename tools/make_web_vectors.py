"""Make the test files of the decoder in ``web/``: exported models, compressed files, and what Python decodes of them.

python tools/make_web_vectors.py web/test/vectors                        golden ones, of tiny models with random weights
python tools/make_web_vectors.py web/build/files --model gllmm-lite-eye  of a model; --pictures kodak/ for photographs

Pictures are drawn, but for those of ``--pictures``. The format's golden files stand among the golden ones. What
Python decodes is a zlib stream: row by row, the channels of a pixel together, alpha last, 16 bits little-endian.
"""

import argparse
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from make_golden_files import levels, waves

from tiny_models import INTERLACED, calibration_pictures, lively, tiny_frozen
from trimix import latent_codec
from trimix.architectures.config import AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.codec import Codec
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.export import exported_files
from trimix.frozen.model import FrozenModel, ModelIdentity
from trimix.images import Picture, picture_of_samples, read_picture
from trimix.lossless_codec import decode_lossless, encode_lossless

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"


def samples_of(picture: Picture) -> bytes:
    """Row by row, the channels of a pixel together, alpha last."""
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha[:, :, None]]
    return np.concatenate(parts, axis=2).astype(picture.pixels.dtype.newbyteorder("<")).tobytes()


def models() -> Iterator[tuple[str, FrozenModel]]:
    """Name and model: a context of every kind, roundings around means, one and several components."""
    yield "interlaced", tiny_frozen(INTERLACED)
    configurations = {
        "raster": GllmmConfig(latent_channels=8, head_widths=(10, 12), components=2),
        "hyperprior": HyperpriorConfig(channels=4, latent_channels=6),
        "autoregressive": AutoregressiveConfig(channels=4, latent_channels=6),
    }
    for name, config in configurations.items():
        identity = ModelIdentity(f"{name}-tiny-0", IDENTIFIERS[config.kind], bytes(8), {})
        yield name, freeze(lively(config), identity, calibration_pictures())


def of_model() -> Iterator[tuple[str, Picture, float]]:
    """Name, picture and quality of files of each model."""
    yield "rgb-70x45", waves(45, 70, 3), 60.0
    yield "grey-9x33", waves(33, 9, 1), 30.5


def lossless() -> Iterator[tuple[str, Picture]]:
    """Name and picture of files without a model: what encoders of lossless WebP do differently."""
    generator = np.random.default_rng(0)
    palette = generator.integers(0, 256, (7, 3), np.uint8)[generator.integers(0, 7, (40, 61)) // 3]
    smooth = waves(90, 120, 3).pixels // 2 + generator.integers(0, 4, (90, 120, 3), np.uint8)
    blocks = np.kron(generator.integers(0, 256, (9, 12, 3), np.uint8), np.ones((11, 10, 1), np.uint8))
    for name, pixels in {
        "palette": palette,
        "smooth": smooth,
        "blocks": blocks,
        "two-colours": palette // 128 * 255,
    }.items():
        yield f"lossless-{name}", Picture(pixels)
    rows, columns = np.indices((50, 64))
    alpha = np.clip(8 * np.hypot(rows - 25, columns - 30) - 60, 0, 255).astype(np.uint8)
    yield "lossless-alpha", Picture(levels(50, 64, 3), alpha)


def of_every_kind(photographs: Sequence[Path]) -> Iterator[tuple[str, Picture, float]]:
    """Name, picture and quality of twelve files: some photographs, or drawn pictures in their place."""
    for index, quality in enumerate((20.0, 50.0, 70.0, 90.0)):
        if index < len(photographs):
            yield photographs[index].stem, read_picture(photographs[index]), quality
        else:
            yield f"drawn-{index}", waves(200 + 16 * index, 300 - 16 * index, 3), quality
    four = levels(150, 211, 4)
    yield "grey-211x150", waves(150, 211, 1), 70.0
    yield "alpha-211x150", picture_of_samples(four), 70.0
    yield "grey-alpha-90x33", picture_of_samples(four[:33, :90, 2:]), 60.0
    yield "equal-97x101", picture_of_samples(levels(101, 97, 1).repeat(3, axis=2)), 40.0
    yield "deep-65x64", picture_of_samples(levels(64, 65, 3).astype(np.uint16) * 257), 80.0
    yield "sliced-1100x530", waves(530, 1100, 3), 50.0
    yield "one-1x1", waves(1, 1, 3), 30.0
    yield "odd-63x129", waves(129, 63, 3), 100.0


def write_file(folder: Path, name: str, data: bytes, decoded: Picture) -> None:
    """A compressed file, and what it decodes to."""
    (folder / f"{name}.tmix").write_bytes(data)
    (folder / f"{name}.samples").write_bytes(zlib.compress(samples_of(decoded), 9))


def write_golden(folder: Path) -> None:
    """Tiny models and their files."""
    files = folder / "files"
    for made in (folder / "models", files):
        made.mkdir(parents=True, exist_ok=True)

    def write_model(model: FrozenModel) -> None:
        for file, data in exported_files(model).items():
            (folder / "models" / file).write_bytes(data)

    for name, model in models():
        write_model(model)
        codec = Codec(model)
        for of_picture, picture, quality in of_model():
            data = codec.encode(picture, quality)
            write_file(files, f"{name}-{of_picture}", data, codec.decode(data))
    for name, picture in lossless():
        write_file(files, name, data := encode_lossless(picture), decode_lossless(data))
    golden = Codec.load(GOLDEN / "gllmm-tiny-0.safetensors")
    write_model(golden.model)
    for path in sorted(GOLDEN.glob("*.tmix")):
        data = path.read_bytes()
        is_lossless = path.stem.startswith("lossless")
        write_file(files, path.stem, data, decode_lossless(data) if is_lossless else golden.decode(data))


def write_of_model(folder: Path, model: str, pictures: Path | None) -> None:
    """Files of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    codec = Codec.load(model)
    for name, picture, quality in of_every_kind([] if pictures is None else sorted(pictures.glob("*.png"))):
        latent_codec.POSITIONS_IN_ONE = 0 if name.startswith("sliced") else 2**14
        data = codec.encode(picture, quality)
        write_file(folder, name, data, codec.decode(data))


def main() -> None:
    """Write the files that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="files of this model in place of golden ones")
    parser.add_argument("--pictures", type=Path, help="folder of PNG files, of which four are taken")
    given = parser.parse_args()
    if given.model is None:
        write_golden(given.folder)
    else:
        write_of_model(given.folder, given.model, given.pictures)


if __name__ == "__main__":
    main()
