"""Training patches and validation crops from folders and tars of pictures.

Pictures are decoded once and stay in memory as bytes, on the device that trains. Every patch is a function of
(seed, step, index in the batch) alone, so a resumed run sees what an uninterrupted one would have seen, and many
devices together see what one would have seen.
"""

import io
import lzma
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from trimix.errors import ConfigurationError
from trimix.shapes import Float, Tensor, UInt8

_WAITING_FILES = 64
"""Encoded pictures that are read ahead of those that decode them."""
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}


class _DamagedPictureError(ConfigurationError):
    """One of many, which can do without it."""


def no_source(path: Path) -> ConfigurationError:
    """What to say of a path that holds no pictures."""
    return ConfigurationError(f"{path}: must be a folder, tar or picture; found nothing of the kind")


def _pictures_in(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in _SUFFIXES and not p.is_dir()]


def _named_bytes(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if source.is_dir() or (source.is_file() and source.suffix.lower() in _SUFFIXES):
            for path in _pictures_in(source) if source.is_dir() else [source]:
                yield str(path), path.read_bytes()
        elif source.is_file() and tarfile.is_tarfile(source):
            with tarfile.open(source) as archive:
                for member in archive:
                    if member.isfile() and Path(member.name).suffix.lower() in _SUFFIXES:
                        yield f"{source}:{member.name}", archive.extractfile(member).read()  # type: ignore[union-attr]
        else:
            raise no_source(source)
    except OSError as error:
        # A damaged gzip is an OSError, too, with neither name nor number.
        raise ConfigurationError(f"{error.filename or source}: cannot be read: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ConfigurationError(f"{source}: is a damaged tar ({error}); fetch it again") from error


def _count(sources: Sequence[Path]) -> int | None:
    """How many pictures there are, where that is known before all are read: not in tars."""
    total = 0
    for source in sources:
        if source.is_dir():
            total += len(_pictures_in(source))
        elif source.suffix.lower() in _SUFFIXES:
            total += 1
        else:
            return None
    return total


def _decode(name: str, data: bytes, minimum_side: int, advice: str) -> np.ndarray:
    try:
        pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    except Exception as error:  # Pillow raises nearly anything on damaged data
        raise _DamagedPictureError(f"{name}: is not a readable picture: {error}") from error
    if min(pixels.shape[:2]) < minimum_side:
        raise ConfigurationError(
            f"{name}: both sides must have at least {minimum_side} pixels, "
            f"found {pixels.shape[1]}x{pixels.shape[0]}; {advice}"
        )
    return pixels


def load_pictures(
    sources: Sequence[Path],
    minimum_side: int,
    *,
    advice: str = "remove it",
    on_progress: Callable[[int, int | None], None] | None = None,
    on_left_out: Callable[[str], None] | None = None,
) -> list[np.ndarray]:
    """Decode all pictures of folders and tars into uint8 arrays [H W 3], on all cores.

    Args:
        minimum_side: pixels that both sides must have.
        on_progress: called after every picture with how many are done, and of how many, where that is known.
        on_left_out: told of a picture that is damaged, in a line; None refuses it.

    Raises:
        ConfigurationError: a source or picture is missing, cannot be read, or is too small.
    """
    total = _count(sources) if on_progress else None
    pictures: list[np.ndarray] = []
    waiting: deque[Future[np.ndarray]] = deque()
    done = 0

    def take() -> None:
        nonlocal done
        try:
            pictures.append(waiting.popleft().result())
        except _DamagedPictureError as error:
            if on_left_out is None:
                raise
            on_left_out(str(error))
        if on_progress:
            on_progress(done := done + 1, total)

    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # Pillow decodes without the interpreter's lock
        try:
            for source in sources:
                for name, data in _named_bytes(source):
                    waiting.append(pool.submit(_decode, name, data, minimum_side, advice))
                    if len(waiting) > _WAITING_FILES:
                        take()
            while waiting:
                take()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if not pictures:
        raise ConfigurationError(f"no picture found in {', '.join(map(str, sources))}")
    return pictures


@dataclass(frozen=True)
class Cut:
    """Where a patch comes from."""

    picture: int
    top: int
    left: int
    side: int
    upside_down: bool = False
    mirrored: bool = False


class PatchSampler:
    """Random patches: crop anywhere, scale down at random, flip.

    Every patch is a function of (seed, step, its index in the batch) alone: parts of a batch that several devices
    make are those of the whole one.

    Args:
        pictures: uint8 arrays [H W 3]; they stay in the memory of the device.
        seed: with step and index, decides everything.
        scale_minimum: smallest factor by which a patch may be scaled down.
        scaled_share: share of patches that are scaled at all.
        drawn: uint8 arrays [H W 3], not to be scaled or flipped; no side is smaller than a patch.
        drawn_share: share of patches that are cut from these.
        grey_share: share of the other patches that are turned grey, all channels the luma (BT.601).

    >>> pictures = [np.zeros((70, 90, 3), np.uint8)]
    >>> sampler = PatchSampler(pictures, seed=1, scale_minimum=0.5, scaled_share=0.5)
    >>> sampler.batch(step=0, count=8, size=64, part=range(4, 8)).shape
    torch.Size([4, 3, 64, 64])
    """

    def __init__(
        self,
        pictures: Sequence[np.ndarray],
        seed: int,
        scale_minimum: float,
        scaled_share: float,
        device: torch.device | str = "cpu",
        *,
        drawn: Sequence[np.ndarray] = (),
        drawn_share: float = 0.0,
        grey_share: float = 0.0,
    ) -> None:
        self.seed = seed
        self.scale_minimum = scale_minimum
        self.scaled_share = scaled_share
        self.drawn_share = drawn_share
        self.grey_share = grey_share
        self._photographs = len(pictures)
        # A large picture has more patches to offer than a small one.
        share = np.sqrt([rows * columns for rows, columns, _ in (picture.shape for picture in pictures)])
        self._shares_up_to = np.cumsum(share) / share.sum()
        self._pictures = [torch.from_numpy(picture).to(device) for picture in (*pictures, *drawn)]

    def batch(self, step: int, count: int, size: int, part: range | None = None) -> Float[Tensor, "n 3 H W"]:
        """Patches of one step on the device, values k / 255 in [0, 1].

        Args:
            size: pixels a side; no picture is smaller.
            part: those patches of the batch that are wanted; by default all.
        """
        patches = []
        for index in range(count) if part is None else part:
            # Drawn from a source of its own: the photographs are the same ones whatever the shares are.
            random = np.random.default_rng((self.seed, step, index, 1))
            is_drawn = random.random() < self.drawn_share
            is_grey = not is_drawn and random.random() < self.grey_share
            cut = self._drawn_cut(random, size) if is_drawn else self._cut(step, index, size)
            patch = self.patch(cut, size)
            patches.append(_grey(patch).expand_as(patch) if is_grey else patch)
        return torch.stack(patches).permute(0, 3, 1, 2).float().div_(255)

    def patch(self, cut: Cut, size: int) -> UInt8[Tensor, "H W 3"]:
        """A patch of ``size`` x ``size`` pixels."""
        window = self._pictures[cut.picture][cut.top :, cut.left :][: cut.side, : cut.side]
        if cut.side != size:
            window = scaled(window, size, in_bytes=window.device.type == "cpu")
        return window.flip([axis for axis, flips in enumerate((cut.upside_down, cut.mirrored)) if flips])

    def _drawn_cut(self, random: np.random.Generator, size: int) -> Cut:
        drawn = self._pictures[self._photographs :]
        picture = int(random.integers(len(drawn)))
        top, left = (int(random.integers(side - size + 1)) for side in drawn[picture].shape[:2])
        return Cut(self._photographs + picture, top, left, size)

    def _cut(self, step: int, index: int, size: int) -> Cut:
        random = np.random.default_rng((self.seed, step, index))
        # The last of the shares may have been rounded to less than 1.
        picture = min(int(np.searchsorted(self._shares_up_to, random.random(), side="right")), self._photographs - 1)
        rows, columns, _ = self._pictures[picture].shape
        scale = random.uniform(self.scale_minimum, 1) if random.random() < self.scaled_share else 1.0
        side = min(round(size / scale), rows, columns)
        return Cut(
            picture,
            top=int(random.integers(rows - side + 1)),
            left=int(random.integers(columns - side + 1)),
            side=side,
            upside_down=random.random() < 0.5,
            mirrored=random.random() < 0.5,
        )


def scaled(window: UInt8[Tensor, "H W 3"], size: int, *, in_bytes: bool) -> UInt8[Tensor, "h w 3"]:
    """Scaled down as Pillow does, bicubic with antialiasing; in floats it may differ by one step of 255.

    Args:
        in_bytes: in whole numbers, which torch can on a CPU alone.
    """
    planes = window.contiguous().permute(2, 0, 1)[None]
    form = {"mode": "bicubic", "antialias": True}
    if in_bytes:
        return functional.interpolate(planes, (size, size), **form)[0].permute(1, 2, 0)
    for shape in ((len(window), size), (size, size)):
        planes = functional.interpolate(planes.float(), shape, **form).round().clamp(0, 255)
    return planes[0].permute(1, 2, 0).byte()


def _grey(patch: UInt8[Tensor, "H W 3"]) -> UInt8[Tensor, "H W 1"]:
    """Luma in whole numbers, the same on every device."""
    red, green, blue = patch.int().unbind(dim=2)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).byte()[..., None]


def validation_crops(pictures: Sequence[np.ndarray], size: int) -> Float[Tensor, "N 3 H W"]:
    """The central square of every picture, values in [0, 1]."""
    crops = []
    for picture in pictures:
        top, left = ((side - size) // 2 for side in picture.shape[:2])
        crops.append(picture[top : top + size, left : left + size])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
