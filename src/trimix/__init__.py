"""trimix: learned image compression that people can train, measure and ship.

>>> import trimix
>>> sorted(trimix.__all__)[:3]
['Codec', 'Picture', 'PictureWarning']
"""

from importlib import import_module
from typing import TYPE_CHECKING

from trimix.allocator import keep_freed_memory
from trimix.errors import TrimixError

if TYPE_CHECKING:
    from trimix.api import PictureWarning, compress, decompress, decompress_to_picture
    from trimix.codec import Codec
    from trimix.images import Picture, read_picture, write_picture

__version__ = "0.1.0"
__all__ = [
    "Codec",
    "Picture",
    "PictureWarning",
    "TrimixError",
    "__version__",
    "compress",
    "decompress",
    "decompress_to_picture",
    "keep_freed_memory",
    "read_picture",
    "write_picture",
]

# torch takes seconds to import; the command line's help and the container's reader do without.
_LAZY = {
    "Codec": "trimix.codec",
    **dict.fromkeys(("PictureWarning", "compress", "decompress", "decompress_to_picture"), "trimix.api"),
    **dict.fromkeys(("Picture", "read_picture", "write_picture"), "trimix.images"),
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'trimix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
