"""Pillow learns `.tmix`: `import trimix.pillow`, then `Image.open("a.tmix")` and `image.save("a.tmix", quality=60)`."""

from trimix.integrations.pillow_plugin import TrimixImageFile

__all__ = ["TrimixImageFile"]
