"""The command ``trimix``: one file per command. Each parses, calls the library and prints; none computes.

Modules here import nothing heavy at their top: help, ``info`` and ``models`` must not wait for torch.
"""

from trimix.cli.application import main

__all__ = ["main"]
