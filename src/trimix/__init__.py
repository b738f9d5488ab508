"""trimix: learned image compression that people can train, measure and ship.

>>> import trimix
>>> sorted(trimix.__all__)[:3]
['Codec', 'TrimixError', 'compress']
"""

from importlib import import_module
from typing import TYPE_CHECKING

from trimix.allocator import keep_freed_memory
from trimix.errors import TrimixError

if TYPE_CHECKING:
    from trimix.api import compress, decompress
    from trimix.codec import Codec

__version__ = "0.1.0"
__all__ = ["Codec", "TrimixError", "__version__", "compress", "decompress", "keep_freed_memory"]

# torch takes seconds to import; the command line's help and the container's reader do without.
_LAZY = {"Codec": "trimix.codec", "compress": "trimix.api", "decompress": "trimix.api"}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'trimix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
