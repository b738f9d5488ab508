"""Make the golden files of ``tests/golden``. Run once for each format version; files once released are never remade.

python tools/make_golden_files.py tests/golden
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tiny_models import tiny_frozen
from trimix.bitstream import Metadata
from trimix.codec import Codec
from trimix.frozen.storage import save_frozen
from trimix.images import Picture, write_picture


def waves(height: int, width: int, channels: int) -> Picture:
    """A smooth test picture with an edge, by integer arithmetic only."""
    rows, columns = np.indices((height, width))
    planes = [
        (rows * (3 + c) + columns * (5 - c) + (rows * columns) // (7 + c)) % 256 for c in range(channels)
    ]
    pixels = np.stack(planes, axis=-1)
    pixels[height // 3 :, width // 2 :] //= 2
    return Picture(
        pixels.astype(np.uint8), metadata=Metadata(icc_profile=b"golden profile" if channels == 3 else b"")
    )


def main(folder: Path) -> None:
    """Write the model, the compressed files and what they decode to."""
    codec = Codec(save_frozen(tiny_frozen(), folder / "gllmm-tiny-0.safetensors"))
    for name, size, quality in (
        ("rgb-100x75-q50", (75, 100, 3), 50.0),
        ("rgb-17x130-q95", (130, 17, 3), 95.0),
        ("grey-33x17-q20.5", (17, 33, 1), 20.5),
        ("rgb-1x1-q1", (1, 1, 3), 1.0),
    ):
        data = codec.encode(waves(*size), quality)
        (folder / f"{name}.tmix").write_bytes(data)
        write_picture(codec.decode(data), folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
