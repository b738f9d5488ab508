"""The nearest symbols of a picture, which tests compare with."""

from trimix.codec import Codec
from trimix.images import Picture
from trimix.latent_codec import Symbols


def nearest_symbols(codec: Codec, picture: Picture, quality: float) -> Symbols:
    """g_a, gain, h_a, rounding."""
    return codec.latents.round(codec.latents.analyze(picture, quality))
