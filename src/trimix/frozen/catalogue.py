"""Where models are found: by name, by file, or by the hash that stands in a compressed file.

Reads only the heads of weights files and imports no torch, so that listing models is quick.
"""

import json
import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trimix.errors import ModelError, UnknownModelError, UsageError

MODELS_VARIABLE = "TRIMIX_MODELS"
"""Environment variable: folders with further weights files, separated like PATH."""
PARAMETERS = "parameters"
"""Heading of a model's description under which the number of its parameters stands."""
IDENTIFIERS = {"gllmm-lite": 1, "hyperprior": 2, "autoregressive": 3, "attention": 4, "gllmm": 5}
"""Number of the architecture in every file; frozen."""
WEIGHTS_FORMAT = "trimix-frozen-2"
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""What a model may be called."""
_VERSIONED = re.compile(r"(.+)-([0-9]+(?:\.[0-9]+)*)")
_SUFFIX = ".safetensors"
_PACKAGED = Path(__file__).parent.parent / "weights"
_EARLIER = _PACKAGED / "earlier.json"
_HEAD_LIMIT = 2**22


class Tune(StrEnum):
    """What a picture shall be best for at its size."""

    EYE = "eye"
    PSNR = "psnr"
    MS_SSIM = "ms-ssim"

    @property
    def model(self) -> str:
        """The model whose weights were trained for it."""
        return {Tune.EYE: "gllmm-lite-eye", Tune.PSNR: "gllmm-lite", Tune.MS_SSIM: "gllmm-lite-ms-ssim"}[self]


DEFAULT_MODEL = Tune.EYE.model


def model_for(tune: str | None, model: str | Path | None) -> str | Path:
    """The model that is named, or that of a tune; without both the default.

    Raises:
        UsageError: both are given, or there is no such tune.

    >>> model_for("psnr", None), model_for(None, None)
    ('gllmm-lite', 'gllmm-lite-eye')
    """
    if tune is None:
        return DEFAULT_MODEL if model is None else model
    if model is not None:
        raise UsageError("a tune and a model exclude each other, found both; leave one out")
    if tune not in list(Tune):
        raise UsageError(f"a tune must be one of {', '.join(Tune)}, found {tune!r}; change it")
    return Tune(tune).model


@dataclass(frozen=True)
class ModelEntry:
    """What the head of a weights file says.

    Args:
        name: with version, for example ``gllmm-lite-0.1``.
        path: the file.
        identifier: number of the architecture.
        weights_hash: 8 bytes, which compressed files have.
        checksum: of program and tensors, 8 bytes.
        program: what it computes, a JSON object.
        configuration: what it was trained as, a JSON object.
        description: the model card's facts, text by heading.
    """

    name: str
    path: Path
    identifier: int
    weights_hash: bytes
    checksum: bytes
    program: str
    configuration: str
    description: dict[str, str]

    @property
    def family(self) -> str:
        """The name without its version, which is numbers and dots after the last hyphen."""
        versioned = _VERSIONED.fullmatch(self.name)
        return versioned[1] if versioned else self.name

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers of the version: 0.10 is newer than 0.9. Empty without version."""
        versioned = _VERSIONED.fullmatch(self.name)
        return tuple(map(int, versioned[2].split("."))) if versioned else ()


def entry_of_metadata(metadata: object, path: Path) -> ModelEntry:
    """What the metadata of a weights file say, each checked for its type and range.

    Args:
        metadata: texts by name, as they stand in the file.
        path: the file.

    Raises:
        ModelError: they are of another kind, or damaged.
    """
    texts = metadata if isinstance(metadata, dict) else {}
    if texts.get("format") != WEIGHTS_FORMAT:
        raise ModelError(
            f"{path}: must be a frozen trimix model ({WEIGHTS_FORMAT}), found "
            f"{str(texts.get('format', 'no format'))[:40]!r}; make one with 'trimix freeze'"
        )
    program, configuration, description = (
        _text(texts, key, re.compile(r".*", re.DOTALL), "text", path)
        for key in ("program", "configuration", "description")
    )
    _json_object(configuration, "configuration", path)
    facts: dict[str, str] = {}
    for key, value in _json_object(description, "description", path).items():
        if not isinstance(value, str):
            raise _damaged(path, "description", "texts by heading", f"{type(value).__name__} for {key!r}")
        facts[key] = value
    name = _text(texts, "name", MODEL_NAME, "at most 100 small letters, digits and . _ -", path)
    identifier = int(_text(texts, "identifier", re.compile(r"[0-9]{1,5}"), "a number 1..65535", path))
    if not 1 <= identifier < 2**16:
        raise _damaged(path, "identifier", "a number 1..65535", str(identifier))
    digest, checksum = (
        bytes.fromhex(_text(texts, key, re.compile(r"[0-9a-f]{16}"), "16 hexadecimal digits", path))
        for key in ("hash", "checksum")
    )
    return ModelEntry(name, path, identifier, digest, checksum, program, configuration, facts)


def _text(texts: dict[str, object], key: str, pattern: re.Pattern[str], wanted: str, path: Path) -> str:
    value = texts.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _damaged(path, key, wanted, "nothing" if value is None else repr(value)[:40])
    return value


