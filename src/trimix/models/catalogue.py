"""Where models are found: by name, by file, or by the hash that stands in a compressed file.

Reads only the heads of weights files and imports no torch, so that listing models is quick.
"""

import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trimix.errors import ModelError, UnknownModelError

MODELS_VARIABLE = "TRIMIX_MODELS"
"""Environment variable: folders with further weights files, separated like PATH."""
DEFAULT_MODEL = "gllmm-lite"
GLLMM_LITE_IDENTIFIER = 1
"""Number of the architecture in every file; frozen."""
_PACKAGED = Path(__file__).parent.parent / "weights"
_HEAD_LIMIT = 2**22


@dataclass(frozen=True)
class ModelEntry:
    """What the head of a weights file says.

    Args:
        name: with version, for example ``gllmm-lite-0.1``.
        path: the file.
        identifier: number of the architecture.
        weights_hash: 8 bytes.
        configuration: of the architecture, JSON.
        description: the model card's facts, text by heading.
    """

    name: str
    path: Path
    identifier: int
    weights_hash: bytes
    configuration: str
    description: dict[str, str]

    @property
    def family(self) -> str:
        """The name without its version."""
        return self.name.rpartition("-")[0] or self.name


def read_entry(path: Path) -> ModelEntry:
    """Read the head of a weights file.

    Raises:
        ModelError: missing or of another kind.
    """
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > _HEAD_LIMIT:
                raise ModelError(f"{path}: is not a trimix weights file (head of {length} bytes)")
            metadata = json.loads(file.read(length))["__metadata__"]
        return ModelEntry(
            name=metadata["name"],
            path=path,
            identifier=int(metadata["identifier"]),
            weights_hash=bytes.fromhex(metadata["hash"]),
            configuration=metadata["configuration"],
            description=json.loads(metadata["description"]),
        )
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: is not a trimix weights file") from error


def folders() -> list[Path]:
    """Folders that are searched: those of ``TRIMIX_MODELS``, then the package's own."""
    listed = [Path(part) for part in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if part]
    return [*listed, _PACKAGED]


def _version_order(path: Path) -> list[tuple[int, str]]:
    # Numbers in a name count as numbers: 0.10 is newer than 0.9.
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def entries() -> Iterator[ModelEntry]:
    """All models that are found; files of another kind are passed over."""
    for folder in folders():
        for path in sorted(folder.glob("*.safetensors"), key=_version_order, reverse=True):
            try:
                yield read_entry(path)
            except ModelError:
                continue


def find_model(name_or_path: str | Path) -> ModelEntry:
    """A model by file, by full name, or by name without version (the newest then).

    Raises:
        ModelError: there is none.
    """
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or path.is_file():
        return read_entry(path)
    found = list(entries())
    for entry in found:
        if str(name_or_path) in (entry.name, entry.family):
            return entry
    names = ", ".join(entry.name for entry in found) or "none"
    raise ModelError(
        f"no model is named {str(name_or_path)!r}; found: {names}. Give a name, a .safetensors file, "
        f"or put its folder into {MODELS_VARIABLE}"
    )


def find_model_by_hash(weights_hash: bytes) -> ModelEntry:
    """The model whose hash stands in a compressed file.

    Raises:
        UnknownModelError: it is not installed.
    """
    found = list(entries())
    for entry in found:
        if entry.weights_hash == weights_hash:
            return entry
    names = ", ".join(f"{entry.name} ({entry.weights_hash.hex()})" for entry in found) or "none"
    raise UnknownModelError(
        f"the file needs the model with hash {weights_hash.hex()}; found here: {names}. "
        f"Put its weights file into a folder named in {MODELS_VARIABLE}, or give it with --model"
    )
