"""The optional packages that a report needs."""

from importlib.util import find_spec

from trimix.errors import UsageError

NEEDED_PACKAGES = ("bjontegaard", "jinja2", "matplotlib", "plotly")
"""Those of the extra `evaluate`."""


def require_packages() -> None:
    """Refuse before anything is computed.

    Raises:
        UsageError: a package is not installed.
    """
    missing = [name for name in NEEDED_PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a report needs the packages {', '.join(NEEDED_PACKAGES)}, found no {', no '.join(missing)}; "
            "pip install 'trimix[evaluate]'"
        )
