"""Training patches and validation crops.

Pictures are decoded once and stay in memory as bytes, on the device that trains; where they do not fit, they come from
a `PictureWindow`. Every patch is a function of (seed, step, index in the batch) alone, so a resumed run sees what an
uninterrupted one would have seen, and many devices together see what one would have seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from trimix.shapes import Float, Tensor, UInt8
from trimix.training.picture_window import PictureWindow, Slot, place_of, shares_up_to


@dataclass(frozen=True)
class Cut:
    """Where a patch comes from; a picture of a window is named by its slot."""

    picture: int | Slot
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
        pictures: uint8 arrays [H W 3], which stay in the memory of the device; or a window on more of them.
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
        pictures: Sequence[np.ndarray] | PictureWindow,
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
        self._device = torch.device(device)
        self._window = pictures if isinstance(pictures, PictureWindow) else None
        kept = () if isinstance(pictures, PictureWindow) else pictures
        self._photographs = len(kept)
        self._shares_up_to = shares_up_to([picture.shape for picture in kept])
        self._pictures = [torch.from_numpy(picture).to(device) for picture in (*kept, *drawn)]

    def batch(self, step: int, count: int, size: int, part: range | None = None) -> Float[Tensor, "n 3 H W"]:
        """Patches of one step on the device, values k / 255 in [0, 1].

        Args:
            size: pixels a side; no picture is smaller.
            part: those patches of the batch that are wanted; by default all.
        """
        patches = []
        places = range(count) if part is None else part
        if self._window is not None:
            self._window.look_ahead(step, count, places, lambda later: self._slots(later, count, places))
        for index in places:
            is_drawn, random = self._is_drawn(step, index)
            is_grey = not is_drawn and random.random() < self.grey_share
            cut = self._drawn_cut(random, size) if is_drawn else self._cut(step, index, size, count)
            patch = self.patch(cut, size)
            patches.append(_grey(patch).expand_as(patch) if is_grey else patch)
        return torch.stack(patches).permute(0, 3, 1, 2).float().div_(255)

    def close(self) -> None:
        """Stop what goes on between batches; there may be more of them."""
        if self._window is not None:
            self._window.close()

    def patch(self, cut: Cut, size: int) -> UInt8[Tensor, "H W 3"]:
        """A patch of ``size`` x ``size`` pixels."""
        # Of a picture that is not on the device only this part goes there.
        window = self._pixels(cut.picture)[cut.top :, cut.left :][: cut.side, : cut.side].to(self._device)
        if cut.side != size:
            window = scaled(window, size, in_bytes=window.device.type == "cpu")
        return window.flip([axis for axis, flips in enumerate((cut.upside_down, cut.mirrored)) if flips])

    def _pixels(self, picture: int | Slot) -> UInt8[Tensor, "H W 3"]:
        if isinstance(picture, int):
            return self._pictures[picture]
        assert self._window is not None
        return torch.from_numpy(self._window[picture])

    def _is_drawn(self, step: int, index: int) -> tuple[bool, np.random.Generator]:
        # Drawn from a source of its own: the photographs are the same ones whatever the shares are.
        random = np.random.default_rng((self.seed, step, index, 1))
        return random.random() < self.drawn_share, random

    def _photograph(self, random: np.random.Generator, step: int, index: int, count: int) -> int | Slot:
        if self._window is None:
            return place_of(random.random(), self._shares_up_to)
        return self._window.slot(random.random(), step, index, count)

    def _slots(self, step: int, count: int, places: range) -> Iterator[Slot]:
        """Those of a window that a part of a batch needs."""
        for index in places:
            if not self._is_drawn(step, index)[0]:
                yield self._photograph(np.random.default_rng((self.seed, step, index)), step, index, count)  # type: ignore[misc]

    def _drawn_cut(self, random: np.random.Generator, size: int) -> Cut:
        drawn = self._pictures[self._photographs :]
        picture = int(random.integers(len(drawn)))
        top, left = (int(random.integers(side - size + 1)) for side in drawn[picture].shape[:2])
        return Cut(self._photographs + picture, top, left, size)

    def _cut(self, step: int, index: int, size: int, count: int) -> Cut:
        random = np.random.default_rng((self.seed, step, index))
        picture = self._photograph(random, step, index, count)
        rows, columns, _ = self._pixels(picture).shape
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
