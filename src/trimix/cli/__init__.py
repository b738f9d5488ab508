"""The command ``trimix``: one file per command. Each parses, calls the library and prints; none computes.

Modules here import nothing heavy at their top: help, ``info`` and ``models`` must not wait for torch.
"""

from collections.abc import Sequence

from trimix.cli.standard_streams import stand_in_for_closed_streams

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: instead of those of the process.
    """
    try:
        stand_in_for_closed_streams()
        # Here, so that Ctrl-C during these imports is as quiet as later.
        from trimix.cli.application import run

        return run(arguments)
    except KeyboardInterrupt:
        return 130  # `failures.INTERRUPTED`, which may not be imported yet
