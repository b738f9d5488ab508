"""Pictures of folders and tars: what they hold, and their pixels."""

import io
import lzma
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from trimix.errors import ConfigurationError
from trimix.shapes import UInt8

_WAITING_FILES = 64
"""Encoded pictures that are read ahead of those that decode them."""
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}


class DamagedPictureError(ConfigurationError):
    """One of many, which can do without it."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """Where the bytes of a picture lie.

    Args:
        name: as messages have it.
        path: of the picture, or of the tar that holds it.
        offset: of its first byte; None in a compressed tar, which can only be read from its start.
        length: in bytes; -1 is all of the file.
        rows: pixels, as its first bytes say.
        columns: pixels.
    """

    name: str
    path: Path
    offset: int | None
    length: int
    rows: int
    columns: int

    @property
    def decoded_bytes(self) -> int:
        """What its pixels take in memory."""
        return 3 * self.rows * self.columns

    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """Read and decode it.

        Raises:
            DamagedPictureError: its bytes are no picture.
            ConfigurationError: they cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset or 0)
                data = file.read(self.length)
        except OSError as error:
            raise ConfigurationError(f"{self.name}: cannot be read: {error.strerror}") from error
        return _decode(self.name, data)


def no_source(path: Path) -> ConfigurationError:
    """What to say of a path that holds no pictures."""
    return ConfigurationError(f"{path}: must be a folder, tar or picture; found nothing of the kind")


def _pictures_in(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in _SUFFIXES and not p.is_dir()]


def matches(source: Path) -> list[Path]:
    """The path itself, or what its last part stands for as a pattern, sorted; nothing where there is nothing."""
    return [source] if source.exists() else sorted(source.parent.glob(source.name))


def _sources(patterns: Sequence[Path]) -> list[Path]:
    for pattern in patterns:
        if not matches(pattern):
            raise no_source(pattern)
    return [source for pattern in patterns for source in matches(pattern)]


def _opened(source: Path) -> Iterator[tuple[str, IO[bytes], tuple[Path, int | None, int]]]:
    """Every picture's name, its bytes as an open file, and path, offset and length of a `PictureFile`."""
    if source.is_dir() or (source.is_file() and source.suffix.lower() in _SUFFIXES):
        for path in _pictures_in(source) if source.is_dir() else [source]:
            with path.open("rb") as file:
                yield str(path), file, (path, 0, -1)
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            is_plain = isinstance(archive.fileobj, io.BufferedReader)
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in _SUFFIXES:
                    place = (source, member.offset_data if is_plain else None, member.size)
                    yield f"{source}:{member.name}", archive.extractfile(member), place  # type: ignore[misc]
    else:
        raise no_source(source)


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Inside, what cannot be read is named."""
    try:
        yield
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


def _decode(name: str, data: bytes) -> UInt8[np.ndarray, "H W 3"]:
    try:
        return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    except Exception as error:  # Pillow raises nearly anything on damaged data
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DamagedPictureError:
    return DamagedPictureError(f"{name}: is not a readable picture: {error}")


def _check_sides(name: str, rows: int, columns: int, minimum_side: int, advice: str) -> None:
    if min(rows, columns) < minimum_side:
        raise ConfigurationError(
            f"{name}: both sides must have at least {minimum_side} pixels, found {columns}x{rows}; {advice}"
        )


def index_pictures(
    sources: Sequence[Path],
    minimum_side: int,
    *,
    advice: str = "remove it",
    on_picture: Callable[[PictureFile], None] = lambda _: None,
    on_left_out: Callable[[str], None] | None = None,
) -> list[PictureFile]:
    """Where all pictures of folders and tars lie, and their sizes; only their first bytes are read.

    Args:
        sources: as those of `load_pictures`.
        minimum_side: pixels that both sides must have.
        on_picture: called with every one.
        on_left_out: told of a picture whose first bytes are damaged, in a line; None refuses it.

    Raises:
        ConfigurationError: a source or picture is missing, cannot be read, or is too small.
    """
    files: list[PictureFile] = []
    for source in _sources(sources):
        with _reading(source):
            for name, opened, place in _opened(source):
                # Read whole, a compressed tar shows whether it is damaged itself.
                first_bytes = io.BytesIO(opened.read()) if place[1] is None else opened
                try:
                    columns, rows = Image.open(first_bytes).size
                except Exception as error:
                    damage = _damaged(name, error)
                    if on_left_out is None:
                        raise damage from error
                    on_left_out(str(damage))
                    continue
                _check_sides(name, rows, columns, minimum_side, advice)
                files.append(PictureFile(name, *place, rows, columns))
                on_picture(files[-1])
    return files


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
        sources: folders, tars and pictures; a last part with ``*`` stands for all that match.
        minimum_side: pixels that both sides must have.
        on_progress: called after every picture with how many are done, and of how many, where that is known.
        on_left_out: told of a picture that is damaged, in a line; None refuses it.

    Raises:
        ConfigurationError: a source or picture is missing, cannot be read, or is too small.
    """
    sources = _sources(sources)
    total = _count(sources) if on_progress else None
    pictures: list[np.ndarray] = []
    waiting: deque[Future[np.ndarray]] = deque()
    done = 0

    def decode(name: str, data: bytes) -> np.ndarray:
        pixels = _decode(name, data)
        rows, columns, _ = pixels.shape
        _check_sides(name, rows, columns, minimum_side, advice)
        return pixels

    def take() -> None:
        nonlocal done
        try:
            pictures.append(waiting.popleft().result())
        except DamagedPictureError as error:
            if on_left_out is None:
                raise
            on_left_out(str(error))
        if on_progress:
            on_progress(done := done + 1, total)

    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # Pillow decodes without the interpreter's lock
        try:
            for source in sources:
                with _reading(source):
                    for name, opened, _ in _opened(source):
                        waiting.append(pool.submit(decode, name, opened.read()))
                        if len(waiting) > _WAITING_FILES:
                            take()
            while waiting:
                take()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if not pictures:
        raise ConfigurationError(f"no picture found in {', '.join(map(str, sources))}")
    return pictures
