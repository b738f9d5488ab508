"""Pictures of sets that do not fit into memory: read where they lie, decoded ahead of the steps that need them.

::

    place 0 of a batch    17  18 [19  20  21  22] 23  24 ..    an endless row of pictures, drawn at random,
    place 1               17  18  19 [20  21  22  23] 24 ..    and a window on it that moves on with the steps

To decode a picture for one patch takes longer than all else of the patch, so every picture serves several: it stays in
the window of its place for many steps, any of which may cut a patch from it. The patches of one batch are cut from
pictures of independent rows, as likely as those of a set in memory.

Which picture a patch is cut from is a function of (seed, step, place in the batch, size of the batch). What is decoded
ahead, and what is dropped to keep to the limit of memory, changes only how long a step waits.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trimix.errors import ConfigurationError
from trimix.shapes import Float, UInt8
from trimix.training.picture_files import DamagedPictureError, PictureFile, index_pictures, load_pictures

GIBIBYTE = 2**30
_STEPS_AHEAD = 16
_FILLED = 0.8
"""Share of the memory that the windows take on average: chance may draw larger pictures, and some are decoded ahead."""

Slot = tuple[int, int]
"""A place in the batch, and a number in its row of pictures."""


def shares_up_to(shapes: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "n"]:
    """Of pictures of these rows and columns, how often one of the first is drawn.

    A large picture has more patches to offer than a small one: shares go with the root of the area.

    >>> shares_up_to([(10, 10), (30, 30)]).tolist()
    [0.25, 1.0]
    """
    share = np.sqrt([rows * columns for rows, columns, *_ in shapes])
    return np.cumsum(share) / share.sum()


def place_of(chance: float, shares: Float[np.ndarray, "n"]) -> int:
    """The picture that a number in [0, 1) draws.

    >>> place_of(0.25, np.array([0.25, 1.0]))
    1
    """
    # The last of the shares may have been rounded to less than 1.
    return min(int(np.searchsorted(shares, chance, side="right")), len(shares) - 1)


class _Held(NamedTuple):
    pixels: Future[np.ndarray]
    decoded_bytes: int
    step: int
    """The last one that is known to need it."""


class PictureWindow:
    """Decoded pictures of a large set, never more than a limit; used by one thread, that of the steps.

    A picture that proves to be damaged is told of once, and the next one of the set stands in for it.

    Args:
        files: none of them in a compressed tar.
        seed: decides with a slot which picture that is.
        memory_bytes: that decoded pictures take at most, also those that are being decoded; one is always held.
        patches_per_picture: how many patches are cut from a picture, on average.
        workers: threads that decode ahead, without the interpreter's lock; 0 decodes when a patch is cut.
        on_left_out: told of a damaged picture, in a line; None refuses it.

    >>> window = PictureWindow([PictureFile("a.png", Path("a.png"), 0, -1, 512, 768)], seed=1, memory_bytes=2**24)
    >>> window.slot(0.5, step=800, index=3, count=4)
    (3, 101)
    """

    def __init__(
        self,
        files: Sequence[PictureFile],
        seed: int,
        memory_bytes: float,
        *,
        patches_per_picture: int = 8,
        workers: int = 0,
        on_left_out: Callable[[str], None] | None = None,
    ) -> None:
        self._files = files
        self._seed = seed
        self._memory_bytes = memory_bytes
        self._patches_per_picture = patches_per_picture
        self._on_left_out = on_left_out
        self._shares_up_to = shares_up_to([(file.rows, file.columns) for file in files])
        mean_bytes = np.diff(self._shares_up_to, prepend=0) @ [file.decoded_bytes for file in files]
        self.pictures = max(1, int(_FILLED * memory_bytes / mean_bytes))
        """In all windows of a batch together."""
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode") if workers else None
        self._held: dict[Slot, _Held] = {}  # those that later steps need stand further back
        self._held_bytes = 0
        self._step = self._planned = 0
        self._batch: tuple[int, range] | None = None
        self._damaged: dict[int, str] = {}
        self._told = 0

    def slot(self, chance: float, step: int, index: int, count: int) -> Slot:
        """The slot that a number in [0, 1) draws for the patch of this index in a batch of ``count``."""
        return index, self._start(step, index) + int(chance * self._length(count))

    def _start(self, step: int, index: int) -> int:
        # Places take turns in moving on, so that steps have equal work.
        return (step + index) // self._patches_per_picture

    def _length(self, count: int) -> int:
        return max(1, self.pictures // count)

    def look_ahead(self, step: int, count: int, places: range, slots: Callable[[int], Iterable[Slot]]) -> None:
        """Begin a step: forget what is behind it, and have what it and the next ones need decoded.

        Args:
            count: patches of the whole batch.
            places: of those that are cut here.
            slots: of a step and these places.
        """
        for note in list(self._damaged.values())[self._told :]:
            self._told += 1
            if self._on_left_out is not None:
                self._on_left_out(note)
        if (count, places) != self._batch or not self._step <= step <= self._planned:
            self._planned = step  # another phase, or another run of steps
            self._held = {slot: held._replace(step=step - 1) for slot, held in self._held.items()}
        self._batch, self._step = (count, places), step
        length = self._length(count)
        for place, number in list(self._held):
            first, last = self._start(step, place), self._start(step + _STEPS_AHEAD, place) + length
            if place not in places or not first <= number < last:
                self._drop((place, number))
        while self._pool is not None and self._planned <= step + _STEPS_AHEAD:
            if not all(self._hold(slot, self._planned) for slot in slots(self._planned)):
                break  # no room until steps before it are done
            self._planned += 1

    def __getitem__(self, slot: Slot) -> UInt8[np.ndarray, "H W 3"]:
        """Its pixels, to be used before the next one is asked for.

        Raises:
            ConfigurationError: a file cannot be read any more, or no picture of the set is whole.
        """
        if self._pool is None or slot not in self._held:
            self._hold(slot, self._step, at_once=True)
        return self._held[slot].pixels.result()

    def close(self) -> None:
        """Give all memory back and leave undone what waits to be decoded; the next step begins anew."""
        self._batch = None
        for slot in list(self._held):
            self._drop(slot)

    def _hold(self, slot: Slot, step: int, *, at_once: bool = False) -> bool:
        """Keep or decode the picture of a slot, where there is room without those that are still needed."""
        held = self._held.pop(slot, None)
        if held is None:
            decoded_bytes = self._files[self._picture(slot)].decoded_bytes
            while self._held and self._held_bytes + decoded_bytes > self._memory_bytes:
                oldest = next(iter(self._held))
                if self._held[oldest].step >= self._step and not at_once:
                    return False
                self._drop(oldest)
            held = _Held(self._decoding(slot), decoded_bytes, step)
            self._held_bytes += decoded_bytes
        self._held[slot] = held._replace(step=step)
        return True

    def _drop(self, slot: Slot) -> None:
        held = self._held.pop(slot)
        self._held_bytes -= held.decoded_bytes
        if not held.pixels.cancel():
            wait([held.pixels])  # what is being decoded takes memory until it is done

    def _decoding(self, slot: Slot) -> Future[np.ndarray]:
        if self._pool is not None:
            return self._pool.submit(self._decode, slot)
        done: Future[np.ndarray] = Future()
        done.set_result(self._decode(slot))
        return done

    def _picture(self, slot: Slot) -> int:
        place, number = slot
        return place_of(np.random.default_rng((self._seed, number, place, 2)).random(), self._shares_up_to)

    def _decode(self, slot: Slot) -> np.ndarray:
        drawn = self._picture(slot)
        for number in (*range(drawn, len(self._files)), *range(drawn)):
            try:
                if number not in self._damaged:
                    return self._files[number].pixels()
            except DamagedPictureError as error:
                if self._on_left_out is None:
                    raise
                self._damaged.setdefault(number, str(error))
        raise ConfigurationError(f"{self._files[drawn].name}: no picture of its set can be read; fetch them again")


def open_pictures(
    sources: Sequence[Path],
    minimum_side: int,
    seed: int,
    *,
    memory_gibibytes: float,
    patches_per_picture: int,
    workers: int,
    advice: str = "remove it",
    on_progress: Callable[[int, int | None], None] | None = None,
    on_left_out: Callable[[str], None] | None = None,
) -> list[np.ndarray] | PictureWindow:
    """All pictures decoded where they fit into memory, as `load_pictures` does; else a window on them.

    Raises:
        ConfigurationError: as `load_pictures` says; or a set that does not fit has a compressed tar.
    """
    memory_bytes = memory_gibibytes * GIBIBYTE
    decoded_bytes = count = 0
    left_out: list[str] = []

    def count_in(file: PictureFile) -> None:
        nonlocal decoded_bytes, count
        decoded_bytes, count = decoded_bytes + file.decoded_bytes, count + 1
        if on_progress and decoded_bytes > memory_bytes:
            on_progress(count, None)

    load = partial(load_pictures, sources, minimum_side, advice=advice)
    files = index_pictures(
        sources,
        minimum_side,
        advice=advice,
        on_picture=count_in,
        on_left_out=None if on_left_out is None else left_out.append,
    )
    if decoded_bytes <= memory_bytes:
        return load(on_progress=on_progress, on_left_out=on_left_out)
    for file in files:
        if file.offset is None:
            raise ConfigurationError(
                f"{file.path}: must be an uncompressed tar, since its set takes {decoded_bytes / GIBIBYTE:.1f} GiB in "
                f"memory, more than data.memory_gibibytes, {memory_gibibytes:g}; unpack it, or raise that"
            )
    for note in left_out:
        assert on_left_out is not None
        on_left_out(note)
    return PictureWindow(
        files, seed, memory_bytes, patches_per_picture=patches_per_picture, workers=workers, on_left_out=on_left_out
    )
