"""Colours that are neither grey nor RGB become sRGB."""

import io

from PIL import Image, ImageCms

from trimix.errors import PictureError


def to_srgb(image: Image.Image) -> tuple[Image.Image, str]:
    """A decoded image of mode CMYK or LAB in sRGB, and one line on how it was converted."""
    source = _profile(image)
    if source is None:
        # As browsers and Pillow do it: every ink takes away its complement.
        return image.convert("RGB"), "CMYK without a profile was converted to sRGB: its colours are a guess"
    try:
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError as error:
        raise PictureError(
            f"{_name(image)} must be converted to RGB by its profile, found one that cannot do it ({error}); "
            "convert the picture, e.g. with `magick IN -colorspace sRGB OUT`"
        ) from error
    assert converted is not None
    return converted, f"{_name(image)} was converted to sRGB by its profile"


def _name(image: Image.Image) -> str:
    return "Lab" if image.mode == "LAB" else image.mode


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The image's own profile if it is one of its colours, Lab's definition for Lab without, else None."""
    wanted = _name(image)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info.get("icc_profile") or b""))
        if getattr(profile.profile, "xcolor_space", "").strip() == wanted:
            return profile
    except (OSError, ImageCms.PyCMSError):
        pass
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")) if wanted == "Lab" else None
