"""Make the example of the page in ``web/``: a photograph, its file, and an AVIF of the same size.

python tools/make_web_example.py web/dist/example

The photograph is scikit-image's (NASA, public domain), as in ``tools/demo.py``.
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image
from skimage import data

import trimix

NAME = "astronaut"
QUALITY = 50
ALT = "Portrait of the astronaut Eileen Collins in an orange suit before a flag and a model of a shuttle"


def avif_up_to(image: Image.Image, file_bytes: int) -> bytes:
    """The best AVIF of Pillow's encoder that takes at most so many bytes."""
    low, high, best = 0, 101, b""
    while high - low > 1:
        middle = (low + high) // 2
        buffer = io.BytesIO()
        image.save(buffer, "AVIF", quality=middle, speed=4)
        if len(buffer.getvalue()) <= file_bytes:
            low, best = middle, buffer.getvalue()
        else:
            high = middle
    return best


def main(folder: Path) -> None:
    """Write the files and what the page must know of them."""
    image = Image.fromarray(data.astronaut())
    compressed = trimix.compress(image, quality=QUALITY)
    original = io.BytesIO()
    image.save(original, "WEBP", lossless=True, quality=100, method=6)
    contents = {
        f"{NAME}.tmix": compressed,
        f"{NAME}-original.webp": original.getvalue(),
        f"{NAME}.avif": avif_up_to(image, len(compressed)),
    }
    file, first, *others = contents
    described = {"file": file, "original": first, "others": others, "alt": ALT}
    contents["example.json"] = json.dumps(described, indent=1).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in contents.items():
        (folder / name).write_bytes(found)
        print(f"{folder / name}: {len(found)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
