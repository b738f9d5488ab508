"""The optional packages that pages and figures need."""

from collections.abc import Sequence
from importlib.util import find_spec

from trimix.errors import UsageError

PAGE_PACKAGES = ("jinja2", "matplotlib")
FIGURE_PACKAGES = ("matplotlib",)


def require_packages(needed: Sequence[str]) -> None:
    """Refuse before anything is computed.

    Args:
        needed: names of packages of the extra `evaluate`.

    Raises:
        UsageError: one is not installed.
    """
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an inspection needs the packages {', '.join(needed)}, found no {', no '.join(missing)}; "
            "pip install 'trimix[evaluate]'"
        )
