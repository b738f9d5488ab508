"""Training patches and validation crops from folders and tars of pictures.

Pictures are decoded once and stay in memory as bytes. Every batch is a function of (seed, step) alone, so a resumed
run sees what an uninterrupted one would have seen.
"""

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trimix.errors import ConfigurationError
from trimix.shapes import Float, Tensor

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}


def _named_bytes(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        yield from _read(source)
    except OSError as error:
        # A damaged gzip is an OSError, too, with neither name nor number.
        raise ConfigurationError(
            f"{error.filename or source}: cannot be read: {error.strerror or error}"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ConfigurationError(f"{source}: is a damaged tar ({error}); fetch it again") from error


def _read(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in _SUFFIXES and not path.is_dir():
                yield str(path), path.read_bytes()
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in _SUFFIXES:
                    yield f"{source}:{member.name}", archive.extractfile(member).read()  # type: ignore[union-attr]
    elif source.is_file() and source.suffix.lower() in _SUFFIXES:
        yield str(source), source.read_bytes()
    else:
        raise ConfigurationError(f"{source}: must be a folder, tar or picture; found nothing of the kind")


def load_pictures(
    sources: Sequence[Path], minimum_side: int, *, advice: str = "remove it"
) -> list[np.ndarray]:
    """Decode all pictures of folders and tars into uint8 arrays [H W 3].

    Args:
        sources: folders, tars or pictures.
        minimum_side: pixels that both sides must have.
        advice: what to do with a picture that is smaller.

    Raises:
        ConfigurationError: a source or picture is missing, cannot be read, or is too small.
    """
    pictures = []
    for source in sources:
        for name, data in _named_bytes(source):
            try:
                pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            except Exception as error:  # Pillow raises nearly anything on damaged data
                raise ConfigurationError(f"{name}: is not a readable picture: {error}") from error
            if min(pixels.shape[:2]) < minimum_side:
                raise ConfigurationError(
                    f"{name}: both sides must have at least {minimum_side} pixels, "
                    f"found {pixels.shape[1]}x{pixels.shape[0]}; {advice}"
                )
            pictures.append(pixels)
    if not pictures:
        raise ConfigurationError(f"no picture found in {', '.join(map(str, sources))}")
    return pictures


def _to_tensor(patches: Sequence[np.ndarray]) -> Float[Tensor, "N 3 H W"]:
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255


class PatchSampler:
    """Random patches: crop anywhere, scale down at random, flip.

    Args:
        pictures: uint8 arrays [H W 3].
        seed: with the step, decides everything.
        scale_minimum: smallest factor by which a patch may be scaled down.
        scaled_share: share of patches that are scaled at all.
    """

    def __init__(
        self, pictures: Sequence[np.ndarray], seed: int, scale_minimum: float, scaled_share: float
    ) -> None:
        self.pictures = pictures
        self.seed = seed
        self.scale_minimum = scale_minimum
        self.scaled_share = scaled_share
        # A large picture has more patches to offer than a small one.
        area = np.array([p.shape[0] * p.shape[1] for p in pictures], dtype=np.float64)
        self._share = np.sqrt(area) / np.sqrt(area).sum()

    def batch(self, step: int, count: int, size: int) -> Float[Tensor, "N 3 H W"]:
        """The patches of one step, values in [0, 1]."""
        random = np.random.default_rng((self.seed, step))
        chosen = random.choice(len(self.pictures), size=count, p=self._share)
        return _to_tensor([self._patch(self.pictures[index], size, random) for index in chosen])

    def _patch(self, picture: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
        rows, columns = picture.shape[:2]
        scale = random.uniform(self.scale_minimum, 1) if random.random() < self.scaled_share else 1.0
        side = min(round(size / scale), rows, columns)
        top, left = random.integers(rows - side + 1), random.integers(columns - side + 1)
        patch = picture[top : top + side, left : left + side]
        if side != size:
            resized = Image.fromarray(patch).resize((size, size), Image.Resampling.LANCZOS)
            patch = np.asarray(resized)
        if random.random() < 0.5:
            patch = patch[:, ::-1]
        if random.random() < 0.5:
            patch = patch[::-1]
        return patch


def validation_crops(pictures: Sequence[np.ndarray], size: int) -> Float[Tensor, "N 3 H W"]:
    """The central square of every picture, values in [0, 1]."""
    crops = []
    for picture in pictures:
        top, left = ((side - size) // 2 for side in picture.shape[:2])
        crops.append(picture[top : top + size, left : left + size])
    return _to_tensor(crops)
