"""Tags of TIFF and EXIF that describe a picture, and those that hold other metadata."""

from PIL import ExifTags, Image, TiffImagePlugin

from trimix.bitstream import Metadata
from trimix.images.jpeg_segments import wrapped_iptc

XMP_TAG = 700
IPTC_TAG, PHOTOSHOP_TAG, PROFILE_TAG = 33723, 34377, 34675
# What may move between a TIFF's first directory and an EXIF block; the rest says where the pixels lie.
_DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
SUBDIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


def descriptive_exif(source: Image.Exif) -> Image.Exif:
    """The tags of a TIFF or an EXIF block that describe the picture and do not depend on how it is stored."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in source:
            kept[tag] = source[tag]
    for directory in SUBDIRECTORIES:
        if values := source.get_ifd(directory):
            kept[directory] = dict(values)
    return kept


def iptc_of_tiff(image: TiffImagePlugin.TiffImageFile) -> bytes:
    """Photoshop's image resources; empty for none."""
    if isinstance(resources := image.tag_v2.get(PHOTOSHOP_TAG), bytes):
        return resources
    records = image.tag_v2.get(IPTC_TAG)
    return wrapped_iptc(records) if isinstance(records, bytes) else b""


def tiff_tags(metadata: Metadata, xmp: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """What a TIFF takes up in its own directory: EXIF, IPTC and one packet of XMP."""
    exif = Image.Exif()
    exif.load(metadata.exif)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in descriptive_exif(exif).items():
        tags[tag] = value
    for tag, value in ((XMP_TAG, xmp), (PHOTOSHOP_TAG, metadata.iptc)):
        if value:
            tags[tag] = value
    return tags
