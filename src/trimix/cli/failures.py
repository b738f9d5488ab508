"""From an exception to one line on standard error and an exit code."""

import os
import sys
import traceback

from trimix.errors import (
    MissingDataError,
    OtherResultsError,
    OutputError,
    OutputExistsError,
    PictureTooLargeError,
    SeveralFramesError,
    TimeOverError,
    TrimixError,
    UnknownModelError,
)
from trimix.progress import harmless

DEBUG_VARIABLE = "TRIMIX_DEBUG"
"""Environment variable: anything but empty or 0 shows tracebacks."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""
BROKEN_PIPE = 141
"""Exit code when the reader of standard output has gone: 128 + SIGPIPE."""
_UNEXPECTED = 1
_OPTIONS: dict[type[TrimixError], str] = {
    MissingDataError: "--data-root",
    OtherResultsError: "-o, --force",
    OutputExistsError: "--force",
    PictureTooLargeError: "--max-pixels",
    SeveralFramesError: "--frame",
    TimeOverError: "--max-seconds",
    UnknownModelError: "--model",
}
"""Names of the options by which what an error advises is done."""
# How Typer and Pydantic talk, and how we do.
_FOREIGN_PHRASES = (
    ("Value error, ", ""),
    ("Input should be", "it must be"),
    (", unable to parse string as a number", ""),
    (", unable to parse string as an integer", ""),
    (". Did you mean", "; did you mean"),
)


def explain(error: Exception) -> int:
    """Say on standard error, in one line, what went wrong; return the exit code.

    Of processes that torchrun has started, all meet the same mistakes: the first speaks for them. What is unexpected
    may have met one of them alone, so each tells its own.
    """
    if isinstance(error, BrokenPipeError):
        # Nobody reads any more, as in `trimix models | head -1`: no failure worth a word.
        drop_standard_output()
        return BROKEN_PIPE
    if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    message, code = message_and_code(error)
    if code == OutputError.exit_code:
        drop_standard_output()
    if message and (is_first_process() or code == _UNEXPECTED):
        print(f"trimix: error: {one_line(message)}", file=sys.stderr)
    return code


def is_first_process() -> bool:
    """Whether this is the first of the processes that torchrun has started, or the only one."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def one_line(text: str) -> str:
    """The text in one line, without characters that could steer a terminal.

    >>> one_line("a\\nb\\x1b[2J")
    'a b?[2J'
    """
    return harmless(" ".join(text.split()))


def drop_standard_output() -> None:
    """Throw away what standard output still holds; else Python tries again at its end and complains."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        try:
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, sys.stdout.fileno())
            os.close(descriptor)
        except (OSError, ValueError):
            pass


def message_and_code(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, TrimixError):
        options = _OPTIONS.get(type(error))
        return f"{error} ({options})" if options else str(error), error.exit_code
    if _is_usage_error(error):
        return _usage_message(error), 2
    if _is_out_of_memory(error):
        return "the memory is not enough for this; use a smaller picture or another --device", _UNEXPECTED
    if isinstance(error, OSError) and error.filename is None and error.errno is not None:
        # Files are opened in few places, which explain themselves: this is a standard stream.
        return f"standard output cannot be written ({error.strerror}); give -o FILE", OutputError.exit_code
    found = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"unexpected {found}; set {DEBUG_VARIABLE}=1 for the traceback, and report it", _UNEXPECTED


def _is_usage_error(error: Exception) -> bool:
    # By shape: older releases of Typer raise the exceptions of Click, newer ones their own.
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage_message(error: Exception) -> str:
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""  # the help is printed already
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "trimix")
    message = " ".join(error.format_message().split()).rstrip(".")  # type: ignore[attr-defined]
    for foreign, own in _FOREIGN_PHRASES:
        message = message.replace(foreign, own)
    ending = " See" if message.endswith("?") else "; see"
    return f"{message[:1].lower()}{message[1:]}{ending} '{command} --help'"


def _is_out_of_memory(error: Exception) -> bool:
    # Without importing torch: OutOfMemoryError is CUDA's, "can't allocate memory" the CPU's.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
