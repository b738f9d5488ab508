"""What a codec to compare with is: fixed settings, one free quality, real files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trimix.errors import UsageError
from trimix.images import Picture
from trimix.shapes import UInt8


@dataclass(frozen=True)
class QualityScale:
    """The values that the quality of a codec takes.

    Attributes:
        worst: value of the smallest file.
        best: value of the best picture; less than `worst` where the codec counts that way, as QP do.
        step: between neighbours, positive.
        meaning: what the values are, in words.

    >>> QualityScale(51, 0, meaning="QP").value(1)
    50
    """

    worst: float
    best: float
    step: float = 1
    meaning: str = "quality"

    @property
    def places(self) -> int:
        """How many values there are."""
        return round(abs(self.best - self.worst) / self.step) + 1

    def value(self, place: int) -> float:
        """The value at a place, 0 for the worst; it is an int where the scale is one of integers."""
        offset = place * self.step if self.best > self.worst else -place * self.step
        found = round(self.worst + offset, 6)
        return int(found) if float(self.step).is_integer() else found

    def checked(self, quality: float, name: str) -> float:
        """The quality of the codec of that name, an int where the scale is one of integers.

        Raises:
            UsageError: it is outside the scale, or between two integers.
        """
        integers = float(self.step).is_integer()
        lowest, highest = sorted((self.worst, self.best))
        # NaN is in no range.
        if not lowest <= quality <= highest or (integers and quality != int(quality)):
            kind = "an integer, " if integers else ""
            raise UsageError(
                f"the quality of {name} must be {kind}{self.worst:g} .. {self.best:g} ({self.meaning}, from smallest "
                f"file to best picture), found {quality:g}; change it"
            )
        return int(quality) if integers else float(quality)


@dataclass(frozen=True)
class SizedFile:
    """A file and the quality that it was encoded with."""

    quality: float
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Peer(ABC):
    """A codec with fixed settings, told in words, and one free quality, whose scale has the codec's own direction.

    Qualities to measure at, where none are asked for, go by growing size: on photographs some 0.1 to 2 bits per pixel,
    as far as the codec goes.
    """

    key: str
    name: str
    settings: str
    scale: QualityScale
    qualities: tuple[float, ...]

    @property
    @abstractmethod
    def obstacle(self) -> str | None:
        """Why it cannot be used here and what to do about that; None where it can."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Versions of the libraries that it works by."""

    @property
    def available(self) -> bool:
        """Whether it can be used here."""
        return self.obstacle is None

    @property
    def description(self) -> str:
        """Settings and version."""
        return f"{self.settings}; {self.version}"

    def at(self, qualities: Sequence[float]) -> "Peer":
        """The codec, to be measured at these qualities.

        Raises:
            UsageError: one is outside the scale.
        """
        return replace(self, qualities=tuple(float(self.scale.checked(one, self.name)) for one in qualities))

    def identity(self) -> Mapping[str, Any]:
        """Whatever changes its results."""
        settings = {"codec_version": self.version, "codec_settings": self.settings}
        return {"codec": self.name, **settings, "qualities": list(self.qualities)}

    def open(self) -> "Peer":
        """Itself, as a contender of an evaluation."""
        return self

    def payload_bytes(self, data: bytes) -> None:  # noqa: B027
        """Not told apart from headers."""

    def facts(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def encode(self, picture: Picture, quality: float) -> bytes:
        """A whole file of a quality on the codec's own scale; pixels only, without metadata.

        Raises:
            UsageError: a quality outside the scale, a picture that the format cannot hold, or a codec that is not
                available.
        """
        quality = self.scale.checked(quality, self.name)
        self.require()
        return self._encode(np.ascontiguousarray(picture.pixels), quality)

    def decode(self, data: bytes, channels: int) -> Picture:
        """The picture of a file that `encode` wrote, grey if that was of 1 channel, whatever the format keeps.

        Raises:
            UsageError: a codec that is not available.
            PictureError: a file that cannot be decoded.
        """
        self.require()
        from PIL import Image

        pixels, wanted = self._decode(data), "L" if channels == 1 else "RGB"
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)
        # Luma is the channel such a format kept the grey in; R, G and B are equal up to rounding.
        found = np.asarray(image if image.mode == wanted else image.convert(wanted))
        return Picture(found[:, :, None] if channels == 1 else found)

    def encode_to_size(self, picture: Picture, target_bytes: int) -> SizedFile:
        """The file of the best quality that is not larger than the target, by bisection.

        Raises:
            UsageError: even the worst quality is larger, or as in `encode`.
        """

        def file_at(place: int) -> SizedFile:
            quality = self.scale.value(place)
            return SizedFile(quality, self.encode(picture, quality))

        lowest, highest = 0, self.scale.places - 1
        best = file_at(lowest)
        if len(best.data) > target_bytes:
            raise UsageError(
                f"{self.name} must fit into {target_bytes} bytes, found {len(best.data)} at its lowest quality; "
                "allow more"
            )
        # Sizes grow with the quality, but for rare steps: the file found fits, the next quality does not.
        while lowest < highest:
            middle = (lowest + highest + 1) // 2
            file = file_at(middle)
            if len(file.data) <= target_bytes:
                lowest, best = middle, file
            else:
                highest = middle - 1
        return best

    def require(self) -> None:
        """Refuse to go on where the codec is not available.

        Raises:
            UsageError: it is not.
        """
        if (obstacle := self.obstacle) is not None:
            raise UsageError(f"{self.name} {obstacle}")

    def cannot_hold(self, pixels: UInt8[np.ndarray, "H W C"], error: Exception) -> UsageError:
        """What is raised where the format refuses the picture."""
        return UsageError(
            f"{self.name} must be able to hold the picture, found {pixels.shape[1]} x {pixels.shape[0]} refused: "
            f"{error}; crop the picture"
        )

    @abstractmethod
    def _encode(self, pixels: UInt8[np.ndarray, "H W C"], quality: float) -> bytes: ...

    @abstractmethod
    def _decode(self, data: bytes) -> UInt8[np.ndarray, "H W *C"]: ...
