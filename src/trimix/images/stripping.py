"""Metadata left out on purpose."""

from dataclasses import replace
from enum import StrEnum

from trimix.bitstream import Metadata
from trimix.images.chunks import COLOUR_TYPES, pack_chunks, unpack_chunks
from trimix.images.exif import erase_position, erase_xmp_position


class Strip(StrEnum):
    """What is left out."""

    NOTHING = "nothing"
    GPS = "gps"
    """Where the picture was taken, in EXIF and XMP."""
    ALL = "all"
    """All but what says which colours the numbers mean."""
    PROFILE = "profile"
    """All, colours too: the picture is taken for sRGB."""


def stripped(metadata: Metadata, strip: Strip) -> Metadata:
    """Metadata without what is to be left out.

    >>> stripped(Metadata(icc_profile=b"profile", xmp=b"packet"), Strip.ALL) == Metadata(icc_profile=b"profile")
    True
    """
    match strip:
        case Strip.NOTHING:
            return metadata
        case Strip.GPS:
            extended, packet = (erase_xmp_position(data) for data in (metadata.extended_xmp, metadata.xmp))
            return replace(metadata, exif=erase_position(metadata.exif), xmp=packet, extended_xmp=extended)
        case Strip.ALL:
            colours = [one for one in unpack_chunks(metadata.chunks) if one.type in COLOUR_TYPES]
            return Metadata(icc_profile=metadata.icc_profile, chunks=pack_chunks(colours))
        case Strip.PROFILE:
            return Metadata()
