"""Large pictures: seconds, CPU seconds and peak memory of whole commands, of regions too, and of AVIF by Pillow.

    python benchmarks/large_pictures.py --pictures kodak [--megapixels 3 12 100] [--against CHECKOUT] [--regions 5]

The photographs of the folder are laid side by side to pictures of 4:3. Compressing is at the defaults; `--against` runs
the commands of another checkout in turn with these, on its own files.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from measuring import run

ROOT = Path(__file__).parent.parent
_SIDE = 512
# In processes of their own: what this one holds would count as theirs.
_MOSAIC = """
import sys
from pathlib import Path
from PIL import Image
folder, width, height, output = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
names, whole, number = sorted(folder.iterdir()), Image.new("RGB", (width, height)), 0
for top in range(0, height, 512):
    for left in range(0, width, 768):
        image = Image.open(names[number % len(names)]).convert("RGB")
        image = image if image.width >= image.height else image.transpose(Image.Transpose.ROTATE_90)
        whole.paste(image.crop((0, 0, 768, 512)), (left, top))
        number += 1
whole.save(output, compress_level=1)
"""
_AVIF = "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB').save(sys.argv[2], 'AVIF')"
_FROM_AVIF = "import sys; from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2], compress_level=3)"


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


def cost(source: Path, *arguments: str) -> Cost:
    """Of an interpreter that finds trimix in a checkout; CalledProcessError where it fails."""
    environment = os.environ | {"PYTHONPATH": str(source / "src")}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def measured(source: Path, picture: Path, width: int, height: int, regions: int) -> dict[str, list[Cost]]:
    """The commands of a checkout on a picture; of regions one for each."""
    file, back = picture.with_suffix(".tmix"), picture.with_name("back.png")
    trimix = ("-m", "trimix")
    found = {"compress": [cost(source, *trimix, "compress", str(picture), "-o", str(file), "-f")]}
    decompress = (*trimix, "decompress", str(file), "-o", str(back), "-f")
    found["decompress to PNG"] = [cost(source, *decompress)]
    places = random.Random(1)
    found[f"a region of {_SIDE}x{_SIDE}"] = [
        cost(
            source,
            *decompress,
            "--region",
            f"{places.randrange(width - _SIDE)},{places.randrange(height - _SIDE)},512,512",
        )
        for _ in range(regions)
    ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of photographs, 768x512 or larger")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[3.0, 12.0, 100.0])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--regions", type=int, default=5)
    options = parser.parse_args(arguments)
    sources = {"here": ROOT} | ({"there": options.against} if options.against else {})
    table = Table("megapixels", "what", "whose", "seconds", "CPU seconds", "peak MB")
    with tempfile.TemporaryDirectory() as folder:
        picture, avif = Path(folder) / "large.png", Path(folder) / "large.avif"
        for megapixels in options.megapixels:
            height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
            width = round(megapixels * 1e6 / height)
            cost(ROOT, "-c", _MOSAIC, str(options.pictures), str(width), str(height), str(picture))
            found = {
                whose: measured(source, picture, width, height, options.regions) for whose, source in sources.items()
            }
            found["AVIF"] = {
                "compress": [cost(ROOT, "-c", _AVIF, str(picture), str(avif))],
                "decompress to PNG": [cost(ROOT, "-c", _FROM_AVIF, str(avif), str(picture.with_name("back.png")))],
            }
            for what in found["here"]:
                for whose, costs in found.items():
                    if some := costs.get(what):
                        numbers = (
                            f"{sum(one.seconds for one in some) / len(some):.2f}",
                            f"{sum(one.cpu_seconds for one in some) / len(some):.2f}",
                            f"{max(one.peak_megabytes for one in some):.0f}",
                        )
                        table.add_row(f"{width * height / 1e6:.0f}", what, whose, *numbers)
    Console().print(table)
    return 0


if __name__ == "__main__":
    run(main)
