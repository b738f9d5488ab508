"""The optional packages of the extra ``evaluate``."""

from collections.abc import Sequence
from importlib.util import find_spec

from trimix.errors import UsageError

REPORT_PACKAGES = ("bjontegaard", "jinja2", "matplotlib", "plotly")
INSPECTION_PAGE_PACKAGES = ("jinja2", "matplotlib")
INSPECTION_FIGURE_PACKAGES = ("matplotlib",)


def require_packages(purpose: str, needed: Sequence[str]) -> None:
    """Refuse before anything is computed.

    Args:
        purpose: what needs them: "a report", for example.
        needed: names of packages of the extra `evaluate`.

    Raises:
        UsageError: one is not installed.
    """
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{purpose} needs the packages {', '.join(needed)}, found no {', no '.join(missing)}; "
            "pip install 'trimix[evaluate]'"
        )
