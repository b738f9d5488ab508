"""Every error that trimix raises on purpose.

A message says what must hold, what was found, and what to do, in words of the library; the command line adds the names
of its options, and ends with the exit code that stands on the class.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

_PACKAGES = {"upath": "universal_pathlib"}
"""Names of packages that differ from that of their module."""


class TrimixError(Exception):
    """Root of every error that trimix raises on purpose."""

    exit_code = 1


class UsageError(TrimixError):
    """The command or call asks for something impossible."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A configuration or an argument has a bad value."""


class OutOfReachError(UsageError):
    """No quality gives the size or PSNR that is asked for."""


class MissingDataError(UsageError):
    """A set of pictures is not found."""


class OtherResultsError(UsageError):
    """There are results of other pictures or settings where these would go."""


class PictureError(TrimixError):
    """The picture cannot be read, or is of a kind that is not handled."""

    exit_code = 3


class PictureTooLargeError(PictureError):
    """The picture has more pixels than the caller allows."""


class SeveralFramesError(PictureError):
    """The file has several frames or pages, and none is chosen."""


class CodecError(TrimixError):
    """The compressed bytes cannot be decoded."""

    exit_code = 4


class NotATrimixFileError(CodecError):
    """The bytes do not begin like a trimix file."""


class UnsupportedVersionError(CodecError):
    """The file was written in a format version or feature that this reader does not know."""


class TruncatedFileError(CodecError):
    """The file ends before its contents do."""


class CorruptedFileError(CodecError):
    """A checksum or a field of the file is wrong."""


class DesynchronizedError(CodecError):
    """The decoded symbols are not the ones that were encoded."""


class ModelError(TrimixError):
    """A weights file is missing, damaged or of another kind."""

    exit_code = 5


class UnknownModelError(ModelError):
    """A file needs a model that is not installed here."""


class OutputError(TrimixError):
    """The result cannot be written."""

    exit_code = 6


class OutputExistsError(OutputError):
    """A file of that name exists, and is not to be replaced."""


class TrainingError(TrimixError):
    """Training cannot go on."""

    exit_code = 7


class TimeOverError(TrimixError):
    """The time that the caller allows was not enough."""

    exit_code = 8


class WorkerDiedError(TrimixError):
    """A process that worked on something has ended, and so did those after it."""


class MissingExtraError(UsageError):
    """What is asked for needs a package that is not installed."""


@contextmanager
def needing(module: str, purpose: str, extra: str) -> Iterator[None]:
    """Around imports of a module that an extra brings: says so where there is none.

    Args:
        module: its name, as it is imported.
        purpose: what needs it, in words.
        extra: which brings it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module:
            raise
        raise MissingExtraError(
            f"{purpose} needs {module}, found none; pip install {_PACKAGES.get(module, module)} (the extra {extra!r})"
        ) from error


def needing_torch(purpose: str, extra: str) -> AbstractContextManager[None]:
    """Around imports of modules that need torch; see `needing`."""
    return needing("torch", purpose, extra)
