"""Make the golden files of ``tests/golden``. Run once for each format version; files once released are never remade.

python tools/make_golden_files.py tests/golden 3
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tiny_models import tiny_frozen
from trimix import latent_codec
from trimix.bitstream import Metadata
from trimix.codec import Codec
from trimix.frozen.storage import save_frozen
from trimix.images import Picture, picture_of_samples, write_picture
from trimix.lossless_codec import decode_lossless, encode_lossless


def levels(height: int, width: int, channels: int) -> np.ndarray:
    """Levels of a smooth test picture with an edge, by integer arithmetic only."""
    rows, columns = np.indices((height, width))
    planes = [(rows * (3 + c) + columns * (5 - c) + (rows * columns) // (7 + c)) % 256 for c in range(channels)]
    pixels = np.stack(planes, axis=-1)
    pixels[height // 3 :, width // 2 :] //= 2
    return pixels.astype(np.uint8)


def waves(height: int, width: int, channels: int) -> Picture:
    """Such a picture, in colour with a profile."""
    return Picture(
        levels(height, width, channels), metadata=Metadata(icc_profile=b"golden profile" if channels == 3 else b"")
    )


def of_version_1() -> Iterator[tuple[str, Picture, float]]:
    """Name, picture and quality of files of version 1."""
    yield "rgb-100x75-q50", waves(75, 100, 3), 50.0
    yield "rgb-17x130-q95", waves(130, 17, 3), 95.0
    yield "grey-33x17-q20.5", waves(17, 33, 1), 20.5
    yield "rgb-1x1-q1", waves(1, 1, 3), 1.0


def of_version_2() -> Iterator[tuple[str, Picture, float]]:
    """The same of version 2."""
    four = levels(33, 40, 4)
    yield "rgba16-40x33-q60", picture_of_samples(four.astype(np.uint16) * 257), 60.0
    yield "grey-alpha-21x19-q40", picture_of_samples(four[:19, :21, 2:]), 40.0
    yield "equal-24x20-q50", picture_of_samples(four[:20, :24, :1].repeat(3, axis=2)), 50.0


def of_version_3() -> Iterator[tuple[str, Picture, float]]:
    """The same of version 3, without a model; and one in slices, which smaller pictures are not otherwise."""
    four = levels(27, 31, 4)
    yield "lossless-rgb-31x27", waves(27, 31, 3), 100.0
    yield "lossless-rgba16-31x27", picture_of_samples(four.astype(np.uint16) * 257), 100.0
    yield "lossless-equal-31x27", picture_of_samples(four[:, :, :1].repeat(3, axis=2)), 100.0
    yield "sliced-600x20-q60", waves(20, 600, 3), 60.0


def main(folder: Path, version: int) -> None:
    """Write the model, where it is missing, the compressed files and what they decode to."""
    model = folder / "gllmm-tiny-0.safetensors"
    codec = Codec.load(model) if model.exists() else Codec(save_frozen(tiny_frozen(), model))
    for name, picture, quality in (of_version_1, of_version_2, of_version_3)[version - 1]():
        latent_codec.POSITIONS_IN_ONE = 0 if name.startswith("sliced") else 2**14
        keeps = name.startswith("lossless")
        data = encode_lossless(picture) if keeps else codec.encode(picture, quality)
        (folder / f"{name}.tmix").write_bytes(data)
        write_picture(decode_lossless(data) if keeps else codec.decode(data), folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
