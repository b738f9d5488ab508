"""Make the golden vectors of ``web/test/vectors``: exported models, compressed files, and what they decode to.

python tools/make_web_vectors.py web/test/vectors

Models are tiny, with random weights; pictures are drawn. Files of the format's golden files stand among them. What
Python decodes is a zlib stream: row by row, the channels of a pixel together, alpha last, 16 bits little-endian.
"""

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from make_golden_files import levels, waves

from tiny_models import INTERLACED, calibration_pictures, lively, tiny_frozen
from trimix.architectures.config import AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.codec import Codec
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.export import exported_files
from trimix.frozen.model import FrozenModel, ModelIdentity
from trimix.images import Picture
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


def main(folder: Path) -> None:
    """Write all vectors."""
    for made in ("models", "files"):
        (folder / made).mkdir(parents=True, exist_ok=True)

    def write_model(model: FrozenModel) -> None:
        for file, data in exported_files(model).items():
            (folder / "models" / file).write_bytes(data)

    def write_file(name: str, data: bytes, decoded: Picture) -> None:
        (folder / "files" / f"{name}.tmix").write_bytes(data)
        (folder / "files" / f"{name}.samples").write_bytes(zlib.compress(samples_of(decoded), 9))

    for name, model in models():
        write_model(model)
        codec = Codec(model)
        for of_picture, picture, quality in of_model():
            data = codec.encode(picture, quality)
            write_file(f"{name}-{of_picture}", data, codec.decode(data))
    for name, picture in lossless():
        write_file(name, data := encode_lossless(picture), decode_lossless(data))
    golden = Codec.load(GOLDEN / "gllmm-tiny-0.safetensors")
    write_model(golden.model)
    for path in sorted(GOLDEN.glob("*.tmix")):
        data = path.read_bytes()
        is_lossless = path.stem.startswith("lossless")
        write_file(path.stem, data, decode_lossless(data) if is_lossless else golden.decode(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