def _json_object(text: str, key: str, path: Path) -> dict[str, object]:
    try:
        found = json.loads(text)
        # JSON can spell half a character, which nothing can print.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _damaged(path, key, "a JSON object", "other text") from error
    if not isinstance(found, dict):
        raise _damaged(path, key, "a JSON object", type(found).__name__)
    return found


def _damaged(path: Path, key: str, wanted: str, found: str) -> ModelError:
    return ModelError(f"{path}: its {key} must be {wanted}, found {found}: the file is damaged, get it again")


def read_file(path: Path, size: int = -1) -> bytes:
    """The first bytes of a file, by default all; OSError where it cannot be read.

    Raises:
        ModelError: a pipe or a device, which might never end.
    """
    # Without waiting for somebody who writes into a pipe.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor, no path)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ModelError(f"{path}: a weights file must be a regular file, found another kind; name a file")
        return file.read(size)


def read_entry(path: Path) -> ModelEntry:
    """Read the head of a weights file.

    Raises:
        ModelError: missing, damaged or of another kind.
    """
    try:
        length = struct.unpack("<Q", read_file(path, 8))[0]
        if length > _HEAD_LIMIT:
            raise ModelError(f"{path}: is not a trimix weights file (head of {length} bytes)")
        head = json.loads(read_file(path, 8 + length)[8:])
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (struct.error, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not a trimix weights file") from error
    return entry_of_metadata(head.get("__metadata__") if isinstance(head, dict) else None, path)


def folders() -> list[Path]:
    """Folders that are searched: those of ``TRIMIX_MODELS``, then the package's own."""
    listed = [Path(part) for part in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if part]
    return [*listed, _PACKAGED]


def _order_in_folder(path: Path) -> tuple[list[tuple[int, str]], str]:
    # Numbers in a name count as numbers; the name itself keeps the order fixed where they are equal.
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], path.name


def entries() -> Iterator[ModelEntry]:
    """All models that are found, folder by folder; files of another kind are passed over."""
    for folder in folders():
        for path in sorted(folder.glob(f"*{_SUFFIX}"), key=_order_in_folder, reverse=True):
            try:
                yield read_entry(path)
            except ModelError:
                continue


def find_model(name_or_path: str | Path) -> ModelEntry:
    """A model by file, by full name, or by name without version.

    What has a path separator or ends in ``.safetensors`` is a file. Anything else is a name first: a file that happens
    to be called like a model does not hide it. A full name counts before a name without version, which means the
    newest in all folders. Of equals, the one in the folder searched first is taken (see ``folders``), and in one
    folder the one whose file name comes last.

    Raises:
        ModelError: there is none.
    """
    text = str(name_or_path)
    if text.endswith(_SUFFIX) or any(separator in text for separator in (os.sep, os.altsep) if separator):
        return read_entry(Path(text))
    found = list(entries())
    for entry in found:
        if entry.name == text:
            return entry
    versions = [entry for entry in found if entry.family == text]
    if versions:
        return max(versions, key=lambda entry: entry.version)  # the first of equals
    if os.path.isfile(text):  # noqa: PTH113 (Path.is_file fails on names that are too long)
        return read_entry(Path(text))
    names = ", ".join(entry.name for entry in found) or "none"
    raise ModelError(
        f"no model is named {text!r}; found: {names}. Give a name, a {_SUFFIX} file, "
        f"or put its folder into {MODELS_VARIABLE}"
    )


@dataclass(frozen=True)
class EarlierModel:
    """Weights that an earlier release brought along, and where the history of the repository has them.

    Args:
        format: of the weights file.
        sha256: of the file, hexadecimal.
        commit: the last that changed the file.
        path: of the file in that commit.
    """

    name: str
    hash: str
    format: str
    bytes: int
    sha256: str
    commit: str
    path: str

    @property
    def is_readable(self) -> bool:
        """Whether this release reads the file; otherwise that of its commit does."""
        return self.format == WEIGHTS_FORMAT

    @property
    def command(self) -> str:
        """What gets it, in a clone of the repository: the file, or the release that reads it with its file."""
        if self.is_readable:
            return f"git show {self.commit[:10]}:{self.path} > {self.name}{_SUFFIX}"
        return f"git worktree add {self.name} {self.commit[:10]}"


def earlier_models() -> list[EarlierModel]:
    """All of them, by name.

    >>> earlier_models()[0].name
    'gllmm-lite-0.1'
    """
    return [EarlierModel(**one) for one in json.loads(_EARLIER.read_text(encoding="utf-8"))]


def find_model_by_hash(weights_hash: bytes) -> ModelEntry:
    """The model whose hash stands in a compressed file.

    Raises:
        UnknownModelError: it is not installed.
    """
    found = list(entries())
    for entry in found:
        if entry.weights_hash == weights_hash:
            return entry
    for earlier in earlier_models():
        if earlier.hash == weights_hash.hex():
            reader = "" if earlier.is_readable else ", with the release that reads it"
            raise UnknownModelError(
                f"the file needs the model {earlier.name} of an earlier release (hash {earlier.hash}), found none; in "
                f"a clone of trimix '{earlier.command}' gets it{reader}"
            )
    names = ", ".join(f"{entry.name} ({entry.weights_hash.hex()})" for entry in found) or "none"
    raise UnknownModelError(
        f"the file needs the model with hash {weights_hash.hex()}; found here: {names}. "
        f"Put its weights file into a folder named in {MODELS_VARIABLE}, or name the file"
    )
